"""Pages of a deployment's dead letters, the newest first, each read from the ends of the topic's partitions.

A page costs what is on it, however long the topic is: windows of offsets grow backwards from the ends until the page is
full, or has cost enough. So a page may have few dead letters, or none, and there are older ones all the same.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotswap.batch import Code
from hotswap.client.answers import ID_HEADER, Outgoing, header_texts, refused
from hotswap.errors import Doubt, UsageError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader, LogRecord
from hotswap.settings import Settings

OURS = frozenset({"code", "message", "source", "generation", ID_HEADER})
"""The headers of a dead letter that its publisher did not set: a worker's, and a gateway's.

A request that is published again does not have the token of the first one: whoever does that is another caller.
"""

_READ_S = 0.5
_LONG_S = 2.0
_SCANNED = 50_000
_WINDOWS = 20_000  # offsets in the windows of all partitions together
_HELD_BYTES = 16 << 20
_PAGE_BYTES = 8 << 20


class Page(NamedTuple):
    """Dead letters, the newest first; partition -> the offset below which there may be older ones; None: nowhere."""

    records: list[LogRecord]
    before: Mapping[int, int] | None


def lacks_value(record: Any) -> bool:
    """Return whether the value of the refused request was not kept: it was too large, or unreadable."""
    return record.value is None and header_texts(record).get("code") in (Code.TOO_LARGE, Code.UNREADABLE)


def as_request(record: Any) -> Outgoing:
    """Restore the request of a dead letter: its bytes, key and own headers, and which request it repeats."""
    source = refused(record).source
    headers = [(name, value) for name, value in record.headers if name not in (*OURS, "replay-of")]
    return Outgoing(record.value, record.key, [*headers, ("replay-of", source.encode())])


class _Span(NamedTuple):
    """A partition: its first offset, the one below which to read, and its end."""

    begin: int
    before: int
    end: int


@dataclass(slots=True)
class _Window:
    """The dead letters of a partition from the offset `low` on, oldest first."""

    low: int
    records: deque[LogRecord] = field(default_factory=deque)
    size: int = 0

    def add(self, record: LogRecord) -> None:
        self.records.append(record)
        self.size += _size(record)

    def drop_oldest(self) -> int:
        """Narrow the window by its oldest record, and return the bytes that it no longer holds."""
        size = _size(self.records.popleft())
        self.low = self.records[0].offset
        self.size -= size
        return size

    def backwards(self, begin: int) -> Iterator[tuple[int, int, LogRecord | None]]:
        """Yield each record, the newest first, with its timestamp, and the offset below which there may be older ones.

        In the end, unless the partition's beginning is reached, None: what is older than that may be below the window.
        """
        oldest_ms = 1 << 63
        while self.records:
            record = self.records.pop()
            oldest_ms = record.timestamp
            yield oldest_ms, record.offset if self.records or self.low > begin else begin, record
        if self.low > begin:
            yield oldest_ms, self.low, None


async def newest(
    settings: Settings,
    limit: int,
    *,
    before: Mapping[int, int] | None = None,
    code: str | None = None,
    partition: int | None = None,
) -> Page:
    """Return the newest dead letters, of that code and partition; with `before`, below these offsets only.

    Raises:
        UsageError: the topic has no such partition.
        StartError: no broker answers, or the topic is missing.
        Doubt: they could not be read in time.

    """
    topic = settings.topics.dead_letters
    async with Admin.connect(settings) as admin:
        count = await admin.partitions(topic)
        if unknown := [number for number in (partition, *(before or ())) if number is not None and number >= count]:
            raise UsageError(f"topic {topic} has the partitions 0 to {count - 1}, and none {unknown[0]}")
        numbers = [number for number in range(count) if partition in (None, number)]
        begins = await asyncio.gather(*(admin.beginning_offset(topic, number) for number in numbers))
        ends = await admin.end_offsets(topic, numbers, read_committed=True)
    spans = {
        number: _Span(begin, min(ends[number], (before or {}).get(number, ends[number])), ends[number])
        for number, begin in zip(numbers, begins, strict=True)
    }
    return await _Pager(settings, limit=limit, code=code, partition=partition, spans=spans).read()


class _Pager:
    def __init__(
        self, settings: Settings, *, limit: int, code: str | None, partition: int | None, spans: Mapping[int, _Span]
    ) -> None:
        self._settings = settings
        self._limit = limit
        self._code = code
        self._partition = partition
        self._spans = spans
        self._at = {number: span.before for number, span in spans.items()}
        self._found: list[LogRecord] = []
        self._found_bytes = 0

    @property
    def _open(self) -> dict[int, int]:
        """Partition -> the offset below which there may be dead letters that were not looked at."""
        return {number: at for number, at in self._at.items() if at > self._spans[number].begin}

    async def read(self) -> Page:
        width, scanned, began = -(-self._limit // len(self._at)), 0, time.monotonic()
        is_full = False
        while (ends := self._open) and not is_full and scanned < _SCANNED and time.monotonic() - began < _LONG_S:
            lows = {number: max(self._spans[number].begin, end - width) for number, end in ends.items()}
            is_full = self._take(await self._windows(lows, ends))
            scanned += sum(end - lows[number] for number, end in ends.items())
            width = min(2 * width, max(1, _WINDOWS // len(self._at)))
        return Page(self._found, dict(self._at) if self._open else None)

    async def _windows(self, lows: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, _Window]:
        """Return the dead letters between these offsets; the newest ones if they do not all fit into memory."""
        windows = {number: _Window(low) for number, low in lows.items()}
        held, give_up = 0, time.monotonic() + self._settings.call_timeout_s
        reader = LogReader(self._settings, self._settings.topics.dead_letters, read_committed=True)
        try:
            # Partitions that are done are read from their ends on, where there is nothing.
            offsets = {number: lows.get(number, span.end) for number, span in self._spans.items()}
            await reader.start(offsets, only=self._partition)
            while _is_before(await reader.positions(), ends):
                for record in await reader.read(_READ_S):
                    if record.offset < ends.get(record.partition, 0):
                        windows[record.partition].add(record)
                        held += _size(record)
                        while held > _HELD_BYTES and len((most := max(windows.values(), key=_held)).records) > 1:
                            held -= most.drop_oldest()
                if time.monotonic() > give_up:
                    raise Doubt(f"reading dead letters: {reader.damaged or 'they did not arrive in time'}")
        finally:
            await reader.stop()
        return windows

    def _take(self, windows: Mapping[int, _Window]) -> bool:
        """Take the newest, as long as nothing newer can be below a window; return whether the page is full."""
        self._at |= {number: window.low for number, window in windows.items() if not window.records}
        for _, number, before, record in heapq.merge(
            *(self._numbered(number, window) for number, window in windows.items()), key=lambda item: -item[0]
        ):
            if record is None:
                self._at[number] = before
                return False
            if not self._code or header_texts(record).get("code") == self._code:
                size = self._found_bytes + _size(record)
                if len(self._found) == self._limit or (self._found and size > _PAGE_BYTES):
                    return True
                self._found.append(record)
                self._found_bytes = size
            self._at[number] = before
        return len(self._found) == self._limit

    def _numbered(self, number: int, window: _Window) -> Iterator[tuple[int, int, int, LogRecord | None]]:
        for at_ms, before, record in window.backwards(self._spans[number].begin):
            yield at_ms, number, before, record


def _is_before(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return any(positions[number] < end for number, end in ends.items())


def _held(window: _Window) -> int:
    return window.size


def _size(record: LogRecord) -> int:
    return len(record.value or b"") + sum(len(value or b"") for _, value in record.headers)
