"""Draws the demo as a timeline: predictions by generation, commands, cut-overs, and the longest gap at each."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from demo_count import Count, Moment, milliseconds, per_bin, silences, window
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

_BIN_S = 0.1
_COLORS = ("#4c78c8", "#2a9d8f", "#c2528b", "#e09f3e", "#7a5cb8", "#6b7a8f")
_INK, _FAINT, _LOADING, _REFUSED = "#24292f", "#8c959f", "#e9ebee", "#c62828"
_STYLE: Any = {
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text as text: half the size, and screen readers can read it
    "svg.hashsalt": "hotswap",  # the same run gives the same file
}


def draw(count: Count, moments: list[Moment], path: Path) -> None:
    """Writes the picture; the suffix of `path` selects the format (.svg, .png)."""
    begin = min(answer.asked_at for answer in count.answered)
    colors = {score.generation: color for score, color in zip(count.scores, _COLORS, strict=False)}
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 4), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        _predictions(axes, count, begin, colors)
        _commands(axes, count, moments, begin)
        _frame(axes, count, begin)
        figure.suptitle(_title(count), x=0.012, ha="left", fontsize=12, fontweight="bold")
        figure.legend(handles=list(_legend(count, colors)), loc="outside lower center", ncols=2, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def _title(count: Count) -> str:
    return (
        f"One deployment, two workers: {count.asked:,} requests, {count.lost} lost, {count.twice} answered twice, "
        f"{len(count.scores)} generations served"
    )


def _predictions(axes: Axes, count: Count, begin: float, colors: dict[int, str]) -> None:
    below: dict[int, int] = {}
    for generation, bins in sorted(per_bin(count.answered, begin, _BIN_S).items()):
        first, last = min(bins), max(bins) + 1
        base = [below.get(n, 0) for n in range(first, last)]
        tops = [low + bins[n] for low, n in zip(base, range(first, last), strict=True)]
        edges = [n * _BIN_S for n in range(first, last + 1)]
        axes.stairs(tops, edges, baseline=base, fill=True, color=colors.get(generation, _FAINT), linewidth=0)
        below |= dict(zip(range(first, last), tops, strict=True))


def _commands(axes: Axes, count: Count, moments: list[Moment], begin: float) -> None:
    for moment in moments:
        color, mark = (_REFUSED, "✗") if moment.reason else (_INK, "▸")
        title = f"{moment.generation} {mark} {moment.title}{', refused' if moment.reason else ''}"
        sent, over = (max(0.0, at - begin) for at in window(moment, count))
        axes.axvline(sent, color=color, linewidth=1, linestyle=(0, (3, 2)))
        _write(axes, _folded(title), sent, above=4, color=color)
        if moment is moments[0]:  # sent before the stream
            continue
        if not moment.reason:
            axes.axvspan(sent, over, color=_LOADING, linewidth=0, zorder=0)
            axes.axvline(over, color=color, linewidth=1)
        stream, partition = map(milliseconds, silences(count, *window(moment, count)))
        _write(axes, f"gap {stream}\n({partition})", over, above=-4, color=color)


def _write(axes: Axes, text: str, at: float, *, above: float, color: str) -> None:
    """Draws text to the right of the time `at`, so many points above (or below) the upper edge."""
    axes.annotate(
        text,
        (at, 1),
        (3, above),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="bottom" if above > 0 else "top",
        color=color,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
    )


def _folded(text: str, width: int = 20) -> str:
    """Splits a text longer than `width` into two lines of about the same length."""
    spaces = [place for place, letter in enumerate(text) if letter == " "] if len(text) > width else []
    cut = min(spaces, key=lambda place: abs(place - len(text) / 2 - 1), default=None)
    return text if cut is None else f"{text[:cut]}\n{text[cut + 1 :]}"


def _frame(axes: Axes, count: Count, begin: float) -> None:
    per_generation = per_bin(count.answered, begin, _BIN_S)
    # Requests that waited are answered in a burst, which would dwarf the rest: it is cut off, and labelled.
    top = round(3.2 * median(chain.from_iterable(bins.values() for bins in per_generation.values())))
    axes.set_ylim(0, top)
    for bins in per_generation.values():
        highest = max(bins, key=lambda n: bins[n])
        if bins[highest] > top:
            axes.annotate(
                f"↑ {bins[highest]}", ((highest + 1) * _BIN_S, top * 0.76), (3, 0), textcoords="offset points", va="top"
            )
    axes.set_xlim(-0.3, max(answer.answered_at for answer in count.answered) - begin + 0.3)
    axes.set_xlabel("seconds")
    axes.set_ylabel("predictions per 100 ms")
    axes.spines[["top", "right"]].set_visible(False)


def _legend(count: Count, colors: dict[int, str]) -> Iterator[Patch]:
    for score in count.scores:
        right, offline = score.right / score.answered, score.right_offline / score.answered
        label = f"generation {score.generation}, {score.model}: {right:.2%} right (offline {offline:.2%})"
        yield Patch(color=colors.get(score.generation, _FAINT), label=label)
    yield Patch(color=_LOADING, label="a generation is loaded beside the serving one")
    yield Patch(color="white", label="gap: longest time without a prediction (in brackets: on one partition)")
    yield Patch(color="white", label="4 and 5 change the proto: what is asked now waits for the new generation")
