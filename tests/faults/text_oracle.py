"""What is right for a request of CSV, JSON or protobuf, by the rules alone: it shares no code with the worker.

CSV is RFC 4180 with a header that names fields; JSON is proto3's mapping, strictly. `rows` gives what a request holds,
or Refused where the request must be refused: one bad row refuses all of it.
"""

import base64
import json
import math
import re
import struct
from decimal import Decimal
from fractions import Fraction

from faults.wire_oracle import Field, Refused, read, settled

PROTO = b"""
syntax = "proto3";
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_GREEN = 2; BLUE = 3; }
message Address { string city = 1; optional int32 number = 2; Address inner = 3; }
message Row {
  optional double x0 = 1; optional float x1 = 2; optional int32 x2 = 3; optional int64 x3 = 4; optional sint32 x4 = 5;
  optional bool x5 = 6; uint32 x6 = 7; optional fixed64 x7 = 8; optional double x8 = 9; Color color = 10;
  string country = 11; bytes raw = 12; repeated int32 many_numbers = 13; map<string, double> tags = 14;
  Address address = 15; float y = 16;
}
message Frame { repeated Row rows = 1; }
message Value { double value = 1; }
message Values { repeated double value = 1; }
service Estimator { rpc One(Row) returns (Value); rpc Many(Frame) returns (Values); }
"""
ADDRESS = {"city": Field(1, "string"), "number": Field(2, "int32", "optional")}
ADDRESS["inner"] = Field(3, ADDRESS)
ROW = {
    "x0": Field(1, "double", "optional"), "x1": Field(2, "float", "optional"), "x2": Field(3, "int32", "optional"),
    "x3": Field(4, "int64", "optional"), "x4": Field(5, "sint32", "optional"), "x5": Field(6, "bool", "optional"),
    "x6": Field(7, "uint32"), "x7": Field(8, "fixed64", "optional"), "x8": Field(9, "double", "optional"),
    "color": Field(10, "enum"), "country": Field(11, "string"), "raw": Field(12, "bytes"),
    "many_numbers": Field(13, "int32", "repeated"), "tags": Field(14, "double", "map"), "address": Field(15, ADDRESS),
    "y": Field(16, "float"),
}  # fmt: skip
FRAME = {"rows": Field(1, ROW, "repeated")}
COLORS = {"COLOR_UNSPECIFIED": 0, "COLOR_RED": 1, "COLOR_GREEN": 2, "BLUE": 3}
_RANGES = {
    "int32": (-(2**31), 2**31), "sint32": (-(2**31), 2**31), "enum": (-(2**31), 2**31), "int64": (-(2**63), 2**63),
    "uint32": (0, 2**32), "fixed64": (0, 2**64),
}  # fmt: skip
_FLOAT_MAX = (2 - 2**-23) * 2.0**127
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_CSV_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CSV_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
_DEPTH = 100


def rows(content, operation, value):
    """The rows of a request; `content` is csv, json or protobuf, `operation` One (of one row) or Many."""
    if content == "protobuf":
        return [read(value, ROW)] if operation == "One" else read(value, FRAME).get("rows", [])
    found = csv_rows(value) if content == "csv" else json_rows(value, operation)
    if operation == "One" and len(found) != 1:
        raise Refused(f"{len(found)} rows")
    return found


def meaning(found):
    """Rows such that two of the same meaning are equal: what the wire cannot tell is dropped or rounded."""
    return [settled(_plain(row, ROW)) for row in found]


def _plain(row, message):
    plain = {}
    for name, value in row.items():
        field = message[name]
        if not isinstance(field.kind, str):
            plain[name] = _plain(value, field.kind)
            continue
        kept = struct.unpack("<f", struct.pack("<f", value))[0] if field.kind == "float" else value
        is_zero = kept in (0, "", b"", [], {}) and not (kept == 0 and math.copysign(1, kept) < 0)
        if field.label == "optional" or not is_zero:
            plain[name] = kept
    return plain


# ---- CSV


def csv_rows(value):
    """The rows of a CSV with its header."""
    text = value.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    records = list(_records(text))
    if not records or records[0] is None:
        raise Refused("no header")
    header = [_utf8(name).strip(" \t") for name in records[0]]
    columns = [_column(name) for name in header]
    known = [name for name, column in zip(header, columns, strict=True) if column and column[1].label != "repeated"]
    if not any(columns) or len(set(known)) < len(known):
        raise Refused("the header")
    found = []
    for cells in records[1:]:
        if cells is None:
            if len(header) > 1:
                continue
            cells = [""]  # noqa: PLW2901 - of one column, an empty line is a row without a value
        if len(cells) != len(header):
            raise Refused("another number of cells")
        found.append(_csv_row(columns, cells))
    return found


def _records(text):
    """Records of RFC 4180; an empty line is None."""
    at, end = 0, len(text)
    while at < end:
        cells, is_empty = [], text[at] in "\r\n"
        while True:
            cell, at = _cell(text, at)
            cells.append(cell)
            if at < end and text[at] == ",":
                at += 1
                continue
            break
        at += 2 if text[at : at + 2] == "\r\n" else 1
        yield None if is_empty else cells


def _cell(text, at):
    if text[at : at + 1] != '"':
        start = at
        while at < len(text) and text[at] not in ",\r\n":
            at += 1
        return text[start:at], at
    cell, at = [], at + 1
    while True:
        if at >= len(text):
            raise Refused("a quote that does not end")
        if text[at] != '"':
            cell.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == '"':
            cell.append('"')
            at += 2
        else:
            break
    at += 1
    if at < len(text) and text[at] not in ",\r\n":
        raise Refused("text after a quote")
    return "".join(cell), at


def _column(name):
    """The path of a column and its field; None: unknown."""
    message, path, parts = ROW, [], name.split(".")
    for place, part in enumerate(parts):
        field = message.get(part)
        path.append(part)
        is_last = place == len(parts) - 1
        if field is None:
            return None
        if field.label == "map":
            return ([*path, parts[-1]], Field(0, field.kind)) if place == len(parts) - 2 else None
        if is_last:
            return (path, field) if isinstance(field.kind, str) else None
        if isinstance(field.kind, str):
            return None
        message = field.kind
    return None


def _csv_row(columns, cells):
    row = {"y": math.nan}
    for column, text in zip(columns, cells, strict=True):
        if column is None:
            continue
        (*parents, name), field = column
        if text == "":
            if name == "x6":  # the one whole number that is not optional: 0 would be a value
                raise Refused("missing")
            continue
        holder = row
        for parent in parents:
            holder = holder.setdefault(parent, {})
        value = _csv_value(field.kind, text)
        if field.label == "repeated":
            holder.setdefault(name, []).append(value)
        else:
            holder[name] = value
    return row


def _utf8(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused("no UTF-8") from None
    return text


def _csv_value(kind, text):
    if kind == "string":
        return _utf8(text)
    if kind == "bytes":
        return _base64(text)
    text = text.strip(" \t\r\n")
    if kind in ("double", "float"):
        return _csv_float(kind, text)
    if kind == "bool":
        if text.lower() not in ("true", "false", "1", "0"):
            raise Refused("no bool")
        return text.lower() in ("true", "1")
    if kind == "enum":
        names = {name.lower(): number for name, number in COLORS.items()}
        names |= {name.removeprefix("color_"): number for name, number in names.items()}
        if text.lower() in names:
            return names[text.lower()]
    whole = _CSV_WHOLE.fullmatch(text)
    if not whole:
        raise Refused("no whole number")
    return _in_range(kind, int(whole[1][:5_000]) if len(whole[1]) < 4_000 else 2**70)


def _csv_float(kind, text):
    odd = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
    if text.isascii() and text.lstrip("+-").lower() in odd and len(text) - len(text.lstrip("+-")) < 2:
        return -odd[text[1:].lower()] if text.startswith("-") else odd[text.lstrip("+").lower()]
    if not _CSV_NUMBER.fullmatch(text):
        raise Refused("no number")
    return _finite(kind, float(text))


def _finite(kind, number):
    if abs(number) > (_FLOAT_MAX if kind == "float" else 1.7976931348623157e308):
        raise Refused("out of range")
    return number


def _in_range(kind, number):
    low, high = _RANGES[kind]
    if not low <= number < high:
        raise Refused("out of range")
    return number


def _base64(text):
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    padding = len(text) - len(bare)
    if not re.fullmatch(r"[A-Za-z0-9+/]*", bare) or len(bare) % 4 == 1 or padding not in (0, -len(bare) % 4):
        raise Refused("no base64")
    return base64.b64decode(bare + "=" * (-len(bare) % 4))


# ---- JSON


class _Pairs(list):
    """An object, as the list of its names and values."""


def json_rows(value, operation):
    """The rows of a JSON text."""
    try:
        text = value.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Refused("no UTF-8") from None
    found = []
    for document in _documents(text):
        found += _rows_of(document, operation)
    return found


def _documents(text):
    try:
        whole = _json(text)
    except Refused:
        lines = [line for line in re.split(r"[\r\n]", text) if line.strip(" \t")]
        if len(lines) < 2:
            raise
        return [_json(line) for line in lines]
    return whole if isinstance(whole, list) and not isinstance(whole, _Pairs) else [whole]


def _json(text):
    try:
        return json.loads(text, object_pairs_hook=_Pairs, parse_constant=lambda name: Fraction(0))
    except (ValueError, RecursionError):
        raise Refused("no JSON") from None


def _rows_of(document, operation):
    if not isinstance(document, _Pairs):
        raise Refused("no object")
    names = [name for name, _ in document]
    if operation == "Many" and "rows" in names:
        if names != ["rows"]:
            raise Refused("unknown or twice")
        inner = document[0][1]
        if inner is None:
            return []
        if isinstance(inner, _Pairs) or not isinstance(inner, list):
            raise Refused("no list of rows")
        return [_message(item, ROW, 1) for item in inner]
    return [_message(document, ROW, 1)]


def _camel(name):
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _message(document, message, depth):
    if not isinstance(document, _Pairs) or depth > _DEPTH:
        raise Refused("no object")
    names = {name: name for name in message} | {_camel(name): name for name in message}
    found, seen = {}, set()
    for given, value in document:
        name = names.get(given)
        if name is None or name in seen:
            raise Refused(f"{given!r} is unknown or twice")
        seen.add(name)
        if value is not None:
            found[name] = _json_field(message[name], value, depth)
    return found


def _json_field(field, value, depth):
    if field.label == "map":
        if not isinstance(value, _Pairs) or len({name for name, _ in value}) < len(value):
            raise Refused("no map")
        return {_utf8(name): _json_value(field.kind, item) for name, item in value}
    if field.label == "repeated":
        if isinstance(value, _Pairs) or not isinstance(value, list):
            raise Refused("no list")
        return [_json_value(field.kind, item) for item in value]
    if not isinstance(field.kind, str):
        return _message(value, field.kind, depth + 1)
    return _json_value(field.kind, value)


def _json_value(kind, value):
    if kind in ("double", "float"):
        return _json_float(kind, value)
    if kind in ("string", "bytes"):
        if not isinstance(value, str):
            raise Refused("no text")
        return _utf8(value) if kind == "string" else _base64(value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise Refused("no bool")
        return value
    if kind == "enum" and isinstance(value, str):
        if value not in COLORS:
            raise Refused("no name of it")
        return COLORS[value]
    return _in_range(kind, _json_whole(value))


def _json_float(kind, value):
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return float(value)
        if not _JSON_NUMBER.fullmatch(value):
            raise Refused("no number")
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("no number")
    if abs(value) >= 2**1024:
        raise Refused("out of range")
    return _finite(kind, float(value))


def _json_whole(value):
    if isinstance(value, str):
        if not _JSON_NUMBER.fullmatch(value):
            raise Refused("no whole number")
        mantissa, _, exponent = value.lower().partition("e")
        if Decimal(mantissa) == 0:
            return 0
        if len(exponent) > 4 or int(exponent or 0) > 400:
            raise Refused("out of range, or a fraction")
        value = Fraction(Decimal(mantissa)) * Fraction(10) ** int(exponent or 0)
        if value.denominator != 1:
            raise Refused("no whole number")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (math.inf, -math.inf):
        raise Refused("no whole number")
    if value != int(value):
        raise Refused("no whole number")
    return int(value)
