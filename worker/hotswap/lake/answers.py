"""Decoding of the answers to a batch into Arrow columns: fields and messages, or the code and reason of a refusal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from google.protobuf.descriptor import Descriptor
from ptars import HandlerPool, PtarsConfig

from hotswap.batch import Answer, Refusal
from hotswap.codec.fields import descriptor_of
from hotswap.codec.packed import Packed
from hotswap.codec.proto import Operation
from hotswap.errors import UsageError

ANSWER, MESSAGE, CODE, REASON = "answer", "answer_message", "refusal_code", "refusal_reason"
GENERATION, DIGEST = "generation", "package_digest"
OURS: Final = (ANSWER, MESSAGE, CODE, REASON, GENERATION, DIGEST)
"""The columns added to those of a row."""

_CONFIG: Final = PtarsConfig(enum_repr="string", timestamp_unit="us", time_unit="us", duration_unit="us")


class AnswerDecoder:
    """Decodes the answers of one operation."""

    def __init__(self, operation: Operation, generation: int, digest: str) -> None:
        """Raise UsageError if the answer's message is recursive: no table can show that."""
        message = descriptor_of(operation.output)
        _check_finite(message, ())
        pool: Any = HandlerPool([message.file], _CONFIG)
        self._handler = pool.get_for_message(message)
        none = self._handler.array_to_record_batch(pa.array([], pa.binary()))
        self._type = _plain(pa.struct(list(none.schema)))
        self._constants = pa.scalar(generation, pa.int64()), pa.scalar(digest)
        self.fields: Sequence[pa.Field] = (
            pa.field(ANSWER, self._type),
            pa.field(MESSAGE, pa.binary()),
            pa.field(CODE, pa.string()),
            pa.field(REASON, pa.string()),
            pa.field(GENERATION, pa.int64()),
            pa.field(DIGEST, pa.string()),
        )

    def decode(self, count: int, answers: Sequence[Answer], refused: Mapping[int, Refusal]) -> Sequence[pa.Array]:
        """Return the columns OURS of `count` rows: refusals by row, and in order the `answers` to the other rows.

        Raises:
            ValueError: an answer is not a message of the operation's output type.

        """
        messages, refusals = _messages(answers), dict(refused)
        scored = [row for row in range(count) if row not in refused] if refused else range(count)
        if messages.null_count:
            refusals |= {scored[at]: answer for at, answer in enumerate(answers) if isinstance(answer, Refusal)}
        if refused:
            places = np.full(count, -1)
            places[scored] = np.arange(len(scored))
            messages = messages.take(pa.array(places, mask=places < 0))
        none = messages.is_null() if refusals else None
        batch = self._handler.array_to_record_batch(messages.fill_null(b"") if refusals else messages)
        fields = pa.StructArray.from_arrays(batch.columns, fields=list(batch.schema), mask=none)
        codes: list[str | None] = [None] * count
        reasons = codes.copy()
        for row, (code, reason) in refusals.items():
            codes[row], reasons[row] = str(code), reason
        constants = [pa.repeat(constant, count) for constant in self._constants]
        texts = [pa.array(codes, pa.string()), pa.array(reasons, pa.string())]
        return [fields.cast(self._type), messages, *texts, *constants]


def pack(values: pa.BinaryArray) -> Packed:
    """Return an array without nulls in the wire format of a host."""
    count = len(values)
    _, offsets, content = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + count + 1]
    head = np.concatenate([[count], np.diff(ends)]).astype("<u4").tobytes()
    data = memoryview(content)[ends[0] : ends[-1]] if content and count else b""
    return Packed(b"".join([head, data]))


def _messages(answers: Sequence[Answer]) -> pa.BinaryArray:
    """Return the messages, null for a refusal."""
    if not isinstance(answers, Packed):
        return pa.array([None if isinstance(answer, Refusal) else answer for answer in answers], pa.binary())
    lengths = np.asarray(answers.lengths, np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    content = pa.py_buffer(memoryview(answers.buffer)[4 * (len(lengths) + 1) :])
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), content])


def _check_finite(message: Descriptor, above: tuple[str, ...]) -> None:
    if message.full_name in above:
        raise UsageError(f"the answer's message {message.full_name} is recursive: a table cannot have its fields")
    for field in message.fields:
        if field.message_type:
            _check_finite(field.message_type, (*above, message.full_name))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the Spark type for a type: Spark has no unsigned integers."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(part.name, _plain(part.type)) for part in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_uint32(kind):
        return pa.int64()
    return pa.decimal128(20, 0) if pa.types.is_uint64(kind) else kind
