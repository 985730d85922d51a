"""The first half of the fast path: describes to the JVM how a request becomes the arguments of a jar's method."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import jpype
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of
from hotswap.runtimes.flat.bridge import (
    LAST_FIELD,
    WIRE_TYPES,
    NotFlat,
    check_proto3,
    is_unusual,
    java_map,
    own,
    rows_tag,
)
from hotswap.runtimes.java import standard
from hotswap.runtimes.java.arguments import Calls, MessageRows
from hotswap.runtimes.java.classes import JavaType, java
from hotswap.runtimes.java.fits import Fit
from hotswap.runtimes.java.plan import JavaPlan
from hotswap.runtimes.java.scalars import ENUM, BadValue, Slot, constants_of, target_of
from hotswap.runtimes.java.values import fit_field

_ASCII: Final = 128
_TARGETS: Final = {ENUM: "CONSTANT", "String": "TEXT", "CharSequence": "TEXT", "[B": "BYTES"}
_READ_OVER: Final = {
    FieldDescriptor.TYPE_DOUBLE: "Double",
    FieldDescriptor.TYPE_FLOAT: "Double",
    FieldDescriptor.TYPE_STRING: "String",
    FieldDescriptor.TYPE_BYTES: "[B",
}


def parts_of(calls: Calls, table: MessageRows) -> Sequence[Fit]:
    """Return the source of each place of a row. Raises NotFlat."""
    if table.shape == "columns" and not calls.is_one_row:
        raise NotFlat("the columns of a request are repeated fields")
    if calls.text not in ("", "csv"):
        raise NotFlat("the rows are passed as JSON" if calls.text == "json" else "the rows are passed in a file")
    if calls.fit is None:
        text = JavaType(java("java.lang.String").class_)
        for slot in table.slots:
            if slot.is_many or slot.part.message_type:
                raise NotFlat(f"{slot} is a cell of a CSV")
        parts: Sequence[Fit] = [fit_field(slot, text) for slot in table.slots]
    elif calls.fit.how == "map":
        raise NotFlat("a row is passed as a Map")
    else:
        parts = [calls.fit] if calls.fit.how == "field" else calls.fit.parts
    for part in parts:
        _check_part(part)
    return parts


def _check_part(fit: Fit) -> None:
    slot, wanted = _field_of(fit)
    part = slot.part
    if part.message_type:
        raise NotFlat(f"{slot} is a message")
    if is_unusual(part):
        raise NotFlat(f"{slot} is in a oneof, or a closed enum")
    if wanted.name in standard.NAMES or (slot.is_many and wanted.component.name in standard.NAMES):
        raise NotFlat(f"{slot} fills a {wanted}")
    if slot.is_many and not wanted.raw.isArray():
        raise NotFlat(f"{slot} fills a {wanted}")
    if part.number > LAST_FIELD:
        raise NotFlat(f"field number {part.number} is beyond {LAST_FIELD}")


def _field_of(fit: Fit) -> tuple[Slot, JavaType]:
    assert fit.slot, "it is the fit of one field"
    assert fit.wanted
    return fit.slot, fit.wanted


def describe_reader(parts: Sequence[Fit], table: MessageRows, *, is_text: bool) -> Any:
    """Describe a row's fields to the JVM, as a JarReader. Raises NotFlat."""
    row = descriptor_of(table.row)
    check_proto3(row)
    places = {_field_of(fit)[0].part.number: place for place, fit in enumerate(parts)}
    if len(places) < len(parts):
        raise NotFlat("a field fills two parameters or properties")
    known = [part for part in row.fields if part.number in places or not (part.is_repeated or _is_far(part))]
    fields = jpype.JArray(own("java.JarSource"))(1 + max((part.number for part in known), default=0))
    for part in known:
        place = places.get(part.number, -1)
        fields[part.number] = _input_field(part, place, _field_of(parts[place])[1] if place >= 0 else None)
    empty = table.row()
    defaults = jpype.JArray(jpype.JObject)([_default(fit, empty, is_text=is_text) for fit in parts])
    return own("java.JarReader")(fields, defaults, rows_tag(table.message, table.rows_field))


def _is_far(part: FieldDescriptor) -> bool:
    return bool(part.message_type) or part.number > LAST_FIELD


def _input_field(part: FieldDescriptor, place: int, wanted: JavaType | None) -> Any:
    """Describe a field, as a JarSource. Without a wanted type, it is read over."""
    component = wanted.component if wanted and part.is_repeated else None
    target = target_of(part, component or wanted) if wanted else _READ_OVER.get(part.type, "Long")
    assert target
    lookup: dict[Any, Any] = {}
    if target == ENUM:
        lookup = constants_of(part, component or wanted)  # type: ignore[arg-type] # it is wanted
    elif wanted and part.enum_type:
        lookup = {number: value.name for number, value in part.enum_type.values_by_number.items()}
    tag = part.number << 3 | WIRE_TYPES.get(part.type, 0)
    named = own("java.JarSource$Target").valueOf(_TARGETS.get(target, target.upper()))
    raw = component.raw if component else None
    return own("java.JarSource")(place, tag, part.type, named, java_map(lookup) if lookup else None, raw)


def _default(fit: Fit, empty: Message, *, is_text: bool) -> Any:
    """Return the Java value of a field that a row lacks."""
    slot, _ = _field_of(fit)
    if slot.is_many:
        return None  # the JVM makes an empty array
    try:
        value = fit.read(empty)
    except BadValue:
        return own("java.JarReader").NEEDED
    return "" if value is None and is_text else value


def describe_method(plan: JavaPlan, calls: Calls) -> Any:
    """Describe the method and its arguments to the JVM, as a JarMethod."""
    takes, makes = own("java.JarMethod$Takes"), own("java.JarMethod")
    fit, whole = calls.fit, calls.whole
    maker = component = csv_rows = None
    if fit is None:
        kind = takes.TEXT
        csv_rows = own("java.JarCsv")(plan.table.csv_header, jpype.JArray(jpype.JBoolean)(_quoted()))
    elif fit.how == "parameters":
        kind = takes.ROW_VALUES
    else:
        kind, maker = takes.ROW, _maker(makes, fit)
    if whole:
        kind = takes.ALL_IN_ARRAY if whole.raw.isArray() else takes.ALL_IN_LIST
        component = whole.component.raw
    return makes(plan.method, plan.target, kind, maker, component, csv_rows, calls.is_each_row)


def _maker(makes: Any, fit: Fit) -> Any:
    if fit.how == "field":
        return makes.value()
    if fit.how == "vector":
        assert fit.wanted
        return makes.vector(fit.wanted.component.raw) if fit.wanted.raw.isArray() else makes.list()
    if fit.how == "created":
        return makes.created(fit.members[0])
    members = jpype.JArray(java("java.lang.reflect.AccessibleObject"))(list(fit.members[1:]))
    return makes.bean(fit.members[0], members)


def _quoted() -> list[bool]:
    """Return for each ASCII character whether a cell of it is quoted in a CSV: this depends on Python's version."""
    quoted = []
    for code in range(_ASCII):
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\n").writerow([chr(code), ""])
        quoted.append(line.getvalue().startswith('"'))
    return quoted
