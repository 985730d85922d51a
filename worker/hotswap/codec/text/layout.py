"""How a proto's messages hold rows, decided from the proto and a text's columns alone, without a model."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hotswap.codec import messages
from hotswap.codec.fields import Shape, is_map
from hotswap.codec.text.names import Columns, assign

SHOWN = 60
_MOST_FAULTS = 10
_MAY_MEAN_MISSING = {"na", "n/a", "nan", "null", "none", "nil", "?", "-"}
"""Never taken for missing unasked: NA is Namibia, too."""


class Row(NamedTuple):
    """A good row: its number, its message (`Layout.row`), and those of the watched fields that it lacks."""

    number: int
    message: Message
    lacks: Sequence[str] = ()


class Chunk(NamedTuple):
    """Good rows that follow each other: their serialized input messages, and what is told of some of their fields."""

    number: int
    """Of the first row."""
    values: Sequence[bytes]
    told: Sequence[tuple[str, Message, int]]
    """A field, a row that has nothing else, and how many of these rows have that value there."""


class Fault(NamedTuple):
    """A value that does not fit its field; `column` is empty if it is not about a column."""

    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        """`column age: 'abc' is not a number`."""
        shown = self.value if len(self.value) <= SHOWN else self.value[:SHOWN] + "…"
        return f"column {self.column}: {shown!r} {self.reason}" if self.column else self.reason


class BadRow(NamedTuple):
    """A refused row, with its first fault and any further ones; str() is the message for people to read."""

    number: int
    column: str
    value: str
    reason: str
    more: Sequence[Fault] = ()

    @classmethod
    def of(cls, number: int, faults: Sequence[Fault]) -> Self:
        """Return a row with these faults, at least one."""
        return cls(number, *faults[0], faults[1:])

    def __str__(self) -> str:
        """`row 3, column age: 'abc' is not a number; column x: …`."""
        first, *more = map(str, (Fault(self.column, self.value, self.reason), *self.more[: _MOST_FAULTS - 1]))
        left = len(self.more) - len(more)
        problems = "; ".join([first, *more, *([f"and {left} more"] if left else [])])
        return f"row {self.number}{', ' if self.column else ': '}{problems}"

    @property
    def hint(self) -> str:
        """Advice if the value was probably meant as missing; else empty."""
        values = (self.value, *(fault.value for fault in self.more))
        meant = next((value for value in values if value.casefold() in _MAY_MEAN_MISSING), None)
        return f"if {meant!r} means that a value is missing, add --missing {meant}" if meant else ""


def reason_of(error: Exception) -> str:
    """Return why a value does not fit its field, worded to follow the value: `is not UTF-8`."""
    if isinstance(error, UnicodeEncodeError):
        return "is not UTF-8"
    return str(error) or type(error).__name__


class Layout:
    """How an input message holds rows, in the shapes of columns.py: `row` is the class of a row, `pack` joins rows."""

    def __init__(self, message: type[Message], header: Sequence[str] | None = None, columns: Columns = ()) -> None:
        """Choose the shape by the message, and by the fields that a table's header fills.

        Raises UsageError: two of the model's columns fill the same field.
        """
        self.message = message
        self.shape, self.rows_field = _shape(message.DESCRIPTOR, header, columns)
        if self.rows_field:
            part: Any = message.DESCRIPTOR.fields_by_name[self.rows_field]
            self.row: type[Message] = GetMessageClass(part.message_type)
        else:
            self.row = message

    @property
    def holds_many(self) -> bool:
        """Whether one input message can hold several rows."""
        return self.shape != "single"

    def pack(self, rows: Iterable[Message]) -> Message:
        """Return an input message of these rows (or whole messages); the shape `single` takes exactly one."""
        packed = self.message()
        if not self.rows_field:
            for row in rows:
                messages.merge(packed, row)
            return packed
        held = getattr(packed, self.rows_field)
        for row in rows:
            if type(row) is self.message:
                messages.merge(packed, row)
            else:
                held.append(row)
        return packed


def _shape(message: Any, header: Sequence[str] | None, columns: Columns) -> tuple[Shape, str | None]:
    repeated = [part for part in message.fields if part.is_repeated and part.message_type and not is_map(part)]
    if len(repeated) == 1:
        row = repeated[0].message_type
        if header is None or _count(row, header, columns) >= _count(message, header, columns):
            return "rows", repeated[0].name
    are_columns = all(part.is_repeated and part.message_type is None for part in message.fields)
    if message.fields and are_columns and len(set(header or ())) == len(header or ()):
        return "columns", None
    return "single", None


def _count(message: Any, names: Sequence[str], columns: Columns) -> int:
    filled = assign(message, names, columns).paths
    return sum(name in filled for name in names)
