"""Reads JSON to input messages (proto3's mapping): an array or one object per line, of rows or of whole messages."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TextIO

from google.protobuf import json_format
from google.protobuf.message import Message

from hotswap.codec import messages
from hotswap.codec.fields import descriptor_of
from hotswap.codec.text.json_rules import Misfit, settle, unique
from hotswap.codec.text.layout import SHOWN, BadRow, Layout, Row, reason_of
from hotswap.generation import TextOptions

_DECODER = json.JSONDecoder(object_pairs_hook=unique)
_SPACES = " \t\r\n"
"""JSON's whitespace: a line of any other spaces is not empty."""


class JsonRows:
    """The rows of a JSON text: one object per line is streamed, an array is held in memory."""

    def __init__(self, file: TextIO, message: type[Message], options: TextOptions) -> None:
        self._file = file
        self._is_strict = options.is_strict
        self._watched: list[tuple[str, list[str]]] = []
        self.layout = Layout(message)
        whole, row = descriptor_of(message), descriptor_of(self.layout.row)
        part = whole.fields_by_name.get(self.layout.rows_field or "")
        self._keys = {part.name, part.json_name} - _names(row) if part else set()
        self._beside = _names(whole) - self._keys

    def __iter__(self) -> Iterator[Row | BadRow]:
        for number, item in enumerate(chain.from_iterable(map(self._rows_of, _documents(self._file))), 1):
            yield self._read_row(number, item)

    def in_bulk(self, told: Collection[str] = ()) -> Iterator[Row | BadRow]:  # noqa: ARG002 - as a RowReader
        """Yield the rows one by one."""
        return iter(self)

    def _rows_of(self, document: Any) -> Iterable[Any]:
        # Split a whole input message of the shape `rows`, so that a bad row in it is refused alone.
        if not isinstance(document, dict) or self._keys.isdisjoint(document):
            return [document]
        rows = document[next(iter(self._keys.intersection(document)))]
        is_alone = len(document) == 1 or (not self._is_strict and self._beside.isdisjoint(document))
        if is_alone and len(self._keys.intersection(document)) == 1 and isinstance(rows, list | None):
            return rows or []
        return [_Whole(document)]

    def _read_row(self, number: int, item: Any) -> Row | BadRow:
        if isinstance(item, _Broken):
            return BadRow(number, "", "", f"is not valid JSON: {item.reason}")
        row = self.layout.row()
        if isinstance(item, _Whole):
            item, row = item.document, self.layout.message()
        if not isinstance(item, dict):
            return BadRow(number, "", "", f"is not a JSON object but {json.dumps(item)[:SHOWN]}")
        try:
            settle(item, descriptor_of(type(row)))
            messages.fill(row, item, ignores_unknown=not self._is_strict)
        except Misfit as misfit:
            return BadRow(number, misfit.place, _shown(misfit.value), str(misfit))
        except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
            return _bad_json(number, item, error)
        return Row(number, row, [path for path, parts in self._watched if not _has(item, parts)])

    def watch(self, fields: Collection[str]) -> list[str]:
        """Tell from now on which of these fields a row lacks; of all rows nothing is known before they are read."""
        self._watched = [(path, path.split(".")) for path in fields]
        return []

    def notes(self) -> list[str]:
        """Return no notes: JSON reports everything as bad rows."""
        return []


@dataclass(frozen=True, slots=True)
class _Broken:
    reason: str


@dataclass(frozen=True, slots=True)
class _Whole:
    """An input message that has other fields beside its rows."""

    document: Any


def _names(message: Any) -> set[str]:
    return {name for part in message.fields for name in (part.name, part.json_name)}


def _has(document: Any, parts: Sequence[str]) -> bool:
    """Return whether a row has a value for a field, by its name in the proto or in proto3's JSON."""
    for part in parts:
        if not isinstance(document, dict):
            return True  # a list, or what stands for a message otherwise: not ours to look into
        camel = re.sub("_(.)", lambda match: match[1].upper(), part)
        document = document.get(part, document.get(camel))
        if document is None:
            return False
    return True


def _documents(file: TextIO) -> Iterator[Any]:
    first = next((line for line in file if line.strip(_SPACES)), "")
    document = _load(first)
    if isinstance(document, _Broken):
        # Either one document over several lines, or one per line of which the first is broken.
        rest = file.read()
        whole = _load(first + rest)
        if isinstance(whole, _Broken):
            # Not splitlines(): JSON strings may contain other line separators.
            yield from (_load(line) for line in (first + rest).split("\n") if line.strip(_SPACES) or not first)
            return
        yield from whole if isinstance(whole, list) else [whole]
        return
    following = next((line for line in file if line.strip(_SPACES)), "")
    if isinstance(document, list) and not following:
        yield from document
        return
    yield document
    yield from (_load(line) for line in chain([following], file) if line.strip(_SPACES))


def _load(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return _Broken("it is nested too deeply")
    except ValueError as error:
        return _Broken(str(error))


def _bad_json(number: int, item: dict[str, Any], error: Exception) -> BadRow:
    reason = reason_of(error)
    if reason.startswith("Failed to parse ") and ": " in reason:
        # json_format's own message: "Failed to parse <path> field: <why>."
        place, _, why = reason.removeprefix("Failed to parse ").partition(" field: ")
        return BadRow(number, place, _shown(item.get(place, "")), f"does not fit: {why}")
    return BadRow(number, "", "", reason)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
