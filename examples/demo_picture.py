"""Draws the demo as a timeline: predictions by generation, commands, cut-overs, and the longest gap at each."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from statistics import median

from demo_count import Count, Moment, milliseconds, per_bin, silences, window
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Annotation

STYLE = Path(__file__).resolve().parents[1] / "docs" / "pictures.mplstyle"
INK, REFUSED = "#24292f", "#c62828"
_BIN_S = 0.1
_LOADING = "#e9ebee"
_TALLEST = 1.5
"""Where bars are cut off, in medians: requests that waited are answered in a burst, which would dwarf the rest."""
_LINE_POINTS = 12.0


@style.context(STYLE)
def draw(count: Count, moments: list[Moment], path: Path) -> None:
    """Writes the picture; the suffix of `path` selects the format (.svg, .png)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(count, moments).savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


@style.context(STYLE)
def picture(count: Count, moments: list[Moment]) -> Figure:
    """Returns the picture of a run that has answers."""
    begin = min(answer.asked_at for answer in count.answered)
    colors = {score.generation: f"C{place}" for place, score in enumerate(count.scores)}
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot()
    _predictions(axes, count, begin, colors)
    _frame(axes, count, begin)
    commands, bursts = list(_commands(axes, count, moments, begin)), list(_bursts(axes, count, begin))
    figure.suptitle(_title(count), x=0.012, ha="left")
    figure.legend(handles=list(_legend(count, colors)), loc="outside lower center", ncols=2)
    figure.draw_without_rendering()  # the frame has its place, and so every label
    _separate(commands, 1)
    _separate(bursts, -1)
    return figure


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
        axes.stairs(tops, edges, baseline=base, fill=True, color=colors[generation], linewidth=0)
        below |= dict(zip(range(first, last), tops, strict=True))


def _frame(axes: Axes, count: Count, begin: float) -> None:
    bins = per_bin(count.answered, begin, _BIN_S).values()
    axes.set_ylim(0, _TALLEST * median(chain.from_iterable(each.values() for each in bins)))
    axes.set_xlim(-0.3, max(answer.answered_at for answer in count.answered) - begin + 0.3)
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"predictions per {_BIN_S * 1000:.0f} ms")


def _commands(axes: Axes, count: Count, moments: list[Moment], begin: float) -> Iterator[Annotation]:
    for moment in moments:
        color, mark = (REFUSED, "✗") if moment.reason else (INK, "▸")
        title = f"{moment.generation} {mark} {moment.title}{', refused' if moment.reason else ''}"
        sent, over = (max(0.0, at - begin) for at in window(moment, count))
        axes.axvline(sent, color=color, linewidth=1, linestyle=(0, (3, 2)))
        lines = _folded(title)
        if moment is not moments[0]:  # which was sent before the stream
            if not moment.reason:
                axes.axvspan(sent, over, color=_LOADING, linewidth=0, zorder=0)
                axes.axvline(over, color=color, linewidth=1)
            stream, partition = map(milliseconds, silences(count, *window(moment, count)))
            lines += f"\ngap {stream} ({partition})"
        yield _write(axes, lines, (sent, 1), va="bottom", color=color)


def _bursts(axes: Axes, count: Count, begin: float) -> Iterator[Annotation]:
    """Writes its height beside the highest bar of each generation, where that is cut off."""
    _, top = axes.get_ylim()
    for bins in per_bin(count.answered, begin, _BIN_S).values():
        highest = max(bins, key=lambda n: bins[n])
        if bins[highest] > top:
            yield _write(axes, f"↑ {bins[highest]}", ((highest + 1) * _BIN_S, 1), va="top", color=INK)


def _write(axes: Axes, text: str, at: tuple[float, float], *, va: str, color: str) -> Annotation:
    """Writes text at a time, and at a share of the frame's height."""
    return axes.annotate(
        text,
        at,
        (3, 4 if va == "bottom" else -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va=va,
        color=color,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
    )


def _separate(labels: Iterable[Annotation], direction: int) -> None:
    """Moves each label up (1) or down (-1), past those before it that it would cover."""
    placed: list[Annotation] = []
    for label in labels:
        x, y = label.get_position()
        for other in placed:
            if label.get_window_extent().padded(3).overlaps(other.get_window_extent()):
                lines = other.get_text().count("\n") + 1
                y = other.get_position()[1] + direction * lines * _LINE_POINTS
                label.set_position((x, y))
        placed.append(label)


def _folded(text: str, width: int = 20) -> str:
    """Splits a text longer than `width` into two lines of about the same length."""
    spaces = [place for place, letter in enumerate(text) if letter == " "] if len(text) > width else []
    cut = min(spaces, key=lambda place: abs(place - len(text) / 2 - 1), default=None)
    return text if cut is None else f"{text[:cut]}\n{text[cut + 1 :]}"


def _legend(count: Count, colors: dict[int, str]) -> Iterator[Patch]:
    for score in count.scores:
        right, offline = score.right / score.answered, score.right_offline / score.answered
        label = f"generation {score.generation}, {score.model}: {right:.2%} right (offline {offline:.2%})"
        yield Patch(color=colors[score.generation], label=label)
    yield Patch(color=_LOADING, label="a generation is loaded beside the serving one")
    yield Patch(color="none", label="gap: longest time without a prediction (in brackets: on one partition)")
    yield Patch(color="none", label="4 and 5 change the proto: what is asked now waits for the new generation")
    yield Patch(color="none", label="↑: the highest bar of a generation, where it is cut off")
