"""Record batches built byte by byte, good ones and others, and a producer that sends them unchanged.

Kafka's batch format (magic 2): https://kafka.apache.org/documentation/#recordbatch. A record is prefixed with its
length; all integers of a record are zigzag varints.
"""

import asyncio
import gzip
import struct
import zlib
from dataclasses import dataclass, replace

import cramjam
from aiokafka.record.util import calc_crc32c

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "xerial": 2, "lz4": 3, "zstd": 4}
"""The codecs, and the number of each in a batch; `xerial` is Java's framing of snappy."""

IS_CONTROL = 1 << 5
_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK = 32 << 10
_AT_MS = 1_767_225_600_000
_PRODUCE = 0
_VERSION = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record to write: header names are bytes, and a header's value may be None."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch: the fields of its header, and the bytes of its records (not compressed yet)."""

    records: bytes
    count: int
    codec: str = "none"
    attributes: int | None = None
    """None: those of the codec."""
    last_delta: int | None = None
    """None: as the count says."""
    packed: bytes | None = None
    """The records as they are on the wire; None: packed by the codec."""

    def at(self, base):
        """The bytes of the batch, its first offset being `base`, with the right checksum."""
        attributes = CODECS[self.codec] if self.attributes is None else self.attributes
        last = self.count - 1 if self.last_delta is None else self.last_delta
        body = pack(self.records, self.codec) if self.packed is None else self.packed
        summed = struct.pack(">hiqqqhii", attributes, last, _AT_MS, _AT_MS, -1, -1, -1, self.count) + body
        rest = struct.pack(">ibI", 0, 2, calc_crc32c(summed)) + summed
        return struct.pack(">qi", base, len(rest)) + rest

    def replaced(self, **given):
        return replace(self, **given)


def codecs_of(batches):
    """The number of the codec of each record batch in bytes that a broker returned, markers left out."""
    at = 0
    while at < len(batches):
        if not batches[at + 22] & IS_CONTROL:
            yield batches[at + 22] & 7
        at += 12 + int.from_bytes(batches[at + 8 : at + 12], "big")


def batch(records, codec="none", **given):
    """Return a good batch of these records."""
    return Batch(records=b"".join(map(record, records, range(len(records)))), count=len(records), codec=codec, **given)


def record(given, delta, *, length=None, count=None):
    """Return a record's bytes; its length and number of headers can be overridden with wrong ones."""
    body = b"\x00\x00" + varint(delta) + _sized(given.key) + _sized(given.value)
    body += varint(len(given.headers) if count is None else count)
    body += b"".join(_sized(name) + _sized(value) for name, value in given.headers)
    return varint(len(body) if length is None else length) + body


def _sized(value):
    return varint(-1) if value is None else varint(len(value)) + value


def varint(number):
    """A zigzag varint."""
    rest, parts = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    parts.append(rest)
    return bytes(parts)


def pack(body, codec):
    """Compress the records' bytes with a codec."""
    if codec == "gzip":
        return gzip.compress(body, 6, mtime=0)
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(body))
    if codec == "xerial":
        blocks = [body[at : at + _XERIAL_BLOCK] for at in range(0, len(body), _XERIAL_BLOCK)]
        packed = [bytes(cramjam.snappy.compress_raw(block)) for block in blocks]
        return _XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in packed)
    if codec == "lz4":
        # A broker accepts independent blocks only (KIP-57).
        packer = cramjam.lz4.Compressor(level=9, content_checksum=False, block_linked=False)
        packer.compress(body)
        return bytes(packer.finish())
    return bytes(cramjam.zstd.compress(body)) if codec == "zstd" else body


def of_zeros(size, *, part=1 << 20):
    """Return a batch of one record whose value is `size` zeros, compressed by zstd without holding them in memory."""
    body = b"\x00\x00" + varint(0) + varint(-1) + varint(size)
    packer = cramjam.zstd.Compressor()
    for piece in (varint(len(body) + size + 1) + body, *[bytes(part)] * (size // part), bytes(size % part), varint(0)):
        packer.compress(piece)
    return Batch(records=b"", count=1, codec="zstd", packed=bytes(packer.finish()))


def old_format(given, base, magic):
    """Return a message in the format before batches (magic 0 or 1), which has no headers."""
    middle = struct.pack(">bb", magic, 0) + (struct.pack(">q", _AT_MS) if magic else b"")
    body = middle + b"".join(
        struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
        for part in (given.key, given.value)
    )
    rest = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", base, len(rest)) + rest


class Refused(Exception):
    """The broker refused the batch, with this error number."""


class RawProducer:
    """One connection to a broker of one node; `send` appends the bytes of a batch to a partition."""

    def __init__(self, port):
        self._port = port
        self._number = 0

    async def __aenter__(self):
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_):
        self._writer.close()

    async def send(self, topic, partition, batch_bytes):
        """Return the offset that the batch begins at. Raises Refused."""
        self._number += 1
        body = struct.pack(">hhih", _PRODUCE, _VERSION, self._number, -1) + struct.pack(">hhii", -1, -1, 30_000, 1)
        body += struct.pack(">h", len(topic)) + topic.encode() + struct.pack(">iii", 1, partition, len(batch_bytes))
        self._writer.write(struct.pack(">i", len(body) + len(batch_bytes)) + body + batch_bytes)
        await self._writer.drain()
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        answer = await self._reader.readexactly(size)
        error, base = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
        if error:
            raise Refused(error)
        return base
