"""Tables of figures, on the screen and in BENCHMARKS.md."""

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

TARGET = Path(__file__).parents[1] / "BENCHMARKS.md"
_HEAD = """# Benchmarks

What a row costs, how many are answered a second and how long an answer takes, beside other ways to do the same job.
`make bench` measures on one machine, shared by the broker, the publisher, the reader and the contenders, and generates
this page from [benchmarks/results.json](benchmarks/results.json); `make against` compares two commits
([benchmarks/against.json](benchmarks/against.json)).

**Compare the figures of one part only.** Machines differ, and so does one machine from day to day, and two runs of the
same by a tenth. Ratios between the contenders of a part hold elsewhere; absolute figures do not. To size your own
deployment, measure your model on your machine ([docs/kubernetes.md](docs/kubernetes.md)).

* *In turns*: contenders alternate, three times unless a part says otherwise. A figure is the median, with minimum and
  maximum in brackets.
* *Warm*: of a backlog, the rows from one half to seven eighths count. Parts measured before 2026-11-28 count to the
  end, which flatters a contender that works ahead, as our worker does.
* *Latency*: from when a request is due to reading its committed answer, by publisher and reader processes. *The
  measuring alone* reads the requests as if they were their own answers.
* *Java by hand*: consumers and producers in Java with our headers, codec, acks and transactions.
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
    sections = list(sections)
    shared = set.intersection(*(set(machine.items()) for machine, _ in sections))
    common = dict(fact for fact in sections[0][0].items() if fact in shared)
    parts = (
        "".join(map(_markdown, tables)) + f"\nMeasured on: {_facts(machine, without=common)}.\n"
        for machine, tables in sections
    )
    return f"{_HEAD}\nAll parts: {_facts(common)}.\n" + "".join(parts)


def _facts(machine: Mapping[str, object], without: Container[str] = ()) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items() if name not in without)


def _markdown(figures: Figures) -> str:
    header = [figures.header, ["---", *["---:"] * (len(figures.header) - 1)]]
    lines = ["", f"## {figures.title}", "", *(f"| {' | '.join(line)} |" for line in (*header, *figures.rows)), ""]
    if figures.note:
        lines += [figures.note, ""]
    if figures.picture:
        lines += [f"![{figures.title}]({figures.picture.relative_to(TARGET.parent)})", ""]
    return "\n".join(lines)
