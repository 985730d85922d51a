"""Record batches as they were fetched, and their records: unpacked under a bound, and read whatever is in them.

A batch (format v2, KIP-98) whose checksum holds may still hold what no client ought to have written: header names that
are no UTF-8, lengths that lie, 32 KiB that unpack to a gigabyte. Each of its offsets becomes a record all the same, and
where it cannot be a request it is an Unscorable, whose refusal says why. aiokafka's parser reads what is plainly good,
whole batches at a time; where it raises, they are read once more here, record by record.
"""

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hotswap.batch import Code, Headers, Refusal, Unscorable
from hotswap.kafka.internals import DefaultRecord, DefaultRecordBatch, MemoryRecords
from hotswap.kafka.parse import read_record, value_seen, walk
from hotswap.kafka.unpack import Unparseable, unpack

HEAD = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, two timestamps, producer id and epoch,
base sequence, count of records."""

OVERHEAD, MAGIC_AT, ATTRIBUTES_AT, COUNT_AT = 12, 16, 21, 57
CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20

_WHOLE_BYTES = 1 << 20
_WHOLE_RECORDS = 50_000
_WINDOW_RECORDS = 5_000


class Bounds(NamedTuple):
    """What reading may cost: bytes that a batch may unpack to, and bytes of the largest record that is kept whole."""

    unpacked: int
    record: int


class Damaged(NamedTuple):
    """Offsets `offset` to `until - 1`, whose batch is not what the broker was given: its checksum does not hold."""

    offset: int
    until: int
    data: bytes | memoryview

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.data)

    def skipped(self, why: str) -> "Skipped":
        """What is put in its place once somebody has ordered to go on behind it."""
        return Skipped(self, why)


class Unpacker:
    """Batches that are unpacked now: of all partitions together no more bytes than the bound, the least recent go."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._held: OrderedDict[_Contents, tuple[memoryview, bool]] = OrderedDict()

    def unpack(self, batch: "_Contents") -> tuple[memoryview, bool]:
        """The records' bytes as far as the bound, and whether they are all; kept where they are worth it.

        Raises:
            Unparseable: an unknown codec, or bytes that are none of it.

        """
        packed = batch.data[HEAD.size :]
        if not batch.codec:
            return packed, True
        if found := self._held.get(batch):
            self._held.move_to_end(batch)
            return found
        found = unpack(batch.codec, packed, self.bounds.unpacked)
        if len(found[0]) > _WHOLE_BYTES:
            self._held[batch] = found
            while sum(len(data) for data, _ in self._held.values()) > self.bounds.unpacked:
                self._held.popitem(last=False)
        return found

    def forget(self, batch: "_Contents") -> None:
        """Lets go what a batch that is read to its end, or thrown away, was unpacked to."""
        self._held.pop(batch, None)


class RawBatch:
    """A batch in the bytes of the wire; its records are read when they are asked for, some thousands at a time."""

    def __init__(self, data: memoryview, *, start: int, unpacker: Unpacker) -> None:
        self._contents = _Contents(data, unpacker)
        self._start = start
        self._windows = self._contents.windows()
        self._ready: Sequence[Any] = ()

    def __del__(self) -> None:
        self._contents.forget()

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self._contents.data)

    @property
    def next(self) -> int:
        """Offset behind the last one of the batch."""
        return self._contents.next

    @property
    def window_bytes(self) -> int:
        """Bytes of the records that were read last, unpacked."""
        return self._contents.window_bytes

    @property
    def first(self) -> int | None:
        """Offset of the first record that is not taken yet; None where none is left."""
        while not self._ready:
            window = next(self._windows, None)
            if window is None:
                return None
            self._ready = _from(window, self._start)
        offset: int = self._ready[0].offset
        return offset

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """At most `limit` records, none from offset `until` on, of those that were read last."""
        ready = self._ready
        end = min(len(ready), limit)
        if end and until is not None and ready[end - 1].offset >= until:
            end = next(index for index, record in enumerate(ready) if record.offset >= until)
        self._ready = ready[end:]
        return ready if end == len(ready) else ready[:end]


class _Contents:
    """What is in a batch, read as far as it can be."""

    def __init__(self, data: memoryview, unpacker: Unpacker) -> None:
        head = HEAD.unpack_from(data)
        self.data = data
        self.codec = head[5] & CODEC
        self.next: int = head[0] + head[6] + 1
        self.window_bytes = 0
        self._base, self._attributes, self._count = head[0], head[5], head[12]
        self._first_time = head[7]
        self._append_time = head[8] if head[5] & LOG_APPEND_TIME else None
        self._has_gaps = self._count != head[6] + 1  # compaction has removed some
        self._unpacker = unpacker

    def forget(self) -> None:
        """Gives back the memory that it is unpacked to."""
        self._unpacker.forget(self)

    def windows(self) -> Iterator[Sequence[Any]]:
        """The records, some thousands at a time; every offset has one, but those that compaction has removed."""
        try:
            body, is_whole = self._unpacker.unpack(self)
        except Unparseable as error:
            yield from self._refused(self._base, Code.UNREADABLE, f"its batch cannot be unpacked: {error}")
            return
        at_once = min(_WHOLE_BYTES, self._unpacker.bounds.record)
        if is_whole and len(body) <= at_once and 0 <= self._count <= _WHOLE_RECORDS:
            self.window_bytes = len(body)
            records = self._parse(body, self._count, self._base)
            if records is not None:
                yield records
                return
        del body
        yield from self._windows()

    def _windows(self) -> Iterator[Sequence[Any]]:
        at, left, offset = 0, self._count, self._base
        fault = "" if left >= 0 else f"its batch claims {left} records"
        while left > 0 and not fault:
            # Asked for again each time: what was unpacked may have had to make room for another partition's.
            body, is_whole = self._unpacker.unpack(self)
            begin = at
            spans, at, fault = walk(body, at, left, self._unpacker.bounds.record)
            left -= len(spans)
            if spans:
                self.window_bytes = at - begin
                is_large = at - begin > self._unpacker.bounds.record
                records = None if is_large else self._parse(body[begin:at], len(spans), offset)
                if records is None:
                    records = self._parse_one_by_one(body, spans, offset)
                offset = max(offset, records[-1].offset + 1) if records else self.next
                yield records
            if fault and not is_whole:
                yield from self._cut_off(offset, value_seen(body[at:]))
                return
        if not fault and at < (size := len(self._unpacker.unpack(self)[0])):
            # It has more records than it claims: their offsets must not pass for some that compaction has removed.
            fault = f"its batch claims {self._count} records, and {size - at} bytes are left behind them"
        if fault:
            yield from self._refused(offset, Code.UNREADABLE, fault)

    def _parse(self, body: memoryview, count: int, first: int) -> Sequence[Any] | None:
        """The records from offset `first` on by aiokafka's own parser; None where it raises, or their offsets lie."""
        batch: Any = self.data
        if self.codec or count != self._count:
            batch = bytearray(self.data[: HEAD.size]) + body
            struct.pack_into(">h", batch, ATTRIBUTES_AT, self._attributes & ~CODEC)
            struct.pack_into(">i", batch, COUNT_AT, count)
        try:
            records = list(DefaultRecordBatch(batch))
        except Exception:  # noqa: BLE001 - whatever it raises, they are read once more, one by one
            return None
        return records if self._are_in_order(records, first) else None

    def _are_in_order(self, records: Sequence[Any], first: int) -> bool:
        # A broker passes on what deltas an uncompressed batch has: a position that follows one that lies would skip
        # requests, or answer them twice.
        offsets = [record.offset for record in records]
        if not self._has_gaps:
            return offsets == list(range(first, first + len(offsets)))
        return all(before < after for before, after in pairwise([first - 1, *offsets, self.next]))

    def _parse_one_by_one(self, body: memoryview, spans: Sequence[tuple[int, int]], offset: int) -> Sequence[Any]:
        records = []
        for begin, end in spans:
            if offset >= self.next:
                break
            records.append(self._one(body[begin:end], offset))
            offset = records[-1].offset + 1
        return records

    def _one(self, record: memoryview, expected: int) -> Any:
        """One record of which nothing is taken for granted; `expected`: its offset where it says none that can be."""
        try:
            first = expected - self._base
            end = self.next - self._base if self._has_gaps else first + 1
            delta, timestamp, key, value, headers, odd = read_record(record, first, end)
        except Unparseable as error:
            why = f"the record cannot be read: {error}"
            return Unscorable(expected, self._first_time, None, (), Refusal(Code.UNREADABLE, why), facts=self._wire())
        offset = self._base + delta
        timestamp = self._first_time + timestamp if self._append_time is None else self._append_time
        name = None if key is None else bytes(key)
        if len(record) > self._unpacker.bounds.record:
            refusal, facts = without_value(value)
            return Unscorable(offset, timestamp, name, headers, refusal, facts=facts)
        content = None if value is None else bytes(value)
        if odd is not None:
            refusal = Refusal(Code.MALFORMED_HEADER, f"the header name {odd[:80]!r} is no UTF-8")
            return Unscorable(offset, timestamp, name, headers, refusal, content)
        return DefaultRecord(offset, timestamp, int(self._append_time is not None), name, content, list(headers))

    def _cut_off(self, offset: int, seen: int) -> Iterator[Sequence[Unscorable]]:
        """What lies behind the bound: of its first value `seen` bytes were read, of the others nothing."""
        bound = self._unpacker.bounds.unpacked
        why = f"its batch unpacks to more than {bound} bytes (HOTSWAP_MAX_UNPACKED_BYTES): its value is not kept"
        for window in self._refused(offset, Code.TOO_LARGE, why):
            sizes = [("value-size-at-least", b"%d" % (seen if one.offset == offset else 0)) for one in window]
            yield [one._replace(facts=(size, *one.facts)) for one, size in zip(window, sizes, strict=True)]

    def _refused(self, offset: int, code: Code, why: str) -> Iterator[Sequence[Unscorable]]:
        """Every offset from this one to the last of the batch, refused for the same reason."""
        refusal, facts = Refusal(code, why), self._wire()
        for start in range(offset, self.next, _WINDOW_RECORDS):
            offsets = range(start, min(start + _WINDOW_RECORDS, self.next))
            yield [Unscorable(at, self._first_time, None, (), refusal, facts=facts) for at in offsets]

    def _wire(self) -> Headers:
        return wire_facts(self.data)


class LegacyBatch:
    """A message (set) of the formats v0 and v1, which old logs still hold; aiokafka reads it."""

    def __init__(self, data: memoryview, *, start: int, bound: int) -> None:
        self.size = self.window_bytes = len(data)
        (base,) = struct.unpack_from(">q", data)
        try:
            records = _read_legacy(data, bound)
        except Unparseable as error:
            refusal = Refusal(Code.UNREADABLE, f"a message of an old format cannot be read: {error}")
            records = [Unscorable(max(base, start), 0, None, (), refusal, facts=wire_facts(data))]
        self.next = max(base, records[-1].offset if records else base) + 1
        self._ready = _from(records, start)

    @property
    def first(self) -> int | None:
        """As RawBatch.first."""
        return int(self._ready[0].offset) if self._ready else None

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """As RawBatch.take."""
        end = min(limit, sum(1 for record in self._ready if until is None or record.offset < until))
        taken, self._ready = self._ready[:end], self._ready[end:]
        return taken


class Skipped:
    """A damaged batch behind which somebody has ordered to go on: each of its offsets is refused."""

    def __init__(self, damaged: Damaged, why: str) -> None:
        self.size = self.window_bytes = damaged.size
        self.next = damaged.until
        self.first: int | None = damaged.offset
        self._refusal = Refusal(Code.UNREADABLE, why)
        self._facts = wire_facts(damaged.data)

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """As RawBatch.take."""
        if self.first is None:
            return ()
        end = min(self.next, self.first + limit, *([] if until is None else [until]))
        taken = [Unscorable(at, 0, None, (), self._refusal, facts=self._facts) for at in range(self.first, end)]
        self.first = end if end < self.next else None
        return taken


def wire_facts(data: bytes | memoryview) -> Headers:
    """What a dead letter says where the value itself could not be read: the digest of its batch as it was fetched."""
    return (("batch-sha256", hashlib.sha256(data).hexdigest().encode()),) if data else ()


def without_value(value: bytes | memoryview | None) -> tuple[Refusal, Headers]:
    """The refusal of a record that no dead letter can hold, and what its dead letter says of the value instead."""
    size = len(value or b"")
    digest = hashlib.sha256(value or b"").hexdigest().encode()
    why = f"the record is larger than a dead letter may be (a value of {size} bytes): its value is not kept"
    return Refusal(Code.TOO_LARGE, why), (("value-size", b"%d" % size), ("value-sha256", digest))


def _from(records: Sequence[Any], start: int) -> Sequence[Any]:
    """Those from an offset on: a fetch gives the whole batch in which it begins."""
    if not records or records[0].offset >= start:
        return records
    return [record for record in records if record.offset >= start]


def _read_legacy(data: memoryview, bound: int) -> Sequence[Any]:
    codec = data[MAGIC_AT + 1] & CODEC
    if codec:
        # Unpacked once under the bound before aiokafka does it without one.
        at = MAGIC_AT + 2 + (8 if data[MAGIC_AT] else 0)
        at += 4 + max(struct.unpack_from(">i", data, at)[0], 0)
        if not unpack(codec, data[at + 4 :], bound)[1]:
            raise Unparseable(f"it unpacks to more than {bound} bytes (HOTSWAP_MAX_UNPACKED_BYTES)")
    try:
        return list(MemoryRecords(bytes(data)).next_batch() or ())
    except Exception as error:  # whatever aiokafka raises of it
        raise Unparseable(repr(error)) from error
