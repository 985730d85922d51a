"""Answers to flat rows: describes to the JVM the parts that an answer is written from (AnswerWriter.java)."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import jpype
import numpy as np
from google.protobuf.descriptor import FieldDescriptor

from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import INTEGER_RANGES
from hotswap.codec.messages import serialize
from hotswap.codec.outputs import FLOATS, Fill, Output
from hotswap.codec.packed import varint
from hotswap.runtimes.flat.bridge import SIZED, WIRE_TYPES, NotFlat, java_bytes, own

LABEL: Final = 0
_NUMBER, _NUMBERS, _WHOLE = 1, 2, 3
_EXACT: Final = (1 << 53) - 1
"""Every whole number up to it is a double; the fallback writes those beyond."""
_ZIGZAG: Final = {FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SINT64}


class Part(NamedTuple):
    """A field of an answer. `labels` has the serialized field for each class; `tag` precedes numbers, packed labels.

    `bounds` are those of a whole number. `write`: for a text, whose labels are added as they occur; the first is that
    of no text.
    """

    kind: int
    output: Output
    is_float: bool = False
    leaves_zero_out: bool = False
    tag: bytes = b""
    labels: Sequence[bytes] = ()
    bounds: tuple[float, float] = (0.0, 0.0)
    is_zigzag: bool = False
    write: Callable[[str], bytes] | None = None


def parts_of(encoder: Encoder, fills: Sequence[Fill], width: int, *, adds_labels: bool = False) -> list[Part]:
    """Return the parts of an answer with these fields, whose outputs are numbers up to `width`. Raises NotFlat.

    `adds_labels`: whoever scores adds a label for each text that an output has (`Part.write`).
    """
    return [_part(fill, encoder, width, adds_labels) for fill in sorted(fills, key=lambda fill: fill.field.number)]


def _part(fill: Fill, encoder: Encoder, width: int, adds_labels: bool) -> Part:  # noqa: FBT001 - of `parts_of` alone
    part, output, name = fill.field, fill.output, fill.field.name
    is_label = output.classes is not None
    is_text = adds_labels and output.is_text and not output.is_vector
    is_whole = output.is_whole and not (output.is_vector or part.is_repeated) and _is_varint(part)
    if fill.parents or not (is_label or is_text or is_whole or part.cpp_type in FLOATS):
        raise NotFlat(f"output field `{name}` is nested, or neither a label nor a number")
    if output.stop > width:
        raise NotFlat(f"output `{output.name}` is not one of the scores")

    def written(value: Any) -> bytes:
        return serialize(encoder.row(**{name: [value] if part.is_repeated else value}))

    if is_text:
        return _text_part(fill, encoder, written)
    if is_label:
        labels, tag = [*map(written, fill.labels)], varint(part.number << 3 | SIZED)
        if encoder.is_by_row or part.type == FieldDescriptor.TYPE_STRING or not labels[0].startswith(tag):
            return Part(LABEL, output, labels=labels)
        return Part(LABEL, output, tag=tag, labels=[label[len(tag) + 1 :] for label in labels])
    if is_whole:
        held, tag = INTEGER_RANGES[part.cpp_type], varint(part.number << 3)
        bounds = max(held.start, -_EXACT), min(held.stop - 1, _EXACT)
        return Part(_WHOLE, output, False, not part.has_presence, tag, (), bounds, part.type in _ZIGZAG)
    is_float = part.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
    one, size = written(1.0), np.dtype(FLOATS[part.cpp_type]).itemsize
    if not part.is_repeated:
        return Part(_NUMBER, output, is_float, not part.has_presence, one[:-size])
    if one[0] & 7 != SIZED:
        raise NotFlat(f"output field `{name}` is not packed")
    return Part(_NUMBERS, output, is_float, tag=one[: -size - 1])


def _text_part(fill: Fill, encoder: Encoder, written: Callable[[Any], bytes]) -> Part:
    if not encoder.is_by_row and fill.names is not None:
        raise NotFlat(f"output field `{fill.field.name}` is a repeated enum")
    nothing = b"" if encoder.is_by_row else written("")

    def write(text: str) -> bytes:
        return written(text if fill.names is None else fill.names[text.lower()])

    return Part(LABEL, fill.output, labels=[nothing], write=write)


def _is_varint(part: FieldDescriptor) -> bool:
    return part.cpp_type in INTEGER_RANGES and part.type not in WIRE_TYPES


def answer_writer(encoder: Encoder, parts: Sequence[Part], width: int) -> Any:
    """Return the AnswerWriter of answers with these parts, from rows of `width` scores."""
    row_tag = varint(encoder.rows.number << 3 | SIZED) if encoder.rows else b""
    return own("flat.AnswerWriter")(width, _described(parts), java_bytes(row_tag), encoder.is_by_row)


def _described(parts: Sequence[Part]) -> Any:
    """Describe the parts of an answer, as AnswerWriter.Parts."""
    ints, flags, octets = jpype.JArray(jpype.JInt), jpype.JArray(jpype.JBoolean), jpype.JArray(jpype.JByte, 2)
    doubles = jpype.JArray(jpype.JDouble)
    return own("flat.AnswerWriter$Parts")(
        ints([part.kind for part in parts]),
        ints([part.output.start for part in parts]),
        ints([part.output.stop for part in parts]),
        flags([part.is_float for part in parts]),
        flags([part.leaves_zero_out for part in parts]),
        doubles([part.bounds[0] for part in parts]),
        doubles([part.bounds[1] for part in parts]),
        flags([part.is_zigzag for part in parts]),
        octets([java_bytes(part.tag) for part in parts]),
        jpype.JArray(jpype.JByte, 3)([octets([*map(java_bytes, part.labels)]) for part in parts]),
    )
