"""Reads CSV and JSON to input messages, row by row: a bad row is refused with its reason, the others are unaffected.

CSV is RFC 4180 in UTF-8, with or without a byte order mark. The header names the model's columns or the fields exactly
(names.py), in any order, dotted for nested ones; a repeated field is filled by a repeated name, or by cells that are
JSON arrays. JSON is proto3's mapping: an array, or one object per line, of rows or of whole input messages; a row may
have the names of the model's columns, too. Rows are numbered from 1.
"""

import csv
import io
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of
from hotswap.codec.text.cells import Cell, find_cell, find_field, is_utf8
from hotswap.codec.text.hints import explain_header, guess
from hotswap.codec.text.json_reader import JsonRows
from hotswap.codec.text.layout import SHOWN, BadRow, Chunk, Fault, Layout, Row, reason_of
from hotswap.codec.text.names import Columns, assign, trimmed
from hotswap.errors import UsageError
from hotswap.generation import TextOptions

if TYPE_CHECKING:
    from hotswap.codec.text.chunk import ChunkEncoder

_MAX_CELL = 1 << 24
_CHUNK = 1 << 18  # characters
_MAX_DEPTH = 98
"""Maximum nesting of a field: protobuf reads 100 levels, including the row and its message; 100,000 crash it."""


class RowReader(Protocol):
    """Iterates once over rows and bad rows, in order; `notes` then has remarks for people to read."""

    layout: Layout

    def __iter__(self) -> Iterator[Row | BadRow]: ...

    def in_bulk(self, told: Collection[str] = ()) -> Iterator[Row | BadRow | Chunk]:
        """Iterate as `__iter__` does, with good rows in chunks if possible, which tell of the fields `told`."""
        ...

    def watch(self, fields: Collection[str]) -> list[str]:
        """Watch for these fields (paths from a row on): return those that no row will have, as a CSV's header tells.

        What a single row of JSON lacks is in its Row.
        """
        ...

    def look_ahead(self, fields: Collection[str]) -> list[str]:
        """Return those of these fields that no row has: of JSON by reading on, if the file can be read again."""
        ...

    def expect(self, fields: Collection[str]) -> None:
        """Watch for these fields: `unmet` then has those that were in no row so far."""
        ...

    @property
    def unmet(self) -> list[str]:
        """Those of the expected fields that were in no row so far."""
        ...

    def notes(self) -> list[str]:
        """Return the ignored columns, a line each."""
        ...


def read_rows(
    file: TextIO, kind: Literal["csv", "json"], message: type[Message], options: TextOptions | None = None
) -> RowReader:
    """Read rows for an input message from an open text (newline="", encoding "utf-8-sig", errors "surrogateescape").

    Raises:
        UsageError: the CSV has no header, none of its columns fills a field, or two of the model's fill the same one.

    """
    if kind == "csv":
        return CsvRows(file, message, options or TextOptions())
    return JsonRows(file, message, options or TextOptions())


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a header maps to a message. `plain`, if not empty, suffices for a row: index of a cell, field, parser."""

    layout: Layout
    cells: Sequence[Cell | None]
    absent: Sequence[Cell]
    plain: Sequence[tuple[int, str, Callable[[str], Any]]]
    passed_over: Mapping[str, str]
    """Columns whose fields others fill, each with a note."""
    names: Sequence[str]
    """What a header may name."""


@lru_cache(maxsize=32)  # a publisher's requests share a header
def _make_plan(message: type[Message], header: tuple[str, ...], columns: Columns) -> _Plan:
    layout = Layout(message, header, columns)
    row = descriptor_of(layout.row)
    filled = assign(row, header, columns)
    cells = [find_cell(row, filled.paths[name], name) if name in filled.paths else None for name in header]
    names = list(dict.fromkeys([*(name for name, path in columns if find_cell(row, path)), *_columns(row)]))
    if not any(cells):
        raise UsageError(
            f"none of the CSV's columns ({', '.join(header)}) is a field of {row.full_name} "
            f"({', '.join(part.name for part in row.fields)}): {explain_header(header, names)}"
        )
    count = Counter(header)
    for cell in cells:
        if cell and count[cell.column] > 1 and not cell.is_repeated:
            raise UsageError(f"the CSV's header names {cell.column} twice, but that field holds one value")
    if layout.shape != "columns":
        cells = [
            replace(cell, parse=cell.parse_list) if cell and cell.is_repeated and count[cell.column] == 1 else cell
            for cell in cells
        ]
    named = {filled.paths.get(name, name).partition(".")[0] for name in header}
    others = [find_cell(row, part.name) for part in row.fields if part.name not in named]
    absent = [cell for cell in others if cell and cell.is_zero_when_absent]
    # Most tables have one scalar field per column: a row is then built in one call.
    is_plain = not absent and all(cell is None or cell.is_plain for cell in cells)
    plain = [(at, cell.field.name, cell.parse) for at, cell in enumerate(cells) if cell] if is_plain else []
    return _Plan(layout, cells, absent, plain, filled.notes(), names)


def _columns(row: Any) -> Iterator[str]:
    """Yield the names that a header may have for a row: its fields, and those of its messages, with a dot."""
    for part in row.fields:
        inner = part.message_type.fields if part.message_type else ()
        yield from (f"{part.name}.{of.name}" for of in inner)
        if not inner:
            yield part.name


class CsvRows:
    """The rows of a CSV, streamed."""

    def __init__(self, file: TextIO, message: type[Message], options: TextOptions) -> None:
        csv.field_size_limit(_MAX_CELL)
        self._options = options
        self._file = file
        self._ahead: deque[str] = deque()
        self._number = 0
        self._reader = csv.reader(self._lines(), delimiter=options.delimiter, strict=True)
        self._header = self._read_header()
        self._plan = _make_plan(message, tuple(self._header), options.columns)  # type: ignore[arg-type] # is hashable
        self.layout = self._plan.layout
        self.unmet: list[str] = []

    def _read_header(self) -> list[str]:
        try:
            header = next(self._reader, None)
        except csv.Error as error:
            raise UsageError(f"the CSV's header cannot be read: {error}") from error
        if not header:
            raise UsageError("the CSV is empty: its first line must be a header with the names of the fields")
        for name in header:
            if not is_utf8(name):  # ignoring it would make an existing column missing
                raise UsageError(f"the CSV's header is not UTF-8: column {name!r}")
            if name.count(".") > _MAX_DEPTH:
                raise UsageError(f"the CSV's header names a field that is nested too deeply: {name[:SHOWN]}…")
        return trimmed(header, self._options.columns)

    def __iter__(self) -> Iterator[Row | BadRow]:
        while (row := self._next()) is not None:
            yield row

    def in_bulk(self, told: Collection[str] = ()) -> Iterator[Row | BadRow | Chunk]:
        """Yield rows in chunks, encoded column by column, and those one by one that are odd."""
        cells = {cell.path: (at, cell) for at, cell in enumerate(self._plan.cells) if cell}
        encoder = self.encoder() if all(name in cells or self._is_void(name) for name in told) else None
        looked_at = [cells[name] for name in told if name in cells]
        while encoder and (text := self._file.read(_CHUNK) + self._file.readline()):
            columns = self._columns(text)
            if columns:
                yield from self._encoded(encoder, columns, looked_at)
                continue
            self._ahead.extend(io.StringIO(text, newline=""))
            while self._ahead and (row := self._next()) is not None:
                yield row
        yield from self

    def _lines(self) -> Iterator[str]:
        while True:
            while self._ahead:
                yield self._ahead.popleft()
            line = next(self._file, None)
            if line is None:
                return
            yield line

    def _next(self) -> Row | BadRow | None:
        while True:
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                self._number += 1
                return BadRow(self._number, "", "", f"is not valid CSV: {error}")
            if cells is None:
                return None
            if cells or len(self._header) == 1:  # otherwise an empty line
                self._number += 1
                return self._read_row(self._number, cells or [""])

    def _read_row(self, number: int, texts: Sequence[str]) -> Row | BadRow:
        if len(texts) != len(self._header):
            return BadRow(number, "", "", f"has {len(texts)} cells, but the header names {len(self._header)}")
        if self._plan.plain and self._options.missing.isdisjoint(texts):
            try:
                values = {name: parse(texts[at]) for at, name, parse in self._plan.plain}
                return Row(number, self.layout.row(**values))
            except (ValueError, TypeError):
                pass  # parse one cell at a time to find the bad ones
        row, faults = self.layout.row(), list[Fault]()
        for cell, text in zip(self._plan.cells, texts, strict=True):
            if cell is None:
                continue
            try:
                self._fill(cell, row, text)
            except (ValueError, TypeError) as error:
                faults.append(Fault(cell.column, text, reason_of(error)))
        if faults:
            return BadRow.of(number, faults)
        for cell in self._plan.absent:
            if cell.is_float:
                cell.put(row, math.nan)
        return Row(number, row)

    def encoder(self) -> "ChunkEncoder | None":
        """Return the encoder of many rows' columns; None if they must be read one by one."""
        if self.layout.shape == "columns" or self._options.delimiter in '"\r\n':
            return None
        from hotswap.codec.text.chunk import ChunkEncoder  # noqa: PLC0415 - numpy: not for a few rows

        absent = [cell for cell in self._plan.absent if cell.is_float]
        return ChunkEncoder.of(self.layout, self._plan.cells, absent, self._options.missing, self._fill)

    def _is_void(self, name: str) -> bool:
        """Return whether a row has no value in a field that no column fills."""
        field = find_field(descriptor_of(self.layout.row), name.partition(".")[0])
        return field is not None and (field.has_presence or field.is_repeated)

    def _columns(self, text: str) -> Sequence[Sequence[str]] | None:
        """Return the columns of these lines, if they are whole rows and none of them is bad or empty."""
        width, delimiter = len(self._header), self._options.delimiter
        lines = text.replace("\r\n", "\n") if "\r" in text else text
        if '"' in text or "\r" in lines or len(text) > _MAX_CELL:
            try:
                rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
            except csv.Error:
                return None
            return list(zip(*rows, strict=True)) if set(map(len, rows)) == {width} else None
        lines = lines.removesuffix("\n") + "\n"
        # Each end of a line becomes a cell: they fill a column of their own only if each row has as many as it should.
        cells = lines.replace("\n", f"{delimiter}\n{delimiter}").removesuffix(delimiter).split(delimiter)
        ends = cells[width :: width + 1]
        is_table = len(cells) == (width + 1) * lines.count("\n") == (width + 1) * ends.count("\n")
        return [cells[at :: width + 1] for at in range(width)] if is_table else None

    def _encoded(
        self, encoder: "ChunkEncoder", columns: Sequence[Sequence[str]], told: Sequence[tuple[int, Cell]]
    ) -> Iterator[Row | BadRow | Chunk]:
        values, odd = encoder.encode(columns)
        first, begin = self._number + 1, 0
        self._number += len(values)
        for end in (*odd, len(values)):
            if begin < end:
                counts = ((cell, Counter(columns[at][begin:end])) for at, cell in told)
                facts = [(cell.path, self._only(cell, text), n) for cell, of in counts for text, n in of.items()]
                yield Chunk(first + begin, values[begin:end], facts)
            if end < len(values):
                yield self._read_row(first + end, [column[end] for column in columns])
            begin = end + 1

    def _only(self, cell: Cell, text: str) -> Message:
        row = self.layout.row()
        self._fill(cell, row, text)
        return row

    def _fill(self, cell: Cell, row: Message, text: str) -> None:
        if text in self._options.missing:
            self._leave_out(cell, row)
        else:
            cell.put(row, cell.parse(text))

    def _leave_out(self, cell: Cell, row: Message) -> None:
        # Without `optional`, a reader cannot tell an absent number from 0. NaN means missing, if the type has it.
        if self.layout.shape == "columns":
            cell.put(row, _nothing(cell))
        elif cell.is_zero_when_absent:
            if not cell.is_float:
                raise ValueError("is missing, which the field cannot express: write `optional` before it in the proto")
            cell.put(row, math.nan)

    def watch(self, fields: Collection[str]) -> list[str]:
        """Return those of the fields that no column fills."""
        filled = {cell.path for cell in self._plan.cells if cell}
        return [path for path in fields if path not in filled]

    def look_ahead(self, fields: Collection[str]) -> list[str]:
        """Return what `watch` does: the header tells."""
        return self.watch(fields)

    def expect(self, fields: Collection[str]) -> None:
        """Find those that no column fills."""
        self.unmet = self.watch(fields)

    def notes(self) -> list[str]:
        """Return notes on columns that match no field, and on fields without a column that are read as 0."""
        passed_over = self._plan.passed_over
        cells = zip(self._header, self._plan.cells, strict=True)
        unknown = [name for name, cell in cells if cell is None and name not in passed_over]
        zeros = [cell.column for cell in self._plan.absent if not cell.is_float]
        notes = list(passed_over.values())
        if unknown:
            count = f"{len(unknown)} of {len(self._header)} columns"
            meant = guess(unknown, self._plan.names)
            listed = [f"{name} (did you mean {meant[name]}?)" if name in meant else name for name in unknown]
            notes.append(f"ignored {count}, which match no field: {', '.join(listed)}")
        if zeros:
            advice = "write `optional` before them in the proto"
            notes.append(f"no column fills {', '.join(zeros)}, which will be read as 0: {advice}")
        return notes


def _nothing(cell: Cell) -> Any:
    if cell.is_float:
        return math.nan
    if isinstance(cell.field.default_value, str) or cell.field.cpp_type == cell.field.CPPTYPE_STRING:
        return "" if cell.field.type == cell.field.TYPE_STRING else b""
    raise ValueError("is missing, which a repeated field of this type cannot express")
