"""A second reader and writer of protobuf's wire format, from its description alone: it shares nothing with protobuf.

A message is a dict of its present fields, by name; its type is a dict of Fields, by name.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

VARINT, FIXED64, BYTES, START, END, FIXED32 = range(6)
_DEPTH = 100


class Refused(Exception):
    """The input must be refused."""


@dataclass(frozen=True)
class Field:
    """A field of a message: `kind` is a scalar type's name, or the message type that it holds (a dict)."""

    number: int
    kind: Any
    label: str = ""
    """"", "optional", "repeated" or "map" (of texts to doubles)."""


_FORMS = {"double": "<d", "float": "<f", "fixed64": "<Q", "fixed32": "<I"}
_BITS = {"int32": 32, "int64": 64, "uint32": 32, "sint32": 32, "enum": 32}


def wire_type(kind):
    if not isinstance(kind, str) or kind in ("string", "bytes"):
        return BYTES
    return {"double": FIXED64, "fixed64": FIXED64, "float": FIXED32, "fixed32": FIXED32}.get(kind, VARINT)


# ---- reading


def read(data, message, depth=0):
    """Return the fields of a serialized message. Raises Refused if it is not one."""
    found = {}
    if depth > _DEPTH:
        raise Refused("too deep")
    by_number = {field.number: (name, field) for name, field in message.items()}
    at = 0
    while at < len(data):
        number, kind, at = _tag(data, at)
        value, at = _value(data, at, number, kind, depth)
        if number in by_number:
            _take(found, *by_number[number], kind, value, depth)
    return found


def _varint(data, at, most=10):
    value = 0
    for place in range(most):
        if at >= len(data):
            raise Refused("truncated")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise Refused("a varint that is too long")


def _tag(data, at, least=1):
    tag, at = _varint(data, at, most=5)
    number = tag >> 3
    if tag >= 1 << 32 or number < least:
        raise Refused(f"tag {tag}")
    return number, tag & 7, at


def _value(data, at, number, kind, depth):
    if kind == VARINT:
        return _varint(data, at)
    if kind in (FIXED64, FIXED32):
        end = at + (8 if kind == FIXED64 else 4)
    elif kind == BYTES:
        length, at = _varint(data, at, most=5)
        end = at + length
    elif kind == START:
        return None, _skip_group(data, at, number, depth + 1)
    else:
        raise Refused(f"wire type {kind}")
    if end > len(data):
        raise Refused("truncated")
    return data[at:end], end


def _skip_group(data, at, number, depth):
    if depth > _DEPTH:
        raise Refused("too deep")
    while True:
        # The description knows no field 0; protobuf's own reader skips it where it skips the whole group.
        inner, kind, at = _tag(data, at, least=0)
        if kind == END:
            if inner != number:
                raise Refused("another group's end")
            return at
        _, at = _value(data, at, inner, kind, depth)


def _take(found, name, field, kind, value, depth):
    own = wire_type(field.kind)
    if field.label == "map":
        if kind == BYTES:
            entry = read(value, {"key": Field(1, "string"), "value": Field(2, field.kind)}, depth + 1)
            found.setdefault(name, {})[entry.get("key", "")] = entry.get("value", 0.0)
    elif field.label == "repeated":
        if kind == own:
            found.setdefault(name, []).append(_scalar(field.kind, value, depth))
        elif kind == BYTES:
            found.setdefault(name, []).extend(_packed(field.kind, value))
    elif kind == own and isinstance(field.kind, str):
        found[name] = _scalar(field.kind, value, depth)
    elif kind == own:
        merge(found.setdefault(name, {}), read(value, field.kind, depth + 1))


def merge(into, given):
    """Add a field: the last value wins; messages are merged, repeated fields grow."""
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        elif isinstance(value, list):
            into.setdefault(name, []).extend(value)
        else:
            into[name] = value


def _packed(kind, data):
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(_scalar(kind, value, 0))
    return values


def _scalar(kind, value, depth):
    if not isinstance(kind, str):
        return read(value, kind, depth + 1)
    if kind in _FORMS:
        return struct.unpack(_FORMS[kind], value)[0]
    if kind == "bytes":
        return bytes(value)
    if kind == "string":
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise Refused("no UTF-8") from None
    return value != 0 if kind == "bool" else _whole(kind, value)


def _whole(kind, value):
    value &= (1 << _BITS[kind]) - 1
    if kind == "sint32":
        return (value >> 1) ^ -(value & 1)
    is_negative = not kind.startswith("uint") and value >> (_BITS[kind] - 1)
    return value - (1 << _BITS[kind]) if is_negative else value


# ---- writing


def write(values, message):
    """Serialize a message in the order of the dict."""
    return b"".join(_field(message[name], value) for name, value in values.items())


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(number, kind, payload):
    """Return a tag and what follows it; `payload` is the bytes after the length, or after the tag if it has none."""
    length = varint(len(payload)) if kind == BYTES else b""
    return varint(number << 3 | kind) + length + payload


def _field(field, value):
    if field.label == "map":
        entry = {"key": Field(1, "string"), "value": Field(2, field.kind)}
        entries = ({"key": key, "value": item} for key, item in value.items())
        return b"".join(record(field.number, BYTES, write(pair, entry)) for pair in entries)
    values = value if field.label == "repeated" else [value]
    return b"".join(record(field.number, wire_type(field.kind), payload(field.kind, item)) for item in values)


def payload(kind, value):
    """Encode one value in its wire type."""
    if not isinstance(kind, str):
        return write(value, kind)
    if kind in _FORMS:
        return struct.pack(_FORMS[kind], value)
    if kind == "sint32":
        return varint((value << 1) ^ (value >> 31))
    return value if kind == "bytes" else value.encode() if kind == "string" else varint(int(value))


def settled(values):
    """Normalize a message so that equal meanings are equal: NaN equals NaN, and order does not matter."""
    if isinstance(values, dict):
        return sorted((name, settled(value)) for name, value in values.items())
    if isinstance(values, list):
        return [settled(value) for value in values]
    return "NaN" if isinstance(values, float) and math.isnan(values) else repr(values)
