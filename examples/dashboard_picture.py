"""Draws the dashboard of ops/ as Grafana shows it: panels in their places, with their titles, units and legends."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from demo_picture import REFUSED, STYLE
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

_WIDTH, _ROW = 10.5, 0.27
"""Inches: the whole width, of 24 columns, and the height of a row of Grafana's grid."""
_HEAD, _EDGE, _LEFT, _NAMES, _TITLE, _TIMES, _ENTRY = 0.4, 0.1, 0.62, 0.8, 0.27, 0.24, 0.15
"""Inches: above all panels, around each; left of an axis (values, names), above it, its times, a line of its legend."""
_GAP = 0.06
"""Inches between two panels."""
_HALF = 0.17
"""Inches right of an axis: half of the last time."""
_MANY = 6
"""More lines than that are not all named."""
_SMALL = 7.0
_SWAP, _FLOOR = "#1f6feb", "#eef0f3"


_UNITS: Mapping[str, tuple[float, Callable[[float], str]]] = {
    "short": (1, lambda value: f"{value:,.4g}"),
    "reqps": (1, lambda value: f"{value:,.3g} req/s"),
    "ops": (1, lambda value: f"{value:,.3g} ops/s"),
    "percentunit": (100, lambda value: f"{value:.3g}%"),
    "s": (1, lambda value: f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"),
    "bytes": (2**-20, lambda value: f"{value:,.3g} MiB"),
}
"""By the name that Grafana has for a unit: what a value is multiplied by, and how the product is written."""


class Line(NamedTuple):
    """A time series: its legend, seconds since the recording began, and values (NaN: none)."""

    legend: str
    seconds: Sequence[float]
    values: Sequence[float]


class Recording(NamedTuple):
    """What was asked: the lines of each panel by its id, when a new generation scored, how long, and at which step."""

    panels: Mapping[int, Sequence[Line]]
    swaps: Sequence[float]
    seconds: float
    step_s: float


@style.context(STYLE)
def picture(dashboard: Mapping[str, Any], recording: Recording) -> Figure:
    """Returns the dashboard of a recording; `dashboard` is Grafana's JSON."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure(figsize=(_WIDTH, _HEAD + rows * _ROW), facecolor=_FLOOR)
    for panel in dashboard["panels"]:
        _panel(figure, panel, recording)
    title = f"{dashboard['title']}: the dashboard during a demo; dashed: a new generation scores"
    figure.suptitle(title, x=_EDGE / _WIDTH, y=1 - 0.1 / figure.get_figheight(), ha="left")
    return figure


def _panel(figure: Figure, panel: Mapping[str, Any], recording: Recording) -> None:
    lines = recording.panels[panel["id"]]
    place, total = panel["gridPos"], figure.get_figheight()
    left, top = place["x"] / 24 * _WIDTH, total - _HEAD - place["y"] * _ROW
    width, height = place["w"] / 24 * _WIDTH, place["h"] * _ROW
    named = _named(lines) if panel["type"] == "timeseries" else []
    columns = _columns(named, width)
    below = 0 if panel["type"] == "stat" else _TIMES + math.ceil(len(named) / columns) * _ENTRY
    x = left + {"stat": _EDGE, "state-timeline": _NAMES}.get(panel["type"], _LEFT)
    y, right = top - height + _EDGE + below, left + width - _HALF
    axes = figure.add_axes((x / _WIDTH, y / total, (right - x) / _WIDTH, (top - _TITLE - y) / total))
    card = ((left + _GAP / 2) / _WIDTH, (top - height) / total), (width - _GAP) / _WIDTH, (height - _GAP) / total
    figure.add_artist(Rectangle(*card, color="white", zorder=-1))
    figure.text((left + _EDGE) / _WIDTH, (top - _TITLE / 2) / total, panel["title"], fontsize=_SMALL + 1, va="center")
    _DRAWN[panel["type"]](axes, panel, lines, recording)
    if named:
        axes.legend(
            handles=[Patch(color=color, label=text) for text, color in named], ncols=columns, fontsize=_SMALL,
            loc="upper left", bbox_to_anchor=((left + _EDGE) / _WIDTH, (y - _TIMES) / total),
            bbox_transform=figure.transFigure, borderaxespad=0, borderpad=0, handlelength=0.8, labelspacing=0.3,
            columnspacing=1,
        )  # fmt: skip


def _named(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Returns the entries of a legend and their colors; of many lines, those that are always 0 are only counted."""
    named = [(line.legend, f"C{place}") for place, line in enumerate(lines)]
    if len(lines) <= _MANY:
        return named
    moving = [entry for entry, line in zip(named, lines, strict=True) if any(value > 0 for value in line.values)]
    return [*moving, (f"{len(lines) - len(moving)} more, always 0", "none")]


def _columns(named: Sequence[tuple[str, str]], width: float) -> int:
    longest = max((len(text) for text, _ in named), default=1)
    return max(1, int((width - 2 * _EDGE) * 72 / (longest * _SMALL * 0.6 + 2.5 * _SMALL)))


def _stat(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line], _: Recording) -> None:
    axes.set_axis_off()
    told = [value for line in lines for value in line.values if not math.isnan(value)]
    defaults = panel["fieldConfig"]["defaults"]
    scale, write = _UNITS[defaults["unit"]]
    text = write(told[-1] * scale) if told else "No data"
    is_high = any(
        told and step["value"] is not None and told[-1] >= step["value"] for step in defaults["thresholds"]["steps"]
    )
    axes.text(0.5, 0.5, text, fontsize=16, ha="center", va="center", color=REFUSED if is_high else "C1")


def _time_series(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line], recording: Recording) -> None:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    is_stacked, opacity, highest = "stacking" in custom, custom["fillOpacity"] / 100, 0.0
    scale, write = _UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    below: dict[float, float] = {}
    for line in lines:
        values, base = [value * scale for value in line.values], [below.get(at, 0.0) for at in line.seconds]
        tops = [low + value for low, value in zip(base, values, strict=True)]
        if custom["drawStyle"] == "bars":
            axes.bar(line.seconds, values, 0.8 * recording.step_s, base, alpha=opacity)
        else:
            axes.plot(line.seconds, tops, linewidth=1)
            axes.fill_between(line.seconds, base, tops, alpha=opacity, linewidth=0)
        below |= dict(zip(line.seconds, tops, strict=True)) if is_stacked else {}
        highest = max([highest, *(top for top in tops if math.isfinite(top))])
    axes.set_ylim(0, 1.15 * highest or 1)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer="decimals" in panel["fieldConfig"]["defaults"]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axes.grid(axis="y")
    if not lines:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", va="center", fontsize=_SMALL + 1)
    _frame(axes, recording)


def _states(axes: Axes, _: Mapping[str, Any], lines: Sequence[Line], recording: Recording) -> None:
    names = sorted((line.legend for line in lines), reverse=True)
    for line in lines:
        spans: list[tuple[float, float]] = []
        for at in line.seconds:
            begin = spans.pop()[0] if spans and at - sum(spans[-1]) < recording.step_s / 2 else at
            spans.append((begin, min(at + recording.step_s, recording.seconds) - begin))
        axes.broken_barh(spans, (names.index(line.legend) - 0.4, 0.8), color="C1", linewidth=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
    _frame(axes, recording)


def _frame(axes: Axes, recording: Recording) -> None:
    axes.set_xlim(0, recording.seconds)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 3, 6, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{s // 60:.0f}:{s % 60:02.0f}"))
    axes.tick_params(labelsize=_SMALL, length=2, pad=2)
    for at in recording.swaps:
        axes.axvline(at, color=_SWAP, linewidth=0.8, linestyle=(0, (3, 2)))


_DRAWN = {"stat": _stat, "timeseries": _time_series, "state-timeline": _states}
