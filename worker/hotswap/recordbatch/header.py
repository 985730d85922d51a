"""The header of a record batch (format v2, KIP-98), laid out once; all integers are big-endian.

Messages in the formats before it (v0 and v1) have the offset, the length and the magic byte at the same places.
"""

import struct
from typing import Final, NamedTuple, Self, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

_LAYOUT: Final = "qiibIhiqqqhii"
_HEADER: Final = struct.Struct(f">{_LAYOUT}")

MAGIC: Final = 2
CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
"""Bits of the attributes."""
SEQUENCES: Final = 1 << 31
"""Sequence numbers are below it; they wrap to 0."""
NO_PRODUCER: Final = (-1, -1, -1)
"""Producer id, epoch and base sequence of a batch that no idempotent producer sends."""


class Unparseable(Exception):
    """Refuse every record that should be there: the bytes are malformed."""


class Header(NamedTuple):
    """The fields of the header, under their names in Kafka's protocol guide."""

    base_offset: int
    batch_length: int
    """Bytes after this field."""
    partition_leader_epoch: int
    magic: int
    crc: int
    """CRC-32C of all that follows."""
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records_count: int

    @classmethod
    def read(cls, data: Buffer, at: int = 0) -> Self:
        """Read the header of the batch at `at`.

        Raises:
            struct.error: the data is shorter than a header.

        """
        return tuple.__new__(cls, _HEADER.unpack_from(data, at))  # not by _make, which takes twice as long

    @classmethod
    def produced(
        cls, count: int, producer: tuple[int, int, int] = NO_PRODUCER, *, attributes: int = 0, at_ms: int = 0
    ) -> Self:
        """Return the header of `count` records as a producer sends it; its length and checksum are not set."""
        return cls(0, 0, -1, MAGIC, 0, attributes, count - 1, at_ms, at_ms, *producer, count)

    def pack(self) -> bytes:
        """Return it in wire format."""
        return _HEADER.pack(*self)

    @property
    def codec(self) -> int:
        """How the records are compressed (compression.py)."""
        return self.attributes & CODEC

    @property
    def next_offset(self) -> int:
        """The offset after the batch's last one."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def producer(self) -> tuple[int, int, int]:
        """The producer's id and epoch, and the sequence number of the first record."""
        return self.producer_id, self.producer_epoch, self.base_sequence


def _place(field: str) -> int:
    return struct.calcsize(f">{_LAYOUT[: Header._fields.index(field)]}")


def _part(first: str, last: str) -> struct.Struct:
    return struct.Struct(f">{_LAYOUT[Header._fields.index(first) : Header._fields.index(last) + 1]}")


SIZE: Final = _HEADER.size
LENGTH_AT: Final = _place("batch_length")
OVERHEAD: Final = _place("partition_leader_epoch")
"""Bytes that the length does not count."""
MAGIC_AT: Final = _place("magic")
CRC_AT: Final = _place("crc")
ATTRIBUTES_AT: Final = _place("attributes")
"""From here on, the checksum covers the batch."""
CRC: Final = _part("crc", "crc")
PRODUCER_AT: Final = _place("producer_id")
PRODUCER: Final = _part("producer_id", "base_sequence")
"""Producer id, epoch and base sequence."""


def offset_of(data: Buffer) -> int:
    """Return the first offset of a batch, or the offset of a message."""
    return int.from_bytes(data[:LENGTH_AT], signed=True)


def size_of(data: Buffer, at: int = 0) -> int:
    """Return the size in bytes that the batch or message at `at` claims: any number."""
    return OVERHEAD + int.from_bytes(data[at + LENGTH_AT : at + OVERHEAD], signed=True)


def is_legacy(data: Buffer) -> bool:
    """Return whether it is a message in format v0 or v1, which has no such header."""
    return data[MAGIC_AT] < MAGIC
