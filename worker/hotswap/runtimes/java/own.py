"""What both halves of the fast path share: our own Java classes, and protobuf's wire types."""

from collections.abc import Mapping
from typing import Any, Final

import jpype
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from hotswap.runtimes.java.classes import java

SIZED: Final = 2  # the wire type of what states its length
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
"""Of the fields that are not varints (0)."""


class NotFlat(Exception):
    """Use the fallback for all requests: the message says what is not flat."""


def own(name: str) -> Any:
    """Return one of our own classes, which are beside this file."""
    return jpype.JClass(f"hotswap.{name}")


def check_proto3(message: Descriptor) -> None:
    """Raise NotFlat if a message is of another syntax, which has other rules."""
    file = FileDescriptorProto()
    message.file.CopyToProto(file)
    if file.syntax != "proto3":
        raise NotFlat(f"{message.full_name} is not proto3")


def java_map(lookup: Mapping[Any, Any]) -> Any:
    """Return a java.util.Map; whole numbers are Longs in it."""
    made = java("java.util.HashMap")()
    for key, value in lookup.items():
        made.put(key if isinstance(key, str) else java("java.lang.Long")(key), value)
    return made
