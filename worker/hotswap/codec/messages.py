"""Protobuf's methods of a message, for any names of its fields.

To protobuf, `message.SerializeToString` is the field of that name, if there is one. So methods are taken from a
message's class here, and never from the message; `getattr` is for fields. google's json_format does call methods of
messages: where a field would stand in its way, it is given a twin, the same message with other names for its fields.
"""

import secrets
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of
from hotswap.codec.proto import class_of

_OWN_FILES: Final = "google/protobuf/"
_ATTRIBUTES: Final = frozenset(dir(descriptor_pb2.FileDescriptorSet()))
"""Of a message."""
_SECRET: Final = f"f{secrets.token_hex(8)}_"
"""Begins the names of fields that no document may name."""


def serialize(message: Message, *, deterministic: bool = False) -> bytes:
    """Return the message's bytes; `deterministic`: the same each time, for maps, too."""
    return type(message).SerializeToString(message, deterministic=deterministic)


def has(message: Message, name: str) -> bool:
    """Return whether the field of that name, which has presence, is set."""
    return type(message).HasField(message, name)


def clear(message: Message) -> None:
    """Unset all fields."""
    type(message).Clear(message)


def merge(message: Message, other: Message) -> None:
    """Add the fields of another message of the same type."""
    type(message).MergeFrom(message, other)


def join(message: type[Message], parts: Sequence[bytes]) -> bytes:
    """Return one serialized message with the repeated fields of all parts: joined, they are read as one."""
    return parts[0] if len(parts) == 1 else serialize(message.FromString(b"".join(parts)))


def touch(message: Message) -> None:
    """Set the message in the one that it is a field of, though it may be empty."""
    type(message).SetInParent(message)


def to_document(message: Message, *, by_json_name: bool = False, has_defaults: bool = False) -> Any:
    """Return a message as a JSON document (proto3's mapping), by its fields' own names, or those that the mapping has.

    `has_defaults`: with the fields that are not set and have no presence.
    """
    twin = _twin(type(message), by_json_name=by_json_name)  # type: ignore[arg-type] # a class can be hashed
    return json_format.MessageToDict(
        twin.FromString(serialize(message)) if twin else message,
        preserving_proto_field_name=not by_json_name and not twin,
        always_print_fields_with_no_presence=has_defaults,
    )


def fill(message: Message, document: Any, *, ignores_unknown: bool = False) -> None:
    """Add the fields of a JSON document to a message. Raises ParseError, ValueError, TypeError or RecursionError."""
    twin = _twin(type(message), by_json_name=False)  # type: ignore[arg-type] # a class can be hashed
    filled = json_format.ParseDict(document, twin() if twin else message, ignore_unknown_fields=ignores_unknown)
    if twin:
        type(message).MergeFromString(message, twin.SerializePartialToString(filled))


@lru_cache(maxsize=64)
def _twin(message: type[Message], *, by_json_name: bool) -> type[Message] | None:
    """Return a class that reads and writes the same bytes and JSON as this one; None: its fields are in nobody's way.

    To its JSON, a field is called what this one's is called in the proto (`by_json_name`: in the mapping); by its own
    name, what it is called in the mapping, as far as a field may be called that: both are read.
    """
    descriptor = descriptor_of(message)
    if not any(part.name in _ATTRIBUTES for held in _held(descriptor) for part in held.fields):
        return None
    pool = descriptor_pool.DescriptorPool()
    for file in in_order(descriptor.file):
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        if not proto.name.startswith(_OWN_FILES):
            waiting = list(proto.message_type)
            while waiting:
                one = waiting.pop()
                waiting += one.nested_type
                if not one.options.map_entry:
                    _rename(one, by_json_name=by_json_name)
        pool.Add(proto)
    return class_of(pool.FindMessageTypeByName(descriptor.full_name))


def _held(descriptor: Any) -> Iterator[Any]:
    """Yield the message and all that it can hold, each once."""
    seen, waiting = set(), [descriptor]
    while waiting:
        message = waiting.pop()
        if message.full_name not in seen:
            seen.add(message.full_name)
            waiting += [part.message_type for part in message.fields if part.message_type]
            yield message


def in_order(file: Any) -> list[Any]:
    """Return a file and all that it imports, each after its own imports."""
    fields: dict[str, Any] = {}
    waiting = [(file, False)]
    while waiting:
        one, is_ready = waiting.pop()
        if is_ready:
            fields.setdefault(one.name, one)
        elif one.name not in fields:
            waiting.append((one, True))
            waiting += [(imported, False) for imported in one.dependencies]
    return list(fields.values())


def _rename(message: descriptor_pb2.DescriptorProto, *, by_json_name: bool) -> None:
    scopes = (message.oneof_decl, message.nested_type, message.enum_type, message.extension)
    reserved = {part.name for scope in scopes for part in scope}
    reserved |= {value.name for enum in message.enum_type for value in enum.value} | _ATTRIBUTES
    for part in message.field:
        own, other = part.name, part.json_name
        part.json_name = other if by_json_name else own
        can_be_both = not by_json_name and other.isidentifier() and other.isascii() and other not in reserved
        part.name = other if can_be_both else f"{_SECRET}{part.number}"
        reserved.add(part.name)
