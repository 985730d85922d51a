"""Enforces proto3's JSON mapping where google's json_format is laxer: refuses or corrects values that it would misread.

json_format reads numbers in strings as Python does ("1_000" is 1000, "1e999" is infinity), accepts any text as base64,
1.5 and 4294967297 as an enum's 1, true as 1.0 and [] as a message, and keeps the later one of `myField` and `my_field`.
"""

import math
import re
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from hotswap.codec.fields import INTEGERS, is_map
from hotswap.codec.text.cells import FLOATS, decode_base64, find_field, is_utf8

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ODD_FLOATS = ("NaN", "Infinity", "-Infinity")
_MAX_DIGITS = 20
_LEAST_ENUM, _MOST_ENUM = -(1 << 31), (1 << 31) - 1


class Misfit(ValueError):
    """A value that violates the mapping; `place` is the dotted path to it."""

    def __init__(self, place: str, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.value = value
        self.more: list[Misfit] = []
        """Those of other fields of the same message."""


class Twice(dict[str, Any]):
    """A JSON object with the duplicate key `key`."""

    key = ""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object for json.loads (as `object_pairs_hook`); return a Twice if it has a duplicate key."""
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    marked, seen = Twice(document), set[str]()
    marked.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def settle(document: Any, message: Descriptor, place: str = "") -> None:
    """Check a document before json_format parses it as a `message`, and turn numbers in strings into numbers in place.

    Raises:
        Misfit: json_format would accept a value that the mapping does not allow.

    """
    if not isinstance(document, dict):
        raise Misfit(place, document, f"is not an object ({message.full_name})")
    if isinstance(document, Twice):
        raise Misfit(f"{place}.{document.key}".lstrip("."), document[document.key], "occurs twice")
    by_json_name = {part.json_name: part for part in message.fields}
    seen = set[int]()
    misfits: list[Misfit] = []
    for name, value in document.items():
        if not is_utf8(name) or "\0" in name:  # json_format fails, or reads it as the name without the zero byte
            raise Misfit(f"{place}.{name}".lstrip("."), value, "has a name that is not valid text")
        part = by_json_name.get(name) or find_field(message, name)
        if part is None:
            continue
        where = f"{place}.{name}".lstrip(".")
        if part.number in seen:
            raise Misfit(where, value, f"occurs twice, as {part.name} and as {part.json_name}")
        seen.add(part.number)
        try:
            document[name] = _settled(value, part, where)
        except Misfit as misfit:
            misfits += [misfit, *misfit.more]
    if misfits:
        misfits[0].more = misfits[1:]
        raise misfits[0]


def _settled(value: Any, part: FieldDescriptor, place: str) -> Any:
    if is_map(part) and part.message_type and isinstance(value, dict):
        entry = part.message_type.fields_by_name
        for key in value:
            if entry["key"].cpp_type in INTEGERS:
                _whole_number(key, place)
            value[key] = _one(value[key], entry["value"], f"{place}.{key}")
        return value
    if part.is_repeated:
        return [_one(item, part, place) for item in value] if isinstance(value, list) else value
    return _one(value, part, place)


def _one(value: Any, part: FieldDescriptor, place: str) -> Any:
    """Check one value of a field; null is left to json_format."""
    inner = part.message_type
    if value is None:
        return value
    if inner is None:
        return _scalar(value, part, place)
    if inner.file.name == "google/protobuf/wrappers.proto":
        return _scalar(value, inner.fields_by_name["value"], place)
    if not inner.file.name.startswith("google/protobuf/"):
        settle(value, inner, place)
    return value


def _scalar(value: Any, part: FieldDescriptor, place: str) -> Any:
    if part.enum_type:
        return _enum(value, part, place)
    if part.cpp_type in INTEGERS:
        return _whole_number(value, place) if isinstance(value, str) else value
    if part.cpp_type in FLOATS:
        return _number(value, place)
    if part.cpp_type == FieldDescriptor.CPPTYPE_STRING and not isinstance(value, str):
        raise Misfit(place, value, "is not a string")
    if part.type == FieldDescriptor.TYPE_BYTES:
        try:
            decode_base64(value)
        except ValueError as error:
            raise Misfit(place, value, str(error)) from None
    return value


def _enum(value: Any, part: FieldDescriptor, place: str) -> Any:
    names = [known.name for known in part.enum_type.values] if part.enum_type else []
    if type(value) is int or (isinstance(value, float) and value.is_integer()):
        if not _LEAST_ENUM <= value <= _MOST_ENUM:
            raise Misfit(place, value, "is out of range")
        return value
    if isinstance(value, str) and value in names:
        return value
    raise Misfit(place, value, f"is not one of {', '.join(names)}")


def _whole_number(text: str, place: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Misfit(place, text, "is not a whole number")
    try:
        number = Decimal(text)
    except ArithmeticError:  # the exponent exceeds Decimal's range
        raise Misfit(place, text, "is out of range") from None
    if number and number.adjusted() > _MAX_DIGITS:
        raise Misfit(place, text, "is out of range")
    if number != number.to_integral_value():
        raise Misfit(place, text, "is not a whole number")
    return int(number)


def _number(value: Any, place: str) -> Any:
    if isinstance(value, bool):
        raise Misfit(place, value, "is not a number")
    if isinstance(value, str):
        if value in _ODD_FLOATS:
            return value
        if not _NUMBER.fullmatch(value):
            raise Misfit(place, value, "is not a number")
    try:
        number = float(value) if isinstance(value, str | int) else value
    except OverflowError:
        number = math.inf
    if isinstance(number, float) and math.isinf(number):
        raise Misfit(place, value, "is out of range")
    return number
