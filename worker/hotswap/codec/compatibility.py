"""Whether requests written for one proto mean the same under another, which decides where a swap cuts by default.

Stricter than the wire format: to a model, a renamed field is another column, and a reused field number is read as
something else without any error. Fields may be added, and may become `optional` or cease to be.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from hotswap.codec.proto import Schema


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """List the reasons why `new` would misread requests written for `old`, one line each; empty if there are none."""
    problems: list[str] = []
    if len(old.operations) == 1 and len(new.operations) > 1:
        problems.append("there are several operations now, so requests without the header `operation` are ambiguous")
    for name, operation in old.operations.items():
        successor = new.operations.get(name)
        if successor is None:
            problems.append(f"operation {name} is gone")
            continue
        problems += _messages(operation.input.DESCRIPTOR, successor.input.DESCRIPTOR)
        problems += _messages(operation.output.DESCRIPTOR, successor.output.DESCRIPTOR)
    return list(dict.fromkeys(problems))


def _messages(old: Any, new: Any) -> Iterator[str]:
    """Compare two messages and all that they hold; not by recursion, since a stranger's proto says how deep that is."""
    seen: set[tuple[str, str]] = set()
    waiting = [(old, new)]
    while waiting:
        old, new = waiting.pop()
        if (old.full_name, new.full_name) not in seen:  # a message may contain itself
            seen.add((old.full_name, new.full_name))
            inner: list[tuple[Any, Any]] = []
            yield from _fields(old, new, inner)
            waiting += reversed(inner)


def _fields(old: Any, new: Any, inner: list[tuple[Any, Any]]) -> Iterator[str]:
    """Compare the fields of two messages, and add to `inner` the messages in them."""
    for number, field in old.fields_by_number.items():
        successor = new.fields_by_number.get(number)
        where = f"field {old.name}.{field.name} = {number}"
        if successor is None:
            yield f"{where} is gone"
        elif successor.name != field.name:
            yield f"{where} is called {successor.name} now"
        elif (was := _type(field)) != (now := _type(successor)):
            yield f"{where} was {was} and is {now} now"
        elif field.message_type:
            inner.append((field.message_type, successor.message_type))
        elif field.enum_type:
            yield from _enum(field.enum_type, successor.enum_type)


def _enum(old: Any, new: Any) -> Iterator[str]:
    for value in old.values:
        successor = new.values_by_number.get(value.number)
        if successor is None or successor.name != value.name:
            yield f"enum value {old.name}.{value.name} = {value.number} is gone"


# protobuf has two classes for each kind of descriptor, and its stubs do not agree on one: hence Any.
_TYPES = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def _type(field: Any) -> str:
    return f"repeated {_TYPES[field.type]}" if field.is_repeated else _TYPES[field.type]
