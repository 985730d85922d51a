"""Writes record batches: the parts of records, headers, and the checksum.

The checksum is given (`Crc32c`): the one at hand is aiokafka's, which a model host's process must not import.
"""

from collections.abc import Callable
from typing import TypeAlias

from hotswap.batch import Headers
from hotswap.codec.packed import varint
from hotswap.recordbatch.header import (
    ATTRIBUTES_AT,
    CODEC,
    CRC,
    CRC_AT,
    OVERHEAD,
    PRODUCER,
    PRODUCER_AT,
    SIZE,
    Buffer,
    Header,
)

Crc32c: TypeAlias = Callable[[memoryview], int]


def zigzag(number: int) -> bytes:
    """Encode a number as records have it: a varint of its zigzag code."""
    return varint(2 * number if number >= 0 else -2 * number - 1)


def record_field(content: bytes | None) -> bytes:
    """Encode a key, a value, or a part of a header as records have it."""
    return b"\1" if content is None else varint(2 * len(content)) + content


def record_headers(headers: Headers) -> bytes:
    """Encode headers as records have them, without their number."""
    return b"".join([record_field(part) for name, value in headers for part in (name.encode(), value)])


def with_records(header: Header, records: Buffer) -> bytearray:
    """Return an uncompressed batch of these records under a header of others; the checksum is not made anew."""
    length = SIZE - OVERHEAD + len(records)
    batch = bytearray(header._replace(batch_length=length, attributes=header.attributes & ~CODEC).pack())
    batch += records
    return batch


def finish(batch: bytearray, header: Header, crc32c: Crc32c) -> None:
    """Write the header of a batch whose records are in place, after room for it, with its length and checksum."""
    batch[:SIZE] = header._replace(batch_length=len(batch) - OVERHEAD).pack()
    _sign(batch, crc32c)


def stamped(batch: memoryview, producer: tuple[int, int, int], crc32c: Crc32c) -> memoryview:
    """Return a finished batch with this producer id, epoch and base sequence; the same one if it has them already."""
    if PRODUCER.unpack_from(batch, PRODUCER_AT) == producer:
        return batch
    copy = bytearray(batch)
    PRODUCER.pack_into(copy, PRODUCER_AT, *producer)
    _sign(copy, crc32c)
    return memoryview(copy)


def _sign(batch: bytearray, crc32c: Crc32c) -> None:
    CRC.pack_into(batch, CRC_AT, crc32c(memoryview(batch)[ATTRIBUTES_AT:]))
