"""Compares the worker of another checkout with this one's, in turns on one warm broker, to see if it is slower.

    make against OLD=/path/to/another/checkout

The other one is measured twice, to show how much the same worker varies on the machine. A machine drifts by more than
workers differ: ratios are those of a turn, and the median of them is what is told. The change passes if its CPU per row
and its rows/s are worse by at most 2 % plus the difference of the other one from itself. The steady streams, and swaps
to another model and back under them, are measured last, in three times as many turns, with all three workers running,
which are started anew after every third: latency varies most, and some processes are luckier than others.
benchmarks/against.json keeps the raw figures of the last run, which `python benchmarks/bench.py --draw` puts into
BENCHMARKS.md.
"""

import argparse
import asyncio
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import cycle, islice, permutations
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import stream
from batches import fill
from contender import OURS, ROOT, Contender, broker, command_line
from measured import Machine, commit_of, machine
from pydantic import TypeAdapter
from report import Figures, show
from rich.console import Console
from through_kafka import Backlog, measure_backlog
from workload import another_model, different_rows, first_model

from hotswap.settings import Settings

KEPT = Path(__file__).with_name("against.json")
OLD, NEW, AGAIN = "old", "new", "old again"
_WARM_S = 60.0
_TURNS = 3
_ALLOWED = 1.02
_WIDTH = 160


class Turns(NamedTuple):
    """The results of one worker, turn by turn."""

    backlog: list[Backlog]
    swap: list[stream.Changed]
    steady: list[stream.Steady]


class Figure(NamedTuple):
    """A figure of a turn: its place there, its digits, and whether it decides the verdict."""

    label: str
    of: str
    name: str
    digits: int
    is_decisive: bool = False
    is_better_high: bool = False


_FIGURES = (
    Figure("rows/s", "backlog", "rows_per_s", 0, is_decisive=True, is_better_high=True),
    Figure("CPU, µs a row", "backlog", "cpu_us_per_row", 2, is_decisive=True),
    Figure("CPU of Kafka, µs a row", "backlog", "kafka_us_per_row", 2),
    Figure("memory, MB", "backlog", "memory_mb", 0),
    Figure("p50 at 1,000/s, ms", "steady", "p50_ms", 1),
    Figure("p99 at 1,000/s, ms", "steady", "p99_ms", 1),
    Figure("cores at 1,000/s", "steady", "cores", 2),
    Figure("cores of Kafka at 1,000/s", "steady", "broker_cores", 2),
    Figure("longest gap at a swap, ms", "swap", "longest_gap_ms", 0),
    Figure("p99 in the 10 s around it, ms", "swap", "p99_around_ms", 1),
    Figure("command to first prediction, s", "swap", "first_prediction_s", 2),
)
Taken = Mapping[str, Turns]


async def measure(old: Path, options: argparse.Namespace, console: Console) -> Taken:
    """All turns of all three."""
    checkouts = {OLD: old, NEW: ROOT, AGAIN: old}
    taken = {name: Turns([], [], []) for name in checkouts}
    with tempfile.TemporaryDirectory(prefix="hotswap-against-") as name, broker() as kafka:
        folder = Path(name)
        swaps = [another_model(folder), first_model()]
        console.print(f"· a broker, {_WARM_S:.0f} s to warm it")
        await stream.warm(kafka, folder, _WARM_S)
        backlog = Settings(kafka=kafka.bootstrap, deployment="backlog")
        await fill(backlog, different_rows(), options.rows)
        for number in range(options.rounds):
            for which, root in checkouts.items():
                console.print(f"· {which}, {number + 1} of {options.rounds}")
                lying = Contender(OURS, kafka, folder, backlog.topics.requests, root=root)
                taken[which].backlog.append(await measure_backlog(lying, options.rows))
        for number, order in enumerate(islice(cycle(permutations(checkouts)), options.rounds)):
            console.print(f"· steady streams and swaps, workers {number + 1} of {options.rounds}")
            flowing = {which: Contender(OURS, kafka, folder, root=checkouts[which]) for which in order}
            found = await stream.measure_in_turns(flowing, options.seconds, _TURNS, swaps, console.print)
            for which, (steady, changed) in found.items():
                taken[which].steady.extend(steady)
                taken[which].swap.extend(changed)
    return taken


def keep(taken: Taken, commits: Mapping[str, str], seconds: float) -> None:
    """Write the figures of each turn, how long the steady ones were, the commits, and what all was measured on."""
    every = {which: turns._asdict() for which, turns in taken.items()}
    made = {"measured_on": machine(), **commits, "seconds": seconds, "turns": every}
    KEPT.write_bytes(TypeAdapter(dict[str, Any]).dump_json(made, indent=2) + b"\n")


def section() -> tuple[Machine, list[Figures]]:
    """Return what was measured on, and the table of the last run, as BENCHMARKS.md shows it."""
    kept = TypeAdapter(dict[str, Any]).validate_json(KEPT.read_bytes())
    taken = TypeAdapter(dict[str, Turns]).validate_python(kept["turns"])
    title = f"The worker of commit {kept[NEW]} beside that of commit {kept[OLD]}, which was measured twice"
    backlogs, swaps, streams = map(len, taken[OLD])
    note = (
        f"Medians of {backlogs} turns, {streams} of {kept['seconds']:g} s at 1,000/s, and {swaps} swaps. The ratios "
        "are medians over the turns: the new worker to both measurements of the old one, and these to each other: how "
        "much one worker differs from itself."
    )
    return kept["measured_on"], [figures(taken, title, note)]


def figures(taken: Taken, title: str = "", note: str = "") -> Figures:
    """Build the table of the medians, in brackets minimum and maximum, and of the ratios."""
    rows = []
    for figure in _FIGURES:
        found = {which: _values(turns, figure) for which, turns in taken.items()}
        cells = [" ".join(_cells(values, figure.digits)) for values in found.values()]
        rows.append([figure.label, *cells, *(f"{ratio:.3f}" for ratio in ratios(taken, figure))])
    return Figures(title, ["", *taken, f"{NEW} / both", f"{AGAIN} / {OLD}"], rows, note)


def ratios(taken: Taken, figure: Figure) -> tuple[float, float]:
    """Return the medians over the turns of: the new one, by the geometric mean of both old ones; one old by the other.

    Medians of each worker would compare turns of a fast machine with turns of a slow one.
    """
    old, new, again = (_values(taken[which], figure) for which in (OLD, NEW, AGAIN))
    both = [math.sqrt(one * other) for one, other in zip(old, again, strict=True)]
    return _median_ratio(new, both), _median_ratio(again, old)


def _median_ratio(values: list[float], by: list[float]) -> float:
    return median(value / other for value, other in zip(values, by, strict=True))


def _cells(values: list[float], digits: int) -> Iterator[str]:
    yield f"{median(values):,.{digits}f}"
    yield f"({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def _values(turns: Turns, figure: Figure) -> list[float]:
    return [getattr(one, figure.name) for one in getattr(turns, figure.of)]


def verdict(taken: Taken) -> tuple[bool, str]:
    """Return whether the new one passes, and a line with the reason."""
    passes, said = True, []
    for figure in (figure for figure in _FIGURES if figure.is_decisive):
        new, again = ratios(taken, figure)
        worse = 1 / new if figure.is_better_high else new
        allowed = _ALLOWED + max(again, 1 / again) - 1
        passes = passes and worse <= allowed
        said.append(f"{figure.label} {worse:.3f} times worse, at most {allowed:.3f} allowed")
    return passes, f"{'passed' if passes else 'failed'}: {'; '.join(said)}"


def main() -> int:
    """Measures, and prints the table and the verdict; exit code 1: it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="another checkout of this repository")
    parser.add_argument("--rows", type=int, default=4_000_000, help="requests of the backlog (default 4,000,000)")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn of the steady stream (default 10)")
    rounds = "turns of each (default 7; of the steady stream 21, and 42 swaps)"
    parser.add_argument("--rounds", type=int, default=7, help=rounds)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    old = options.old.resolve()
    command_line(old)
    commits = {OLD: commit_of(old), NEW: commit_of(ROOT)}
    taken = asyncio.run(measure(old, options, console))
    keep(taken, commits, options.seconds)
    show(console, figures(taken))
    passes, said = verdict(taken)
    console.print(said)
    return 0 if passes else 1


if __name__ == "__main__":
    sys.exit(main())
