"""Makes untrusted text safe for a terminal, where names and messages may hold escape sequences; shortens long ones."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TextIO

_UNITS_S = {"years": 31_557_600, "days": 86_400, "h": 3_600, "min": 60, "s": 1}
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def printable(text: str) -> str:
    r"""Escape unprintable characters in a line of text (ESC as `\x1b`): controls, bidi marks, lone surrogates."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_json(text: str) -> str:
    """Escape a line of JSON without changing its values: only its strings can hold unprintable characters."""
    return text if text.isprintable() else "".join(map(_escaped_as_json, text))


def line_by_line(text: str, escape: Callable[[str], str] = printable) -> str:
    """Escape each line of a text; keep the line feeds."""
    return "\n".join(map(escape, text.split("\n")))


class Escaping:
    """Wrapper of a text file that escapes each line written to it."""

    def __init__(self, file: TextIO, escape: Callable[[str], str]) -> None:
        self._file = file
        self._escape = escape

    def write(self, text: str) -> int:
        """Write `text` escaped; returns the length of `text` itself."""
        self._file.write(line_by_line(text, self._escape))
        return len(text)


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _escaped_as_json(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]


def cut(text: str, longest: int) -> str:
    """Shorten a text of the status topic, and say so."""
    return text if len(text) <= longest else f"{text[:longest]}… (shortened: too long for the status topic)"


def few(paths: Mapping[str, str], most: int) -> dict[str, str]:
    """Keep at most `most` entries of at most `most` characters each; a last entry counts those left out."""
    short = ((name, path) for name, path in paths.items() if len(name) <= most and len(path) <= most)
    kept = dict(islice(short, most))
    left = len(paths) - len(kept)
    return kept | ({"…": f"{left} operations are left out: too long for the status topic"} if left else {})


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 worker`, `2 workers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def numbers(values: Iterable[int]) -> str:
    """Write numbers shortly: `0-3, 7`."""
    runs: list[list[int]] = []
    for number in sorted(values):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def seconds_of(text: str) -> float | None:
    """Return the seconds of a span as `90s`, `5m`, `2h` or `1d`; None: it is none."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    return float(int(found[1]) * _SECONDS[found[2]]) if found else None


def duration(seconds: float) -> str:
    """Write a duration in the largest unit of which it has two: `345 ms`, `35 s`, `12 min`, `3 h`, `7 years`."""
    unit, size = next(((unit, size) for unit, size in _UNITS_S.items() if seconds >= 2 * size), ("ms", 0.001))
    return f"{seconds / size:.0f} {unit}"
