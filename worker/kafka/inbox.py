"""The requests of one partition between the poller, which fetches for all, and the loop that scores them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from aiokafka import TopicPartition

from worker import metrics
from worker.errors import Doubt


class Inbox:
    """The requests of one partition that are fetched and not yet taken; bounded in bytes by pausing the partition."""

    def __init__(self, key: TopicPartition, *, max_bytes: int, deployment: str) -> None:
        self.key = key
        self.position: int | None = None
        """Offset to fetch next; None while the partition is not open, and whatever arrives is thrown away."""
        self.is_paused = False
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: deque[tuple[float, int, Sequence[Any]]] = deque()
        self._arrived = asyncio.Event()
        self._reached: int | None = None
        self._is_stopped = False
        self._failure: Doubt | None = None
        self._queue_seconds = metrics.STAGE_SECONDS.labels(deployment, "queue")

    def open(self, position: int) -> None:
        """Empties the inbox; what arrives from `position` on counts."""
        self._chunks.clear()
        self._bytes = 0
        self._failure = None
        self._reached = None
        self.position = position

    def close(self) -> None:
        """Throws away what has arrived and what arrives."""
        self._chunks.clear()
        self._bytes = 0
        self.position = None

    def put(self, records: Sequence[Any]) -> None:
        """Adds records in order of their offsets."""
        size = sum([len(record.value or b"") for record in records])
        self._chunks.append((perf_counter(), size, records))
        self._bytes += size
        self.position = records[-1].offset + 1
        self._arrived.set()

    def reach(self, position: int) -> None:
        """Says that there is no request before `position`, where nothing has arrived: markers have offsets too."""
        if self.position is not None and not self._chunks and position > self.position:
            self._reached = position
            self._arrived.set()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched."""
        return self._bytes >= self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether fetching should go on: half full, so that it does not flutter."""
        return self._bytes * 2 <= self._max_bytes

    def fail(self, doubt: Doubt) -> None:
        """Makes `wait` raise the doubt."""
        self._failure = doubt
        self._arrived.set()

    def stop(self) -> None:
        """Makes `wait` say None from now on."""
        self._is_stopped = True
        self._arrived.set()

    async def wait(self) -> int | None:
        """Offset of the first request that is here, or up to which there is none; None after `stop`."""
        while True:
            if self._is_stopped:
                return None
            if self._failure:
                raise self._failure
            if self._chunks:
                return int(self._chunks[0][2][0].offset)
            if self._reached is not None:
                reached, self._reached = self._reached, None
                return reached
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, limit: int, until: int | None) -> list[Any]:
        """Up to `limit` requests, none from offset `until` on."""
        taken: list[Any] = []
        if not self._chunks:
            return taken
        self._queue_seconds.observe(perf_counter() - self._chunks[0][0])
        while self._chunks and len(taken) < limit:
            arrived, size, records = self._chunks.popleft()
            end = min(len(records), limit - len(taken))
            if until is not None and records[end - 1].offset >= until:
                end = next(index for index, record in enumerate(records) if record.offset >= until)
            taken += records if end == len(records) else records[:end]
            if end == len(records):
                self._bytes -= size
                continue
            used = sum([len(record.value or b"") for record in records[:end]])
            self._bytes -= used
            self._chunks.appendleft((arrived, size - used, records[end:]))
            break
        return taken
