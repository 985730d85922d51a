"""Parses a CSV cell into a field of a message: how each protobuf type is written as text, and the error messages."""

import base64
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hotswap.codec.fields import INTEGERS, TRUTHS, is_map, names_of, type_name

FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}
# ASCII only: Python's \d and \s also match the digits and spaces of other scripts.
_INTEGER = re.compile(r"[+-]?[0-9]+(\.0+)?")
_FLOAT = re.compile(r"[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|inf(inity)?|nan)", re.IGNORECASE | re.ASCII)
_BASE64 = re.compile(r"([A-Za-z0-9+/_-]*)(={0,2})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = " \t\r\n"
FLOAT_MAX = float.fromhex("0x1.fffffep+127")


@dataclass(frozen=True, slots=True)
class Cell:
    """The field that a column's cells fill: `parents` lead to the message that holds it; `key` is an entry of a map."""

    column: str
    """As the table calls it."""
    parents: tuple[str, ...]
    field: Any
    parse: Callable[[str], Any]
    key: str | None = None

    @property
    def path(self) -> str:
        """The path of the field, from a row on."""
        return ".".join((*self.parents, self.field.name, *(() if self.key is None else (self.key,))))

    @property
    def is_repeated(self) -> bool:
        """Whether each cell appends a value, or those of a list."""
        return bool(self.field.is_repeated) and self.key is None

    def parse_list(self, text: str) -> Any:
        """Parse a cell of a repeated field, which may be a JSON array. Raises ValueError."""
        try:
            values = json.loads(text) if text.lstrip(_SPACES).startswith("[") else None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, list):
            return self.parse(text)
        if not all(isinstance(value, str | int | float) for value in values):
            raise ValueError("is a list of something other than texts and numbers")
        return [self.parse(value if isinstance(value, str) else json.dumps(value)) for value in values]

    @property
    def is_plain(self) -> bool:
        """Whether it is a scalar field of the row itself."""
        return not self.parents and not self.field.is_repeated and self.field.message_type is None

    @property
    def is_float(self) -> bool:
        """Whether NaN can say that the value is missing."""
        return self.field.cpp_type in FLOATS

    @property
    def is_zero_when_absent(self) -> bool:
        """Whether a reader cannot tell an absent value from 0."""
        field = self.field
        if field.is_repeated or field.message_type is not None or field.has_presence:
            return False
        is_unspecified = field.enum_type is not None and field.enum_type.values[0].name.endswith("UNSPECIFIED")
        return field.type not in _EMPTY_IS_MISSING and not is_unspecified

    def put(self, row: Message, value: Any) -> None:
        """Set the field of a row to a parsed value. Raises ValueError if it does not fit (out of range, not UTF-8)."""
        parent = row
        for name in self.parents:
            parent = getattr(parent, name)
        name = self.field.name
        if self.key is not None:
            getattr(parent, name)[self.key] = value
        elif self.field.is_repeated:
            getattr(parent, name).extend(value if isinstance(value, list) else [value])
        elif self.field.message_type is not None:
            getattr(parent, name).MergeFrom(value)
        else:
            setattr(parent, name, value)


_EMPTY_IS_MISSING = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}


def is_utf8(text: str) -> bool:
    """Return whether protobuf can hold the text: bytes that are not UTF-8 were read as lone surrogates."""
    return text.isascii() or not _SURROGATE.search(text)


def find_field(message: Any, name: str) -> Any:
    """Return the field of exactly that name, or None. To protobuf itself, `x` and `x` with a zero byte are one name."""
    part = message.fields_by_name.get(name) if is_utf8(name) else None
    return part if part is not None and part.name == name else None


def find_cell(message: Any, path: str, column: str | None = None) -> Cell | None:
    """Return the cell for a path: a field's exact name, dotted if nested (`address.city`, `map.key`); None: no field.

    `column` is what the table calls it, if that is not the path.
    """
    column = path if column is None else column
    *parents, last = path.split(".")
    for depth, name in enumerate(parents):
        part = find_field(message, name)
        if part is None or part.message_type is None:
            return None
        if part.is_repeated:
            key = ".".join((*parents[depth + 1 :], last))
            return _map_cell(column, tuple(parents[:depth]), part, key) if is_map(part) else None
        message = part.message_type
    field = find_field(message, last)
    parse = _parser(field) if field is not None and not is_map(field) else None
    return Cell(column, tuple(parents), field, parse) if parse else None


def _map_cell(column: str, parents: tuple[str, ...], part: Any, key: str) -> Cell | None:
    entry = part.message_type.fields_by_name
    parse = _parser(entry["value"])
    if entry["key"].type != FieldDescriptor.TYPE_STRING or entry["value"].message_type is not None or parse is None:
        return None
    return Cell(column, parents, part, parse, key)


def _parser(field: Any) -> Callable[[str], Any] | None:
    if field.message_type is not None:
        is_own = field.message_type.file.name.startswith("google/protobuf/")
        return _from_json(field.message_type) if is_own and not field.is_repeated else None
    if field.enum_type is not None:
        return _enum(field)
    if field.cpp_type in FLOATS:
        return _float if field.type == FieldDescriptor.TYPE_DOUBLE else _single
    if field.cpp_type in INTEGERS:
        return lambda text: _integer(text, type_name(field).removeprefix("repeated "))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _truth
    return decode_base64 if field.type == FieldDescriptor.TYPE_BYTES else _text


def _text(text: str) -> str:
    return text


def _float(text: str) -> float:
    text = text.strip(_SPACES)
    if not _FLOAT.fullmatch(text):  # Python's float() also accepts underscores
        raise ValueError("is not a number")
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError("is out of range")
    return value


def _single(text: str) -> float:
    value = _float(text)
    if FLOAT_MAX < abs(value) < math.inf:
        raise ValueError("is out of range")  # protobuf would turn it into infinity
    return value


def _integer(text: str, kind: str) -> int:
    if not _INTEGER.fullmatch(text.strip(_SPACES)):
        raise ValueError(f"is not a whole number ({kind})")
    return int(text.strip(_SPACES).partition(".")[0])  # a table with missing values writes 5 as 5.0


def _truth(text: str) -> bool:
    try:
        return TRUTHS[text.strip(_SPACES).lower()]
    except KeyError:
        raise ValueError("is not one of true, false, 1, 0") from None


def decode_base64(text: str) -> bytes:
    """Decode base64 of either alphabet (RFC 4648), padded or not. Raises ValueError if the text is invalid.

    Python's own decoders skip unknown characters and accept too much padding.
    """
    match = _BASE64.fullmatch(text)
    if not match or len(match[1]) % 4 == 1 or (match[2] and len(text) % 4):
        raise ValueError("is not valid base64")
    return base64.urlsafe_b64decode(match[1].replace("+", "-").replace("/", "_") + "=" * (-len(match[1]) % 4))


def _enum(field: Any) -> Callable[[str], int]:
    numbers: dict[str, int] = {value.name: value.number for value in field.enum_type.values}
    lowered = dict(names_of(field))

    def parse(text: str) -> int:
        name = text.strip(_SPACES)
        if name in numbers:
            return numbers[name]
        if name.lower() in lowered:
            return lowered[name.lower()]
        if _INTEGER.fullmatch(name):
            return int(name.partition(".")[0])
        raise ValueError(f"is not one of {', '.join(numbers)}")

    return parse


def _from_json(message: Any) -> Callable[[str], Message]:
    # Timestamp, Duration, the wrappers: written as in the strings of proto3's JSON mapping.
    def parse(text: str) -> Message:
        try:
            return json_format.Parse(json.dumps(text), GetMessageClass(message)())
        except (json_format.ParseError, ValueError) as error:
            raise ValueError(f"is not a {message.full_name} ({error})") from None

    return parse
