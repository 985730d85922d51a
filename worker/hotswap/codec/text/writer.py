"""Writes output messages as text: a line of CSV for each row, or a JSON object for each message."""

import base64
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, TextIO, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec import messages
from hotswap.codec.fields import descriptor_of
from hotswap.codec.text.layout import Layout

_MOST_COLUMNS, _MOST_DEEP = 5_000, 30


class CsvTable:
    """Writes messages of one type as CSV; nested fields are dotted, several values of one field are a JSON array.

    A message in it is JSON where its fields would be columns beyond 30 dots, or all of them more than 5,000.

    `has_rows`: the elements of a message of repeated fields only are rows (`Prediction{repeated string}`).
    """

    def __init__(self, file: TextIO, message: type[Message], *, has_rows: bool = False) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._columns = _columns_of(message)  # type: ignore[arg-type] # a class can be hashed
        self._has_rows = has_rows and bool(self._columns.elements)
        self._has_header = False

    def write(self, facts: Mapping[str, Any], message: Message) -> None:
        """Write a line for each row of a message, preceded by `facts` (the same keys in every call)."""
        if not self._has_header:
            self._writer.writerow([*facts, *self._columns.names])
            self._has_header = True
        for cells in self._rows(message):
            self._writer.writerow([*facts.values(), *cells])

    def _rows(self, message: Message) -> Iterable[Iterable[Any]]:
        field, _, readers, elements, plain = self._columns
        if self._has_rows:
            columns = [read(message) for read in elements]
            length = max(map(len, columns))
            if all(len(column) in (0, length) for column in columns):
                return zip(*(column or [""] * length for column in columns), strict=True)
        rows = getattr(message, field) if field else [message]
        return map(plain, rows) if plain else ([read(row) for read in readers] for row in rows)


class JsonTable:
    """Writes messages as JSON, one object per line: `facts`, and the message as `prediction` (proto3's mapping)."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, facts: Mapping[str, Any], message: Message) -> None:
        """Write a message."""
        content = messages.to_document(message)
        print(json.dumps({**facts, "prediction": content}, ensure_ascii=False), file=self._file)


class _Columns(NamedTuple):
    rows_field: str | None
    names: Sequence[str]
    readers: Sequence[Callable[[Any], str]]
    elements: Sequence[Callable[[Any], list[str]]]
    """For a message of repeated fields only."""
    plain: Callable[[Any], tuple[Any, ...]] | None
    """Reads a whole row, if the csv module writes its values as `readers` do."""


@lru_cache(maxsize=32)  # each answer on the stream creates a table
def _columns_of(message: type[Message]) -> _Columns:
    layout = Layout(message)
    leaves = leaves_of(descriptor_of(layout.row))
    names = [".".join(part.name for part in path) for path in leaves]
    elements = [_elements(path[-1]) for path in leaves] if layout.shape == "columns" else []
    is_plain = len(leaves) > 1 and all(_is_plain(*path) for path in leaves)
    plain = attrgetter(*names) if is_plain else None
    return _Columns(layout.rows_field, names, [_reader(path) for path in leaves], elements, plain)


def _is_plain(part: FieldDescriptor, *inner: FieldDescriptor) -> bool:
    return not (inner or part.is_repeated or part.has_presence) and _texter(part) is str


def _elements(part: FieldDescriptor) -> Callable[[Any], list[str]]:
    name, text = part.name, _texter(part)
    return lambda message: [text(value) for value in getattr(message, name)]


_Path: TypeAlias = tuple[FieldDescriptor, ...]
"""The fields from a row down to a field in it."""


def leaves_of(row: Descriptor) -> list[_Path]:
    """Return the fields of a row and of the messages in it, each by the fields from the row down to it."""
    leaves = list(islice(_leaves(row, ()), _MOST_COLUMNS + 1))
    if len(leaves) > _MOST_COLUMNS:  # messages in messages may be two to the power of their depth
        return [(part,) for part in row.fields]
    return leaves


def _leaves(message: Descriptor, above: _Path) -> Iterator[_Path]:
    seen = {message.full_name, *(part.containing_type.full_name for part in above if part.containing_type)}
    for part in message.fields:
        inner = part.message_type
        is_opened = inner and not part.is_repeated and inner.fields and inner.full_name not in seen
        if inner and is_opened and len(above) < _MOST_DEEP and not inner.file.name.startswith("google/protobuf/"):
            yield from _leaves(inner, (*above, part))
        else:
            yield (*above, part)


def _reader(path: _Path) -> Callable[[Any], str]:
    """Return the function that reads a field's cell from a row; descriptors are evaluated once, not for each row."""
    *parents, part = path
    name, text = part.name, _texter(part)
    if part.is_repeated:
        read = _repeated_reader(part, text)
    elif part.has_presence:
        read = lambda row: text(getattr(row, name)) if messages.has(row, name) else ""  # noqa: E731 - of its kin
    else:
        read = lambda row: text(getattr(row, name))  # noqa: E731
    if not parents:
        return read
    names = [parent.name for parent in parents]

    def read_inside(row: Any) -> str:
        for parent in names:
            if not messages.has(row, parent):
                return ""
            row = getattr(row, parent)
        return read(row)

    return read_inside


def _repeated_reader(part: FieldDescriptor, text: Callable[[Any], str]) -> Callable[[Any], str]:
    name, json_name = part.name, part.json_name
    if part.message_type:
        return lambda row: json.dumps(
            messages.to_document(row, by_json_name=True).get(json_name, []), ensure_ascii=False
        )
    is_text = bool(part.enum_type) or part.type == FieldDescriptor.TYPE_BYTES

    def read(row: Any) -> str:
        values = getattr(row, name)
        if len(values) == 1:
            return text(values[0])
        return json.dumps([text(value) for value in values] if is_text else list(values), ensure_ascii=False)

    return read


def _texter(part: FieldDescriptor) -> Callable[[Any], str]:
    """Return the function that formats one value of a field."""
    if part.message_type:
        return lambda value: json.dumps(messages.to_document(value, by_json_name=True)).strip('"')
    if part.enum_type:
        names = {number: value.name for number, value in part.enum_type.values_by_number.items()}
        return lambda value: names.get(value, str(value))
    if part.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if part.type == FieldDescriptor.TYPE_BOOL:
        return lambda value: "true" if value else "false"
    return str
