"""The columns and answers of a function: those that its type hints declare, or else the fields of the proto's messages.

A field's type decides what the function gets, and what it has to return for it (guest.py says what each type is):

    double, float               number
    integers                    whole; if it may be absent, number
    bool                        flag; if it may be absent, number
    string, enum                text (of an enum, the value's name)
    repeated double, float      numbers
    repeated integer            wholes
    repeated string, enum       texts

A field of a nested message goes by its path (`customer.age`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from hotswap.codec.fields import INTEGERS, Column, ColumnType, is_map, type_name
from hotswap.codec.outputs import FLOATS, Output
from hotswap.codec.sources import FieldSource

_BOOL: Final = FieldDescriptor.CPPTYPE_BOOL
_TYPES: Final[Mapping[str, ColumnType]] = {
    "number": "number",
    "whole": "whole",
    "flag": "number",
    "text": "text",
    "numbers": "vector",
    "wholes": "wholes",
    "texts": "texts",
}
_TRUTHS: Final = ("false", "true")


class Hint(NamedTuple):
    """A column or an answer that a function's type hints declare."""

    name: str
    type: str
    may_miss: bool


class FunctionTypes(NamedTuple):
    """What an operation's function takes and returns, as its type hints declare it; None where they do not."""

    columns: Sequence[Hint] | None
    answers: Sequence[Hint] | None


class RowFields(NamedTuple):
    """The fields of a row, and a line for each that a function can neither take nor return.

    `are_rows`: the message has rows in its only field.
    """

    fields: Sequence[tuple[str, FieldDescriptor]]
    problems: Sequence[str]
    are_rows: bool


def columns_of(message: Descriptor, names: Mapping[str, str], hints: Sequence[Hint] | None) -> list[Column]:
    """Return the columns of a function: those of its hints, or the fields of a row; `names`: configuration.columns."""
    if hints is not None:
        return [Column(hint.name, type=_TYPES[hint.type]) for hint in hints]
    called = {path: name for name, path in names.items()}
    return [_column(called.get(path, path), part) for path, part in fields_of(message).fields]


def outputs_of(
    message: Descriptor, names: Mapping[str, str], hints: Sequence[Hint] | None, *, is_one_row: bool
) -> list[Output]:
    """Return the outputs of a function: those of its hints, or the fields of an answer; `names`: those mapped.

    Without `is_one_row`, a request has many: a repeated field of the answer itself then has an element for each.
    """
    if hints is None:
        found = fields_of(message)
        is_list = is_one_row or found.are_rows
        types = ((path, _type(part, is_list=is_list and part.is_repeated)) for path, part in found.fields)
        hints = list(dict.fromkeys(Hint(names.get(path, path), kind, False) for path, kind in types))
    return [_output(place, hint) for place, hint in enumerate(hints) if hint.name]


def fields_of(message: Descriptor) -> RowFields:
    """Return the fields of a row: of the message, or of its only field if that is a repeated message."""
    lone = message.fields[0] if len(message.fields) == 1 else None
    row = lone.message_type if lone and lone.is_repeated and not is_map(lone) else None
    fields, problems = [], []
    for path, part in _leaves(row or message, ()):
        if part.message_type or part.type == FieldDescriptor.TYPE_BYTES:
            problems.append(f"field `{path}` is {type_name(part)}, which a function in Python does not take or return")
        else:
            fields.append((path, part))
    return RowFields(fields, problems, row is not None)


def _leaves(message: Descriptor, above: tuple[str, ...], path: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    for part in message.fields:
        inner = part.message_type
        if inner and not part.is_repeated and inner.full_name not in (*above, message.full_name):
            yield from _leaves(inner, (*above, message.full_name), f"{path}{part.name}.")
        else:
            yield f"{path}{part.name}", part


def _column(name: str, part: FieldDescriptor) -> Column:
    if part.is_repeated:
        return Column(name, type=_TYPES[_type(part, is_list=True)])
    if part.enum_type:
        values = part.enum_type.values
        # Without its zero called UNSPECIFIED, which is missing (codec/columns.py).
        return Column(name, tuple(one.name for one in values if one.number or not one.name.endswith("UNSPECIFIED")))
    if part.cpp_type in INTEGERS and not part.has_presence:
        return Column(name, type="whole")
    return Column(name, type="text" if part.type == FieldDescriptor.TYPE_STRING else "number")


def _type(part: FieldDescriptor, *, is_list: bool) -> str:
    if part.cpp_type in FLOATS:
        one = "number"
    elif part.cpp_type in INTEGERS:
        one = "whole"
    else:
        one = "flag" if part.cpp_type == _BOOL else "text"
    return ("wholes" if one == "flag" else f"{one}s") if is_list else one


def _output(place: int, hint: Hint) -> Output:
    bare = Output(hint.name, place, place + 1)
    if hint.type == "flag":
        return replace(bare, classes=_TRUTHS)
    is_list = hint.type.endswith("s")
    return replace(
        bare,
        is_vector=is_list,
        is_list=hint.type == "texts",
        is_text=hint.type in ("text", "texts"),
        is_whole=hint.type in ("whole", "wholes"),
        is_object=is_list or hint.type == "whole",
    )


def type_of(source: FieldSource) -> str:
    """Return the type in which a column's values cross to the function (guest.py)."""
    column, leaf = source.column, source.leaf
    if column.categories is not None or column.type == "text":
        return "text"
    if column.is_list:
        return "numbers" if column.type == "vector" else str(column.type)
    if source.has_presence or source.kind == "text":
        return "number"
    if column.type == "whole":
        return "whole"
    return "flag" if leaf.cpp_type == _BOOL else "number"


def answer_type(output: Output) -> str:
    """Return the type in which an answer's values come back from the function."""
    one = "text" if output.is_text else "whole" if output.is_whole else "flag" if output.classes else "number"
    return f"{one}s" if output.is_vector else one
