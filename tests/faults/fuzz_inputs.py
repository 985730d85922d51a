"""Inputs that hypothesis generates for the fuzzing: CSV, JSON and protobuf, good, nearly good, and garbage."""

import csv
import io
import json
from functools import cache
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from faults import wire_oracle as wire
from faults.oracle_schema import ADDRESS, FRAME, ROW


class Input(NamedTuple):
    """A request: its format (csv, json, protobuf), the operation that it asks for, and its value."""

    content: str
    operation: str
    value: bytes


def inputs(number, count):
    """Generate `count` inputs from a seed: the same ones for the same seed, whatever ran before."""
    found = []

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(_INPUTS)
    def take(made):
        found.append(made)

    take()
    return found[:count]


# ---- values, by the type of the field

_TEXTS = st.one_of(
    st.sampled_from(
        ["DE", "FR", "red", "", " ", "ü", "\u2028", "a,b", 'say "no"', "two\nlines", "CR\r\n", "\x00", "😀"]
    ),
    st.text(max_size=8),
)
_FLOATS = st.one_of(st.integers(-9, 9).map(float), st.floats(-1e6, 1e6, allow_nan=False))
_ODD_NUMBERS = st.sampled_from(
    ["abc", "1_000", "1e999", "-1e400", "1e39", "3.4028236e38", "٣", "1 000", "+5", ".5", "5.", "0x10", "--1", "1e",
     "NaN", "nan", "inf", "-Infinity", "Infinity", "\u0131nf", " 7 ", "7\u00a0", "007", "5.0", "1e2", "1.5",
     "-0", "0e99", "2147483648", "-2147483649", "4294967296", "18446744073709551616", "9" * 30, "9" * 4_400,
     "1e99999999999999999999", "true"]
)  # fmt: skip
_BYTES = st.binary(max_size=6)
_BASE64 = st.sampled_from(["", "AQI=", "AQI", "_-8=", "+/8=", "AAAA=", "A", "###", "A===", "AQ==", "ü", "AB=C"])
_WHOLE = {
    "int32": st.integers(-(2**31), 2**31 - 1), "sint32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1), "uint32": st.integers(0, 2**32 - 1),
    "fixed64": st.integers(0, 2**64 - 1),
}  # fmt: skip
_SINGLES = st.floats(-1e6, 1e6, width=32)
_NAMES = st.sampled_from(["COLOR_RED", "COLOR_GREEN", "BLUE", "COLOR_UNSPECIFIED"])


def _mostly(good, odd):
    """One in twelve is odd: a row of many values must have a chance to be good."""
    return st.sampled_from([good] * 11 + [odd]).flatmap(lambda chosen: chosen)


@cache  # to make a strategy takes longer than to draw from it
def _cell(kind):
    good = {
        "double": _FLOATS.map(repr), "float": _FLOATS.map(repr), "string": _TEXTS,
        "bool": st.sampled_from(["true", "FALSE", "1", "0", "True "]),
        "bytes": st.sampled_from(["AQI=", "", "_-8=", "+/8"]),
        "enum": st.sampled_from(["COLOR_RED", "red", "Blue", "2", "77"]),
    }  # fmt: skip
    made = good[kind] if kind in good else _WHOLE[kind].map(str)
    odd = {"bytes": _BASE64, "string": _TEXTS}.get(kind, st.one_of(_ODD_NUMBERS, _TEXTS))
    return _mostly(st.one_of(st.just(""), made, made, made), odd)


_SUBTLE = {
    "double": st.sampled_from([True, "1_000", "inf", "1e999", 10**400, " 1", "+1"]),
    "float": st.sampled_from([True, "1_0", "-inf", 1e39, 10**400, "1e39"]),
    "enum": st.sampled_from([1.5, True, "1", "red", 1.0]), "string": st.sampled_from([5, True, ["a"], "\ud800"]),
    "bytes": _BASE64, "bool": st.sampled_from([0, 1, "true", 1.0]),
}  # fmt: skip
"""Odd JSON values that a reader easily accepts, but must not."""


@cache
def _json_value(kind):
    good = {
        "double": st.one_of(_FLOATS, _FLOATS.map(str), st.sampled_from(["NaN", "-Infinity", 10**40])),
        "float": st.one_of(_FLOATS, st.just("Infinity")), "string": _TEXTS, "bool": st.booleans(),
        "bytes": st.sampled_from(["AQI=", "", "_-8=", "+/8"]), "enum": st.one_of(_NAMES, st.integers(-3, 9)),
    }  # fmt: skip
    made = good[kind] if kind in good else st.one_of(_WHOLE[kind], _WHOLE[kind].map(str), st.integers(0, 9).map(float))
    junk = st.one_of(
        _ODD_NUMBERS, _BASE64, _TEXTS, st.booleans(), st.integers(), st.floats(), st.just([]), st.just({}), st.none(),
        st.sampled_from([10**400, 1.7e308, 1e39, 1.5, -0.0, "\ud800", [None], {"a": 1}]),
    )  # fmt: skip
    return _mostly(made, st.one_of(junk, _SUBTLE.get(kind, _ODD_NUMBERS)))


# ---- CSV

_LEAVES = {
    **{name: field.kind for name, field in ROW.items() if isinstance(field.kind, str) and field.label != "map"},
    "address.city": "string", "address.number": "int32", "address.inner.inner.city": "string", "tags.k": "double",
    "tags.": "double", "odd": "string", "address": "string", "tags.a.b": "string", "X0": "double", "rows.x0": "double",
}  # fmt: skip


_OPERATIONS = st.sampled_from(["One", "Many"])
_BOOLEANS = st.booleans()
_SELDOM = st.integers(0, 40).map(lambda number: number == 0)
_SOMETIMES = st.integers(0, 4).map(lambda number: number == 0)
_FEW = st.integers(0, 4)
_HEADERS = st.lists(st.sampled_from(list(_LEAVES)), min_size=1, max_size=8, unique=True)
_AGAIN = st.lists(st.sampled_from(["many_numbers", "odd", "x0"]), max_size=2)
_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
_QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])


@st.composite
def _csv(draw):
    operation, names = draw(_OPERATIONS), draw(_HEADERS)
    if draw(_SOMETIMES):
        names = [*names, *draw(_AGAIN)]
    file, ends = io.StringIO(newline=""), draw(_ENDS)
    writer = csv.writer(file, lineterminator=ends, quoting=draw(_QUOTING))
    writer.writerow(names)
    for _ in range(draw(_FEW) if operation == "Many" or draw(_SELDOM) else 1):
        row = [draw(_cell(_LEAVES[name])) for name in names]
        writer.writerow(row[:-1] if draw(_SELDOM) else row)
        if draw(_SELDOM):
            file.write(ends)
    text = file.getvalue()
    if draw(_SOMETIMES):
        text = "\ufeff" + text.rstrip("\r\n")
    return Input("csv", operation, text.encode(errors="surrogatepass"))


# ---- JSON


_KEYS = st.sampled_from(["k", "", "ü", "a.b"])
_ODD_NAMES = st.sampled_from(["odd", "manyNumbers", "many_numbers", "x0", "x0\0", "\ud800"])


@cache
def _names(fields):
    return st.lists(st.sampled_from(fields), max_size=6, unique=True)


@cache
def _several(value):
    return st.lists(value, max_size=3)


@cache
def _tags(value):
    return st.dictionaries(_KEYS, value, max_size=2)


@st.composite
def _object(draw, message=ROW, depth=0):
    made = {}
    for name in draw(_names(tuple(message))):
        field = message[name]
        key = "manyNumbers" if name == "many_numbers" and draw(_BOOLEANS) else name
        if field.label == "map":
            made[key] = draw(_tags(_json_value(field.kind)))
        elif field.label == "repeated":
            made[key] = draw(_several(_json_value(field.kind)))
        elif isinstance(field.kind, str):
            made[key] = draw(_json_value(field.kind))
        else:
            made[key] = draw(_object(ADDRESS, depth + 1)) if depth < 3 else None
    if draw(_SELDOM):
        made[draw(_ODD_NAMES)] = draw(_json_value("double"))
    return made


_DEEP = ["[" * 5_000, '{"address":' + '{"inner":' * 300 + "{}" + "}" * 301, '{"a":' * 2_000, "[[[[]]]]"]


_FORMS = st.sampled_from(["array", "lines", "whole"] * 4 + ["one", "deep", "twice"])
_LINES = st.sampled_from(["\n", "\r\n", "\n\n"])
_INDENTS = st.sampled_from([None, None, 2])
_ROWS = {"One": st.lists(_object(), min_size=1, max_size=1), "Many": st.lists(_object(), max_size=3)}


@st.composite
def _json(draw):
    operation = draw(_OPERATIONS)
    rows, form = draw(_ROWS[operation]), draw(_FORMS)
    if form == "lines":
        text = draw(_LINES).join(json.dumps(row) for row in rows)
    elif form == "deep":
        text = draw(st.sampled_from(_DEEP))
    elif form == "twice":
        text = '{"x0": 1, ' + json.dumps(rows[0] if rows else {})[1:]
    else:
        whole = {"rows": rows} if operation == "Many" else rows
        document = {"array": rows, "whole": whole, "one": rows[0] if rows else None}[form]
        text = json.dumps(document, ensure_ascii=draw(_BOOLEANS), indent=draw(_INDENTS))
    bom = "\ufeff" if draw(_SELDOM) else ""
    return Input("json", operation, (bom + text).encode(errors="surrogatepass"))


# ---- protobuf


_PAIRS = st.lists(st.sampled_from(["key", "value"]), max_size=2)
_PACKED = st.lists(_WHOLE["int32"], max_size=4)
_UNKNOWN = st.sampled_from([17, 99, 2**29 - 1])


@cache
def _fields(names):
    return st.lists(st.sampled_from(names), max_size=8)


@st.composite
def _message(draw, message=ROW, depth=0):
    """Fields in any order, repeated, of the right wire type or another one, and unknown fields."""
    parts = []
    for name in draw(_fields(tuple(message))):
        field = message[name]
        if draw(_SELDOM):
            parts.append(draw(_stranger(field.number)))
        elif field.label == "map":
            entry = {"key": wire.Field(1, "string"), "value": wire.Field(2, field.kind)}
            pair = {"key": draw(_KEYS), "value": draw(_FLOATS)}
            parts.append(wire.record(field.number, 2, wire.write({key: pair[key] for key in draw(_PAIRS)}, entry)))
        elif field.label == "repeated" and draw(_BOOLEANS):
            parts.append(wire.record(field.number, 2, b"".join(map(wire.varint, draw(_PACKED)))))
        elif isinstance(field.kind, str):
            payload = wire.payload(field.kind, draw(_wire_value(field.kind)))
            parts.append(wire.record(field.number, wire.wire_type(field.kind), payload))
        elif depth < 3:
            parts.append(wire.record(field.number, 2, draw(_message(field.kind, depth + 1))))
    if draw(_SELDOM):
        parts.append(draw(_stranger(draw(_UNKNOWN))))
    return b"".join(parts)


@cache
def _wire_value(kind):
    known = {
        "double": st.floats(), "float": _SINGLES, "bool": st.booleans(), "string": _TEXTS.filter(str.isascii),
        "bytes": _BYTES, "enum": st.integers(-3, 9),
    }  # fmt: skip
    return known[kind] if kind in known else _WHOLE[kind]


_KINDS = st.integers(0, 7)
_VARINTS = st.integers(0, 2**64 - 1)
_EIGHT = st.binary(min_size=8, max_size=8)


@st.composite
def _stranger(draw, number):
    kind = draw(_KINDS)
    if kind == wire.VARINT:
        return wire.record(number, kind, wire.varint(draw(_VARINTS)))
    if kind == wire.BYTES:
        return wire.record(number, kind, draw(_BYTES))
    if kind == wire.START:
        return wire.record(number, kind, wire.record(1, 0, b"\x01") + wire.record(number, wire.END, b""))
    return wire.record(number, kind, draw(_EIGHT)[: 4 if kind == wire.FIXED32 else 8])


def _deep(levels):
    value = b""
    for _ in range(levels):
        value = wire.record(3, 2, value)
    return wire.record(15, 2, value)


_LEVELS = st.sampled_from([5, 20, 150, 2_000])
_MESSAGE = _message()
_MESSAGES = st.lists(_MESSAGE, max_size=3)


@st.composite
def _protobuf(draw):
    operation = draw(_OPERATIONS)
    if operation == "Many":
        made = b"".join(wire.record(FRAME["rows"].number, 2, row) for row in draw(_MESSAGES))
    else:
        made = draw(_MESSAGE) + (_deep(draw(_LEVELS)) if draw(_SELDOM) else b"")
    return Input("protobuf", operation, made)


# ---- what is nearly good, and garbage


_HOW = st.sampled_from(["cut", "flip", "insert"])
_PLACES = st.integers(0, 2**16)
_PIECES = st.one_of(st.sampled_from([b'"', b",", b"\n", b"{", b"\xff", b"\x00"]), _BYTES)


@st.composite
def _spoilt(draw, whole):
    made = draw(whole)
    value = bytearray(made.value)
    how, place = draw(_HOW), draw(_PLACES) % max(1, len(value))
    if how == "cut":
        del value[place:]
    elif how == "insert":
        value[place:place] = draw(_PIECES)
    elif value:
        value[place] ^= 1 << draw(_PLACES) % 8
    return made._replace(value=bytes(value))


_GOOD = st.one_of(_csv(), _json(), _protobuf())
_GARBAGE = st.builds(
    Input,
    st.sampled_from(["csv", "json", "protobuf"]),
    st.sampled_from(["One", "Many"]),
    st.one_of(st.binary(max_size=24), st.text(max_size=24).map(str.encode)),
)
_INPUTS = st.one_of(_GOOD, _GOOD, _GOOD, _spoilt(_GOOD), _GARBAGE)
