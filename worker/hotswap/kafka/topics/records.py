"""Fetched record batches: passed on to a host that reads them itself, or parsed to records where it does not."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hotswap.batch import Code, DeclinedRequest, Refusal, Unscorable
from hotswap.kafka.topics.contents import Contents, Unpacker, wire_facts
from hotswap.kafka.wire import batches
from hotswap.recordbatch.compression import decompress
from hotswap.recordbatch.header import Unparseable, offset_of
from hotswap.recordbatch.reader import legacy_value


class Damaged(NamedTuple):
    """A corrupt batch at offsets `offset` to `until - 1`: its checksum does not match."""

    offset: int
    until: int
    data: bytes | memoryview

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.data)

    def skipped(self, why: str) -> "Skipped":
        """Return its replacement, for a command that skips it."""
        return Skipped(self, why)


class RawBatch:
    """A batch as raw bytes, to be passed on as it is, or parsed on demand, some thousands of records at a time."""

    def __init__(self, data: memoryview, *, start: int, unpacker: Unpacker) -> None:
        self._contents = Contents(data, unpacker)
        self._start = start
        self._windows: Iterator[Sequence[Any]] | None = None  # None: nothing is parsed
        self._ready: Sequence[Any] = ()

    def __del__(self) -> None:
        self._contents.forget()

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self._contents.data)

    @property
    def next(self) -> int:
        """Offset after the batch's last one."""
        return self._contents.next

    @property
    def at_ms(self) -> int:
        """Timestamp of its first record, milliseconds since the epoch."""
        return self._contents.times[0]

    @property
    def window_bytes(self) -> int:
        """Decompressed bytes of the records that were parsed last."""
        return self._contents.window_bytes

    @property
    def first(self) -> int | None:
        """Offset of the first record that is not taken yet; None if none is left."""
        if self._windows is None and self._contents.is_complete:
            first = max(self._start, self._contents.base)
            return first if first < self.next else None
        self._parse()
        return self._ready[0].offset if self._ready else None

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """Take at most `limit` of the records that were parsed last, none from offset `until` on."""
        self._parse()
        ready = self._ready
        end = min(len(ready), limit)
        if end and until is not None and ready[end - 1].offset >= until:
            end = next(index for index, record in enumerate(ready) if record.offset >= until)
        self._ready = ready[end:]
        return ready if end == len(ready) else ready[:end]

    def pass_on(self, until: int) -> "Piece | None":
        """Take the records up to offset `until` unparsed; None: they must be parsed, since something is unusual."""
        contents = self._contents
        if self._windows is not None or not contents.is_complete or (plain := contents.plain()) is None:
            return None
        first = max(self._start, contents.base)
        self._start = min(until, contents.next)
        return Piece(contents, plain, first, self._start)

    def _parse(self) -> None:
        if self._windows is None:
            self._windows = self._contents.windows()
        while not self._ready:
            window = next(self._windows, None)
            if window is None:
                return
            self._ready = since(window, self._start)


class Piece(NamedTuple):
    """A batch that is passed on: uncompressed, its requests from offset `first` up to `next`."""

    of: Contents
    plain: memoryview
    first: int
    next: int

    def parsed(self) -> Sequence[Any]:
        """Parse its requests."""
        return [one for window in self.of.windows() for one in window if self.first <= one.offset < self.next]

    def one(self, begin: int, end: int, offset: int) -> Any:
        """Parse the request at `offset` alone, whose record is at these bytes of `plain`."""
        return self.of.one(self.plain[begin:end], offset)

    def times(self) -> Iterator[tuple[int, int]]:
        """Yield times, milliseconds since the epoch, and how many of its requests they stand for."""
        count = self.next - self.first
        first, last = self.of.times
        yield first, count - count // 2
        yield last, count // 2


class FetchedRequests(NamedTuple):
    """Requests in their record batches, of which there is at least one; see pipeline.ports.RawRequests."""

    parts: Sequence[Piece]
    is_full: bool
    max_record_bytes: int

    @property
    def pieces(self) -> Sequence[memoryview]:
        """The record batches, uncompressed."""
        return [part.plain for part in self.parts]

    @property
    def first(self) -> int:
        """Offset of the first request."""
        return self.parts[0].first

    @property
    def next(self) -> int:
        """Offset after the last request."""
        return self.parts[-1].next

    @property
    def size(self) -> int:
        """The number of requests."""
        return sum(part.next - part.first for part in self.parts)

    def parsed(self) -> Sequence[Any]:
        """Parse the requests."""
        return [one for part in self.parts for one in part.parsed()]

    def some(self, requests: Sequence[DeclinedRequest]) -> Sequence[Any]:
        """Parse some of the requests, in order of their offsets."""
        records, parts, start = [], iter(self.parts), 0
        part = next(parts)
        for offset, begin, end in requests:
            while begin >= start + len(part.plain):
                start += len(part.plain)
                part = next(parts)
            records.append(part.one(begin - start, end - start, offset))
        return records

    def times(self) -> Iterator[tuple[int, int]]:
        """Yield times, milliseconds since the epoch, and how many requests each stands for."""
        for part in self.parts:
            yield from part.times()


class LegacyBatch:
    """A message (set) in format v0 or v1, which old logs still contain; aiokafka parses it."""

    def __init__(self, data: memoryview, *, start: int, bound: int) -> None:
        self.size = self.window_bytes = len(data)
        base = offset_of(data)
        try:
            records = _read(data, bound)
        except Unparseable as error:
            refusal = Refusal(Code.UNREADABLE, f"a message in an old format cannot be read: {error}")
            records = [Unscorable(max(base, start), 0, None, (), refusal, facts=wire_facts(data))]
        self.next = max(base, records[-1].offset if records else base) + 1
        self._ready = since(records, start)
        self.at_ms: int = max(0, self._ready[0].timestamp or 0) if self._ready else 0

    @property
    def first(self) -> int | None:
        """See RawBatch.first."""
        return int(self._ready[0].offset) if self._ready else None

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """See RawBatch.take."""
        end = min(limit, sum(1 for record in self._ready if until is None or record.offset < until))
        taken, self._ready = self._ready[:end], self._ready[end:]
        return taken


class Skipped:
    """A damaged batch that a command skips: each of its offsets is refused."""

    def __init__(self, damaged: Damaged, why: str) -> None:
        self.size = self.window_bytes = damaged.size
        self.next, self.at_ms = damaged.until, 0
        self.first: int | None = damaged.offset
        self._refusal = Refusal(Code.UNREADABLE, why)
        self._facts = wire_facts(damaged.data)

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """See RawBatch.take."""
        if self.first is None:
            return ()
        end = min(self.next, self.first + limit, *([] if until is None else [until]))
        taken = [Unscorable(at, 0, None, (), self._refusal, facts=self._facts) for at in range(self.first, end)]
        self.first = end if end < self.next else None
        return taken


def since(records: Sequence[Any], start: int) -> Sequence[Any]:
    """Return the records from offset `start` on: a fetch returns the whole batch that contains its offset."""
    if not records or records[0].offset >= start:
        return records
    return [record for record in records if record.offset >= start]


def _read(data: memoryview, bound: int) -> Sequence[Any]:
    codec, value = legacy_value(data)
    # Decompress once within the bound, before aiokafka does so without one.
    if codec and not decompress(codec, value, bound)[1]:
        raise Unparseable(f"it decompresses to more than {bound} bytes (HOTSWAP_MAX_UNPACKED_BYTES)")
    try:
        return batches.records_of_legacy(data)
    except Exception as error:  # aiokafka may raise anything
        raise Unparseable(repr(error)) from error
