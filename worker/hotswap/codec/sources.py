"""Finds the field of an input message for each column of a model; each mismatch is reported with advice."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec.fields import INTEGERS, NUMBERS, TRUTHS, Column, Shape, is_map, names_of, type_name
from hotswap.codec.messages import has

Kind: TypeAlias = Literal["number", "text", "lookup", "object"]
UNKNOWN: Final = -1.0
"""The number in the matrix of a value that the column has no category for."""
_FRACTIONS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


@dataclass(frozen=True, slots=True)
class FieldSource:
    """The field that a column's values come from; `path` starts at a row (in shape `columns`, at the message).

    kind "number": the value itself; "text": a string to parse; "lookup": a category's number, `lookup[value]`;
    "object": `convert(value)`. `key`: the last field is a map, and the value is the one under this key.
    """

    index: int
    column: Column
    path: str
    fields: tuple[FieldDescriptor, ...]
    kind: Kind
    lookup: Mapping[Any, float] = field(default_factory=dict)
    convert: Callable[[Any], Any] | None = None
    key: str | None = None

    @property
    def has_presence(self) -> bool:
        """Whether an absent value can be told from the default."""
        return self.key is None and any(part.has_presence and not part.is_repeated for part in self.fields)

    @property
    def unlisted(self) -> float:
        """The number of a value that `lookup` does not list: UNKNOWN, unless the column has a category for the rest."""
        return UNKNOWN if self.column.other is None else float(self.column.other)

    @property
    def leaf(self) -> FieldDescriptor:
        """The field that holds the value; for a map, the value field of its entries."""
        return self.fields[-1] if self.key is None else _value_of(self.fields[-1])

    @property
    def known(self) -> Sequence[str]:
        """The field's values that the column has a category for, as str() writes them; empty if it takes any."""
        if self.column.other is not None:
            return ()
        if self.kind == "lookup":
            return [str(value) for value in self.lookup if value is not None]
        if self.leaf.enum_type:
            return [str(value.number) for value in self.leaf.enum_type.values if value.name in self.column.known]
        return self.column.known

    def values(self, items: Iterable[Message]) -> Iterable[Any]:
        """Return the field's value in each item; None if a map lacks the key."""
        if self.key is None:
            return map(attrgetter(self.path), items)
        key = self.key
        return (values.get(key) for values in map(attrgetter(self.path.removesuffix(f".{key}")), items))

    def put(self, row: Message, value: Any) -> None:
        """Set the field of a row to a value."""
        for part in self.fields[:-1]:
            row = getattr(row, part.name)
        name = self.fields[-1].name
        if self.key is not None:
            getattr(row, name)[self.key] = value
        elif self.fields[-1].is_repeated:
            getattr(row, name).extend(value if isinstance(value, list) else [value])
        else:
            setattr(row, name, value)

    def invent(self, number: float) -> Any:
        """Return some value that fits the field, chosen by `number`, which may be any."""
        part = self.leaf
        if self.kind == "lookup":
            known = [value for value in self.lookup if value not in (None, "")] or [part.default_value]
            return known[int(abs(number) * 1_000) % len(known)]
        if self.column.is_list:
            return [self._invent(number)] * (self.column.width or 1)
        return self._invent(number)

    def _invent(self, number: float) -> Any:
        part = self.leaf
        if part.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return repr(number)
        if part.enum_type:
            return part.enum_type.values[0].number
        if part.cpp_type in INTEGERS or part.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return int(abs(number)) % 2
        return number

    def is_absent(self, row: Message) -> bool:
        """Return whether the row has no value for this field."""
        for part in self.fields:
            if part.has_presence and not has(row, part.name):
                return True
            row = getattr(row, part.name)
        return False


@dataclass(slots=True)
class Sources:
    """The fields of a model's columns, in the order of the columns; `problems` has a line for each mismatch."""

    shape: Shape
    rows_field: str | None
    sources: list[FieldSource] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def fields(self) -> Mapping[str, str]:
        """The path of the field of each column that is called otherwise, or whose field another column has, too."""
        count = Counter(source.path for source in self.sources)
        pairs = [(source.column.name, source.path) for source in self.sources]
        return {name: path for name, path in pairs if name != path or count[path] > 1}


def find_sources(message: Descriptor, columns: Sequence[Column], names: Mapping[str, str]) -> Sources:
    """Choose the shape in which most columns are found, then find each one; `names` is configuration.columns."""
    known = {column.name for column in columns}
    shape, row, rows_field = max(
        _shapes(message), key=lambda choice: _count_found(choice[0], choice[1], columns, names)
    )
    sources = Sources(shape, rows_field)
    sources.problems += [
        f"configuration.columns names `{name}`, which is not a column of the model"
        for name in names
        if name not in known
    ]
    sources.problems += [
        f"the model has {count} columns called `{name}`, which no request can tell apart"
        for name, count in Counter(column.name for column in columns).items()
        if count > 1
    ]
    for index, column in enumerate(columns):
        place = _find(shape, row, column, names)
        source = _fit(index, column, place) if isinstance(place, _Place) else place
        if isinstance(source, FieldSource):
            sources.sources.append(source)
        else:
            sources.problems.append(f"column `{column.name}` ({column.kind}): {source}")
    return sources


def _shapes(message: Descriptor) -> Iterator[tuple[Shape, Descriptor, str | None]]:
    yield "single", message, None
    yield "columns", message, None
    for part in message.fields:
        if part.message_type and part.is_repeated and not is_map(part):
            yield "rows", part.message_type, part.name


def _count_found(shape: Shape, row: Descriptor, columns: Sequence[Column], names: Mapping[str, str]) -> int:
    return sum(isinstance(_find(shape, row, column, names), _Place) for column in columns)


class _Place(NamedTuple):
    """A field found for a column: its path, and the key if it is a map."""

    path: str
    fields: tuple[FieldDescriptor, ...]
    key: str | None = None


def _find(shape: Shape, row: Descriptor, column: Column, names: Mapping[str, str]) -> _Place | str:
    """Find the field of a column by the rules of columns.py, or return why there is none."""
    is_repeated = shape == "columns" or column.is_list
    if shape == "columns" and column.is_list:
        return _absent(row, column.name, is_repeated=True)
    path = names.get(column.name)
    if path:
        source = _walk(row, path.split("."), is_repeated=is_repeated)
        return source or _absent(row, path, is_repeated=is_repeated)
    plain = re.sub(r"[^A-Za-z0-9_]", "_", column.name)
    for parts in ([column.name], [plain], column.name.split(".")):
        if source := _walk(row, parts, is_repeated=is_repeated):
            return source
    lone = row.fields[0] if len(row.fields) == 1 else None
    if lone and is_map(lone) and (source := _walk(row, [lone.name, column.name], is_repeated=is_repeated)):
        return source
    nested = [] if shape == "columns" else list(_nested(row, plain, is_repeated=is_repeated))
    if len(nested) > 1:
        return f"could be {' or '.join(place.path for place in nested)}; name one in configuration.columns"
    return nested[0] if nested else _absent(row, plain, is_repeated=is_repeated)


def _absent(row: Descriptor, path: str, *, is_repeated: bool) -> str:
    kind = "repeated scalar" if is_repeated else "scalar"
    return f"{row.full_name} has no {kind} field `{path}`; add it, or name the field in configuration.columns"


def _walk(row: Descriptor, parts: Sequence[str], *, is_repeated: bool) -> _Place | None:
    fields: list[FieldDescriptor] = []
    at: Descriptor | None = row
    for depth, name in enumerate(parts):
        part = at.fields_by_name.get(name) if at else None
        if part is None:
            return None
        fields.append(part)
        if is_map(part):
            key = ".".join(parts[depth + 1 :])
            fits = bool(key) and not is_repeated and _holds_scalars(part)
            return _Place(".".join(parts), tuple(fields), key) if fits else None
        at = None if part.is_repeated else part.message_type
    fits = not fields[-1].message_type and fields[-1].is_repeated is is_repeated
    return _Place(".".join(parts), tuple(fields)) if fits else None


def _nested(row: Descriptor, name: str, *, is_repeated: bool, seen: frozenset[str] = frozenset()) -> Iterator[_Place]:
    """Yield every field of that name in a row's singular nested messages, at any depth."""
    for part in row.fields:
        inner = part.message_type
        if inner is None or part.is_repeated or inner.full_name in seen:
            continue
        if source := _walk(row, [part.name, name], is_repeated=is_repeated):
            yield source
        for path, fields, key in _nested(inner, name, is_repeated=is_repeated, seen=seen | {row.full_name}):
            yield _Place(f"{part.name}.{path}", (part, *fields), key)


def _value_of(part: FieldDescriptor) -> FieldDescriptor:
    """Return the value field of a map's entries."""
    assert part.message_type
    return part.message_type.fields_by_name["value"]


def _holds_scalars(part: FieldDescriptor) -> bool:
    assert part.message_type
    key = part.message_type.fields_by_name["key"]
    return key.type == FieldDescriptor.TYPE_STRING and _value_of(part).message_type is None


def _fit(index: int, column: Column, place: _Place) -> FieldSource | str:
    part = place.fields[-1] if place.key is None else _value_of(place.fields[-1])
    is_text = part.type == FieldDescriptor.TYPE_STRING

    def source(kind: Kind, **more: Any) -> FieldSource:
        return FieldSource(index, column, place.path, place.fields, kind, key=place.key, **more)

    if column.type != "number":
        convert, advice = _converter(column, part)
        return source("object", convert=convert) if convert else _misfit(place.path, part, advice)
    if column.categories is None:
        if part.cpp_type in NUMBERS:
            return source("number")
        return source("text") if is_text else _misfit(place.path, part, "make it a number")
    if is_text:
        by_name = {name: float(number) for number, name in enumerate(column.categories)}
        # The empty string is missing, unless it is one of the model's categories.
        return source("lookup", lookup={"": math.nan, None: math.nan, **by_name})
    reader = next((read for types, read in _CATEGORY_READERS if part.cpp_type in types), None)
    lookup = reader(column.categories, part) if reader else {}
    if not lookup:
        return _misfit(place.path, part, "make it a string, or an enum that has these categories as names")
    return source("lookup", lookup={None: math.nan, **lookup})


def _misfit(path: str, part: FieldDescriptor, advice: str) -> str:
    return f"field `{path}` is {type_name(part)}; {advice}"


def _converter(column: Column, part: FieldDescriptor) -> tuple[Callable[[Any], Any] | None, str]:
    """Return the function that converts a field's value to an object, or None and advice."""
    if column.is_list:
        return _list_converter(column, part)
    if column.type == "whole":
        if part.type == FieldDescriptor.TYPE_STRING:
            return _whole, ""
        return int if part.cpp_type in NUMBERS - _FRACTIONS else None, "make it an integer"
    if part.enum_type:
        names = {value.number: value.name for value in part.enum_type.values}
        return lambda number: names.get(number, str(number)), ""
    return str if part.type == FieldDescriptor.TYPE_STRING else None, "make it a string"


def _list_converter(column: Column, part: FieldDescriptor) -> tuple[Callable[[Any], Any] | None, str]:
    if column.type == "vector":
        return _vector(column.width, part) if part.cpp_type in NUMBERS else None, "make it repeated double"
    if column.type == "wholes":
        return list if part.cpp_type in INTEGERS else None, "make it repeated int64"
    one, _ = _converter(Column(column.name, type="text"), part)
    return one and (lambda texts: [one(text) for text in texts]), "make it repeated string"


def _vector(width: int | None, part: FieldDescriptor) -> Callable[[Sequence[float]], Sequence[float]]:
    has_floats = part.cpp_type in _FRACTIONS

    def convert(values: Sequence[float]) -> Sequence[float]:
        if width not in (None, len(values)):
            raise ValueError(len(values))
        return values[:] if has_floats else [float(value) for value in values]  # half the time where nothing changes

    return convert


def _whole(text: str) -> int | None:
    if text in ("", "NA"):
        return None
    if not re.fullmatch(r"[+-]?\d{1,19}", text) or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(text)
    return int(text)


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
