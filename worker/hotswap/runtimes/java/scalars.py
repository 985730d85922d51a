"""Converts single values between proto fields and Java, both ways: checked, never truncated or guessed."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import jpype
from google.protobuf.descriptor import FieldDescriptor

from hotswap.batch import Code
from hotswap.codec.fields import INTEGERS, names_of, type_name
from hotswap.codec.text.cells import FLOATS
from hotswap.errors import ModelError
from hotswap.runtimes.java import standard
from hotswap.runtimes.java.classes import JavaType, java

Read: TypeAlias = Callable[[Any], Any]
"""Returns a Java value for a message (or an object with its fields as attributes), or for a field's value."""

_IsTaken: TypeAlias = Callable[[FieldDescriptor], bool]

BOXES: Final = {
    "byte": "Byte",
    "short": "Short",
    "int": "Integer",
    "long": "Long",
    "float": "Float",
    "double": "Double",
    "boolean": "Boolean",
    "char": "Character",
}
_OWN: Final[Mapping[str, Read]] = {"Double": float, "Long": int, "Boolean": bool, "String": str}
_BITS: Final = {"Byte": 8, "Short": 16, "Integer": 32, "Long": 64}
_NATURAL: Final = {
    FieldDescriptor.CPPTYPE_INT32: "Integer",
    FieldDescriptor.CPPTYPE_UINT32: "Long",
    FieldDescriptor.CPPTYPE_INT64: "Long",
    FieldDescriptor.CPPTYPE_UINT64: "Long",
    FieldDescriptor.CPPTYPE_DOUBLE: "Double",
    FieldDescriptor.CPPTYPE_FLOAT: "Float",
    FieldDescriptor.CPPTYPE_BOOL: "Boolean",
}
ENUM: Final = "Enum"
_JAVA: Final = ("java.lang.String", "java.lang.Number", "java.lang.Enum")
_DIGITS: Final = 300  # more than any field holds
_MAX_FLOAT: Final = (2 - 2**-23) * 2.0**127


class ScalarMisfit(Exception):
    """Report it at the swap: a field and a type do not fit each other. Its text is a line of its own."""


class BadValue(Exception):
    """Refuse the request: a value does not fit the Java type that it is for."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Slot:
    """A field that a signature may use. `path` names it in messages; `is_many`: its value is a list."""

    part: FieldDescriptor
    path: str
    is_many: bool

    def __str__(self) -> str:
        """Return it with its type: `field `age` (int32)`."""
        kind = type_name(self.part)
        return f"field `{self.path}` ({kind if self.is_many else kind.removeprefix('repeated ')})"


def plain(name: str) -> str:
    """Normalize a name, so that naming conventions of languages do not matter."""
    return name.replace("_", "").lower()


# ---- to Java


def target_of(part: FieldDescriptor, wanted: JavaType) -> str | None:
    """Return the target of converting a scalar field to a Java type; None if it does not fit.

    It is the name of a class, without `java.lang.`; ENUM for a constant of an enum.
    """
    name = wanted.name.removeprefix("java.lang.")
    name = BOXES.get(name, name)
    if wanted.raw.isEnum():
        return ENUM if part.enum_type or part.type == part.TYPE_STRING else None
    if name in _SCALARS:
        return name if _SCALARS[name][0](part) else None
    if part.type == part.TYPE_BYTES:
        return "[B" if wanted.name == "java.lang.Object" else None
    natural = natural_of(part)
    return natural if wanted.takes(f"java.lang.{natural}") else None


def natural_of(part: FieldDescriptor) -> str:
    """Return the class, without `java.lang.`, that a scalar field's value is where no type is wanted."""
    return "[B" if part.type == part.TYPE_BYTES else _NATURAL.get(part.cpp_type, "String")


def fit_scalar(slot: Slot, wanted: JavaType) -> Read | None:
    """Return the function that converts a scalar field's value to the wanted Java type; None if it does not fit."""
    target = target_of(slot.part, wanted)
    if target is None:
        return None
    return _constant(slot, wanted) if target == ENUM else _SCALARS[target][1](slot, target)


def _boxed(name: str) -> Read:
    # JPype converts these itself, at half the cost.
    if own := _OWN.get(name):
        return own
    box: Read = java(f"java.lang.{name}")
    return box


def _plainly(_: Slot, name: str) -> Read:
    return _boxed(name)


def _float32(slot: Slot, name: str) -> Read:
    box = _boxed(name)

    def read(value: float) -> Any:
        if math.isfinite(value) and abs(value) > _MAX_FLOAT:
            raise BadValue(Code.MISTYPED_FIELD, f"field `{slot.path}`: {value} is out of the range of {name}")
        return box(value)

    return read


def _whole(slot: Slot, name: str) -> Read:
    box, end = _boxed(name), 1 << (_BITS[name] - 1)

    def read(value: int) -> Any:
        if not -end <= value < end:
            raise BadValue(Code.MISTYPED_FIELD, f"field `{slot.path}`: {value} is out of the range of {name}")
        return box(value)

    return read


def _character(slot: Slot, name: str) -> Read:
    box = _boxed(name)

    def read(value: str) -> Any:
        if len(value) != 1 or ord(value) > 0xFFFF:  # noqa: PLR2004 - all that a char holds
            raise BadValue(Code.MISTYPED_FIELD, f"field `{slot.path}`: {value[:80]!r} is not one character")
        return box(value)

    return read


def _standard(slot: Slot, name: str) -> Read:
    convert = standard.reader_of(name)

    def read(value: Any) -> Any:
        try:
            return convert(value)
        except ValueError:
            shown = f"{value[:80]!r}" if isinstance(value, str) else value
            message = f"field `{slot.path}`: {shown} is not a {standard.described(name)}"
            raise BadValue(Code.MISTYPED_FIELD, message) from None

    return read


def _text(slot: Slot, _: str = "String") -> Read:
    part = slot.part
    if part.enum_type:
        names = part.enum_type.values_by_number
        return lambda value: names[value].name if value in names else str(value)
    if part.type == part.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if part.cpp_type == part.CPPTYPE_BOOL:
        return lambda value: "true" if value else "false"
    return str


def constants_of(part: FieldDescriptor, wanted: JavaType) -> dict[Any, Any]:
    """Return an enum's constants by an enum field's numbers, or by the plain names for a string field."""
    constants = {plain(str(one.name())): one for one in wanted.raw.getEnumConstants()}
    if not part.enum_type:
        return constants
    by_number = {number: constants[plain(name)] for name, number in names_of(part) if plain(name) in constants}
    if part.enum_type.values_by_number[0].name.endswith("UNSPECIFIED"):
        by_number.setdefault(0, None)
    return by_number


def _constant(slot: Slot, wanted: JavaType) -> Read:
    by_value = constants_of(slot.part, wanted)

    def read(value: Any) -> Any:
        key = plain(value) if isinstance(value, str) else value
        if key not in by_value:
            known = ", ".join(str(one.name()) for one in wanted.raw.getEnumConstants())
            raise BadValue(Code.UNKNOWN_CATEGORY, f"field `{slot.path}`: {value!r} is not one of {wanted}'s {known}")
        return by_value[key]

    return read


_SCALARS: Final[Mapping[str, tuple[_IsTaken, Callable[[Slot, str], Read]]]] = {
    **dict.fromkeys(_BITS, (lambda part: part.cpp_type in INTEGERS, _whole)),
    "Float": (lambda part: part.cpp_type in INTEGERS | FLOATS, _float32),
    "Double": (lambda part: part.cpp_type in INTEGERS | FLOATS, _plainly),
    "Boolean": (lambda part: part.cpp_type == part.CPPTYPE_BOOL, _plainly),
    "Character": (lambda part: part.type == part.TYPE_STRING, _character),
    **dict.fromkeys(("String", "CharSequence"), (lambda _: True, _text)),
    "[B": (lambda part: part.type == part.TYPE_BYTES, lambda *_: jpype.JArray(jpype.JByte)),
    standard.DECIMAL: (lambda part: part.cpp_type in INTEGERS | FLOATS or part.type == part.TYPE_STRING, _standard),
    standard.WHOLE: (lambda part: part.cpp_type in INTEGERS or part.type == part.TYPE_STRING, _standard),
    **dict.fromkeys(standard.TEXTS, (lambda part: part.type == part.TYPE_STRING, _standard)),
}


# ---- from Java


def kind_of(value: Any) -> str:
    """Return the name of a value's class, for people to read."""
    return str(value.getClass().getSimpleName()) if hasattr(value, "getClass") else type(value).__name__


def is_scalar(value: Any) -> bool:
    """Return whether it is a single number, Boolean, text or enum constant."""
    # JPype's boxes are also Python numbers, which are by far the fastest to test for.
    return isinstance(value, (int, float, str)) or any(isinstance(value, java(name)) for name in _JAVA)


def convert(part: FieldDescriptor, value: Any, where: str) -> Any:
    """Convert a Java value to the field's type. Raises ModelError."""
    value = standard.unwrap(value)
    if value is None:
        raise ModelError(f"{where}: is null")
    converted = next(read for takes, read in _READERS if takes(part))(part, value)
    if converted is None:
        kind = type_name(part).removeprefix("repeated ")
        raise ModelError(f"{where}: {_shown(value)} is not a valid {kind}")
    return converted


def _shown(value: Any) -> str:
    return f"the {kind_of(value)} {str(value)[:80]!r}" if is_scalar(value) else f"a {kind_of(value)}"


def _is_truth(value: Any) -> bool:
    return isinstance(value, (bool, java("java.lang.Boolean")))


def _string(_: FieldDescriptor, value: Any) -> str | None:
    if isinstance(value, java("java.lang.Enum")):
        return str(value.name())
    if standard.is_text(value):
        return str(value.toString())
    if not is_scalar(value):
        return None
    if _is_truth(value):
        return "true" if value else "false"
    return str(value)


def _bytes(_: FieldDescriptor, value: Any) -> bytes | None:
    return bytes(value) if isinstance(value, jpype.JArray(jpype.JByte)) else None


def _truth(_: FieldDescriptor, value: Any) -> bool | None:
    return bool(value) if _is_truth(value) else None


def _number(value: Any) -> int | float | Decimal | None:
    """Return a Java number as a Python one without loss; None if it is not a number."""
    if isinstance(value, float):
        return float(value)
    if _is_truth(value) or isinstance(value, str):
        return None
    if isinstance(value, int):
        return int(value)
    if not isinstance(value, java("java.lang.Number")):
        return None
    # BigInteger, BigDecimal, AtomicLong, …
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() < _DIGITS else None


def _integer(part: FieldDescriptor, value: Any) -> int | None:
    number = _number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        return None
    bits = 64 if part.cpp_type in (part.CPPTYPE_INT64, part.CPPTYPE_UINT64) else 32
    is_signed = part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_INT64)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if is_signed else (0, 1 << bits)
    return int(number) if low <= number < high else None


def _float(part: FieldDescriptor, value: Any) -> float | None:
    number = _number(value)
    if number is None:
        return None
    if isinstance(number, int) and int(float(number)) != number:
        return None  # a long that a double would round
    is_too_large = part.cpp_type == part.CPPTYPE_FLOAT and math.isfinite(number) and abs(float(number)) > _MAX_FLOAT
    return None if is_too_large else float(number)


def _enum(part: FieldDescriptor, value: Any) -> int | None:
    assert part.enum_type
    number = _number(value)
    if number is not None:
        # protobuf itself looks up the lowest 32 bits.
        is_known = -(1 << 31) <= number < 1 << 31 and number in part.enum_type.values_by_number
        return int(number) if is_known else None
    name = _string(part, value)
    return dict(names_of(part)).get(name.lower()) if name else None


_READERS: Final[Sequence[tuple[_IsTaken, Callable[[FieldDescriptor, Any], Any]]]] = (
    (lambda part: part.type == part.TYPE_BYTES, _bytes),
    (lambda part: part.type == part.TYPE_STRING, _string),
    (lambda part: part.enum_type is not None, _enum),
    (lambda part: part.cpp_type == part.CPPTYPE_BOOL, _truth),
    (lambda part: part.cpp_type in INTEGERS, _integer),
    (lambda part: part.cpp_type in FLOATS, _float),
)
