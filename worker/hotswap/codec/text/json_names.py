"""Gives the rows of a JSON text the proto's names, where they have those of the model's columns."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor

from hotswap.codec.fields import is_map
from hotswap.codec.text.cells import find_field
from hotswap.codec.text.names import Columns, Filled, assign

_KEPT = 64  # sets of names: rows may lack some, but seldom in many ways


class Renaming:
    """Renames the members of rows of one message by the rule of names.py."""

    def __init__(self, row: Descriptor, columns: Columns) -> None:
        self._row = row
        self._columns = columns
        self._models = dict(columns)
        self._by_json_name = {part.json_name: part.name for part in row.fields}
        self._filled: dict[tuple[str, ...], Filled] = {}
        self._notes: dict[str, None] = {}

    def applies(self, document: Mapping[str, Any]) -> bool:
        """Whether a row has a name of the model's."""
        return not self._models.keys().isdisjoint(document)

    def rename(self, document: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Return a row with the proto's names, and the row's own names of fields that had others.

        Raises:
            UsageError: two of the model's columns fill the same field.

        """
        if not self.applies(document) or type(document) is not dict:  # a Twice is refused, as it is
            return document, {}
        filled = self._assign(tuple(document))
        self._notes |= dict.fromkeys(filled.notes().values())
        called = {path: name for name, path in filled.paths.items() if self._models.get(name) == path}
        renamed = {
            name: value
            for name, value in document.items()
            if name not in filled.passed_over and filled.paths.get(name) not in called
        }
        for path, name in called.items():
            self._put(renamed, path.split("."), document[name])
        return renamed, called

    def notes(self) -> list[str]:
        """Return a line for each name that was passed over."""
        return list(self._notes)

    def _assign(self, names: tuple[str, ...]) -> Filled:
        if names not in self._filled:
            if len(self._filled) >= _KEPT:
                self._filled.clear()
            self._filled[names] = assign(self._row, names, self._columns, self._find)
        return self._filled[names]

    def _find(self, name: str) -> str | None:
        part = find_field(self._row, name)
        return self._by_json_name.get(name) or (part.name if part else None)

    def _put(self, document: dict[str, Any], parts: list[str], value: Any) -> None:
        message: Any = self._row
        for depth, name in enumerate(parts[:-1], 1):
            part = message.fields_by_name[name]
            key = next((key for key in (part.name, part.json_name) if key in document), name)
            inner = document[key] = {} if document.get(key) is None else document[key]
            if not isinstance(inner, dict):
                return  # json_format refuses the row for that
            if is_map(part):
                if value is not None:  # a map has no nulls: an entry is missing where it is not there
                    inner[".".join(parts[depth:])] = value
                return
            document, message = inner, part.message_type
        document.pop(message.fields_by_name[parts[-1]].json_name, None)
        document[parts[-1]] = value
