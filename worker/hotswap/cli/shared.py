"""What every command shares: its options, its settings, its two streams, and how an error ends it.

Results go to stdout, progress and complaints to stderr; `--json` makes the results JSON. Exit codes: 0 done; 1 it was
refused or has failed, wholly or in part; 2 the command line asks for what cannot be; 3 Kafka, a worker or Java cannot
be reached or started. What is shown may have come from anybody: it is escaped here, and nothing is shown but from here.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from hotswap import logs
from hotswap.errors import UsageError
from hotswap.printable import line_by_line, printable_json
from hotswap.settings import Settings

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

_PIPE_WIDTH = 160

kafka_option = click.option("--kafka", metavar="HOST:PORT", help="Bootstrap servers. [default: HOTSWAP_KAFKA]")
json_option = click.option("--json", "is_json", is_flag=True, help="Results as JSON, for machines.")
deployment_argument = click.argument("deployment")
kind_option = click.option("--kind", metavar="KIND", help="The runtime that loads the model. [default: by the model]")
local_file = click.Path(exists=False, dir_okay=False, path_type=Path)
local_model = click.Path(exists=False, path_type=Path)


def shortened(message: str) -> str:
    """The first line of a message, and how many more there are."""
    first, *more = message.splitlines() or [""]
    return f"{first} (and {len(more)} lines more)" if more else first


def local_time(at_ms: int) -> str:
    """A record's time as a person reads it; its publisher may have given it one that no calendar has."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def make_settings(**given: Any) -> Settings:
    """Settings of the environment, with what the command line gives on top.

    Raises:
        UsageError: an environment variable or an option has no possible value.

    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{str(at['loc'][0]).upper()} {at['msg'].lower()} (it is {at['input']!r})" for at in error.errors()]
        raise UsageError("settings: " + "; ".join(f"HOTSWAP_{line}" for line in wrong)) from error


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine. Its log is silent below errors: what a person must know is printed."""
    is_debug = os.environ.get("HOTSWAP_LOG_LEVEL") == "DEBUG"
    logs.set_up(level="DEBUG" if is_debug else "CRITICAL", style="text")
    return asyncio.run(main)


def print_json(document: Any) -> None:
    """One JSON document on one line of stdout."""
    click.echo(printable_json(json.dumps(document, ensure_ascii=False, default=str)))


def show(lines: str) -> None:
    """A result on stdout."""
    click.echo(line_by_line(lines))


def out() -> Console:
    """Stdout for tables; a pipe gets a width of its own, so that nothing is cut at 80 columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def styled(words: str, style: str = "") -> Text:
    """Words for a table or beside one: as they are, no markup."""
    return Text(line_by_line(words), style)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table; a cell has a style where it is `styled`."""
    made = Table(title=styled(title, "table.title"), title_justify="left")
    for name in columns:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(styled(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def progress(*, is_shown: bool = True) -> Progress:
    """A progress bar on stderr, which is not there where stderr is no terminal."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (is_shown and console.is_terminal),
    )
