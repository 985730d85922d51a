"""The count of values in a file's rows that are unknown to the model, which it scores silently."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.cli.exits import note
from hotswap.codec.fields import descriptor_of, is_map
from hotswap.codec.messages import has
from hotswap.codec.text.layout import SHOWN, Chunk, Layout

_LISTED = 3
_DISTINCT = 1000  # counted values of a field: those of a file may all differ


class Unknown:
    """The unknown values of each category field, with their rows. `known`: field path -> the model's categories."""

    def __init__(self, layout: Layout, known: Mapping[str, Collection[str]]) -> None:
        self._layout = layout
        self._known = [(path, path.split("."), values) for path, values in known.items() if values]
        self._counts: dict[str, Counter[str]] = {path: Counter() for path, *_ in self._known}
        self._more: Counter[str] = Counter()

    @property
    def fields(self) -> list[str]:
        """The paths of the examined fields."""
        return [path for path, *_ in self._known]

    def look(self, message: Message) -> None:
        """Count the unknown values of a row, or of a whole message of rows."""
        part = None if isinstance(message, self._layout.row) else self._layout.rows_field
        for row in getattr(message, part) if part else (message,):
            for known in self._known:
                self._look_at(row, 1, *known)

    def look_in(self, chunk: Chunk) -> None:
        """Count the unknown values of many rows."""
        known = {path: (path, parts, values) for path, parts, values in self._known}
        for path, row, rows in chunk.told:
            self._look_at(row, rows, *known[path])

    def _look_at(self, row: Message, rows: int, path: str, parts: Sequence[str], known: Collection[str]) -> None:
        for field, value in _values(row, parts):
            if str(value) not in known:
                self._count(path, _shown(field, value), rows)

    def note_host_counts(self, counts: Counter[str]) -> None:
        """Note a host's counts by column if they are higher: it also counts columns too large to report."""
        if counts.total() > self._more.total() + sum(values.total() for values in self._counts.values()):
            for column, count in counts.items():
                note(f"column {column}: {count} unknown categories, scored as missing")

    def notes(self) -> Iterator[str]:
        """Yield a line for each field with unknown values."""
        for path, values in self._counts.items():
            listed = values.most_common(_LISTED)
            others = values.total() + self._more[path] - sum(rows for _, rows in listed)
            texts = [f"{value} ({_rows(rows)})" for value, rows in listed]
            if others:
                texts.append(f"others ({_rows(others)})")
            if texts:
                yield f"`{path}`: the model does not know {', '.join(texts)}: scored as missing or unknown"

    def _count(self, path: str, value: str, rows: int) -> None:
        values = self._counts[path]
        if value in values or len(values) < _DISTINCT:
            values[value] += rows
        else:
            self._more[path] += rows


def _values(message: Any, parts: Sequence[str]) -> Iterator[tuple[FieldDescriptor, Any]]:
    """Yield the values of a field by its path (none if it is absent), each with its field descriptor."""
    field: Any = descriptor_of(type(message)).fields_by_name[parts[0]]
    value = getattr(message, field.name)
    if is_map(field):
        key = ".".join(parts[1:])
        if key in value:
            yield field.message_type.fields_by_name["value"], value[key]
        return
    if field.has_presence and not field.is_repeated and not has(message, field.name):
        return
    for one in value if field.is_repeated else (value,):
        if len(parts) > 1:
            yield from _values(one, parts[1:])
        else:
            yield field, one


def _shown(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else str(value)
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count > 1)}"
