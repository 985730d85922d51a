"""Chooses the next version of a model from the difference between its proto and the previous one (semantic versioning).

    major   requests for the old proto are no longer answered as they were meant, or code generated from it does not
            fit: an operation, a field or an enum value is removed, renamed, renumbered or retyped, a message of an
            operation has another name, or the input has a new field that an old request silently leaves at 0
    minor   something is added: an operation, a repeated or `optional` field or a message, any field of the output, an
            enum value; or a field has become `optional`, or is no longer
    patch   neither: the contract is the same

The rules are Acumos's (same contract: patch; an added repeated field: minor; removed, renamed, retyped: major), except
that Acumos ignores field numbers, and does not know `optional`.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from hotswap.codec.compatibility import incompatibilities
from hotswap.codec.proto import Operation, Schema
from hotswap.errors import UsageError

FIRST: Final = "1.0.0"


class VersionStep(NamedTuple):
    """The step from one version to the next: `name` is major, minor or patch."""

    name: str
    reasons: tuple[str, ...]


class Version(NamedTuple):
    """A version, and the reasons for the step from the previous one."""

    number: str
    reasons: tuple[str, ...]


def next_version(previous: str, old: Schema, new: Schema) -> Version:
    """Return the version of `new` after `old`, which has version `previous` (major.minor.patch).

    Raises:
        UsageError: `previous` is not such a version.

    """
    if not re.fullmatch(r"(0|[1-9]\d{0,8})(\.(0|[1-9]\d{0,8})){2}", previous):
        raise UsageError(f"version {previous!r} is not three numbers: write it as 1.2.3")
    major, minor, patch = map(int, previous.split("."))
    step = next_step(old, new)
    numbers = {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
    }
    return Version(numbers[step.name], step.reasons)


def next_step(old: Schema, new: Schema) -> VersionStep:
    """Return the step from the version of `old` to that of `new`."""
    breaking, added = _differences(old, new)
    if breaking:
        return VersionStep("major", tuple(breaking))
    if added:
        return VersionStep("minor", tuple(added))
    return VersionStep("patch", ("the contract is the same",))


def _differences(old: Schema, new: Schema) -> tuple[list[str], list[str]]:
    """Return the breaking changes and the additions, a line each."""
    breaking = incompatibilities(old, new)
    added = [f"operation {name} is new" for name in new.operations if name not in old.operations]
    for name, operation in old.operations.items():
        if successor := new.operations.get(name):
            breaking += _renamed_messages(operation, successor)
            for is_input in (True, False):
                was, now = (rpc.input if is_input else rpc.output for rpc in (operation, successor))
                for line, is_breaking in _messages(was.DESCRIPTOR, now.DESCRIPTOR, is_input=is_input):
                    (breaking if is_breaking else added).append(line)
    return list(dict.fromkeys(breaking)), list(dict.fromkeys(added))


def _renamed_messages(old: Operation, new: Operation) -> Iterator[str]:
    for what, was, now in (("takes", old.input, new.input), ("returns", old.output, new.output)):
        if was.DESCRIPTOR.name != now.DESCRIPTOR.name:
            yield f"operation {old.name} {what} {now.DESCRIPTOR.name} now, not {was.DESCRIPTOR.name}"


def _messages(old: Any, new: Any, *, is_input: bool) -> Iterator[tuple[str, bool]]:
    """Yield the differences of two messages and all that they hold; not by recursion, for that may be a long chain."""
    seen, waiting = set[str](), [(old, new)]
    while waiting:
        old, new = waiting.pop()
        if old.full_name not in seen:  # a message may contain itself
            seen.add(old.full_name)
            inner: list[tuple[Any, Any]] = []
            yield from _fields(old, new, inner, is_input=is_input)
            waiting += reversed(inner)


def _fields(old: Any, new: Any, inner: list[tuple[Any, Any]], *, is_input: bool) -> Iterator[tuple[str, bool]]:
    """Yield the differences of two messages' fields, and add to `inner` the messages in them."""
    for number, field in new.fields_by_number.items():
        before = old.fields_by_number.get(number)
        where = f"field {new.name}.{field.name} = {number}"
        if before is None:
            is_unseen = is_input and not field.is_repeated and not field.has_presence
            yield (
                f"{where} is new" + (" and not `optional`: old requests leave it at 0" if is_unseen else ""),
                is_unseen,
            )
        elif before.message_type and field.message_type:
            inner.append((before.message_type, field.message_type))
        elif before.enum_type and field.enum_type:
            known = before.enum_type.values_by_number
            values = [value for value in field.enum_type.values if value.number not in known]
            yield from ((f"enum value {field.enum_type.name}.{value.name} is new", False) for value in values)
        if before is not None and before.has_presence != field.has_presence:
            yield f"{where} {'has become' if field.has_presence else 'is no longer'} `optional`", False
