"""Reads record batches of format v2 (KIP-98): their checksum, and their records one by one, even malformed ones.

    Record => Length Attributes TimestampDelta OffsetDelta Key Value [HeaderName HeaderValue]

Lengths, deltas and counts are zigzag varints; a length of -1 is null.
"""

import zlib
from typing import Any, Final

from hotswap.batch import Headers
from hotswap.recordbatch.header import (
    ATTRIBUTES_AT,
    CODEC,
    CRC,
    CRC_AT,
    MAGIC_AT,
    OVERHEAD,
    SIZE,
    Unparseable,
    is_legacy,
    size_of,
)
from hotswap.recordbatch.writer import Crc32c

_WINDOW_BYTES = 1 << 20
_WINDOW_RECORDS = 5_000
_LEAST_LEGACY_BYTES: Final = OVERHEAD + 14


def is_sound(data: memoryview, crc32c: Crc32c) -> bool:
    """Return whether a batch, or a message in an older format, is complete and its checksum matches."""
    size = size_of(data)
    if not _LEAST_LEGACY_BYTES <= size <= len(data):
        return False
    if is_legacy(data):
        return zlib.crc32(data[MAGIC_AT:size]) == int.from_bytes(data[OVERHEAD:MAGIC_AT])
    return size >= SIZE and crc32c(data[ATTRIBUTES_AT:size]) == CRC.unpack_from(data, CRC_AT)[0]


def legacy_value(message: memoryview) -> tuple[int, memoryview]:
    """Return the codec of a message in format v0 or v1, and its value: compressed messages if it has a codec.

    The value is shorter, or empty, if the message is malformed.
    """
    attributes_at = MAGIC_AT + 1
    key_at = attributes_at + (1 if message[MAGIC_AT] == 0 else 1 + 8)  # v1 has a timestamp before the key
    key = int.from_bytes(message[key_at : key_at + 4], signed=True)
    return message[attributes_at] & CODEC, message[key_at + 4 + max(key, 0) + 4 :]


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read the zigzag varint at `at`; return it and the position after it.

    Raises:
        Unparseable: it has no end.

    """
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:  # noqa: PLR2004 - bits of a varlong
            raise Unparseable("a varint has no end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def walk(body: memoryview, at: int, count: int, large: int) -> tuple[list[tuple[int, int]], int, str]:
    """Return the spans of the next records, length prefixes included, the position after them, and any fault there.

    At most a window's worth of records; a record larger than `large` is a window of its own.
    """
    spans: list[tuple[int, int]] = []
    start = at
    while count > len(spans) and len(spans) < _WINDOW_RECORDS and at - start < _WINDOW_BYTES:
        try:
            size, begin = varint(body, at)
        except Unparseable as error:
            return spans, at, f"no record begins after {at} bytes of its batch: {error}"
        end = begin + size
        if size < 0 or end > len(body):
            return spans, at, f"after {at} bytes of its batch, a record claims {size} bytes"
        if spans and end - at > large:
            break
        spans.append((at, end))
        at = end
        if end - spans[-1][0] > large:
            break
    return spans, at, ""


_Fields = tuple[int, int, memoryview | None, memoryview | None, Headers, bytes | None]


def read_record(record: memoryview, first: int, end: int) -> _Fields:
    """Return the offset delta, timestamp delta, key, value, readable headers, and the first unreadable header name.

    Raises:
        Unparseable: it is not a record, or its offset delta is not in `first` to `end` - 1.

    """
    _, at = varint(record, 0)
    timestamp, at = varint(record, at + 1)
    offset, at = varint(record, at)
    if not first <= offset < end:
        raise Unparseable(f"its offset delta is {offset}, not one of {first} to {end - 1}")
    key, at = _bytes(record, at)
    value, at = _bytes(record, at)
    count, at = varint(record, at)
    if not 0 <= count <= len(record):
        raise Unparseable(f"it claims {count} headers")
    headers: list[tuple[str, Any]] = []  # a value may be null
    odd: bytes | None = None
    for _ in range(count):
        name, at = _bytes(record, at)
        content, at = _bytes(record, at)
        if name is None:
            raise Unparseable("a header has no name")
        try:
            headers.append((str(name, "utf-8"), None if content is None else bytes(content)))
        except UnicodeDecodeError:
            odd = bytes(name) if odd is None else odd
    if at != len(record):
        raise Unparseable(f"{len(record) - at} bytes are left")
    return offset, timestamp, key, value, headers, odd


def _bytes(record: memoryview, at: int) -> tuple[memoryview | None, int]:
    size, at = varint(record, at)
    if size < 0:
        return None, at
    if at + size > len(record):
        raise Unparseable(f"a field claims {size} bytes")
    return record[at : at + size], at + size


def value_seen(record: memoryview) -> int:
    """Return how many bytes of the value are present in a truncated record."""
    try:
        _, at = varint(record, 0)
        _, at = varint(record, at + 1)
        _, at = varint(record, at)
        _, at = _bytes(record, at)
        size, at = varint(record, at)
    except Unparseable:
        return 0
    return max(min(size, len(record) - at), 0)


def starts(batch: bytes, count: int) -> list[int] | None:
    """Return where each record of an uncompressed batch begins, and where the last one ends.

    None: their lengths are wrong.
    """
    begins, at = [SIZE], SIZE
    try:
        for _ in range(count):  # each record of a busy topic passes here, so nothing is called
            size = batch[at] & 0x7F
            shift = 7
            while batch[at] > 0x7F:  # noqa: PLR2004 - the continuation bit
                at += 1
                size |= (batch[at] & 0x7F) << shift
                shift += 7
            at += 1 + (size >> 1)
            begins.append(at)
    except IndexError:
        return None
    return begins if at == len(batch) else None
