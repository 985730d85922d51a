"""Reads the values of answers, row by row: of serialized messages, and of answers in CSV and JSON."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from hotswap.codec import messages
from hotswap.codec.fields import NUMBERS, descriptor_of
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import BadRow, Layout
from hotswap.codec.text.reader import read_rows
from hotswap.codec.text.writer import leaves_of
from hotswap.errors import UsageError

_LABELS: Final = {FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_STRING}
_NAMES: Final[Mapping[str, Literal["csv", "json"]]] = {"text/csv": "csv", "application/json": "json"}


class AnswerField(NamedTuple):
    """A field of each row of an answer, by its path; its values are numbers, or labels (texts), or neither."""

    path: str
    is_number: bool
    is_label: bool


@dataclass(frozen=True, slots=True)
class _Leaf:
    field: AnswerField
    read: Callable[[Any], Any]
    """A row, or an element of a column -> the value: a float, a text, or what else there is; None: it is unset."""


class AnswerReader:
    """Reads the answers of one operation."""

    def __init__(self, operation: Operation) -> None:
        self._output = operation.output
        layout = Layout(operation.output)
        self._rows_field = layout.rows_field
        self._has_columns = layout.shape == "columns" and Layout(operation.input).holds_many
        self._leaves = [_leaf(path, is_element=self._has_columns) for path in leaves_of(descriptor_of(layout.row))]
        self.fields: Sequence[AnswerField] = tuple(leaf.field for leaf in self._leaves)

    def rows(self, value: bytes, content: str) -> Iterable[Sequence[Any]]:
        """Return the values of each row, in the order of `fields`.

        Raises:
            ValueError: it is no answer of this operation in this content type.

        """
        message = self._message(value, content)
        if self._has_columns:
            columns = [[leaf.read(one) for one in getattr(message, leaf.field.path)] for leaf in self._leaves]
            length = max(map(len, columns), default=0)
            return zip(*(column if len(column) == length else [None] * length for column in columns), strict=True)
        rows = getattr(message, self._rows_field) if self._rows_field else (message,)
        return [[leaf.read(row) for leaf in self._leaves] for row in rows]

    def _message(self, value: bytes, content: str) -> Message:
        kind = _NAMES.get(content)
        try:
            if kind is None:
                return self._output.FromString(value)
            rows = read_rows(io.StringIO(value.decode(), newline=""), kind, self._output)
            read = list(rows)
        except (DecodeError, UnicodeDecodeError, UsageError) as error:
            raise ValueError(f"it is no {self._output.DESCRIPTOR.full_name}: {error}") from error
        if bad := next((row for row in read if isinstance(row, BadRow)), None):
            raise ValueError(str(bad))
        return rows.layout.pack(row.message for row in read if not isinstance(row, BadRow))


def _leaf(path: Sequence[FieldDescriptor], *, is_element: bool) -> _Leaf:
    *parents, part = path
    name = ".".join(one.name for one in path)
    is_single = is_element or not part.is_repeated
    is_label = is_single and part.cpp_type in _LABELS and part.type != FieldDescriptor.TYPE_BYTES
    is_number = is_single and part.cpp_type in NUMBERS and not is_label
    take = _taker(part, is_number=is_number, is_label=is_label)
    if is_element:
        return _Leaf(AnswerField(name, is_number, is_label), take)
    if not parents and not part.has_presence:
        get = attrgetter(part.name)
        read = get if take is _as_is else lambda row: take(get(row))
        return _Leaf(AnswerField(name, is_number, is_label), read)
    names, last = [one.name for one in parents], part

    def read_inside(row: Any) -> Any:
        for parent in names:
            if not messages.has(row, parent):
                return None
            row = getattr(row, parent)
        return None if last.has_presence and not messages.has(row, last.name) else take(getattr(row, last.name))

    return _Leaf(AnswerField(name, is_number, is_label), read_inside)


def _as_is(value: Any) -> Any:
    return value


def _taker(part: FieldDescriptor, *, is_number: bool, is_label: bool) -> Callable[[Any], Any]:
    """Return the function that makes a field's value comparable."""
    if part.enum_type and is_label:
        names = {number: value.name for number, value in part.enum_type.values_by_number.items()}
        return lambda value: names.get(value, str(value))
    if part.type == FieldDescriptor.TYPE_BOOL and is_label:
        return lambda value: "true" if value else "false"
    if is_number or is_label:
        return _as_is
    return str
