"""Tables of figures, on the screen and in BENCHMARKS.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

TARGET = Path(__file__).parents[1] / "BENCHMARKS.md"
_HEAD = """# Benchmarks

Made by `make bench`, all in one run on one machine, shared by the broker, the publisher and what is measured; the raw
figures are in [benchmarks/results.json](benchmarks/results.json). Machines differ, and so do days: compare the columns
of one table with each other.

"""


class Figures(NamedTuple):
    """A table: what it is, its header, its rows."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(console: Console, figures: Figures) -> None:
    """Print a table."""
    table = Table(*figures.header, title=figures.title, title_justify="left")
    for row in figures.rows:
        table.add_row(*row)
    console.print(table)


def write(machine: Mapping[str, object], tables: Sequence[Figures]) -> None:
    """Write them all to BENCHMARKS.md."""
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    TARGET.write_text(_HEAD + f"Measured on: {facts}.\n" + "".join(map(_markdown, tables)))


def _markdown(figures: Figures) -> str:
    lines = [figures.header, ["---", *["---:"] * (len(figures.header) - 1)], *figures.rows]
    return "\n".join(["", f"## {figures.title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])
