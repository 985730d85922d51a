"""Text from outside as a terminal may have it: names, messages and headers can hold sequences that command it."""

import json
from collections.abc import Callable
from typing import TextIO


def printable(text: str) -> str:
    r"""One line of text, what is not printable escaped (ESC as `\x1b`): controls, bidi marks, halves of characters."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_json(text: str) -> str:
    """A line of JSON of the same values: what is not printable, which only its strings can hold, as JSON escapes it."""
    return text if text.isprintable() else "".join(map(_escaped_as_json, text))


def line_by_line(text: str, escape: Callable[[str], str] = printable) -> str:
    """Each line of a text escaped; the line feeds stay."""
    return "\n".join(map(escape, text.split("\n")))


class Escaping:
    """A terminal to write lines on, each of them escaped."""

    def __init__(self, file: TextIO, escape: Callable[[str], str]) -> None:
        self._file = file
        self._escape = escape

    def write(self, text: str) -> int:
        """Write; the count is of what was given."""
        self._file.write(line_by_line(text, self._escape))
        return len(text)


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _escaped_as_json(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]
