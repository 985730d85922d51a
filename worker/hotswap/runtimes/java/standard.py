"""Java's own types that stand for a number or a text, BigDecimal to UUID, and the Optionals, which may hold nothing.

BigDecimal, BigInteger      a number, or its text; of a double, the shortest text that reads as it
java.time's, UUID           a text as the type itself writes and reads it: ISO 8601, such as 2026-01-31
Optional, OptionalInt, …    what they hold; empty: no value
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import jpype

from hotswap.runtimes.java.classes import JavaType, java

DECIMAL: Final = "java.math.BigDecimal"
WHOLE: Final = "java.math.BigInteger"
_TIMES: Final = ("LocalDate", "LocalTime", "LocalDateTime", "OffsetTime", "OffsetDateTime", "ZonedDateTime", "Instant")
_PERIODS: Final = ("Duration", "Period", "Year", "YearMonth", "MonthDay")
_UUID: Final = "java.util.UUID"
TEXTS: Final = (*(f"java.time.{name}" for name in (*_TIMES, *_PERIODS)), _UUID)
_OPTIONALS: Final = {
    "java.util.Optional": "",
    "java.util.OptionalInt": "Integer",
    "java.util.OptionalLong": "Long",
    "java.util.OptionalDouble": "Double",
}
NAMES: Final = frozenset({DECIMAL, WHOLE, *TEXTS, *_OPTIONALS})

_MOST_DIGITS: Final = 1_000  # written out, so that a request of a few bytes (1E+1000000000) costs a model no more
_DECIMAL_TEXT: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_WHOLE_TEXT: Final = re.compile(r"[+-]?\d+", re.ASCII)


def reader_of(name: str) -> Callable[[Any], Any]:
    """Return the function that converts a number or a text to the type of that name. It raises ValueError."""
    if name == DECIMAL:
        return _decimal
    if name == WHOLE:
        return _whole
    kind = java(name)
    parse = kind.fromString if name == _UUID else kind.parse

    def read(value: str) -> Any:
        try:
            made = parse(value)
        except jpype.JException as error:
            raise ValueError(value) from error
        if name == _UUID and str(made) != value.lower():  # Java also reads 1-1-1-1-1
            raise ValueError(value)
        return made

    return read


def described(name: str) -> str:
    """Return a description, for people, of the texts that the type accepts."""
    short = name.rpartition(".")[2]
    if name in (DECIMAL, WHOLE):
        return f"{short} of at most {_MOST_DIGITS:,} digits"
    return short if name == _UUID else f"{short} as Java writes it (ISO 8601)"


def inner_of(wanted: JavaType) -> JavaType | None:
    """Return the type of an Optional's value; None for any other type."""
    if wanted.name not in _OPTIONALS:
        return None
    if primitive := _OPTIONALS[wanted.name]:
        return JavaType(java(f"java.lang.{primitive}").TYPE)
    return wanted.arguments[0] if wanted.arguments else JavaType(java("java.lang.Object").class_)


def wrap(wanted: JavaType, value: Any) -> Any:
    """Return an Optional that holds a value; None: an empty one."""
    kind = java(wanted.name)
    return kind.empty() if value is None else kind.of(value)


def unwrap(value: Any) -> Any:
    """Return the value of an Optional, None if it is empty; anything else as it is."""
    while value is not None and not isinstance(value, (int, float, str)) and isinstance(value, _optionals()):
        if not value.isPresent():
            return None
        short = str(value.getClass().getSimpleName()).removeprefix("Optional")
        value = getattr(value, f"getAs{short}")() if short else value.get()
    return value


def is_text(value: Any) -> bool:
    """Return whether it is a value of java.time or a UUID."""
    return not isinstance(value, (int, float, str)) and isinstance(value, _texts())


@cache
def _optionals() -> tuple[Any, ...]:
    return tuple(map(java, _OPTIONALS))


@cache
def _texts() -> tuple[Any, ...]:
    return tuple(map(java, TEXTS))


def _decimal(value: Any) -> Any:
    text = value if isinstance(value, str) else repr(value)
    if len(text) > _MOST_DIGITS or not _DECIMAL_TEXT.fullmatch(text):
        raise ValueError(value)
    made = java(DECIMAL)(text)
    if made.precision() + abs(made.scale()) > _MOST_DIGITS:
        raise ValueError(value)
    return made


def _whole(value: Any) -> Any:
    text = str(value)
    if len(text) > _MOST_DIGITS or not _WHOLE_TEXT.fullmatch(text):
        raise ValueError(value)
    return java(WHOLE)(text)
