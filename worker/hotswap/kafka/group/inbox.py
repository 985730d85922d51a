"""Queue of one partition's requests, between the poller, which fetches for all partitions, and the loop."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from aiokafka import TopicPartition

from hotswap import metrics
from hotswap.errors import DamagedBatch, Doubt
from hotswap.kafka.topics.fetched import Batch
from hotswap.kafka.topics.records import Damaged, FetchedRequests, Piece, RawBatch

log = logging.getLogger(__name__)

_FETCHES_OF_DAMAGE = 4
_TAKEN_BYTES = 4 << 20
_PARTS_AT_MOST = 4  # of a record batch: each takes all of it to the host
_ALL_QUEUED, _LEAST_QUEUED, _MOST_QUEUED = 20 << 20, 1 << 20, 5 << 20


def bytes_queued(setting: int, partitions: int) -> int:
    """Return how many bytes each of a worker's partitions queues; `setting` is `max_queued_bytes`.

    At most as much as the largest batch has (4 MiB), and a record batch of Kafka's default limit. With less, a backlog
    of rows of 500 bytes and more never fills a batch, and each fetch becomes a transaction of its own.
    """
    return setting or max(_LEAST_QUEUED, min(_MOST_QUEUED, _ALL_QUEUED // max(1, partitions)))


def bytes_fetched(queued: int) -> int:
    """Return how many bytes of a partition to fetch at once, where it queues `queued`."""
    return max(_LEAST_QUEUED, min(_MOST_QUEUED, queued))


class Inbox:
    """The fetched requests of one partition that are not yet taken; bounded in bytes by pausing the partition."""

    def __init__(self, key: TopicPartition, *, max_bytes: int, deployment: str) -> None:
        self.key = key
        self.position: int | None = None
        """Offset to fetch next; None while the partition is not open, and requests are dropped."""
        self.sought_in = 0
        """The membership's epoch since which it is fetched from `position` on: earlier fetches are stale."""
        self.is_paused = False
        self.max_bytes = max_bytes
        """How many bytes it queues before its partition is paused."""
        self._bytes = 0
        self._batches: deque[tuple[float, Batch]] = deque()
        self._arrived = asyncio.Event()
        self._is_woken = False  # `wait` returns `position` although there is no request before it
        self._is_stopped = False
        self._failure: Doubt | None = None
        self._damaged: Damaged | None = None
        self._damaged_fetches = 0
        self._deployment = deployment
        self._removed: tuple[int, int, int] | None = None
        self._taken_ms = 0
        self._queue_seconds = metrics.STAGE_SECONDS.labels(deployment, "queue")

    def open(self, position: int) -> None:
        """Empty the inbox, and accept requests from `position` on."""
        self.close()
        self._failure = None
        self.position = position

    def close(self) -> None:
        """Drop all requests, also those that arrive until `open`."""
        self._batches.clear()
        self._bytes = 0
        self._damaged, self._damaged_fetches = None, 0
        self.position, self._is_woken = None, False

    def put(self, batches: Sequence[Batch]) -> None:
        """Add batches, in order of their offsets."""
        for batch in batches:
            if isinstance(batch, Damaged):
                self._damaged_fetches += 1
                if self._damaged_fetches == _FETCHES_OF_DAMAGE:
                    self._damaged = batch
                    self._arrived.set()
                return
            self._damaged_fetches = 0
            self._batches.append((perf_counter(), batch))
            self._bytes += batch.size
            self.position = batch.next
            self._arrived.set()

    def removed(self, begin: int, end: int, count: int) -> None:
        """Count requests that compaction has removed between two offsets, once, however often these are fetched."""
        first, last, sum_ = self._removed or (begin, begin, 0)
        if end <= last:
            return
        if not self._removed:
            facts = {"partition": self.key.partition, "from": begin, "to": end}
            log.error("partition.requests_were_compacted", extra=facts)
        self._removed = first, end, sum_ + count
        metrics.DELETED.labels(self._deployment).inc(count)

    @property
    def warning(self) -> str:
        """Which requests compaction has removed, for a person; empty if none."""
        if not self._removed:
            return ""
        first, end, count = self._removed
        return (
            f"compaction removed {count} requests between offset {first} and {end - 1} before they were read: set the "
            f"cleanup.policy of {self.key.topic} to delete"
        )

    def reach(self, position: int) -> None:
        """Record that there is no request before `position`, if the inbox is empty: markers have offsets too."""
        if self.position is not None and not self._batches and position > self.position:
            self.position = position
            self.wake()

    def wake(self) -> None:
        """Make `wait` return the offset to fetch next, if there is no request before it."""
        if self.position is not None and not self._batches:
            self._is_woken = True
            self._arrived.set()

    def oldest_ms(self, *, is_in_hand: bool) -> int:
        """Return the timestamp of the oldest request, ms since the epoch; 0: there is none, or it has none.

        `is_in_hand`: whether the requests taken last are not answered yet.
        """
        if is_in_hand:
            return self._taken_ms
        return self._first_ms() if self._first() is not None else 0

    def _first_ms(self) -> int:
        _, batch = self._batches[0]
        return 0 if isinstance(batch, Damaged) else max(batch.at_ms, 0)

    @property
    def is_full(self) -> bool:
        """Whether to stop fetching: there are enough bytes, or the next batch is damaged."""
        return self._bytes >= self.max_bytes or self._damaged is not None

    @property
    def has_room(self) -> bool:
        """Whether to resume fetching: at most half full, so that pausing does not flap."""
        return self._bytes * 2 <= self.max_bytes and self._damaged is None

    def fail(self, doubt: Doubt) -> None:
        """Make `wait` raise the doubt."""
        self._failure = doubt
        self._arrived.set()

    def stop(self) -> None:
        """Make `wait` return None from now on."""
        self._is_stopped = True
        self._arrived.set()

    async def wait(self) -> int | None:
        """Wait for a request; return its offset, or an offset before which there is none; None after `stop`.

        Raises:
            DamagedBatch: the next batch was damaged in each of four fetches.
            Doubt: see `fail`.

        """
        while True:
            if self._is_stopped:
                return None
            if self._failure:
                raise self._failure
            if (first := self._first()) is not None:
                return first
            if self._damaged:
                raise DamagedBatch(self._damaged.offset)
            if self._is_woken:
                # Not the position of `wake`: requests that have come since are taken, and a commit must not go back.
                self._is_woken = False
                return self.position
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, limit: int, until: int | None) -> list[Any]:
        """Take up to `limit` requests, none from offset `until` on; fewer if they are large, but at least one."""
        taken: list[Any] = []
        size = 0
        if self._batches:
            self._queue_seconds.observe(perf_counter() - self._batches[0][0])
            self._taken_ms = self._first_ms()
        while len(taken) < limit and size < _TAKEN_BYTES and self._first() is not None:
            _, batch = self._batches[0]
            assert not isinstance(batch, Damaged)
            records = batch.take(limit - len(taken), until)
            if not records:
                break
            taken += records
            size += batch.window_bytes
        self._first()  # drops a batch that was taken to its end, which makes room
        return taken

    def take_raw(self, limit: int, until: int | None) -> FetchedRequests | None:
        """Take requests as `take` does, unparsed; None if there are none, or the next ones must be parsed.

        Record batches are taken whole, unless one alone has more than `limit` requests.
        """
        parts: list[Piece] = []
        count = size = 0
        since = self._batches[0][0] if self._batches else 0.0
        taken_ms = self._first_ms() if self._batches else 0
        while count < limit and size < _TAKEN_BYTES and (first := self._first()) is not None:
            _, batch = self._batches[0]
            if not isinstance(batch, RawBatch) or batch.next - first > _PARTS_AT_MOST * limit:
                break
            end = first + limit if until is None else min(first + limit, until)
            if parts and count + batch.next - first > limit:
                size = _TAKEN_BYTES
            elif first >= end or not (part := batch.pass_on(end)):
                break
            else:
                parts.append(part)
                count += part.next - part.first
                size += len(part.plain)
        self._first()  # drops a batch that was taken to its end, which makes room
        if not parts:
            return None
        self._queue_seconds.observe(perf_counter() - since)
        self._taken_ms = taken_ms
        return FetchedRequests(parts, count >= limit or size >= _TAKEN_BYTES, parts[0].of.bounds.record)

    def skip(self, why: str) -> int:
        """Replace each offset of the damaged batch with a refusal; return the offset to fetch from."""
        assert self._damaged is not None
        skipped, self._damaged = self._damaged.skipped(why), None
        self.put([skipped])
        return skipped.next

    def _first(self) -> int | None:
        """Return the offset of the first request; drop batches that have none left."""
        while self._batches:
            _, batch = self._batches[0]
            assert not isinstance(batch, Damaged)
            if batch.first is not None:
                return batch.first
            self._bytes -= batch.size
            self._batches.popleft()
        return None
