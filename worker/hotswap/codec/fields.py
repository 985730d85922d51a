"""What a proto's fields are called and hold, and what a model's columns are."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Shape: TypeAlias = Literal["single", "columns", "rows"]
ColumnType: TypeAlias = Literal["number", "text", "whole", "vector"]

INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
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
_KINDS = {"text": "text", "whole": "a whole number", "vector": "a vector of numbers"}
_SHOWN = 5


class Column(NamedTuple):
    """An input of a model: a number, or a category of those listed in the order of their numbers, or what `type` says.

    In a table a number (a category's number) is in the matrix; a text, a whole number of 64 bits and a vector are
    objects: str, int, list[float].
    """

    name: str
    categories: tuple[str, ...] | None = None
    type: ColumnType = "number"

    @property
    def kind(self) -> str:
        """Say what it takes, for a person."""
        if self.type != "number":
            return _KINDS[self.type]
        if self.categories is None:
            return "numeric"
        shown = ", ".join(self.categories[:_SHOWN]) + (", …" if len(self.categories) > _SHOWN else "")
        return f"categorical: {shown}"


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


def is_alternative(part: FieldDescriptor) -> bool:
    """Tell a field of a oneof from one that is `optional`, which protobuf holds as a oneof of its own."""
    return part.containing_oneof is not None and len(part.containing_oneof.fields) > 1


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
