"""CSV and JSON to input messages, row by row: a bad row is refused with its reasons, and the others go on.

CSV is RFC 4180 in UTF-8, with or without a byte order mark. The header names the fields exactly, in any order, dotted
for nested ones; a header that comes again fills a repeated field. JSON is proto3's mapping: an array, or one object a
line, of rows or of whole input messages. RowReader are numbered from 1.
"""

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, TextIO

from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of
from hotswap.codec.text.cells import Cell, find_cell, is_utf8
from hotswap.codec.text.json_reader import JsonRows
from hotswap.codec.text.layout import SHOWN, BadRow, Layout, Row, reason_of
from hotswap.errors import UsageError
from hotswap.generation import TextOptions

_MAX_CELL = 1 << 24
_DEEPEST = 98
"""Messages in which a field may lie: protobuf reads a hundred, with the row and what holds it; it dies of 100,000."""


class RowReader(Protocol):
    """What is read: rows and bad rows in order, once; `notes` then says what a person should know beside them."""

    layout: Layout

    def __iter__(self) -> Iterator[Row | BadRow]: ...

    def notes(self) -> list[str]:
        """Things that were passed over, a line each."""
        ...


def read_rows(
    file: TextIO, kind: Literal["csv", "json"], message: type[Message], options: TextOptions | None = None
) -> RowReader:
    """Reads rows for an input message from an open text (newline="", encoding "utf-8-sig", errors "surrogateescape").

    Raises:
        UsageError: the CSV has no header, or none of its columns is a field.

    """
    if kind == "csv":
        return CsvRows(file, message, options or TextOptions())
    return JsonRows(file, message, options or TextOptions())


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a header means for a message. `plain` is empty, or all there is to do: place of a cell, field, parser."""

    layout: Layout
    cells: Sequence[Cell | None]
    absent: Sequence[Cell]
    plain: Sequence[tuple[int, str, Callable[[str], Any]]]


@lru_cache(maxsize=32)  # a publisher's requests have one header
def _make_plan(message: type[Message], header: tuple[str, ...]) -> _Plan:
    layout = Layout(message, header)
    row = descriptor_of(layout.row)
    cells = [find_cell(row, name) for name in header]
    if not any(cells):
        raise UsageError(
            f"none of the CSV's columns ({', '.join(header)}) is a field of {row.full_name} "
            f"({', '.join(part.name for part in row.fields)}): is the header line missing?"
        )
    count = Counter(header)
    for cell in cells:
        if cell and count[cell.column] > 1 and not cell.is_repeated:
            raise UsageError(f"the CSV's header names {cell.column} twice, and that field holds one value")
    named = {name.partition(".")[0] for name in header}
    others = [find_cell(row, part.name) for part in row.fields if part.name not in named]
    absent = [cell for cell in others if cell and cell.is_zero_when_absent]
    # Most tables are one scalar field a column: then a row is made in one call.
    is_plain = not absent and all(cell is None or cell.is_plain for cell in cells)
    plain = [(at, cell.column, cell.parse) for at, cell in enumerate(cells) if cell] if is_plain else []
    return _Plan(layout, cells, absent, plain)


class CsvRows:
    """The rows of a CSV; nothing of it is kept in memory."""

    def __init__(self, lines: Iterable[str], message: type[Message], options: TextOptions) -> None:
        csv.field_size_limit(_MAX_CELL)
        self._options = options
        self._reader = csv.reader(lines, delimiter=options.delimiter, strict=True)
        self._header = self._read_header()
        self._plan = _make_plan(message, tuple(self._header))  # type: ignore[arg-type] # a class can be hashed
        self.layout = self._plan.layout

    def _read_header(self) -> list[str]:
        try:
            header = next(self._reader, None)
        except csv.Error as error:
            raise UsageError(f"the CSV's header cannot be read: {error}") from error
        if not header:
            raise UsageError("the CSV is empty: its first line must be a header with the names of the fields")
        for name in header:
            if not is_utf8(name):  # to pass over it would make a column missing that is there
                raise UsageError(f"the CSV's header is not UTF-8: column {name!r}")
            if name.count(".") > _DEEPEST:
                raise UsageError(f"the CSV's header names a field that is nested too deeply: {name[:SHOWN]}…")
        return [name.strip(" \t") for name in header]

    def __iter__(self) -> Iterator[Row | BadRow]:
        number = 0
        while True:
            number += 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                yield BadRow(number, "", "", f"is no CSV: {error}")
                continue
            if cells is None:
                return
            if not cells and len(self._header) > 1:  # an empty line
                number -= 1
                continue
            yield self._read_row(number, cells or [""])

    def _read_row(self, number: int, texts: list[str]) -> Row | BadRow:
        if len(texts) != len(self._header):
            return BadRow(number, "", "", f"has {len(texts)} cells, and the header names {len(self._header)}")
        if self._plan.plain and self._options.missing.isdisjoint(texts):
            try:
                values = {name: parse(texts[at]) for at, name, parse in self._plan.plain}
                return Row(number, self.layout.row(**values))
            except (ValueError, TypeError):
                pass  # which cell it is, is found one at a time
        row = self.layout.row()
        for cell, text in zip(self._plan.cells, texts, strict=True):
            if cell is None:
                continue
            try:
                if text in self._options.missing:
                    self._leave_out(cell, row)
                else:
                    cell.put(row, cell.parse(text))
            except (ValueError, TypeError) as error:
                return BadRow(number, cell.column, text, reason_of(error))
        for cell in self._plan.absent:
            if cell.is_float:
                cell.put(row, math.nan)
        return Row(number, row)

    def _leave_out(self, cell: Cell, row: Message) -> None:
        # Without `optional` a reader takes an absent number for 0. NaN says "missing" where the type has one.
        if self.layout.shape == "columns":
            cell.put(row, _nothing(cell))
        elif cell.is_zero_when_absent:
            if not cell.is_float:
                raise ValueError("is missing, and the field cannot say so: write `optional` before it in the proto")
            cell.put(row, math.nan)

    def notes(self) -> list[str]:
        """Columns that no field takes, and fields that no column fills and that are read as 0."""
        unknown = [name for name, cell in zip(self._header, self._plan.cells, strict=True) if cell is None]
        zeros = [cell.column for cell in self._plan.absent if not cell.is_float]
        notes = []
        if unknown:
            count = f"{len(unknown)} of {len(self._header)} columns"
            notes.append(f"ignored {count}, which no field takes: {', '.join(unknown)}")
        if zeros:
            advice = "write `optional` before them in the proto"
            notes.append(f"no column fills {', '.join(zeros)}, which will be read as 0: {advice}")
        return notes


def _nothing(cell: Cell) -> Any:
    if cell.is_float:
        return math.nan
    if isinstance(cell.field.default_value, str) or cell.field.cpp_type == cell.field.CPPTYPE_STRING:
        return "" if cell.field.type == cell.field.TYPE_STRING else b""
    raise ValueError("is missing, and a repeated field of this type cannot say so")
