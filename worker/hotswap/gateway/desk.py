"""Publishes a deployment's requests and finds their answers, for many callers at once.

A gateway beside a fast stream must not read every answer of it. Answers are in the partition of their requests, so a
router publishes to one partition at a time, its *lane*, and reads that one's answers alone. If a lane's answers stop,
later requests take another one; those that wait are answered by whoever takes over their partition.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import islice, repeat

from hotswap.client.answers import Answers, Outgoing, Place, Unread
from hotswap.errors import HotswapError, StartError
from hotswap.gateway.answered import Answer, Answered
from hotswap.gateway.problems import Problem
from hotswap.gateway.turns import Turns, add_to
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.writer import LogWriter
from hotswap.settings import Settings

_APART_S = 0.02
"""Time from one record batch to the next: each costs the broker, a worker's transaction and the reader as much as many
rows. The first one after a while goes at once, and so does the one after a few requests that are answered: no more come
by waiting.
"""
_FEW = 2
"""Requests of a record batch for whose answers the next one waits, at most."""
_STALLED_S = 2.0
_CHUNK = 1_000
_AHEAD = 3
"""Chunks of one caller's long calls that may wait for their answers: some are scored while others are published or
read. What others ask comes behind them.
"""
_ALL_AHEAD = 5
"""Those of all callers."""
_SHORT = 100
"""Rows of a call that takes no turns."""
_LONG = 16
"""The most long calls of a caller."""
_POLL_S = 0.5


class _Call:
    """The requests of one call: where they are, once they are published, and their answers, as they come."""

    def __init__(self, requests: Sequence[Outgoing]) -> None:
        loop = asyncio.get_running_loop()
        self.requests = requests
        self.places: list[Place] = []
        self.answers: list[Answer | None] = [None] * len(requests)
        # Two futures for all of them: two for each request would be half of what a long table costs.
        self.published: asyncio.Future[None] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()
        self._missing = len(requests)

    def answer(self, at: int, answer: Answer) -> None:
        """Take the answer to one of them."""
        self.answers[at] = answer
        self._missing -= 1
        if not self._missing and not self.answered.done():
            self.answered.set_result(None)


class Lane:
    """One partition: its queue of requests, and the calls that wait for their answers."""

    def __init__(self, settings: Settings, writer: LogWriter, partition: int) -> None:
        self._settings = settings
        self._writer = writer
        self._partition = partition
        self._queue: deque[_Call] = deque()
        self._queued = 0
        self._waiting: dict[str, tuple[_Call, int]] = {}
        self._silent_since: float | None = None  # since when requests wait, and none of them has been answered
        self._sending: asyncio.Task[None] | None = None
        self._flight: asyncio.Future[None] | None = None
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def waiting(self) -> int:
        """The number of requests that have no answer yet."""
        return len(self._waiting) + self._queued

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
        """Stop reading; waiting calls get no answer."""
        for task in filter(None, (self._reading, self._sending)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, HotswapError):
                await task

    async def publish(self, call: _Call) -> None:
        """Publish a call's requests, together with those of other calls.

        Raises:
            Doubt: whether they were published is not known.

        """
        self._queue.append(call)
        self._queued += len(call.requests)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        await call.published

    def forget(self, call: _Call) -> None:
        """Wait no longer for the answers that a call has not."""
        for place, answer in zip(call.places, call.answers, strict=False):  # none has a place before it is published
            if answer is None:
                self._waiting.pop(str(place), None)

    async def _send(self) -> None:
        while self._queue:
            began = time.monotonic()
            if calls := [call for call in self._take() if not call.published.done()]:
                self._flight = asyncio.get_running_loop().create_future()
                try:
                    await self._write(calls)
                finally:
                    self._flight.set_result(None)
            await self._apart(calls, began + _APART_S)

    @staticmethod
    async def _apart(calls: Sequence[_Call], until: float) -> None:
        """Wait until the next record batch may follow that of these calls."""
        left_s = until - time.monotonic()
        if calls and sum(len(call.requests) for call in calls) <= _FEW:
            await asyncio.wait({call.answered for call in calls}, timeout=max(0.0, left_s))
        else:
            await asyncio.sleep(left_s)

    def _take(self) -> Iterator[_Call]:
        count = 0
        while self._queue and count < _CHUNK:
            call = self._queue.popleft()
            count += len(call.requests)
            self._queued -= len(call.requests)
            yield call

    async def _write(self, calls: Sequence[_Call]) -> None:
        topic = self._settings.topics.requests
        values, keys, headers = zip(*(request for call in calls for request in call.requests), strict=True)
        try:
            sent = await self._writer.send_many(topic, keys, values, headers, partition=self._partition)
            written = await self._writer.acknowledged(topic, sent)
        except HotswapError as error:
            for call in calls:
                if not call.published.done():
                    call.published.set_exception(error)
            return
        self._silent_since = self._silent_since or time.monotonic()
        places = (
            Place(topic, batch.partition, offset)
            for batch in written  # in the order of the requests: they go to one partition
            for offset, _ in enumerate(batch.records, batch.offset)
        )
        for call in calls:
            call.places = list(islice(places, len(call.requests)))
            if not call.published.done():
                call.published.set_result(None)
                self._waiting |= {str(place): (call, at) for at, place in enumerate(call.places)}

    async def _read(self) -> None:
        async with Answers.from_now_on(self._settings, only=self._partition) as answers:
            self._ready.set()
            while True:
                unread = await answers.read_unparsed(_POLL_S)
                self._deliver(unread)
                # An answer may be read before its request's acknowledgement is. Whatever it answers was on its way by
                # then: once that is acknowledged, look again.
                if unread and self._flight and not self._flight.done():
                    await asyncio.wait({self._flight})
                    self._deliver(unread)

    def _deliver(self, unread: Unread) -> None:
        for answer in unread.to(self._waiting):
            if waiter := self._waiting.pop(answer.source, None):
                call, at = waiter
                call.answer(at, answer)
                self._silent_since = time.monotonic() if self._waiting else None


class RequestRouter:
    """The request router of one deployment; at most `most` requests wait for their answers."""

    def __init__(self, settings: Settings, most: int) -> None:
        self._settings = settings
        self._most = most
        self._of = Counter[str]()
        self._long_of = Counter[str]()
        self._turns = Turns(_ALL_AHEAD, of_one=_AHEAD)
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

    async def ask(
        self, requests: Sequence[Outgoing], timeout_s: float, caller: str = "", token: str = ""
    ) -> list[Answered]:
        """Publish a call's requests, a long one's in chunks, in turn with other callers; return the answers in order.

        Raises:
            Problem: too many requests wait already (503), or this caller has too many long calls in hand (429); none
                of these requests was published.
            Doubt: whether the last of them were published is not known.

        """
        waiting, own = self._of.total(), self._of[caller]
        # A caller has its share even while others have taken all.
        if waiting >= self._most and own * len(self._of.keys() | {caller}) >= self._most:
            detail = f"{waiting} requests wait for their answers, which is as many as this gateway lets wait"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=1)
        if len(requests) <= _SHORT:
            return await self._ask(requests, timeout_s, caller, token)
        if self._long_of[caller] >= _LONG:
            detail = f"{_LONG} calls of this caller with many rows are in hand: wait for their replies"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=2)
        add_to(self._long_of, caller, 1)
        try:
            return await self._ask_long(requests, timeout_s, caller, token)
        finally:
            add_to(self._long_of, caller, -1)

    async def _ask_long(
        self, requests: Sequence[Outgoing], timeout_s: float, caller: str, token: str
    ) -> list[Answered]:
        def in_turn(chunk: Sequence[Outgoing]) -> asyncio.Task[list[Answered]]:
            return asyncio.create_task(self._in_turn(chunk, timeout_s, caller, token))

        answered: list[Answered] = []
        chunks = (requests[at : at + _CHUNK] for at in range(0, len(requests), _CHUNK))
        tasks = deque(map(in_turn, islice(chunks, _AHEAD)))
        try:
            while tasks:
                answered += await tasks.popleft()
                tasks.extend(
                    map(in_turn, islice(chunks, answered[-1].answer is not None))
                )  # no further behind a late one
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return answered

    async def _in_turn(self, requests: Sequence[Outgoing], timeout_s: float, caller: str, token: str) -> list[Answered]:
        async with self._turns.turn(caller, len(requests)):
            return await self._ask(requests, timeout_s, caller, token)

    async def _ask(self, requests: Sequence[Outgoing], timeout_s: float, caller: str, token: str) -> list[Answered]:
        add_to(self._of, caller, len(requests))
        try:
            lane, call = await self._lane(), _Call(requests)
            try:
                await lane.publish(call)
                await asyncio.wait([call.answered], timeout=timeout_s)
                return list(map(Answered, call.places, call.answers, repeat(token)))
            finally:
                lane.forget(call)
        finally:
            add_to(self._of, caller, -len(requests))

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
