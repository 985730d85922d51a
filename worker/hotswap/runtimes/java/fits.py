"""How a Java value is made of a message's fields, and which of several ways, those of overloads, is the nearest.

A way is nearer than another one if both take the same fields in the same manner, the type of no value is farther from
the proto's, and that of one is nearer:

    exact       int for int32, long for int64 and the unsigned ones, double, float, boolean, String, byte[], an enum;
                for an `optional` field the box before the primitive, else the other way round
    wider       long, double for int32; double for int64 and float; CharSequence
    narrower    what may not hold the value: float for double, int for int64
    open        Number, then Comparable, then Object
    other       the value's text; of a text, a char or an enum's constant

Types that were not taken at first (standard.py) count only where nothing else fits: so no overload with one of them
takes the place of the one that a stored configuration has called before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

from google.protobuf.descriptor import FieldDescriptor

from hotswap.runtimes.java import standard
from hotswap.runtimes.java.classes import JavaType
from hotswap.runtimes.java.scalars import BOXES, Read, Slot, natural_of

How: TypeAlias = Literal["field", "parameters", "vector", "map", "created", "bean"]
T = TypeVar("T")

_EXACT, _WIDER, _NARROWER, _OPEN, _OTHER = 0, 10, 20, 30, 40
_STEPS: Final = {
    "Integer": {
        "Long": _WIDER,
        "Double": _WIDER + 2,
        "Float": _NARROWER,
        "Short": _NARROWER + 2,
        "Byte": _NARROWER + 4,
    },
    "Long": {
        "Double": _WIDER,
        "Float": _WIDER + 2,
        "Integer": _NARROWER,
        "Short": _NARROWER + 2,
        "Byte": _NARROWER + 4,
    },
    "Float": {"Double": _WIDER},
    "Double": {"Float": _NARROWER},
    "String": {"CharSequence": _WIDER},
}
_OPEN_TYPES: Final = {"Number": _OPEN, "Object": _OPEN + 4}
_STANDARD: Final = {standard.WHOLE: _WIDER + 4, standard.DECIMAL: _WIDER + 6}


@dataclass(frozen=True, slots=True)
class Fit:
    """How a Java value is made of a message's fields: `read` does it here, from the rest flat.py does it in the JVM.

    `parts` of a field are what its elements, its message or an Optional's value are made by. `members` are the
    constructor of an object, and for a bean the setter or public field that takes each part.
    """

    read: Read
    how: How
    wanted: JavaType | None = None
    slot: Slot | None = None
    parts: Sequence["Fit"] = ()
    members: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """The rank of an overload: the manner in which it takes fields, and the distance of each value's type.

    `is_late`: it counts only where no other one fits.
    """

    manner: tuple[Any, ...]
    distances: tuple[int, ...]
    is_late: bool

    def is_nearer(self, other: "Way") -> bool:
        """Return whether it is nearer than another one; of two that differ in manner, none is."""
        pairs = list(zip(self.distances, other.distances, strict=False))
        return (
            self.manner == other.manner
            and all(ours <= theirs for ours, theirs in pairs)
            and any(ours < theirs for ours, theirs in pairs)
        )


def way_of(fit: Fit | None, *manner: Any, is_late: bool = False) -> Way:
    """Return the rank of a fit; `manner` is its context. None: it takes a text, not values."""
    leaves = sorted(_leaves(fit, ""), key=lambda leaf: leaf[0]) if fit else []
    late = is_late or (fit is not None and _is_late(fit))
    return Way((*manner, *(leaf[0] for leaf in leaves)), tuple(leaf[1] for leaf in leaves), late)


def nearest(options: Sequence[T], way: Callable[[T], Way]) -> T | None:
    """Return the option that is nearer than each other one; None if there is none such."""
    ways = [(option, way(option)) for option in options]
    counted = [(option, its) for option, its in ways if not its.is_late] or ways
    for option, its in counted:
        if all(other is option or its.is_nearer(others) for other, others in counted):
            return option
    return None


def distance(part: FieldDescriptor, wanted: JavaType) -> int:
    """Return how far a Java type is from the type of a scalar field that fits it; 0 if it is the same."""
    name = wanted.name.removeprefix("java.lang.")
    box = BOXES.get(name, name)
    natural = natural_of(part)
    if wanted.raw.isEnum():
        return _EXACT if part.enum_type else _OTHER
    if name in _OPEN_TYPES or name in _STANDARD:
        return (_OPEN_TYPES | _STANDARD)[name]
    if box == natural and not part.enum_type:
        step: int | None = _EXACT
    elif part.enum_type:
        step = {"String": _WIDER, "CharSequence": _WIDER + 2}.get(box)
    else:
        step = _STEPS.get(natural, {}).get(box)
    if step is None:
        return _OPEN + 2 if natural != "[B" and wanted.takes(f"java.lang.{natural}") else _OTHER
    is_box = box in BOXES.values() and not wanted.raw.isPrimitive()
    is_expected = is_box == (part.has_presence and not part.is_repeated) or box not in BOXES.values()
    return step + (0 if is_expected else 1)


def _leaves(fit: Fit, above: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the source of each value with its container, and its distance."""
    held = "array" if fit.wanted and fit.wanted.raw.isArray() else "other"
    if fit.how != "field":
        yield (above, fit.how, held), 0
    elif not fit.parts:
        assert fit.slot, "a field's fit names it"
        assert fit.wanted
        yield (fit.slot.path, "value"), distance(fit.slot.part, fit.wanted)
    elif fit.slot and fit.slot.is_many:
        yield (fit.slot.path, held), 0
    for part in fit.parts:
        yield from _leaves(part, fit.slot.path if fit.slot else above)


def _is_late(fit: Fit) -> bool:
    is_standard = fit.wanted is not None and fit.wanted.name in standard.NAMES
    return is_standard or any(map(_is_late, fit.parts))
