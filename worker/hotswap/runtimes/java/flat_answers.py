"""The second half of the fast path: describes to the JVM how to encode a jar's results."""

from typing import Any, Final

import jpype
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of, names_of
from hotswap.codec.messages import serialize
from hotswap.runtimes.flat.bridge import SIZED, WIRE_TYPES, NotFlat, check_proto3, is_unusual, java_map, own, rows_tag
from hotswap.runtimes.java.classes import JavaType, java, type_of
from hotswap.runtimes.java.objects import is_list, properties_of
from hotswap.runtimes.java.results import Results

_RETURNED: Final = (
    *("byte", "short", "int", "long", "float", "double", "boolean", "java.lang.Object", "java.lang.String"),
    *(f"java.lang.{name}" for name in ("Byte", "Short", "Integer", "Long", "Float", "Double", "Boolean")),
)


def describe_results(results: Results, returned: JavaType, *, is_each_row: bool) -> Any:
    """Describe to the JVM how to encode the method's results, as JarResults. Raises NotFlat."""
    if results.text:
        raise NotFlat("the text that the method returns is parsed")
    fields = [_output_field(part, results.row) for part in results.row_fields]
    element = returned
    while is_list(element):
        element = element.component
    known, members = None, []
    if element.name == "java.lang.Object" and element is returned:
        raise NotFlat("the method does not declare what it returns")
    if not _is_flat(element):
        known, members = element.raw, _members(results, element)
        in_list = is_each_row or element is not returned
        if not in_list and (results.is_columns or _holds_rows(results, element)):
            raise NotFlat(f"the method returns a {element} of lists")
    shapes = own("java.JarResults$Shape")
    shape = shapes.ROWS if results.rows_field else shapes.COLUMNS if results.is_columns else shapes.SINGLE
    numbers = [part.number for part in results.row_fields]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    return own("java.JarResults")(
        shape,
        jpype.JArray(own("java.JarField"))(fields),
        jpype.JArray(jpype.JInt)(order),
        rows_tag(results.message, results.rows_field),
        results.is_one_row,
        is_each_row,
        known,
        jpype.JArray(java("java.lang.reflect.AccessibleObject"))(members),
    )


def _is_flat(kind: JavaType) -> bool:
    return kind.name in _RETURNED or bool(kind.raw.isEnum())


def _members(results: Results, kind: JavaType) -> list[Any]:
    """Return the public fields and getters of a returned object, one for each field of a row. Raises NotFlat."""
    modifiers = java("java.lang.reflect.Modifier")
    if kind.name.startswith("java.") or modifiers.isAbstract(kind.raw.getModifiers()):
        raise NotFlat(f"the method returns a {kind}")
    known, members = properties_of(kind.raw), []
    for part in results.row_fields:
        member = known.get(results.name(part))
        if member is None:
            raise NotFlat(f"{kind} has no property for field `{part.name}`")
        is_field = isinstance(member, java("java.lang.reflect.Field"))
        declared = type_of(member.getGenericType() if is_field else member.getGenericReturnType())
        if not _is_flat(declared.component if is_list(declared) else declared):
            raise NotFlat(f"{kind}'s property for field `{part.name}` is a {declared}")
        members.append(member)
    return members


def _holds_rows(results: Results, kind: JavaType) -> bool:
    """Return whether an object has a property for the field of all rows."""
    if not results.rows_field:
        return False
    return results.name(descriptor_of(results.message).fields_by_name[results.rows_field]) in properties_of(kind.raw)


def _output_field(part: FieldDescriptor, row: type[Message]) -> Any:
    """Describe a field of an answer to the JVM, as a JarField. Raises NotFlat."""
    check_proto3(descriptor_of(row))
    if part.message_type or is_unusual(part):
        raise NotFlat(f"output field `{part.name}` is a message, in a oneof, or a closed enum")
    kind = WIRE_TYPES.get(part.type, 0)
    if part.is_repeated and kind != SIZED:
        (value,) = [0] if not part.enum_type else [part.enum_type.values[0].number]
        if serialize(row(**{part.name: [value]}))[0] & 7 != SIZED:
            raise NotFlat(f"output field `{part.name}` is not packed")
        kind = SIZED
    numbers = None
    if part.enum_type:
        known: dict[Any, int] = {number: number for number in part.enum_type.values_by_number}
        known.update(names_of(part))
        numbers = java_map({key: java("java.lang.Long")(number) for key, number in known.items()})
    return own("java.JarField")(part.type, part.number << 3 | kind, part.is_repeated, part.has_presence, numbers)
