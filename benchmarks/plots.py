"""Draws the curves, docs/*.svg."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from points import Growth, Lingering, Point

DOCS = Path(__file__).parents[1] / "docs"
_BLUE, _GREEN = "#4c78c8", "#2a9d8f"
_INK, _FAINT = "#24292f", "#8c959f"
_STYLE: Any = {
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.marker": "o",
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text as text
    "svg.hashsalt": "hotswap",  # the same figures give the same file
}


def linger(lines: Sequence[Lingering]) -> Path:
    """Latency and cores over linger_ms."""
    at = [line.linger_ms for line in lines]
    with _figure("linger.svg", "1,000 requests a second, exactly once: latency bought with CPU", (9, 3.2)) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(at, [line.steady.p99_ms for line in lines], color=_BLUE, label="p99")
        left.plot(at, [line.steady.p50_ms for line in lines], color=_GREEN, label="p50")
        _label(left, "linger_ms", "ms from request to answer")
        right.plot(at, [line.steady.cores for line in lines], color=_BLUE, label="worker and host")
        right.plot(at, [line.steady.broker_cores for line in lines], color=_GREEN, label="Kafka")
        _label(right, "linger_ms", "cores")
        for axes in (left, right):
            axes.legend()
    return DOCS / "linger.svg"


def growth(curves: Growth) -> Path:
    """CPU a row over how much there is of anything."""
    with _figure("growth.svg", "CPU of worker and host, µs a row, exactly once", (9, 5.2)) as figure:
        grid = figure.subplots(2, 2).flat
        for axes, name, points in zip(
            grid,
            ("rows in the backlog", "partitions", "columns (a linear model)", "swaps before"),
            (curves.rows, curves.partitions, curves.columns, curves.swaps),
            strict=True,
        ):
            _grow(axes, points)
            _label(axes, name, "µs a row")
    return DOCS / "growth.svg"


def _grow(axes: Axes, points: Sequence[Point]) -> None:
    axes.plot([point.much for point in points], [point.cpu_us_per_row for point in points], color=_BLUE)
    axes.set_xscale("log")
    axes.set_xticks([point.much for point in points], [f"{point.much:,}" for point in points])
    axes.minorticks_off()


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e9ebee")


@contextmanager
def _figure(name: str, title: str, size: tuple[float, float]) -> Iterator[Figure]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        yield figure
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
        figure.savefig(DOCS / name, metadata={"Date": None})
