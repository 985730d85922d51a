"""Draws the curves, docs/*.svg."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from points import Growth, Lingering, Point

DOCS = Path(__file__).parents[1] / "docs"
_STYLE = DOCS / "pictures.mplstyle"
_ROOM = 1.15
"""The height of an axis in units of the highest point: its mark is whole, and a line above it is free."""


def save(figure: Figure, name: str) -> Path:
    """Writes a picture of docs/; returns where it is."""
    with style.context(_STYLE):
        figure.savefig(DOCS / name, metadata={"Date": None})
    return DOCS / name


@style.context(_STYLE)
def linger(lines: Sequence[Lingering], title: str) -> Figure:
    """Latency and cores over linger_ms."""
    at = [line.linger_ms for line in lines]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(at, [line.steady.p99_ms for line in lines], marker="o", markersize=4, label="p99")
    left.plot(at, [line.steady.p50_ms for line in lines], marker="o", markersize=4, label="p50")
    _label(left, "linger_ms", "ms from request to answer")
    right.plot(at, [line.steady.cores for line in lines], marker="o", markersize=4, label="worker and host")
    right.plot(at, [line.steady.broker_cores for line in lines], marker="o", markersize=4, label="Kafka")
    _label(right, "linger_ms", "cores")
    for axes in (left, right):
        axes.set_xticks(at, [f"{ms}" for ms in at])
        axes.legend()
    _title(figure, title)
    return figure


@style.context(_STYLE)
def growth(curves: Growth) -> Figure:
    """CPU a row over how much there is of anything."""
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    for axes, name, points in zip(
        figure.subplots(1, 3),
        ("rows in the backlog", "partitions", "columns (a linear model)"),
        (curves.rows, curves.partitions, curves.columns),
        strict=True,
    ):
        _grow(axes, points)
        _label(axes, name, "µs a row")
    _title(figure, "CPU of worker and host, µs a row, exactly once")
    return figure


def _grow(axes: Axes, points: Sequence[Point]) -> None:
    axes.plot([point.much for point in points], [point.cpu_us_per_row for point in points], marker="o", markersize=4)
    axes.set_xscale("log")
    axes.margins(x=0.12)  # the numbers at both ends are longer than a mark
    axes.set_xticks([point.much for point in points], [_short(point.much) for point in points])
    axes.minorticks_off()


def _short(much: int) -> str:
    millions, rest = divmod(much, 1_000_000)
    return f"{much:,}" if rest else f"{millions} M"


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(0, _ROOM * axes.dataLim.y1)
    axes.grid(axis="y")


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.012, ha="left")
