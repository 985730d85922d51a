"""Shared by all flat paths: NotFlat, our own Java classes, and the protos that they read and write."""

from collections.abc import Mapping
from typing import Any, Final

import jpype
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of, is_alternative

LAST_FIELD: Final = 4_096
"""The highest field number that the JVM reads."""
SIZED: Final = 2
"""The wire type of values with a length."""
WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_DOUBLE: 1,
    FieldDescriptor.TYPE_FIXED64: 1,
    FieldDescriptor.TYPE_SFIXED64: 1,
    FieldDescriptor.TYPE_FLOAT: 5,
    FieldDescriptor.TYPE_FIXED32: 5,
    FieldDescriptor.TYPE_SFIXED32: 5,
    FieldDescriptor.TYPE_STRING: SIZED,
    FieldDescriptor.TYPE_BYTES: SIZED,
}
"""Of the types that are not varints (0)."""


class NotFlat(Exception):
    """Use the fallback for all requests; the message names the part that is not flat."""


def own(name: str) -> Any:
    """Return one of our own Java classes, by its package under hotswap and its name."""
    return jpype.JClass(f"hotswap.{name}")


def check_proto3(message: Descriptor) -> None:
    """Raise NotFlat if a message is of another syntax, which has other rules."""
    file = FileDescriptorProto()
    message.file.CopyToProto(file)
    if file.syntax != "proto3":
        raise NotFlat(f"{message.full_name} is not proto3")


def is_unusual(part: FieldDescriptor) -> bool:
    """Return whether a field is in a oneof, or a closed enum, which have other rules."""
    return is_alternative(part) or bool(part.enum_type and part.enum_type.is_closed)


def rows_tag(message: type[Message], field: str | None) -> int:
    """Return the tag of a message's repeated field of rows; 0 if it has none."""
    return descriptor_of(message).fields_by_name[field].number << 3 | SIZED if field else 0


def java_map(lookup: Mapping[Any, Any]) -> Any:
    """Return a java.util.Map, with whole numbers as Longs among its keys."""
    made = jpype.JClass("java.util.HashMap")()
    for key, value in lookup.items():
        made.put(key if isinstance(key, str) else jpype.JClass("java.lang.Long")(int(key)), value)
    return made


def java_bytes(content: bytes) -> Any:
    """Return a byte[]."""
    return jpype.JArray(jpype.JByte)(content)
