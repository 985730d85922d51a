"""A comparison as a picture: which labels stood beside which, and how large the differences of numbers are."""

import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

from hotswap.client.comparison import Comparison, Differences, Labels
from hotswap.printable import counted, printable

_WIDTH: Final = 720
_LEFT: Final = 160
_CELL: Final = 34
_MOST_LABELS: Final = 12
_MOST_NUMBERS: Final = 24
_BAR: Final = 22
_DECADES: Final = range(-6, 4)
"""Powers of ten of the differences that are told apart."""
_INK, _SAME, _DIFFERENT, _LINES = "#1f2933", "#2f6f4f", "#b3541e", "#d5dbe1"


def picture(comparison: Comparison, one: str, other: str) -> str:
    """Return the comparison of two deployments, by their names, as SVG."""
    lines: list[str] = []
    y = 28
    lines.append(_text(12, y, f"{one} and {other}", size=16))
    y += 22
    lines.append(_text(12, y, f"{counted(comparison.both, 'request')}, {counted(comparison.rows, 'row')} compared"))
    for path, labels in comparison.labels.items():
        y = _matrix(lines, y + 34, path, labels, (one, other))
    if comparison.numbers:
        y = _numbers(lines, y + 34, comparison.numbers)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 24}" viewBox="0 0 {_WIDTH} {y + 24}" '
        f'role="img" aria-label="{_safe(f"comparison of {one} and {other}")}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(lines)}</svg>\n'
    )


def _matrix(lines: list[str], y: int, path: str, labels: Labels, names: tuple[str, str]) -> int:
    """Draw the labels of one deployment (rows) beside those of the other (columns); return where it ends."""
    sizes: dict[str, int] = {}
    for (mine, theirs), count in labels.pairs.items():
        sizes[mine] = sizes.get(mine, 0) + count
        sizes[theirs] = sizes.get(theirs, 0) + count
    shown = sorted(sorted(sizes, key=lambda label: -sizes[label])[:_MOST_LABELS])
    left = f", the {_MOST_LABELS} most frequent of {len(sizes)}" if len(sizes) > len(shown) else ""
    lines.append(_text(12, y, f"{path}: rows by the label of {names[0]} (down) and of {names[1]} (across){left}"))
    most = max(labels.pairs.values(), default=1)
    top = y + 26
    for at, label in enumerate(shown):
        lines.append(_text(_LEFT + at * _CELL + 2, top - 6, label, size=10, most=_CELL // 6))
        lines.append(_text(_LEFT - 8, top + at * _CELL + 21, label, anchor="end", most=22))
    for down, mine in enumerate(shown):
        for across, theirs in enumerate(shown):
            count = labels.pairs.get((mine, theirs), 0)
            shade = math.log1p(count) / math.log1p(most)
            x, cell_y = _LEFT + across * _CELL, top + down * _CELL
            fill = _SAME if mine == theirs else _DIFFERENT
            lines.append(
                f'<rect x="{x}" y="{cell_y}" width="{_CELL - 2}" height="{_CELL - 2}" fill="{fill}" '
                f'fill-opacity="{shade:.2f}" stroke="{_LINES}"><title>{_safe(f"{mine}, {theirs}: {count:,}")}</title>'
                "</rect>"
            )
            if count:
                ink = "#ffffff" if shade > 0.6 else _INK  # noqa: PLR2004 - dark enough for white
                lines.append(_text(x + _CELL / 2 - 1, cell_y + 21, _short(count), anchor="middle", size=10, fill=ink))
    return top + len(shown) * _CELL


def _numbers(lines: list[str], y: int, numbers: Mapping[str, Differences]) -> int:
    """Draw, for each number, what share of the rows has a difference of each power of ten; return where it ends."""
    shown = list(numbers.items())[:_MOST_NUMBERS]
    left = f", {len(shown)} of {len(numbers)} fields" if len(numbers) > len(shown) else ""
    lines.append(_text(12, y, f"differences of numbers by their size{left}: share of the rows"))
    columns = ["equal", *(f"1e{power}" for power in _DECADES), "undefined"]
    width = (_WIDTH - _LEFT - 12) / len(columns)
    top = y + 24
    lines.extend(
        _text(_LEFT + (at + 0.5) * width, top - 6, name, anchor="middle", size=10) for at, name in enumerate(columns)
    )
    for row, (path, counted_) in enumerate(shown):
        row_y = top + row * (_BAR + 4)
        lines.append(_text(_LEFT - 8, row_y + 15, path, anchor="end", most=22))
        for at, count in enumerate(_by_size(counted_)):
            share = count / max(counted_.count, 1)
            lines.append(
                f'<rect x="{_LEFT + at * width:.1f}" y="{row_y}" width="{width - 2:.1f}" height="{_BAR}" '
                f'fill="{_DIFFERENT if at else _SAME}" fill-opacity="{math.sqrt(share):.2f}" stroke="{_LINES}">'
                f"<title>{_safe(f'{path}, {columns[at]}: {share:.2%}')}</title></rect>"
            )
            if count:
                ink = "#ffffff" if share > 0.4 else _INK  # noqa: PLR2004 - dark enough for white
                middle = _LEFT + (at + 0.5) * width - 1
                lines.append(_text(middle, row_y + 15, f"{share:.1%}", anchor="middle", size=9, fill=ink))
    return top + len(shown) * (_BAR + 4)


def _by_size(numbers: Differences) -> Iterator[int]:
    """Yield how many differences are none, of each power of ten, and undefined."""
    counts = dict.fromkeys(_DECADES, 0)
    for value, count in numbers.sizes():
        power = min(max(math.floor(math.log10(value)), _DECADES[0]), _DECADES[-1])
        counts[power] += count
    yield numbers.equal
    yield from counts.values()
    yield numbers.undefined


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", fill: str = _INK, most: int = 0
) -> str:
    shown = text if not most or len(text) <= most else f"{text[: most - 1]}…"
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{_safe(shown)}</text>'


def _safe(text: str) -> str:
    return escape(printable(text))


def _short(count: int) -> str:
    for size, unit in ((10_000_000, "M"), (10_000, "k")):
        if count >= size:
            return f"{count / (1_000_000 if unit == 'M' else 1_000):,.0f}{unit}"
    return f"{count:,}"
