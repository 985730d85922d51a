"""Reads a JSON request, strictly by proto3's mapping."""

import json
import math
import re
from decimal import Decimal
from fractions import Fraction

from faults.oracle_schema import COLORS, ROW, base64_bytes, finite, in_range, utf8
from faults.wire_oracle import Refused

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DEPTH = 100


class _Pairs(list):
    """An object, as the list of its names and values."""


def json_rows(value, operation):
    """Return the rows of a JSON text."""
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
        return {utf8(name): _json_value(field.kind, item) for name, item in value}
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
        return utf8(value) if kind == "string" else base64_bytes(value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise Refused("no bool")
        return value
    if kind == "enum" and isinstance(value, str):
        if value not in COLORS:
            raise Refused("no name of it")
        return COLORS[value]
    return in_range(kind, _json_whole(value))


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
    return finite(kind, float(value))


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
