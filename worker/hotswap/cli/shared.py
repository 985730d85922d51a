"""Shared parts of the commands: options, settings, the two output streams, the end on an error.

Results go to stdout, progress and errors to stderr; `--json` makes the results JSON. Exit codes: 0 done; 1 refused or
failed, wholly or in part; 2 the command line is wrong; 3 Kafka, a worker or Java cannot be reached or started. Text may
come from anybody, so it is escaped here, and all output goes through this module.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from hotswap import __version__, logs
from hotswap.cli.exits import note
from hotswap.cli.late import late, later
from hotswap.errors import UsageError
from hotswap.printable import line_by_line, printable_json

with late:
    import asyncio

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from hotswap.settings import PREFIX, Settings, nearest, unknown_variables

with later:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Table
    from rich.text import Text

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

_PIPE_WIDTH = 160
_REASONS = 5
_WRAPPED = 24

kafka_option = click.option("--kafka", metavar="HOST:PORT", help="Bootstrap servers. [default: HOTSWAP_KAFKA]")
json_option = click.option("--json", "is_json", is_flag=True, help="Print results as JSON.")
deployment_argument = click.argument("deployment")
kind_option = click.option("--kind", metavar="KIND", help="The runtime that loads the model. [default: detected]")
local_file = click.Path(exists=False, dir_okay=False, path_type=Path)
sign_option = click.option(
    "--sign-with",
    type=local_file,
    metavar="FILE",
    help="The private key that signs the command (PEM). [default: HOTSWAP_SIGN_WITH]",
)
local_model = click.Path(exists=False, path_type=Path)


class OpenRangeOption(click.Option):
    """An option whose help omits the upper bound of its range, which is only the field's limit in a record."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return the values that click prints in brackets."""
        extra = super().get_help_extra(ctx)
        assert isinstance(self.type, click.IntRange)
        extra["range"] = f"x>={self.type.min}"
        return extra


def shortened(message: str, how: str = "") -> str:
    """Return the first line of a message, and the number of further lines, with the command that prints them."""
    first, *more = message.splitlines() or [""]
    if how and more:
        return f"{first} ({len(more)} more: {how})"
    return f"{first} (and {len(more)} more line{'s' * (len(more) > 1)})" if more else first


def first_reasons(message: str, how: str) -> str:
    """Return the first reasons of a message below its heading, and the command that prints the others."""
    lines = message.splitlines()
    shown = _REASONS + message.partition("\n")[0].endswith(":")
    more = [f"{len(lines) - shown} more: {how}"] if len(lines) > shown else []
    return "\n".join([*lines[:shown], *more])


def all_reasons(deployment: str, generation: int) -> str:
    """Return the command that prints all reasons of a generation's workers."""
    return f"`hotswap status {shlex.quote(deployment)} --why {generation}`"


def local_time(at_ms: int) -> str:
    """Format a record's timestamp; a publisher may have set one beyond any calendar."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def make_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment and its files, with the overrides of the command line.

    Raises:
        UsageError: a value is invalid, or a variable looks like a misspelt setting.

    """
    for name, meant in unknown_variables().items():
        if meant:
            raise UsageError(f"there is no setting {name}: did you mean {meant}?")
        note(f"hotswap: {name} is ignored: this version ({__version__}) has no such setting")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise UsageError("settings: " + "; ".join(map(_fault, error.errors()))) from error


def _fault(at: ErrorDetails) -> str:
    """Describe the error in a setting, with a suggestion if there is a near match."""
    name = str(at["loc"][0])
    field = Settings.model_fields.get(name)
    if field is None:
        meant = nearest(name, Settings.model_fields)
        return f"there is no setting `{name}`" + (f": did you mean `{meant}`?" if meant else "")
    value = repr(at["input"]) if field.repr else "a secret"
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    meant = next((choice for choice in choices if choice.lower() == str(at["input"]).lower()), "")
    meant = meant or nearest(str(at["input"]), choices)
    wrong = f"{PREFIX}{name.upper()} {at['msg'][0].lower()}{at['msg'][1:]} (it is {value})"
    return wrong + (f": did you mean {meant!r}?" if meant else "")


def check_order(deployment: str, file: Path) -> None:
    """Raise UsageError if the deployment and the file are swapped."""
    if os.path.isfile(deployment) and not os.path.exists(file) and file != Path("-"):  # noqa: PTH110, PTH113 - never raise
        raise UsageError(f"{deployment} is a file, and {file} is not: the deployment comes first, {file} {deployment}")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine, with the log off (unless DEBUG): commands print their messages."""
    is_debug = os.environ.get("HOTSWAP_LOG_LEVEL") == "DEBUG"
    logs.set_up(level="DEBUG" if is_debug else "CRITICAL", style="text")
    return asyncio.run(main)


def print_json(document: Any) -> None:
    """Print a JSON document on one line of stdout."""
    click.echo(printable_json(json.dumps(document, ensure_ascii=False, default=str)))


def show(lines: str) -> None:
    """Print a result on stdout."""
    click.echo(line_by_line(lines))


def out() -> Console:
    """Return stdout for tables; a pipe gets a fixed width, to avoid truncation at 80 columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def styled(words: str, style: str = "") -> Text:
    """Return escaped text for a table, or beside one, without interpreting markup."""
    return Text(line_by_line(words), style)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Build a table; `styled` cells keep their style."""
    result = Table(title=styled(title, "table.title"), title_justify="left")
    for name in columns:
        result.add_column(name, overflow="fold")
    for row in rows:
        result.add_row(*(styled(cell) if isinstance(cell, str) else cell for cell in row))
    return result


def fitting(title: str, columns: Mapping[str, Sequence[str | Text]], spare: Sequence[str], width: int) -> Table:
    """Build a table without empty columns, dropping `spare` ones in order until it fits into `width`."""
    shown = {name: cells for name, cells in columns.items() if any(map(str, cells))}
    for name in spare:
        if _width_of(shown) > width:
            shown.pop(name, None)
    return table(title, list(shown), list(zip(*shown.values(), strict=True)))


def _width_of(columns: Mapping[str, Sequence[str | Text]]) -> int:
    """Return the width of a table; long texts are wrapped."""
    return 1 + sum(
        3 + min(_WRAPPED, max(cell_len(str(cell)) for cell in (name, *cells))) for name, cells in columns.items()
    )


def progress(*, is_shown: bool = True) -> Progress:
    """Return a progress bar on stderr, disabled if stderr is not a terminal."""
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
