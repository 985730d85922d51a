"""The contents of a record batch, decompressed up to a bound, and parsed even if malformed.

A batch (format v2, KIP-98) whose checksum matches may still be malformed: header names that are not UTF-8, false
lengths, 32 KiB that decompress to a gigabyte. Each of its offsets still becomes a record; one that cannot be a request
is an Unscorable, whose refusal says why. aiokafka's parser reads well-formed batches as a whole (the fast path); if it
raises, the records are parsed here, one by one (the fallback).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hotswap.batch import Code, Headers, Refusal, Unscorable
from hotswap.kafka.wire import batches
from hotswap.recordbatch.compression import decompress
from hotswap.recordbatch.header import LOG_APPEND_TIME, SIZE, Header, Unparseable
from hotswap.recordbatch.reader import read_record, value_seen, walk
from hotswap.recordbatch.writer import with_records

_WHOLE_BYTES = 1 << 20
_PASSED_ON_BYTES = 4 << 20
_WHOLE_RECORDS = 50_000
_WINDOW_RECORDS = 5_000


class Bounds(NamedTuple):
    """Limits in bytes: how far a batch is decompressed, and the largest record that is kept whole."""

    unpacked: int
    record: int


class Unpacker:
    """LRU cache of decompressed batches, of all partitions together no larger than the bound."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._held: OrderedDict[Contents, tuple[memoryview, bool]] = OrderedDict()

    def unpack(self, batch: "Contents") -> tuple[memoryview, bool]:
        """Return the records' bytes up to the bound, and whether they are complete; large results are cached.

        Raises:
            Unparseable: unknown codec, or malformed data.

        """
        packed = batch.data[SIZE:]
        if not batch.codec:
            return packed, True
        if unpacked := self._held.get(batch):
            self._held.move_to_end(batch)
            return unpacked
        unpacked = decompress(batch.codec, packed, self.bounds.unpacked)
        if len(unpacked[0]) > _WHOLE_BYTES:
            self._held[batch] = unpacked
            while sum(len(data) for data, _ in self._held.values()) > self.bounds.unpacked:
                self._held.popitem(last=False)
        return unpacked

    def forget(self, batch: "Contents") -> None:
        """Drop the cached data of a batch that was read to its end or discarded."""
        self._held.pop(batch, None)


class Contents:
    """The contents of a batch, parsed as far as possible."""

    def __init__(self, data: memoryview, unpacker: Unpacker) -> None:
        header = self._header = Header.read(data)
        self.data = data
        self.codec = header.codec
        self.base = header.base_offset
        self.next = header.next_offset
        self.window_bytes = 0
        self._count = header.records_count
        self._first_time, self._last_time = header.base_timestamp, header.max_timestamp
        self._append_time = header.max_timestamp if header.attributes & LOG_APPEND_TIME else None
        self._has_gaps = self._count != header.last_offset_delta + 1  # compaction has removed some
        self._unpacker = unpacker

    @property
    def bounds(self) -> Bounds:
        """The limits that it is read within."""
        return self._unpacker.bounds

    @property
    def is_complete(self) -> bool:
        """Whether it says that each of its offsets has a record, and thus one is found for each."""
        return not self._has_gaps and self._count > 0

    @property
    def times(self) -> tuple[int, int]:
        """The times of its first request and of its latest one, milliseconds since the epoch."""
        return (self._first_time if self._append_time is None else self._append_time), self._last_time

    def plain(self) -> memoryview | None:
        """Return the batch uncompressed; None if it cannot be decompressed, or is too large for that."""
        if len(self.data) > _PASSED_ON_BYTES:
            return None
        if not self.codec:
            return self.data
        try:
            body, is_whole = self._unpacker.unpack(self)
        except Unparseable:
            return None
        if not is_whole or len(body) > _PASSED_ON_BYTES:
            return None
        return memoryview(with_records(self._header, body))

    def forget(self) -> None:
        """Drop the decompressed data."""
        self._unpacker.forget(self)

    def windows(self) -> Iterator[Sequence[Any]]:
        """Yield the records, some thousands at a time; every offset has one, except those removed by compaction."""
        try:
            body, is_whole = self._unpacker.unpack(self)
        except Unparseable as error:
            yield from self._refused(self.base, Code.UNREADABLE, f"its batch cannot be decompressed: {error}")
            return
        at_once = min(_WHOLE_BYTES, self._unpacker.bounds.record)
        if is_whole and len(body) <= at_once and 0 <= self._count <= _WHOLE_RECORDS:
            self.window_bytes = len(body)
            records = self._parse(body, self._count, self.base)
            if records is not None:
                yield records
                return
        del body
        yield from self._windows()

    def _windows(self) -> Iterator[Sequence[Any]]:
        at, left, offset = 0, self._count, self.base
        fault = "" if left >= 0 else f"its batch claims {left} records"
        while left > 0 and not fault:
            # Each time anew: another partition's batch may have evicted the decompressed data.
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
            # It has more records than it claims: their offsets must not be mistaken for ones removed by compaction.
            fault = f"its batch claims {self._count} records, but {size - at} bytes follow them"
        if fault:
            yield from self._refused(offset, Code.UNREADABLE, fault)

    def _parse(self, body: memoryview, count: int, first: int) -> Sequence[Any] | None:
        """Parse the records from offset `first` on with aiokafka; None if it raises, or their offsets are wrong."""
        is_as_fetched = not self.codec and count == self._count
        batch = self.data if is_as_fetched else with_records(self._header._replace(records_count=count), body)
        try:
            records = list(batches.records_of(batch))
        except Exception:  # noqa: BLE001 - whatever it raises, they are parsed again, one by one
            return None
        return records if self._are_in_order(records, first) else None

    def _are_in_order(self, records: Sequence[Any], first: int) -> bool:
        # A broker does not check the offset deltas of an uncompressed batch: trusting a wrong one would skip requests,
        # or answer them twice.
        offsets = [record.offset for record in records]
        if not self._has_gaps:
            return offsets == list(range(first, first + len(offsets)))
        return all(before < after for before, after in pairwise([first - 1, *offsets, self.next]))

    def _parse_one_by_one(self, body: memoryview, spans: Sequence[tuple[int, int]], offset: int) -> Sequence[Any]:
        records = []
        for begin, end in spans:
            if offset >= self.next:
                break
            records.append(self.one(body[begin:end], offset))
            offset = records[-1].offset + 1
        return records

    def one(self, record: memoryview, expected: int) -> Any:
        """Parse one untrusted record; `expected` is its offset if it claims an impossible one."""
        try:
            first = expected - self.base
            end = self.next - self.base if self._has_gaps else first + 1
            delta, timestamp, key, value, headers, odd = read_record(record, first, end)
        except Unparseable as error:
            why = f"the record cannot be read: {error}"
            return Unscorable(expected, self._first_time, None, (), Refusal(Code.UNREADABLE, why), facts=self._wire())
        offset = self.base + delta
        timestamp = self._first_time + timestamp if self._append_time is None else self._append_time
        name = None if key is None else bytes(key)
        if len(record) > self._unpacker.bounds.record:
            refusal, facts = without_value(value)
            return Unscorable(offset, timestamp, name, headers, refusal, facts=facts)
        content = None if value is None else bytes(value)
        if odd is not None:
            refusal = Refusal(Code.MALFORMED_HEADER, f"the header name {odd[:80]!r} is not valid UTF-8")
            return Unscorable(offset, timestamp, name, headers, refusal, content)
        return batches.DefaultRecord(
            offset, timestamp, int(self._append_time is not None), name, content, list(headers)
        )

    def _cut_off(self, offset: int, seen: int) -> Iterator[Sequence[Unscorable]]:
        """Refuse every offset beyond the bound; `seen` bytes of the first one's value were read, none of the others."""
        bound = self._unpacker.bounds.unpacked
        why = f"its batch decompresses to more than {bound} bytes (HOTSWAP_MAX_UNPACKED_BYTES): its value is not kept"
        for window in self._refused(offset, Code.TOO_LARGE, why):
            sizes = [("value-size-at-least", b"%d" % (seen if one.offset == offset else 0)) for one in window]
            yield [one._replace(facts=(size, *one.facts)) for one, size in zip(window, sizes, strict=True)]

    def _refused(self, offset: int, code: Code, why: str) -> Iterator[Sequence[Unscorable]]:
        """Refuse every offset from this one to the batch's last, for the same reason."""
        refusal, facts = Refusal(code, why), self._wire()
        for start in range(offset, self.next, _WINDOW_RECORDS):
            offsets = range(start, min(start + _WINDOW_RECORDS, self.next))
            yield [Unscorable(at, self._first_time, None, (), refusal, facts=facts) for at in offsets]

    def _wire(self) -> Headers:
        return wire_facts(self.data)


def wire_facts(data: bytes | memoryview) -> Headers:
    """Return the header that stands for a value that could not be read: the digest of its batch as fetched."""
    return (("batch-sha256", hashlib.sha256(data).hexdigest().encode()),) if data else ()


def without_value(value: bytes | memoryview | None) -> tuple[Refusal, Headers]:
    """Return the refusal of a record too large for a dead letter, and the headers that stand for its value."""
    size = len(value or b"")
    digest = hashlib.sha256(value or b"").hexdigest().encode()
    why = f"the record is too large for a dead letter (its value has {size} bytes): its value is not kept"
    return Refusal(Code.TOO_LARGE, why), (("value-size", b"%d" % size), ("value-sha256", digest))
