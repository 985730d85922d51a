"""The fast path: scores requests of flat rows inside the JVM, from bytes to bytes (FlatRows.java, FlatRecords.java).

Rows (a request, or the elements of its one repeated field) are flat if their columns are scalar fields of the row
itself, and answers are flat if they consist of labels and of numbers that score0 returns. Any request that the JVM
declines, because it is unusual in some way, goes to the fallback, a RowPlan: so the rules and the messages of refusals
are written once, and both paths return the same bytes.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

import jpype
import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from hotswap.batch import Answer, ScoredBatch
from hotswap.codec.columns import Decoder
from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import descriptor_of, is_alternative
from hotswap.codec.messages import serialize
from hotswap.codec.outputs import FLOATS, Fill, Output
from hotswap.codec.packed import Buffer, Packed, pack, varint
from hotswap.codec.sources import FieldSource
from hotswap.generation import Policy
from hotswap.runtimes.rows import RowPlan

_DECLINED: Final = 0xFFFFFFFF  # the length of an answer that the JVM leaves to the fallback
_UNKNOWN: Final = -np.inf  # a row with it goes to the fallback, so a genuine -inf is scored correctly too
_LAST_FIELD: Final = 4_096
LABEL, _NUMBER, _NUMBERS = range(3)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _BYTES,
    FieldDescriptor.TYPE_BYTES: _BYTES,
}


class NotFlat(Exception):
    """Use the fallback for all requests: the message says what is not flat."""


class FlatPlan:
    """One operation of a model whose rows are flat. `fallback` answers the requests that the JVM declines."""

    def __init__(
        self, fallback: RowPlan, scorer: Any, *, sources: Sequence[FieldSource], parts: Sequence["Part"], width: int
    ) -> None:
        """`scorer` is a BlockScorer, whose columns come from `sources`, and which returns `width` numbers a row.

        `parts` make up the answer to a row. Raises NotFlat.
        """
        self.problems = fallback.problems
        self.used = fallback.used
        self.invent = partial(fallback.invent_for, sources)
        self.path: Final = "in the JVM"
        self.reads: Final = fallback.reads
        self.fields: Final = fallback.fields
        self._fallback = fallback
        decoder, encoder = fallback.decoder, fallback.encoder
        fields = _fields(decoder, sources)
        may_miss = decoder.policies.missing is not Policy.REFUSE
        rows = descriptor_of(decoder.message).fields_by_name[decoder.rows_field] if decoder.rows_field else None
        rows_tag = rows.number << 3 | _BYTES if rows else 0
        row_tag = varint(encoder.rows.number << 3 | _BYTES) if encoder.rows else b""
        reader = _class("RowReader")(fields, may_miss, rows_tag)
        writer = _class("AnswerWriter")(width, _parts(parts), _java_bytes(row_tag), encoder.is_by_row)
        self._answer = _class("FlatRows")(scorer, reader, writer).answer
        self._scored_by = (scorer, reader, writer)

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer a batch of requests."""
        batch = values.buffer if isinstance(values, Packed) else bytearray(pack(values))
        given = self._answer(jpype.nio.convertToDirectBuffer(batch))
        answered = bytearray(memoryview(given)[: given.limit()])  # copied: Java reuses the buffer for the next batch
        lengths = np.frombuffer(answered, "<u4", len(values), 4)
        declined = np.flatnonzero(lengths == _DECLINED).tolist()
        lengths[declined] = 0
        packed = Packed(answered)
        if not declined:
            return ScoredBatch(packed, {})
        answers: list[Answer] = list(packed)
        others, unknown = self._fallback.answer([values[position] for position in declined])
        for position, answer in zip(declined, others, strict=True):
            answers[position] = answer
        return ScoredBatch(answers, unknown)


class SealingFlatPlan(FlatPlan):
    """The fast path where the host is ours: it answers record batches, too."""

    def seal(self, order: Buffer) -> memoryview:
        """Carry out an order (host/sealing.py)."""
        result = self._seal(jpype.nio.convertToDirectBuffer(order))
        return memoryview(result)[: result.limit()]

    @cached_property
    def _seal(self) -> Any:
        return _class("FlatRecords")(*self._scored_by).seal


# ---- in


def _fields(decoder: Decoder, given: Sequence[FieldSource]) -> Any:
    """Describe a row's fields to the JVM, as RowReader.Fields. Raises NotFlat."""
    if decoder.shape == "columns":
        raise NotFlat("the columns of a request are repeated fields")
    row = _row_of(decoder)
    if _syntax(row) != "proto3":
        raise NotFlat(f"{row.full_name} is not proto3")
    sources = _by_number(given)
    known = [part for part in row.fields if not (part.is_repeated or part.message_type) and part.number <= _LAST_FIELD]
    size = 1 + max((part.number for part in known), default=0)
    tags, types, columns = [0] * size, [0] * size, [-1] * size
    lookups = jpype.JArray(jpype.JClass("java.util.Map"))(size)
    for part in known:
        tags[part.number] = part.number << 3 | _WIRE_TYPES.get(part.type, _VARINT)
        types[part.number] = part.type
    defaults = np.empty(len(sources))
    for number, source in sources.items():
        columns[number] = source.index
        value = source.leaf.default_value
        if source.kind == "lookup":
            lookups[number] = _java_map(source.lookup)
            value = source.lookup.get(value, _UNKNOWN)
        defaults[source.index] = np.nan if source.has_presence else value
    ints = jpype.JArray(jpype.JInt)
    return _class("RowReader$Fields")(
        ints(tags), ints(types), ints(columns), lookups, jpype.JArray.of(defaults), float(_UNKNOWN)
    )


def _by_number(sources: Sequence[FieldSource]) -> Mapping[int, FieldSource]:
    """Return the sources by their field numbers. Raises NotFlat."""
    by_number: dict[int, FieldSource] = {}
    for source in sources:
        part = source.fields[0]
        if len(source.fields) > 1 or source.key is not None or source.kind not in ("number", "lookup"):
            raise NotFlat(f"column `{source.column.name}` comes from `{source.path}`, which is nested or parsed")
        if is_alternative(part) or (part.enum_type and part.enum_type.is_closed):
            raise NotFlat(f"field `{source.path}` is in a oneof, or a closed enum")
        if by_number.setdefault(part.number, source) is not source:
            raise NotFlat(f"field `{source.path}` fills two columns")
        if part.number > _LAST_FIELD:
            raise NotFlat(f"field number {part.number} is beyond {_LAST_FIELD}")
    return by_number


def _row_of(decoder: Decoder) -> Descriptor:
    message = descriptor_of(decoder.message)
    row = message.fields_by_name[decoder.rows_field].message_type if decoder.rows_field else message
    assert row
    return row


def _syntax(message: Descriptor) -> str:
    file = FileDescriptorProto()
    message.file.CopyToProto(file)
    return file.syntax


def _java_map(lookup: Mapping[Any, float]) -> Any:
    numbers = jpype.JClass("java.util.HashMap")()
    for value, number in lookup.items():
        if value is not None:
            key = value if isinstance(value, str) else jpype.JClass("java.lang.Long")(int(value))
            numbers.put(key, jpype.JClass("java.lang.Double")(number))
    return numbers


# ---- out


def _parts(parts: Sequence["Part"]) -> Any:
    """Describe the parts of an answer to the JVM, as AnswerWriter.Parts."""
    ints, flags, octets = jpype.JArray(jpype.JInt), jpype.JArray(jpype.JBoolean), jpype.JArray(jpype.JByte, 2)
    return _class("AnswerWriter$Parts")(
        ints([part.kind for part in parts]),
        ints([part.output.start for part in parts]),
        ints([part.output.stop for part in parts]),
        flags([part.is_float for part in parts]),
        flags([part.leaves_zero_out for part in parts]),
        octets([_java_bytes(part.tag) for part in parts]),
        jpype.JArray(jpype.JByte, 3)([octets([*map(_java_bytes, part.labels)]) for part in parts]),
    )


class Part(NamedTuple):
    """A field of an answer. `labels` has the serialized field for each class; `tag` precedes numbers, packed labels."""

    kind: int
    output: Output
    is_float: bool = False
    leaves_zero_out: bool = False
    tag: bytes = b""
    labels: Sequence[bytes] = ()


def parts_of(encoder: Encoder, fills: Sequence[Fill], width: int) -> list[Part]:
    """Return the parts of an answer with these fields, whose outputs are numbers up to `width`. Raises NotFlat."""
    return [_part(fill, encoder, width) for fill in sorted(fills, key=lambda fill: fill.field.number)]


def _part(fill: Fill, encoder: Encoder, width: int) -> Part:
    part, output, name = fill.field, fill.output, fill.field.name
    is_label = output.classes is not None
    if fill.parents or not (is_label or part.cpp_type in FLOATS):
        raise NotFlat(f"output field `{name}` is nested, or neither a label nor a number")
    if output.stop > width:
        raise NotFlat(f"output `{output.name}` is not computed by score0")

    def written(value: Any) -> bytes:
        return serialize(encoder.row(**{name: [value] if part.is_repeated else value}))

    if is_label:
        labels, tag = [*map(written, fill.labels)], varint(part.number << 3 | _BYTES)
        if encoder.is_by_row or part.type == FieldDescriptor.TYPE_STRING or not labels[0].startswith(tag):
            return Part(LABEL, output, labels=labels)
        return Part(LABEL, output, tag=tag, labels=[label[len(tag) + 1 :] for label in labels])
    is_float = part.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
    one, size = written(1.0), np.dtype(FLOATS[part.cpp_type]).itemsize
    if not part.is_repeated:
        return Part(_NUMBER, output, is_float, not part.has_presence, one[:-size])
    if one[0] & 7 != _BYTES:
        raise NotFlat(f"output field `{name}` is not packed")
    return Part(_NUMBERS, output, is_float, tag=one[: -size - 1])


def _class(name: str) -> Any:
    return jpype.JClass(f"hotswap.{name}")


def _java_bytes(content: bytes) -> Any:
    return jpype.JArray(jpype.JByte)(content)
