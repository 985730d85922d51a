"""Finds the field of an input message for each column of a model, and says for each that does not fit what to do."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Shape: TypeAlias = Literal["single", "columns", "rows"]
Kind: TypeAlias = Literal["number", "text", "lookup"]

INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_NUMBERS = INTEGERS | {
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_FLOAT,
    FieldDescriptor.CPPTYPE_BOOL,
    FieldDescriptor.CPPTYPE_ENUM,
}
_TYPE_NAMES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}
TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_SHOWN = 5


class Column(NamedTuple):
    """An input of a model: numeric, or categorical with its categories in the order of their numbers."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """Say what it takes, for a person."""
        if self.categories is None:
            return "numeric"
        shown = ", ".join(self.categories[:_SHOWN]) + (", …" if len(self.categories) > _SHOWN else "")
        return f"categorical: {shown}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a column's values come from. `path` leads there from a row (or from the message, in shape `columns`).

    kind "number": the value itself; "text": a string to be parsed; "lookup": a category's number by `lookup[value]`.
    """

    index: int
    column: Column
    path: str
    fields: tuple[FieldDescriptor, ...]
    kind: Kind
    lookup: Mapping[Any, float] = field(default_factory=dict)

    @property
    def has_presence(self) -> bool:
        """Whether a value that was sent can be told from one that was not."""
        return any(part.has_presence and not part.is_repeated for part in self.fields)

    def invent(self, number: float) -> Any:
        """Give a value that fits the field; `number`, any at all, chooses it."""
        if self.kind == "lookup":
            known = [value for value in self.lookup if value not in (None, "")] or [self.fields[-1].default_value]
            return known[int(abs(number) * 1_000) % len(known)]
        part = self.fields[-1]
        if self.kind == "text":
            return repr(number)
        if part.enum_type:
            return part.enum_type.values[0].number
        if part.cpp_type in INTEGERS or part.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return int(abs(number)) % 2
        return number

    def is_absent(self, row: Message) -> bool:
        """Whether the row holds no value here."""
        for part in self.fields:
            if part.has_presence and not row.HasField(part.name):
                return True
            row = getattr(row, part.name)
        return False


@dataclass(slots=True)
class Sources:
    """The fields of a model's columns in the order of the columns; `problems` has a line for each that does not fit."""

    shape: Shape
    rows_field: str | None
    sources: list[Source] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_sources(message: Descriptor, columns: Sequence[Column], names: Mapping[str, str]) -> Sources:
    """Choose the shape in which most columns are found, then find each; `names` are configuration.columns."""
    known = {column.name for column in columns}
    shape, row, rows_field = max(
        _shapes(message), key=lambda choice: _count_found(choice[0], choice[1], columns, names)
    )
    found = Sources(shape, rows_field)
    found.problems += [
        f"configuration.columns names `{name}`, which is no column of the model" for name in names if name not in known
    ]
    for index, column in enumerate(columns):
        path, fields = _find(shape, row, column, names)
        if fields is None:
            found.problems.append(
                f"column `{column.name}` ({column.kind}): {row.full_name} has no "
                f"{'repeated ' if shape == 'columns' else ''}scalar field `{path}`; "
                "add it, or name the field in configuration.columns"
            )
            continue
        source = _fit(index, column, path, fields)
        if isinstance(source, Source):
            found.sources.append(source)
        else:
            found.problems.append(source)
    return found


def descriptor_of(message: type[Message]) -> Descriptor:
    """Give a message class's descriptor; its declared type is that of protobuf's C library."""
    return cast("Descriptor", message.DESCRIPTOR)


def type_name(part: FieldDescriptor) -> str:
    """Give a field's type as a proto writes it."""
    kind = part.enum_type or part.message_type
    return ("repeated " if part.is_repeated else "") + (kind.full_name if kind else _TYPE_NAMES[part.type])


def is_map(part: FieldDescriptor) -> bool:
    """Whether it is a `map<…>`: a repeated message on the wire."""
    return bool(part.message_type and part.message_type.GetOptions().map_entry)


def names_of(part: FieldDescriptor) -> Iterator[tuple[str, int]]:
    """Give every name by which a value of an enum may be called, in lower case: its own, and without the prefix."""
    enum = part.enum_type
    assert enum
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).lower() + "_"
    for value in enum.values:
        name = value.name.lower()
        yield name, value.number
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value.number


def _shapes(message: Descriptor) -> Iterator[tuple[Shape, Descriptor, str | None]]:
    yield "single", message, None
    yield "columns", message, None
    for part in message.fields:
        if part.message_type and part.is_repeated and not is_map(part):
            yield "rows", part.message_type, part.name


def _count_found(shape: Shape, row: Descriptor, columns: Sequence[Column], names: Mapping[str, str]) -> int:
    return sum(_find(shape, row, column, names)[1] is not None for column in columns)


def _find(
    shape: Shape, row: Descriptor, column: Column, names: Mapping[str, str]
) -> tuple[str, tuple[FieldDescriptor, ...] | None]:
    given = names.get(column.name)
    candidates = [given] if given else [column.name, re.sub(r"[^A-Za-z0-9_]", "_", column.name)]
    for path in candidates:
        # A column of the model may have dots in its name; only the configuration's are paths.
        fields = _walk(row, path.split(".") if given else [path], is_repeated=shape == "columns")
        if fields:
            return path, fields
    return candidates[-1], None


def _walk(row: Descriptor, parts: Sequence[str], *, is_repeated: bool) -> tuple[FieldDescriptor, ...] | None:
    fields = []
    at: Descriptor | None = row
    for name in parts:
        part = at.fields_by_name.get(name) if at else None
        if part is None:
            return None
        fields.append(part)
        at = None if part.is_repeated else part.message_type
    fits = not fields[-1].message_type and fields[-1].is_repeated is is_repeated
    return tuple(fields) if fits else None


def _fit(index: int, column: Column, path: str, fields: tuple[FieldDescriptor, ...]) -> Source | str:
    part = fields[-1]
    is_text = part.type == FieldDescriptor.TYPE_STRING
    if column.categories is None:
        if part.cpp_type in _NUMBERS:
            return Source(index, column, path, fields, "number")
        if is_text:
            return Source(index, column, path, fields, "text")
        return _misfit(column, path, part, "make it a number")
    if is_text:
        by_name = {name: float(number) for number, name in enumerate(column.categories)}
        # The empty string is missing, unless the model was trained with it.
        return Source(index, column, path, fields, "lookup", {"": math.nan, None: math.nan, **by_name})
    reader = next((read for types, read in _CATEGORY_READERS if part.cpp_type in types), None)
    lookup = reader(column.categories, part) if reader else {}
    if not lookup:
        return _misfit(column, path, part, "make it a string, or an enum that has these categories as names")
    return Source(index, column, path, fields, "lookup", {None: math.nan, **lookup})


def _misfit(column: Column, path: str, part: FieldDescriptor, advice: str) -> str:
    return f"column `{column.name}` ({column.kind}): field `{path}` is {type_name(part)}; {advice}"


def _by_enum(categories: Sequence[str], part: FieldDescriptor) -> dict[Any, float]:
    numbers = dict(names_of(part))
    lookup: dict[Any, float] = {
        numbers[name.lower()]: float(number) for number, name in enumerate(categories) if name.lower() in numbers
    }
    zero = part.enum_type.values_by_number.get(0) if part.enum_type else None
    if lookup and zero and zero.name.upper().endswith("UNSPECIFIED"):
        lookup.setdefault(0, math.nan)
    return lookup


def _by_integer(categories: Sequence[str], part: FieldDescriptor) -> dict[Any, float]:  # noqa: ARG001 - one signature
    return {int(name): float(number) for number, name in enumerate(categories) if re.fullmatch(r"-?\d{1,18}", name)}


def _by_truth(categories: Sequence[str], part: FieldDescriptor) -> dict[Any, float]:  # noqa: ARG001 - one signature
    return {TRUTHS[name.lower()]: float(number) for number, name in enumerate(categories) if name.lower() in TRUTHS}


_Reader: TypeAlias = Callable[[Sequence[str], FieldDescriptor], dict[Any, float]]
_CATEGORY_READERS: tuple[tuple[set[int], _Reader], ...] = (
    ({FieldDescriptor.CPPTYPE_ENUM}, _by_enum),
    (INTEGERS, _by_integer),
    ({FieldDescriptor.CPPTYPE_BOOL}, _by_truth),
)
