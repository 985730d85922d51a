"""What the commands on rows share: how a table is read, and how predictions are printed."""

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

import click

from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.files import kind_of
from hotswap.cli.shared import progress
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import BadRow, Row
from hotswap.codec.text.reader import RowReader
from hotswap.codec.text.writer import CsvTable, JsonTable
from hotswap.errors import UsageError
from hotswap.generation import TextOptions
from hotswap.printable import Escaping, printable, printable_json

CHUNK = 500
"""RowReader that are handled together, where nothing else says how many."""

Answered = tuple[int, dict[str, Any], bytes]
"""A row's number, facts about its prediction, and the serialized output message."""


def text_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How FILE is read."""
    command = click.option("--delimiter", default=",", show_default=True, metavar="CHAR", help="Of the CSV.")(command)
    command = click.option(
        "--missing",
        multiple=True,
        metavar="TEXT",
        help='A cell that means "missing", such as NA; an empty one always does.',
    )(command)
    return click.option("--lenient", "is_lenient", is_flag=True, help="Ignore unknown fields of JSON.")(command)


operation_option = click.option("--operation", metavar="RPC", help="Where the proto has several.")


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How the predictions are written."""
    command = click.option("--json", "style", flag_value="json", help="The same as --format json.")(command)
    return click.option(
        "--format",
        "style",
        type=click.Choice(["csv", "json"]),
        default="csv",
        show_default=True,
        help="Of the predictions.",
    )(command)


async def print_answers(
    answered: AsyncGenerator[Answered, None], operation: Operation, style: str, total: int | None
) -> None:
    """Print predictions as they come, with a bar for `total` rows on stderr."""
    escape = printable if style == "csv" else printable_json
    file = cast("TextIO", Escaping(sys.stdout, escape)) if sys.stdout.isatty() else sys.stdout
    table = CsvTable(file, operation.output) if style == "csv" else JsonTable(file)
    parse = operation.output.FromString
    # On a terminal the bar would be drawn between the predictions: there they are the progress.
    with progress(is_shown=not sys.stdout.isatty()) as bar:
        task, done = bar.add_task("rows", total=total), 0
        async with aclosing(answered):
            async for number, facts, value in answered:
                table.write({"row": number, **facts}, parse(value))
                done += 1
                if not done % CHUNK:
                    bar.update(task, completed=done)
        bar.update(task, completed=done)
    sys.stdout.flush()


class Reading:
    """The good rows of a file; the bad ones are listed on stderr as they come, and counted."""

    def __init__(self, rows: RowReader) -> None:
        self.rows = rows
        self.good = 0
        self.bad = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            if isinstance(row, BadRow):
                self.refuse(str(row))
            else:
                self.good += 1
                yield row
        for line in self.rows.notes():
            note(line)

    def refuse(self, line: str) -> None:
        """Lists a row that has no prediction."""
        self.bad += 1
        note(line)


def chunks(reading: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """The rows, so many at a time."""
    rows = iter(reading)
    while chunk := list(islice(rows, size)):
        yield chunk


def options_of(given: dict[str, Any]) -> TextOptions:
    """What `text_options` were given as. Raises UsageError where the delimiter is no character."""
    delimiter = "\t" if given["delimiter"] == r"\t" else given["delimiter"]
    if len(delimiter) != 1:
        raise UsageError(f"--delimiter is one character, not {delimiter!r}")
    return TextOptions(
        delimiter=delimiter, missing=frozenset({"", *given["missing"]}), is_strict=not given["is_lenient"]
    )


def count_rows(path: Path) -> int | None:
    """About how many rows there are, for the progress bar: lines, without a CSV's header."""
    if not sys.stderr.isatty():
        return None
    with path.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return lines - (kind_of(path) == "csv")


def end(refused: int) -> None:
    """End the command with 1 where rows were refused."""
    if refused:
        raise Failure(f"{refused} rows were refused, listed above", REFUSED)
