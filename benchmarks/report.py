"""Tables of figures, on the screen and in BENCHMARKS.md."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

TARGET = Path(__file__).parents[1] / "BENCHMARKS.md"
_HEAD = """# Benchmarks

Made by `make bench` on one machine, shared by the broker, the publisher and what is measured; the raw figures are in
[benchmarks/results.json](benchmarks/results.json), and those of `make against`, which compares two commits, in
[benchmarks/against.json](benchmarks/against.json). Machines differ, and so do days: compare the figures of one part
with each other.

Where a backlog is taken by several, their rows from one half to seven eighths count: by then all is warm, and the last
eighth has been fetched, and in part scored, before what is counted ends. Parts that were measured before 2026-11-28
count to the end, and what works ahead, as our worker does, seems cheaper there than it is.
"""


class Figures(NamedTuple):
    """A table: title, header, rows, a note, and its picture."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    picture: Path | None = None


def show(console: Console, figures: Figures) -> None:
    """Print a table."""
    table = Table(*figures.header, title=figures.title, title_justify="left")
    for row in figures.rows:
        table.add_row(*row)
    console.print(table)


def page(sections: Iterable[tuple[Mapping[str, object], Sequence[Figures]]]) -> str:
    """Return BENCHMARKS.md, with all of them."""
    return _HEAD + "".join(_section(machine, tables) for machine, tables in sections)


def _section(machine: Mapping[str, object], tables: Sequence[Figures]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    return "".join(map(_markdown, tables)) + f"\nMeasured on: {facts}.\n"


def _markdown(figures: Figures) -> str:
    header = [figures.header, ["---", *["---:"] * (len(figures.header) - 1)]]
    lines = ["", f"## {figures.title}", "", *(f"| {' | '.join(line)} |" for line in (*header, *figures.rows)), ""]
    if figures.note:
        lines += [figures.note, ""]
    if figures.picture:
        lines += [f"![{figures.title}]({figures.picture.relative_to(TARGET.parent)})", ""]
    return "\n".join(lines)
