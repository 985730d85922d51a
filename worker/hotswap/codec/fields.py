"""The names and types of a proto's fields, and the columns of a model."""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Shape: TypeAlias = Literal["single", "columns", "rows"]
ColumnType: TypeAlias = Literal["number", "text", "whole", "vector", "texts", "wholes"]

INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: range(-(1 << 31), 1 << 31),
    FieldDescriptor.CPPTYPE_INT64: range(-(1 << 63), 1 << 63),
    FieldDescriptor.CPPTYPE_UINT32: range(1 << 32),
    FieldDescriptor.CPPTYPE_UINT64: range(1 << 64),
}
"""The numbers that an integer field of each type holds."""
INTEGERS = set(INTEGER_RANGES)
NUMBERS = INTEGERS | {
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
_KINDS = {
    "text": "text",
    "whole": "a whole number",
    "vector": "a vector of numbers",
    "texts": "a list of texts",
    "wholes": "a list of whole numbers",
}
_SHOWN = 5


class Column(NamedTuple):
    """An input of a model: a number, a category (listed in the order of their numbers), or any other `type`.

    In a table, a number or a category's number is in the matrix; a text, a 64-bit whole number, a vector and a list are
    objects: str, int, list[float], list[str] or list[int]. `known`: the texts that the model tells from unknown ones,
    where it does. `width` is the length that a vector must have, if known. `other`: the category of every text that has
    none of its own, so that none is unknown.
    """

    name: str
    categories: tuple[str, ...] | None = None
    type: ColumnType = "number"
    known: tuple[str, ...] = ()
    width: int | None = None
    other: int | None = None

    @property
    def is_list(self) -> bool:
        """Whether a row has several values for it, in a repeated field."""
        return self.type in ("vector", "texts", "wholes")

    @property
    def kind(self) -> str:
        """The values that it accepts, for people to read."""
        if self.width is not None:
            return f"a vector of {self.width:,} numbers"
        if self.type != "number":
            return _KINDS[self.type]
        if self.categories is None:
            return "numeric"
        shown = ", ".join(self.categories[:_SHOWN]) + (", …" if len(self.categories) > _SHOWN else "")
        return f"categorical: {shown}"


def descriptor_of(message: type[Message]) -> Descriptor:
    """Return a message class's descriptor, cast from the type that protobuf's stubs declare."""
    return cast("Descriptor", message.DESCRIPTOR)


def type_name(part: FieldDescriptor) -> str:
    """Return a field's type as written in a proto."""
    kind = part.enum_type or part.message_type
    return ("repeated " if part.is_repeated else "") + (kind.full_name if kind else _TYPE_NAMES[part.type])


def is_map(part: FieldDescriptor) -> bool:
    """Return whether it is a `map<…>`, which is a repeated message on the wire."""
    return bool(part.message_type and part.message_type.GetOptions().map_entry)


def is_alternative(part: FieldDescriptor) -> bool:
    """Return whether it belongs to a real oneof: protobuf represents an `optional` field as a oneof of one."""
    return part.containing_oneof is not None and len(part.containing_oneof.fields) > 1


def may_be_absent(row: type[Message], path: str) -> bool:
    """Return whether the proto calls a field optional; an entry of a map may be absent, too."""
    message: Any = row.DESCRIPTOR
    part = None
    for name in path.split("."):
        part = message.fields_by_name.get(name) if message else None
        if part is None:
            return True
        message = part.message_type
    return bool(part and part.has_presence)


def names_of(part: FieldDescriptor) -> Iterator[tuple[str, int]]:
    """Yield every accepted name of each enum value, in lower case: its own name, and the one without the prefix."""
    enum = part.enum_type
    assert enum
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).lower() + "_"
    for value in enum.values:
        name = value.name.lower()
        yield name, value.number
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value.number
