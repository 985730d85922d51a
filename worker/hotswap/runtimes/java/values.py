"""Converts a message's fields to Java values, by the types in a signature.

Java types and the fields that fit (a repeated field fills an array, or a List, Collection or Iterable, of these):

    byte, short, int, long      a whole number, in range
    float, double               a number
    boolean                     a bool
    char                        a string of one character
    String                      any scalar, as CSV writes it
    byte[]                      bytes
    BigDecimal, BigInteger      a number (BigInteger: a whole one), or a string that is one: at most 1,000 digits
    LocalDate, Instant, UUID, … a string, as Java writes them: java.time's types that it can read, and UUID
    Optional, OptionalInt, …    what their value takes; empty for an absent `optional` field
    an enum                     an enum or a string, by the constant's name (in any case, with or without the prefix); a
                                zero that ends in UNSPECIFIED is null
    Object, Number              any scalar or message, as its natural Java type
    Map                         a message or a map, by the fields' names
    a class of the jar          a message: by the public constructor without parameters, then the setters and public
                                fields; without one, by a record's or another public constructor's parameters

Names match if they differ only in case and underscores (`sepalLength`, sepal_length). Parameters of a constructor or
method are filled by name if their names are known: in a record, or in a jar compiled with `-parameters`. Otherwise, and
if a single parameter does not have a field's name, they are filled by position: there must be as many as fields.

An absent `optional` field is null; for a type that cannot be null, the request is refused (MISSING_FIELD).

Of several constructors, or setters of a property, that fit, the nearest is called (fits.py); if there is none such, the
swap is refused, and they are listed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import jpype
from google.protobuf.descriptor import Descriptor

from hotswap.batch import Code
from hotswap.codec.fields import is_map
from hotswap.codec.messages import has
from hotswap.runtimes.java.classes import JavaType, call, java, type_of
from hotswap.runtimes.java.fits import Fit, nearest, way_of
from hotswap.runtimes.java.scalars import BadValue, Read, ScalarMisfit, Slot, fit_scalar, plain
from hotswap.runtimes.java.standard import inner_of, wrap

_ARRAY_LIST: Final = "java.util.ArrayList"
_HASH_MAP: Final = "java.util.LinkedHashMap"
_MAX_DEPTH: Final = 10
_SETTER: Final = 3  # letters of `set`


def slots_of(message: Descriptor, above: str = "") -> list[Slot]:
    """Return the fields of a message."""
    return [Slot(part, above + part.name, bool(part.is_repeated)) for part in message.fields]


def find_slot(slots: Sequence[Slot], name: str) -> Slot | None:
    """Return the field of that name: the exact match, else the only one apart from case and underscores, else None."""
    exact = [slot for slot in slots if slot.part.name == name]
    near = exact or [slot for slot in slots if plain(slot.part.name) == plain(name)]
    return near[0] if len(near) == 1 else None


# ---- several fields


def fit_all(slots: Sequence[Slot], wanted: JavaType, names: Mapping[str, str]) -> Fit:
    """Fit one value to all fields: an array, List, Map, object, or a lone field's. Raises Misfit."""
    if wanted.raw.isArray() or (wanted.takes(_ARRAY_LIST) and wanted.name != "java.lang.Object"):
        if len(slots) == 1 and slots[0].is_many:
            return fit_field(slots[0], wanted)
        return _fit_vector(slots, wanted)
    if wanted.takes(_HASH_MAP):
        element = wanted.component if wanted.arguments else JavaType(java("java.lang.Object").class_)
        return _fit_map([fit_field(slot, element) for slot in slots], [slot.part.name for slot in slots])
    if _is_simple(wanted):
        if len(slots) != 1:
            raise ScalarMisfit(f"{wanted} takes one value, but there are {len(slots)} fields ({_listed(slots)})")
        return fit_field(slots[0], wanted)
    return _fit_object(slots, wanted, names)


def fit_parameters(executable: Any, slots: Sequence[Slot], names: Mapping[str, str]) -> Fit:
    """Fit a method's or constructor's arguments, an Object[]. `names`: parameter -> field. Raises Misfit."""
    parameters = list(executable.getParameters())
    types = [type_of(one) for one in executable.getGenericParameterTypes()]
    known = [str(one.getName()) if one.isNamePresent() else None for one in parameters]
    is_constructor = isinstance(executable, java("java.lang.reflect.Constructor"))
    record = executable.getDeclaringClass().getRecordComponents() if is_constructor else None
    if record is not None and len(record) == len(parameters):
        known = [str(one.getName()) for one in record]
    matches = [name and find_slot(slots, names.get(name, name)) for name in known]
    if any(matches) or (all(known) and len(known) > 1):
        absent = [f"`{name}`" for name, slot in zip(known, matches, strict=True) if not slot]
        if absent:
            raise ScalarMisfit(
                f"no field has the name of parameter {', '.join(absent)}; the fields are: {_listed(slots)}; "
                "rename one, or name it in configuration.columns"
            )
        chosen = [slot for slot in matches if slot]
    elif len(slots) == len(parameters):
        chosen = list(slots)
    else:
        listed = ", ".join(map(str, types))
        raise ScalarMisfit(
            f"there are {len(parameters)} parameters ({listed}) but {len(slots)} fields ({_listed(slots)})"
        )
    parts = [fit_field(slot, kind) for slot, kind in zip(chosen, types, strict=True)]
    reads = [part.read for part in parts]
    objects = jpype.JArray(jpype.JObject)
    return Fit(lambda row: objects([read(row) for read in reads]), "parameters", parts=parts)


def _listed(slots: Sequence[Slot]) -> str:
    return ", ".join(slot.part.name for slot in slots) or "none"


def _fit_vector(slots: Sequence[Slot], wanted: JavaType) -> Fit:
    if many := [slot for slot in slots if slot.is_many]:
        raise ScalarMisfit(f"{many[0]} has many values, but each element of {wanted} takes one")
    parts = [fit_field(slot, wanted.component) for slot in slots]
    reads = [part.read for part in parts]
    collect = collector(wanted)
    return Fit(lambda row: collect([read(row) for read in reads]), "vector", wanted, parts=parts)


def _fit_map(parts: Sequence[Fit], names: Sequence[str]) -> Fit:
    reads = [(name, part.read) for name, part in zip(names, parts, strict=True)]
    make = java(_HASH_MAP)

    def read_all(row: Any) -> Any:
        made = make()
        for name, read in reads:
            made.put(name, read(row))
        return made

    return Fit(read_all, "map", parts=parts)


def _fit_object(slots: Sequence[Slot], wanted: JavaType, names: Mapping[str, str]) -> Fit:
    modifier = java("java.lang.reflect.Modifier")
    constructors = list(wanted.raw.getConstructors())
    if modifier.isAbstract(wanted.raw.getModifiers()) or not constructors:
        raise ScalarMisfit(f"{wanted} cannot be created: it has no public constructor that can be called")
    bare = next((one for one in constructors if one.getParameterCount() == 0), None)
    if bare is not None:
        return _fit_bean(slots, wanted, bare, names)
    fitting, reasons = [], []
    for one in constructors:
        try:
            fitting.append((one, fit_parameters(one, slots, names)))
        except ScalarMisfit as reason:
            reasons.append(f"{wanted}: {reason}")
    chosen = nearest(fitting, lambda one: way_of(one[1]))
    if chosen is None:
        listed = ", ".join(_signature(one) for one, _ in fitting)
        raise ScalarMisfit(
            "\n".join(reasons) if not fitting else f"{wanted} has several constructors that fit: {listed}"
        )
    make, arguments = chosen
    read = arguments.read
    return Fit(lambda row: call(make.newInstance, read(row)), "created", wanted, parts=arguments.parts, members=[make])


def _fit_bean(slots: Sequence[Slot], wanted: JavaType, make: Any, names: Mapping[str, str]) -> Fit:
    objects = jpype.JArray(jpype.JObject)
    parts, members, absent = [], [], []
    for name, options in _properties(wanted.raw).items():
        slot = find_slot(slots, names.get(name, name))
        if slot:
            fit, member = _fit_property(slot, name, options)
            parts.append(fit)
            members.append(member)
        else:
            absent.append(f"`{name}`")
    if absent or not parts:
        what = f"property {', '.join(absent)}" if absent else "setter or public field"
        raise ScalarMisfit(f"no field has the name of {wanted}'s {what}; the fields are: {_listed(slots)}")

    fills = [(part.read, _setter(member)) for part, member in zip(parts, members, strict=True)]

    def read_all(row: Any) -> Any:
        made = call(make.newInstance, objects(0))
        for read, put in fills:
            put(made, read(row))
        return made

    return Fit(read_all, "bean", wanted, parts=parts, members=[make, *members])


def _setter(member: Any) -> Callable[[Any, Any], Any]:
    if isinstance(member, java("java.lang.reflect.Field")):
        return member.set  # type: ignore[no-any-return]
    objects = jpype.JArray(jpype.JObject)
    return lambda made, value: call(member.invoke, made, objects([value]))


def _fit_property(slot: Slot, name: str, options: Sequence[tuple[JavaType, Any]]) -> tuple[Fit, Any]:
    fitting, reasons = [], []
    for kind, member in options:
        try:
            fitting.append((fit_field(slot, kind), member))
        except ScalarMisfit as reason:
            reasons.append(str(reason))
    chosen = nearest(fitting, lambda one: way_of(one[0]))
    if chosen is None:
        listed = ", ".join(str(fit.wanted) for fit, _ in fitting)
        raise ScalarMisfit("\n".join(reasons) if not fitting else f"several setters of `{name}` take {slot}: {listed}")
    return chosen


def _properties(raw: Any) -> Mapping[str, Sequence[tuple[JavaType, Any]]]:
    """Return the setters of each writable property, each with its type; or else the public field."""
    modifier = java("java.lang.reflect.Modifier")
    writers: dict[str, list[tuple[JavaType, Any]]] = {}
    for one in raw.getMethods():
        name = str(one.getName())
        is_setter = re.match(r"set[^a-z]", name) and one.getParameterCount() == 1 and not one.isBridge()
        if is_setter and not modifier.isStatic(one.getModifiers()):
            name = name[_SETTER].lower() + name[_SETTER + 1 :]
            writers.setdefault(name, []).append((type_of(one.getGenericParameterTypes()[0]), one))
    setters = set(writers)
    for one in raw.getFields():
        name, flags = str(one.getName()), one.getModifiers()
        if not modifier.isStatic(flags) and not modifier.isFinal(flags) and name not in setters:
            writers.setdefault(name, []).append((type_of(one.getGenericType()), one))
    return writers


def _signature(constructor: Any) -> str:
    taken = ", ".join(str(type_of(one)) for one in constructor.getGenericParameterTypes())
    return f"{constructor.getDeclaringClass().getSimpleName()}({taken})"


# ---- one field


def fit_field(slot: Slot, wanted: JavaType) -> Fit:
    """Fit one field of the message that holds it. Raises Misfit."""
    part, name = slot.part, slot.part.name
    if is_map(part):
        inner = _fit_entries(slot, wanted)
    elif slot.is_many:
        inner = _fit_list(slot, wanted)
    else:
        inner = _fit_value(slot, wanted)
    if part.has_presence and not slot.is_many:
        return Fit(_optional(slot, inner.read, wanted), "field", wanted, slot, inner.parts)
    return Fit(lambda row: inner.read(getattr(row, name)), "field", wanted, slot, inner.parts)


def _optional(slot: Slot, convert: Read, wanted: JavaType) -> Read:
    name, has_null = slot.part.name, not wanted.raw.isPrimitive()
    nothing = wrap(wanted, None) if inner_of(wanted) else None

    def read(row: Any) -> Any:
        if has(row, name):
            return convert(getattr(row, name))
        if has_null:
            return nothing
        raise BadValue(Code.MISSING_FIELD, f"field `{slot.path}`: there is no value, but {wanted} cannot be null")

    return read


def _fit_entries(slot: Slot, wanted: JavaType) -> Fit:
    if not wanted.takes(_HASH_MAP):
        raise ScalarMisfit(f"{slot} does not fit in {wanted}; take a Map")
    entry = slots_of(slot.part.message_type, f"{slot.path}.")  # type: ignore[arg-type] # a map has one
    kinds = wanted.arguments or (JavaType(java("java.lang.Object").class_),) * 2
    parts = [_fit_value(one, kind) for one, kind in zip(entry, kinds, strict=True)]
    read_key, read_value = (part.read for part in parts)
    make = java(_HASH_MAP)

    def read(values: Mapping[Any, Any]) -> Any:
        made = make()
        for key, value in values.items():
            made.put(read_key(key), read_value(value))
        return made

    return Fit(read, "field", wanted, slot, parts)


def _fit_list(slot: Slot, wanted: JavaType) -> Fit:
    if not wanted.raw.isArray() and not wanted.takes(_ARRAY_LIST):
        raise ScalarMisfit(f"{slot} has many values, but {wanted} takes one")
    element = _fit_value(slot, wanted.component)
    convert, collect = element.read, collector(wanted)
    return Fit(lambda values: collect([convert(value) for value in values]), "field", wanted, slot, [element])


def collector(wanted: JavaType) -> Callable[[list[Any]], Any]:
    """Return the function that makes an array or a List of values."""
    if not wanted.raw.isArray():
        make = java(_ARRAY_LIST)
    elif wanted.component.raw.isPrimitive():
        return jpype.JArray(jpype.JClass(wanted.component.raw))  # type: ignore[no-any-return]
    else:
        # JPype looks an array's class up by name, without the jar's class loader.
        make = partial(java("java.lang.reflect.Array").newInstance, wanted.component.raw)

    def collect(values: list[Any]) -> Any:
        made = make(len(values))
        for place, value in enumerate(values):
            if wanted.raw.isArray():
                made[place] = value
            else:
                made.add(value)
        return made

    return collect


def _is_simple(wanted: JavaType) -> bool:
    raw = wanted.raw
    return raw.isPrimitive() or raw.isEnum() or wanted.name.startswith("java.")


def _fit_value(slot: Slot, wanted: JavaType) -> Fit:
    part = slot.part
    if slot.path.count(".") > _MAX_DEPTH:
        raise ScalarMisfit(f"{slot} is nested too deeply: a message that contains itself has no end")
    if inner := inner_of(wanted):
        held = _fit_value(slot, inner)
        return Fit(lambda value: wrap(wanted, held.read(value)), "field", wanted, slot, [held])
    if part.message_type:
        message = fit_all(slots_of(part.message_type, f"{slot.path}."), wanted, {})
        return Fit(message.read, "field", wanted, slot, [message])
    conversion = fit_scalar(slot, wanted)
    if conversion is None:
        raise ScalarMisfit(f"{slot} does not fit in {wanted}")
    return Fit(conversion, "field", wanted, slot)
