"""Reads JSON to input messages (proto3's mapping): an array or one object per line, of rows or of whole messages."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TextIO

from google.protobuf import json_format
from google.protobuf.message import Message

from hotswap.codec import messages
from hotswap.codec.fields import descriptor_of
from hotswap.codec.text.json_names import Renaming
from hotswap.codec.text.json_rules import Misfit, settle, unique
from hotswap.codec.text.layout import SHOWN, BadRow, Fault, Layout, Row, reason_of
from hotswap.errors import UsageError
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
        self._unmet: dict[str, list[str]] = {}
        self.layout = Layout(message)
        whole, row = descriptor_of(message), descriptor_of(self.layout.row)
        self._renaming = Renaming(row, options.columns)
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
        if not isinstance(rows, list | None) and self._renaming.applies(document):
            return [document]  # a row of a model with a column of that name
        is_alone = len(document) == 1 or (not self._is_strict and self._beside.isdisjoint(document))
        if is_alone and len(self._keys.intersection(document)) == 1 and isinstance(rows, list | None):
            return rows or []
        return [_Whole(document)]

    def _read_row(self, number: int, item: Any) -> Row | BadRow:
        if isinstance(item, _Broken):
            return BadRow(number, "", "", f"is not valid JSON: {item.reason}")
        row, is_whole = self.layout.row(), isinstance(item, _Whole)
        if isinstance(item, _Whole):
            item, row = item.document, self.layout.message()
        if not isinstance(item, dict):
            return BadRow(number, "", "", f"is not a JSON object but {json.dumps(item)[:SHOWN]}")
        called: Mapping[str, str] = {}
        try:
            item, called = self._renamed(item, is_whole=is_whole)
            settle(item, descriptor_of(type(row)))
            messages.fill(row, item, ignores_unknown=not self._is_strict)
        except UsageError as error:
            return BadRow(number, "", "", str(error))
        except Misfit as misfit:
            misfits = (misfit, *misfit.more)
            places = (called.get(one.place, one.place) for one in misfits)
            faults = (Fault(place, _shown(one.value), str(one)) for place, one in zip(places, misfits, strict=True))
            return BadRow.of(number, list(faults))
        except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
            return _bad_json(number, item, error)
        rows: list[Any] = [item]
        if is_whole:
            rows = [one for key in self._keys.intersection(item) for one in item[key] or ()]
        if self._unmet:
            self._meet(rows)
        return Row(number, row, [path for path, parts in self._watched if not all(_has(one, parts) for one in rows)])

    def _meet(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self._unmet = {path: parts for path, parts in self._unmet.items() if not _has(row, parts, is_null_one=True)}

    def watch(self, fields: Collection[str]) -> list[str]:
        """Tell from now on which of these fields a row lacks; of all rows nothing is known before they are read."""
        self._watched = [(path, path.split(".")) for path in fields]
        return []

    def look_ahead(self, fields: Collection[str]) -> list[str]:
        """Read on until each of these fields was in some row, if only as null; return those that were in none.

        A file that cannot be read again is not looked into.
        """
        if not self._file.seekable():
            return []
        self.expect(fields)
        rows = chain.from_iterable(map(self._rows_in, chain.from_iterable(map(self._rows_of, _documents(self._file)))))
        is_empty = True
        for row in rows:
            is_empty = False
            self._meet([row])
            if not self._unmet:
                break
        self._file.seek(0)
        return [] if is_empty else self.unmet

    def expect(self, fields: Collection[str]) -> None:
        """Watch for these fields until a row has them, if only as null."""
        self._unmet = {path: path.split(".") for path in fields}

    @property
    def unmet(self) -> list[str]:
        """Those of the expected fields that no row had so far."""
        return list(self._unmet)

    def _rows_in(self, item: Any) -> Iterator[dict[str, Any]]:
        rows = [item]
        if isinstance(item, _Whole):
            rows = [row for key in self._keys.intersection(item.document) for row in item.document[key] or ()]
        for row in rows:
            if isinstance(row, dict):
                with suppress(UsageError):
                    yield self._renaming.rename(row)[0]

    def _renamed(self, item: dict[str, Any], *, is_whole: bool) -> tuple[dict[str, Any], Mapping[str, str]]:
        if not is_whole or not self._keys:
            return self._renaming.rename(item)
        rows = {key: item[key] for key in self._keys.intersection(item) if isinstance(item[key], list)}
        named = {
            key: [self._renaming.rename(row)[0] if isinstance(row, dict) else row for row in some]
            for key, some in rows.items()
        }
        return {**item, **named} if type(item) is dict else item, {}

    def notes(self) -> list[str]:
        """Return notes on names whose fields others fill; JSON reports everything else as bad rows."""
        return self._renaming.notes()


@dataclass(frozen=True, slots=True)
class _Broken:
    reason: str


@dataclass(frozen=True, slots=True)
class _Whole:
    """An input message that has other fields beside its rows."""

    document: Any


def _names(message: Any) -> set[str]:
    return {name for part in message.fields for name in (part.name, part.json_name)}


def _has(document: Any, parts: Sequence[str], *, is_null_one: bool = False) -> bool:
    """Return whether a row has a value for a field, by its name in the proto or in proto3's JSON."""
    for depth, part in enumerate(parts):
        if not isinstance(document, dict):
            return True  # a list, or what stands for a message otherwise: not ours to look into
        camel = re.sub("_(.)", lambda match: match[1].upper(), part)
        names = (part, camel, ".".join(parts[depth:]))  # a map's key may have dots
        name = next((name for name in names if name in document), None)
        document = None if name is None else document[name]
        if document is None:
            return name is not None and is_null_one
        if name == names[-1]:
            return True
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
