"""Publishes a deployment's requests and finds their answers, for many callers at once.

A gateway beside a fast stream must not read every answer of it. Answers are in the partition of their requests, so a
desk publishes to one partition at a time, its *lane*, and reads that one's answers alone. If a lane's answers stop,
later requests take another one; those that wait are answered by whoever takes over their partition.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from hotswap.client.answers import Answers, Outgoing, Place, Prediction, Refused
from hotswap.errors import HotswapError, StartError
from hotswap.gateway.problems import Problem
from hotswap.kafka.admin import Admin
from hotswap.kafka.log import LogWriter
from hotswap.settings import Settings

_STALLED_S = 2.0
_CHUNK = 5_000
_POLL_S = 0.5

Answer: TypeAlias = Prediction | Refused


class Answered(NamedTuple):
    """Where a request was published, and its answer; None: none came in time."""

    place: Place
    answer: Answer | None


class _Asked(NamedTuple):
    place: Place
    answer: asyncio.Future[Answer]


class Lane:
    """One partition: what is to be published there, and who waits for an answer from there."""

    def __init__(self, settings: Settings, writer: LogWriter, partition: int) -> None:
        self._settings = settings
        self._writer = writer
        self._partition = partition
        self._queue: list[tuple[Outgoing, asyncio.Future[_Asked]]] = []
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._silent_since: float | None = None  # since when requests wait, and none of them has been answered
        self._sending: asyncio.Task[None] | None = None
        self._flight: asyncio.Future[None] | None = None
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def waiting(self) -> int:
        """The number of requests that have no answer yet."""
        return len(self._waiting) + len(self._queue)

    @property
    def is_usable(self) -> bool:
        """Whether answers are read, and do not keep requests waiting."""
        silent_s = time.monotonic() - self._silent_since if self._silent_since else 0.0
        return not self._reading.done() and silent_s <= _STALLED_S

    async def ready(self) -> None:
        """Wait until answers are read: a request that is published before could be answered unseen.

        Raises:
            StartError, Doubt: they cannot be read.

        """
        if not self._ready.is_set():
            ready = asyncio.create_task(self._ready.wait())
            await asyncio.wait({ready, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        if self._reading.done():
            self._reading.result()

    async def stop(self) -> None:
        """Read no more; those who wait have no answer."""
        for task in filter(None, (self._reading, self._sending)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, HotswapError):
                await task

    async def publish(self, requests: Sequence[Outgoing]) -> list[_Asked]:
        """Publish requests, together with those of other callers.

        Raises:
            Doubt: whether they were published is not known.

        """
        queued: list[asyncio.Future[_Asked]] = [asyncio.get_running_loop().create_future() for _ in requests]
        self._queue += zip(requests, queued, strict=True)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        try:
            return list(await asyncio.gather(*queued))
        except BaseException:
            # The caller has left, or some were not published: what is queued stays here, and nobody waits for the rest.
            self.forget(
                [one.result() for one in queued if not one.cancel() and not one.cancelled() and not one.exception()]
            )
            raise

    def forget(self, asked: Sequence[_Asked]) -> None:
        """Wait no longer for these."""
        for one in asked:
            self._waiting.pop(str(one.place), None)

    async def _send(self) -> None:
        while self._queue:
            taken, self._queue = self._queue[:_CHUNK], self._queue[_CHUNK:]
            if taken := [item for item in taken if not item[1].done()]:
                self._flight = asyncio.get_running_loop().create_future()
                try:
                    await self._write([request for request, _ in taken], [queued for _, queued in taken])
                finally:
                    self._flight.set_result(None)

    async def _write(self, requests: Sequence[Outgoing], queued: Sequence[asyncio.Future[_Asked]]) -> None:
        topic = self._settings.topics.requests
        values, keys, headers = zip(*requests, strict=True)
        try:
            sent = await self._writer.send_many(topic, keys, values, headers, partition=self._partition)
            written = await self._writer.acknowledged(topic, sent)
        except HotswapError as error:
            for one in queued:
                if not one.done():
                    one.set_exception(error)
            return
        self._silent_since = self._silent_since or time.monotonic()
        loop = asyncio.get_running_loop()
        for batch in written:
            for offset, at in enumerate(batch.records, batch.offset):
                if not queued[at].done():
                    asked = _Asked(Place(topic, batch.partition, offset), loop.create_future())
                    self._waiting[str(asked.place)] = asked.answer
                    queued[at].set_result(asked)

    async def _read(self) -> None:
        async with Answers.from_now_on(self._settings, only=self._partition) as answers:
            self._ready.set()
            while True:
                found = await answers.read(_POLL_S)
                self._tell(found)
                # An answer may be read before its request's acknowledgement is. Whatever it answers was on its way by
                # then: once that is acknowledged, look again.
                if found and self._flight and not self._flight.done():
                    await asyncio.wait({self._flight})
                    self._tell(found)

    def _tell(self, found: Sequence[Answer]) -> None:
        for answer in found:
            if waiter := self._waiting.pop(answer.source, None):
                self._silent_since = time.monotonic() if self._waiting else None
                if not waiter.done():
                    waiter.set_result(answer)


class Desk:
    """The desk of one deployment; `most` is how many requests may wait for their answers."""

    def __init__(self, settings: Settings, most: int) -> None:
        self._settings = settings
        self._most = most
        self._writer = LogWriter(settings)
        self._lanes: dict[int, Lane] = {}
        self._at = 0
        self.partitions = 0
        """The number of partitions of the requests topic."""
        self._opening = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """The number of requests that have no answer yet."""
        return sum(lane.waiting for lane in self._lanes.values())

    async def start(self) -> None:
        """Connect.

        Raises:
            StartError: no broker answers, or the deployment has no topics.

        """
        async with Admin.connect(self._settings) as admin:
            self.partitions = await admin.partitions(self._settings.topics.requests)
        if not self.partitions:
            raise StartError(f"topic {self._settings.topics.requests} does not exist")
        self._at = random.randrange(self.partitions)  # noqa: S311 - several gateways spread, and that is no secret
        await self._writer.start()

    async def stop(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))
        await self._writer.stop()

    async def ask(self, requests: Sequence[Outgoing], timeout_s: float) -> list[Answered]:
        """Publish requests, some thousands at a time, and return their answers in order.

        Raises:
            Problem: too many requests wait already; none of these was published.
            Doubt: whether the last of them were published is not known.

        """
        if self.waiting >= self._most:
            detail = f"{self.waiting} requests wait for their answers, which is as many as this gateway lets wait"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=1)
        found: list[Answered] = []
        for at in range(0, len(requests), _CHUNK):
            found += await self._ask(requests[at : at + _CHUNK], timeout_s)
            if found[-1].answer is None:
                break
        return found

    async def _ask(self, requests: Sequence[Outgoing], timeout_s: float) -> list[Answered]:
        lane = await self._lane()
        asked = await lane.publish(requests)
        try:
            await asyncio.wait([one.answer for one in asked], timeout=timeout_s)
            return [Answered(one.place, one.answer.result() if one.answer.done() else None) for one in asked]
        finally:
            lane.forget(asked)

    async def _lane(self) -> Lane:
        """Return the lane for the next requests: the last one, unless its answers have stopped."""
        async with self._opening:
            lane = self._lanes.get(self._at)
            if lane and not lane.is_usable:
                self._at = (self._at + 1) % self.partitions
                for number in [number for number, other in self._lanes.items() if not other.waiting]:
                    await self._lanes.pop(number).stop()
                lane = self._lanes.get(self._at)
            if lane is None:
                lane = self._lanes[self._at] = Lane(self._settings, self._writer, self._at)
            try:
                await lane.ready()
            except BaseException:
                await self._lanes.pop(self._at).stop()
                raise
            return lane
