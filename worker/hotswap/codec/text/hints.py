"""Guesses for a table's header whose names fill no field."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches

_DELIMITERS = ",;\t|"
_GUESSED = 8  # names: a guess compares one with all columns, and a stranger may send a header of 100,000


def explain_header(header: Sequence[str], columns: Sequence[str]) -> str:
    """Return the probable fault of a header that names none of these columns."""
    for delimiter in _DELIMITERS if len(header) == 1 else ():
        if delimiter in header[0]:
            return f"is the delimiter {delimiter!r}?"
    meant = guess(header, columns)
    if meant:
        return "did you mean " + ", ".join(f"{near} by {name}" for name, near in meant.items()) + "?"
    return "is the header line missing?"


def guess(header: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Return the probable meanings of a header's first names, without those that resemble nothing."""
    return {name: near for name in header[:_GUESSED] if (near := _near(name, columns))}


def _near(name: str, columns: Sequence[str]) -> str:
    """Return the columns that a name probably means; or nothing.

    They have another case, stand in another message or in none, are the fields of the message that it names, or are
    spelt otherwise.
    """
    low = name.casefold()
    last = low.rpartition(".")[2]
    rules: tuple[Callable[[str], bool], ...] = (
        lambda column: column == low or low.endswith(f".{column}"),
        lambda column: column.rpartition(".")[2] == last,
        lambda column: column.startswith(f"{low}."),
    )
    for fits in rules:
        if matches := [column for column in columns if fits(column.casefold())]:
            return " or ".join(matches[:_GUESSED])
    return next(iter(get_close_matches(name, columns, 1)), "")
