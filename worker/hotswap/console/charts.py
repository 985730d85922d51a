"""Small charts of the last minutes, as the points of SVG paths in a box of 300 by 60."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 300, 60
_TOP = 4


class Chart(NamedTuple):
    """A chart: its name, the last and the largest value as texts, the path of its line, and of the area below it."""

    name: str
    now: str
    most: str
    line: str
    area: str


def chart(name: str, points: Sequence[tuple[float, float]], now: float, span_s: float, unit: str) -> Chart:
    """Draw values over time; a point is its moment (seconds) and its value. `unit`: `/s`, `s` or nothing."""
    shown = [(at, value) for at, value in points if at >= now - span_s]
    most = max((value for _, value in shown), default=0.0)
    last = shown[-1][1] if shown else 0.0
    scale = (HEIGHT - _TOP) / most if most else 0.0
    places = [
        (round(WIDTH * (1 - (now - at) / span_s), 1), round(HEIGHT - 1 - value * scale * 0.98, 1))
        for at, value in shown
    ]
    line = " ".join(f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(places))
    area = f"{line} L{places[-1][0]} {HEIGHT} L{places[0][0]} {HEIGHT} Z" if len(places) > 1 else ""
    return Chart(name, format_value(last, unit), format_value(most, unit), line if area else "", area)


def format_value(value: float, unit: str = "") -> str:
    """Format a value: `1,204`, `0.4/s`, `12 ms`, `1.5 s`."""
    if unit == "s":
        return "none" if not value else f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    return (f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}") + unit  # noqa: PLR2004 - digits
