"""Shared parts of the commands on rows: reading a table, and printing predictions."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

import click

from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.late import late
from hotswap.cli.shared import progress
from hotswap.errors import UsageError
from hotswap.printable import Escaping, counted, printable, printable_json

with late:
    from hotswap.cli.unknown import Unknown
    from hotswap.codec.fields import may_be_absent
    from hotswap.codec.messages import serialize
    from hotswap.codec.proto import Operation
    from hotswap.codec.text.file import is_json, is_streamed
    from hotswap.codec.text.layout import BadRow, Chunk, Row
    from hotswap.codec.text.reader import RowReader
    from hotswap.codec.text.writer import CsvTable, JsonTable
    from hotswap.generation import TextOptions

CHUNK = 500
"""The default number of rows in a chunk."""

RowPrediction = tuple[int, dict[str, Any], bytes]
"""A row's number, facts about its prediction, and the serialized output message."""


def text_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for reading FILE."""
    command = click.option(
        "--delimiter", default=",", show_default=True, metavar="CHAR", help="The delimiter of the CSV."
    )(command)
    command = click.option(
        "--missing",
        multiple=True,
        metavar="TEXT",
        help='A cell that means "missing", such as NA; an empty cell always does.',
    )(command)
    return click.option("--lenient", "is_lenient", is_flag=True, help="Ignore unknown fields of JSON.")(command)


allow_missing_option = click.option(
    "--allow-missing",
    "may_lack",
    is_flag=True,
    help="Accept a file that lacks a column that the model reads: score it as missing.",
)
operation_option = click.option("--operation", metavar="RPC", help="The rpc, if the proto has several.")


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for printing predictions."""
    command = click.option("--json", "style", flag_value="json", help="The same as --format json.")(command)
    return click.option(
        "--format",
        "style",
        type=click.Choice(["csv", "json"]),
        default="csv",
        show_default=True,
        help="The format of the predictions.",
    )(command)


async def print_answers(
    predictions: AsyncGenerator[RowPrediction, None], operation: Operation, style: str, total: int | None
) -> None:
    """Print predictions as they arrive, with a progress bar for `total` rows on stderr."""
    escape = printable if style == "csv" else printable_json
    file = cast("TextIO", Escaping(sys.stdout, escape)) if sys.stdout.isatty() else sys.stdout
    table = CsvTable(file, operation.output) if style == "csv" else JsonTable(file)
    parse = operation.output.FromString
    # On a terminal the bar would disturb the predictions, which show the progress themselves.
    with progress(is_shown=not sys.stdout.isatty()) as bar:
        task, done = bar.add_task("rows", total=total), 0
        async with aclosing(predictions):
            async for number, facts, value in predictions:
                table.write({"row": number, **facts}, parse(value))
                done += 1
                if not done % CHUNK:
                    bar.update(task, completed=done)
        bar.update(task, completed=done)
    sys.stdout.flush()


class Reading:
    """The good rows of a file; bad rows are listed on stderr, and counted.

    `reads`: the fields that the model reads, with their known values; unknown ones are listed at the end. Unless the
    file `may_lack` some, the command ends before the first row if the file lacks a column for one, and at the first row
    of JSON that lacks a field that is not optional.
    """

    def __init__(self, rows: RowReader, reads: Mapping[str, Collection[str]], *, may_lack: bool = False) -> None:
        self.rows = rows
        self.unknown = Unknown(rows.layout, reads)
        self.good = 0
        self.bad = 0
        self._may_lack = may_lack
        self._needed = [path for path in reads if not may_be_absent(rows.layout.row, path)]
        lacking = rows.watch(list(reads))
        if not may_lack:
            optional = [path for path in reads if path not in self._needed]
            lacking = [*lacking, *(path for path in rows.look_ahead(optional) if path not in lacking)]
        if needed := [path for path in self._needed if path in lacking]:
            self._report_gap(f"no column fills {_listed(needed)}")
        if optional := [path for path in lacking if path not in self._needed]:
            self._report_gap(f"no column fills {_listed(optional)}", is_optional=True)

    def __iter__(self) -> Iterator[Row]:
        return cast("Iterator[Row]", self._read(iter(self.rows)))

    def encoded(self) -> Iterator[tuple[Sequence[int], Sequence[bytes]]]:
        """Yield the numbers of the good rows and their serialized input messages, in bulk if possible."""
        for part in self._read(self.rows.in_bulk(self.unknown.fields)):
            if isinstance(part, Chunk):
                yield range(part.number, part.number + len(part.values)), part.values
            else:
                yield [part.number], [serialize(self.rows.layout.pack([part.message]))]

    def _read(self, rows: Iterator[Row | BadRow | Chunk]) -> Iterator[Row | Chunk]:
        lacking, hints = 0, set[str]()
        for row in rows:
            if isinstance(row, BadRow):
                self.refuse(str(row))
                if row.hint:
                    hints.add(row.hint)
                continue
            if isinstance(row, Chunk):
                self.good += len(row.values)
                self.unknown.look_in(row)
                yield row
                continue
            if needed := [path for path in row.lacks if path in self._needed]:
                if not lacking and not self._may_lack:
                    further = sum(1 for _ in filter(self._is_lacking, rows))
                    self._report_gap(
                        f"row {row.number} has no {_listed(needed)} ({further} further rows lack such fields, too)"
                    )
                lacking += 1
            self.good += 1
            self.unknown.look(row.message)
            yield row
        if lacking:
            note(f"{lacking} rows lack fields that the model reads, which were scored as missing, or as 0")
        for line in (*sorted(hints), *self.unknown.notes(), *self.rows.notes()):
            note(line)

    def _is_lacking(self, row: Row | BadRow | Chunk) -> bool:
        return isinstance(row, Row) and not set(self._needed).isdisjoint(row.lacks)

    def _report_gap(self, gap: str, *, is_optional: bool = False) -> None:
        """Note a gap. Raises UsageError unless gaps are allowed."""
        why = f"{gap}, which the model reads" + ("" if is_optional else " and which is not optional in the proto")
        if not self._may_lack:
            notes = "".join(f" ({line})" for line in self.rows.notes())
            raise UsageError(f"{why}{notes}: correct the file, or add --allow-missing")
        note(f"{why}: optional, so they are missing in each row" if is_optional else why)

    def refuse(self, line: str) -> None:
        """List a refused row, and count it."""
        self.bad += 1
        note(line)


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def chunks(reading: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield the rows in chunks of at most `size`."""
    rows = iter(reading)
    while chunk := list(islice(rows, size)):
        yield chunk


def options_of(options: dict[str, Any], configured: TextOptions | None = None) -> TextOptions:
    """Return the values of `text_options`, with the missing values and the model's columns of `configured`.

    Raises UsageError if the delimiter is not one character.
    """
    delimiter = "\t" if options["delimiter"] == r"\t" else options["delimiter"]
    if len(delimiter) != 1:
        raise UsageError(f"--delimiter must be one character, not {delimiter!r}")
    missing = {"", *options["missing"], *(configured.missing if configured else ())}
    return TextOptions(
        delimiter=delimiter,
        missing=frozenset(missing),
        is_strict=not options["is_lenient"],
        columns=configured.columns if configured else (),
    )


def count_rows(path: Path) -> int | None:
    """Estimate the number of rows, for the progress bar: lines, without a CSV's header."""
    if not sys.stderr.isatty() or is_streamed(path):
        return None
    with path.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return lines - (not is_json(path))


def end(refused: int) -> None:
    """End the command with 1 if rows were refused."""
    if refused:
        raise Failure(f"{counted(refused, 'row')} {'was' if refused == 1 else 'were'} refused, listed above", REFUSED)
