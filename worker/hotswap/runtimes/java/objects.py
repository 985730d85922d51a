"""The contents of objects, lists and arrays that a jar's methods return."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jpype

from hotswap.runtimes.java.classes import JavaType, call, java
from hotswap.runtimes.java.scalars import plain


class ReadObject:
    """An object that a method returned, with its properties by the fields' names: they have been read once."""

    def __init__(self, value: Any, properties: Mapping[str, Any]) -> None:
        self.getClass = value.getClass
        self.properties = properties


def properties_of(kind: Any) -> Mapping[str, Any]:
    """Return the public fields and getters of a class (java.lang.Class) by their plain names."""
    members: dict[str, Any] = {}
    for one in kind.getFields():
        if one.trySetAccessible():
            members[plain(str(one.getName()))] = one
    components = kind.getRecordComponents()
    methods = [] if components is None else [(str(one.getName()), one.getAccessor()) for one in components]
    # In a stable order: a class may have `isX` and `getX`, and an overridden getter is listed twice.
    for one in sorted(kind.getMethods(), key=lambda one: (str(one.getName()), not one.isBridge())):
        name = str(one.getName())
        prefix = next((prefix for prefix in ("get", "is") if name.startswith(prefix) and name != prefix), None)
        if prefix and name != "getClass" and one.getParameterCount() == 0:
            methods.append((name.removeprefix(prefix), one))
    for name, one in methods:
        if one.trySetAccessible():  # needed for a public method of a non-public class
            members[plain(name)] = one
    return members


def reader_of(member: Any) -> Callable[[Any], Any]:
    """Return the function that reads a public field, or calls a getter, of an object."""
    if isinstance(member, java("java.lang.reflect.Field")):
        return member.get  # type: ignore[no-any-return]
    return partial(_invoke, member)


def _invoke(method: Any, value: Any) -> Any:
    return call(method.invoke, value, jpype.JArray(jpype.JObject)(0))


def is_a(kind: JavaType, name: str) -> bool:
    """Return whether a value of that type is one of the class `name`."""
    return bool(java(name).class_.isAssignableFrom(kind.raw))


def is_list(kind: JavaType) -> bool:
    """Return whether it is an array or a collection."""
    return bool(kind.raw.isArray()) or is_a(kind, "java.util.Collection")


def is_scalar_type(kind: JavaType) -> bool:
    """Return whether its values are single ones."""
    return kind.raw.isPrimitive() or kind.raw.isEnum() or kind.name.startswith(("java.lang.", "java.math."))


def elements_of(value: Any) -> list[Any] | None:
    """Return the elements of an array or a collection; None for anything else."""
    if isinstance(value, (int, float, str)):
        return None
    if isinstance(value, jpype.JArray):
        return list(value)
    if isinstance(value, java("java.util.Collection")):
        return list(value.toArray())
    return value if isinstance(value, list) else None
