"""A batch of requests on its way to the JVM, and its answers on their way back (Batch.java)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import jpype
import numpy as np

from hotswap.batch import Answer
from hotswap.codec.packed import Packed, pack

_DECLINED: Final = 0xFFFFFFFF


def java_batch(values: Sequence[bytes]) -> Any:
    """Return a batch as a direct buffer."""
    return jpype.nio.convertToDirectBuffer(values.buffer if isinstance(values, Packed) else bytearray(pack(values)))


def read_answers(buffer: Any, count: int) -> tuple[Packed, Sequence[int]]:
    """Return the answers, and the positions of the declined requests, whose answers are empty."""
    answered = bytearray(memoryview(buffer)[: buffer.limit()])  # copied: Java reuses the buffer for the next batch
    lengths = np.frombuffer(answered, "<u4", count, 4)
    declined: Sequence[int] = np.flatnonzero(lengths == _DECLINED).tolist()
    lengths[declined] = 0
    return Packed(answered), declined


def with_fallback(answers: Packed, declined: Sequence[int], others: Iterable[Answer]) -> Sequence[Answer]:
    """Return the answers with the fallback's in the places of the declined requests."""
    merged: list[Answer] = list(answers)
    for position, answer in zip(declined, others, strict=True):
        merged[position] = answer
    return merged
