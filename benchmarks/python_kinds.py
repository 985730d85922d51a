"""Measures the hosts of models that a library of Python, or a function, scores: fast path, plain path, it alone.

No Kafka, as in kinds.py: batches of 2,000 go to a host and back. The plain path is that of a host without the fast one
(plain_child.py), and of requests that the fast one declines.
"""

import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kinds import Contender, Line, limit, measure
from python_models import contenders
from report import Figures

PLAIN = (sys.executable, str(Path(__file__).with_name("plain_child.py")))


@dataclass(slots=True)
class Paths:
    """The figures of one model's host with its fast path, and without."""

    name: str
    fast: Line
    plain: Line


@contextmanager
def chosen(kinds: Collection[str] = ()) -> Iterator[list[Contender]]:
    """The models of these kinds, or of all; what is made for them is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as folder:
        yield [made for made in contenders(Path(folder)) if not kinds or made.kind in kinds]


async def measure_all(kinds: Collection[str], say: Callable[[str], None]) -> list[Paths]:
    """Measures every model, one after the other."""
    lines = []
    with chosen(kinds) as made:
        for contender in made:
            say(f"{contender.name}: its library alone, then in its host, then there without the fast path")
            alone = limit(contender)
            lines.append(Paths(contender.name, await measure(contender, alone), await measure(contender, alone, PLAIN)))
            say(f"  {_said(lines[-1].fast)}")
    return lines


def figures(lines: list[Paths]) -> list[Figures]:
    """Builds the table, with the ratios to each library's own time."""
    title = "Models that a library of Python scores, in their hosts, batches of 2,000 rows, without Kafka"
    note = (
        "CPU of the host, µs a row. The library: one thread, one call for each batch, on a matrix that is ready. A "
        "function's library is the function, on arrays that are ready; its own process counts as the host's. The "
        "caller sends the batches and takes the answers, as a worker does. Above the library: the fast path and the "
        "caller, without the library's own time. The plain path decodes and encodes in Python what the fast path "
        "declines."
    )
    return [Figures(title, _HEADER, [_row(line) for line in lines], note)]


_HEADER = (
    "model",
    "library alone",
    "fast path",
    "times",
    "caller",
    "above the library",
    "plain path",
    "times",
    "rows/s, fast",
    "start, s",
    "memory, MB",
)


def _row(line: Paths) -> list[str]:
    fast, plain = line.fast, line.plain
    alone = fast.limit_us_per_row
    return [
        line.name,
        f"{alone:.2f}",
        f"{fast.cpu_us_per_row:.2f}",
        f"{fast.cpu_us_per_row / alone:.2f}",
        _optional(fast.caller_us_per_row),
        _optional(fast.above_us_per_row),
        f"{plain.cpu_us_per_row:.2f}",
        f"{plain.cpu_us_per_row / alone:.2f}",
        f"{fast.rows_per_s:,.0f}",
        f"{fast.start_s:.2f}",
        f"{fast.memory_mb:.0f}",
    ]


def _optional(value: float | None) -> str:
    """Format a figure that earlier runs did not measure."""
    return "-" if value is None else f"{value:.2f}"


def _said(line: Line) -> str:
    costs = f"host {line.cpu_us_per_row:.2f}, caller {_optional(line.caller_us_per_row)}"
    alone = f"{line.limit_us_per_row:.3f} alone"
    return f"µs of CPU a row: {costs}, {alone}, above it {_optional(line.above_us_per_row)}"
