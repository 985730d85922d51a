"""The model's Kafka clients: each sends its calls into the world of the process that it belongs to.

They stand in for aiokafka's consumer, and for the parts of worker/kafka/ that only ask or only read.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from fakes.data_plane import FakeBatch
from hotswap.batch import Limits, Record
from hotswap.kafka.group.assignor import BOTH_IDS, KeepingAssignor, encoded
from hotswap.kafka.group.membership import Membership
from hotswap.kafka.partition.tail import Tail
from hotswap.kafka.partition.witness import KnownAnswers, LastAnswer
from hotswap.kafka.topics import admin
from hotswap.kafka.topics.committed import Committed, Lag
from hotswap.kafka.topics.writer import Item
from hotswap.settings import Settings
from model.broker import Place
from model.steps import here

T = TypeVar("T")

_FETCH = 3  # requests of a partition in one answer of the consumer


class Consumer:
    """aiokafka.AIOKafkaConsumer with a group.

    Its answers are as stale as they can be: the requests are those behind the positions of the moment when it was
    asked, whatever has been sought since.
    """

    def __init__(self, _: object, *, partition_assignment_strategy: tuple[KeepingAssignor], **more: object) -> None:
        self._process = here()
        (self._assignor,) = partition_assignment_strategy
        self._owned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._coordinator = SimpleNamespace(member_id="a member", generation=-1, _do_heartbeat=None)
        self._subscription = SimpleNamespace()
        self._fetcher = SimpleNamespace(_records={})
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, topics: list[str], *, listener: Membership) -> None:
        (self._topic,) = topics
        self._listener = listener

    async def start(self) -> None:
        self._process.world.group.join(self._process)
        self._task = asyncio.create_task(self._coordinate())
        self._task.add_done_callback(lambda task: self._process.world.watch(self._process, task))

    async def stop(self) -> None:
        self._process.world.group.leave(self._process)
        if self._task:
            self._task.cancel()

    async def _coordinate(self) -> None:
        group, process = self._process.world.group, self._process
        while True:
            await process.ask("rebalance", lambda: None, lambda: not group.is_told(process))
            process.revoked_at = process.loop.time()
            await self._listener.on_partitions_revoked([*self._owned])
            process.revoked_at = None
            self._coordinator.generation, numbers = await process.ask("join", lambda: group.tell(process))
            self._owned = {TopicPartition(self._topic, number) for number in numbers}
            # As aiokafka's: fetched from where the group has committed, until somebody seeks.
            offsets = process.world.broker.offsets
            self._positions = {key: offsets.get(key.partition, (0, ""))[0] for key in self._owned}
            self._paused = set()
            self._assignor.on_assignment(SimpleNamespace(partitions=lambda: self._owned, user_data=encoded(BOTH_IDS)))
            await process.ask("settle", lambda: None)
            await self._listener.on_partitions_assigned([*self._owned])

    def assignment(self) -> set[TopicPartition]:
        return self._owned

    def seek(self, key: TopicPartition, offset: int) -> None:
        self._positions[key] = offset

    async def position(self, key: TopicPartition) -> int:
        return self._positions[key]

    def pause(self, key: TopicPartition) -> None:
        self._paused.add(key)

    def resume(self, key: TopicPartition) -> None:
        self._paused.discard(key)

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[FakeBatch]]:
        asked = dict(self._positions)
        now = self._process.loop.time
        late = now() + timeout_ms / 1000
        return await self._process.ask("fetch", lambda: self._fetch(asked), lambda: self._has_news() or now() >= late)

    def _has_news(self) -> bool:
        log = self._process.world.broker.requests
        return any(at < len(log[key.partition]) for key, at in self._wanted())

    def _wanted(self) -> list[tuple[TopicPartition, int]]:
        return [(key, at) for key, at in self._positions.items() if key in self._owned - self._paused]

    def _fetch(self, asked: dict[TopicPartition, int]) -> dict[TopicPartition, list[FakeBatch]]:
        answers = {}
        for key, at in self._wanted():
            log = self._process.world.broker.requests[key.partition]
            found = [request for request in log[asked.get(key, at) :] if request is not None][:_FETCH]
            if found:
                answers[key] = [FakeBatch(found)]
            self._positions[key] = found[-1].offset + 1 if found else len(log)
        return answers


async def _nothing(*_: object, **__: object) -> Any:
    return []


class Admin(admin.Admin):
    """The worker's own Admin, on the model's client; what it may know without a call is answered at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = settings.call_timeout_s
        self._admin = self
        self._process = here()

    async def list_consumer_group_offsets(
        self, _: str, *, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """As aiokafka's: nothing at all from a coordinator that loads."""
        broker = self._process.world.broker

        def effect() -> dict[TopicPartition, OffsetAndMetadata]:
            if broker.is_loading:
                return {}
            return {key: OffsetAndMetadata(*broker.offsets.get(key.partition, (-1, ""))) for key in partitions}

        return await self._process.ask("committed", effect)

    start = stop = topic_faults = missing_rights = _nothing

    async def partitions(self, topic: str) -> int:
        return len(self._process.world.broker.requests)

    async def check_topics(self) -> int:
        return await self.partitions("")

    async def check_partition(self, partition: int) -> None:
        pass

    async def lags(self, group: str, topic: str) -> tuple[Lag, ...]:
        return ()

    async def limits(self) -> Limits:
        return Limits(1_000_000, 1_000_000)

    async def message_bytes(self, topic: str) -> int:
        return 1_000_000

    async def end_offsets(self, topic: str, partitions: Iterable[int] | None = None, **_: bool) -> dict[int, int]:
        return {number: self._process.world.broker.end(number) for number in partitions or ()}

    async def end_offset(self, topic: str, partition: int, *, read_committed: bool = False) -> int:
        return self._process.world.broker.written(Place(topic, partition), read_committed=read_committed)

    async def committed_on(self, partition: int) -> Committed:
        return (await self.committed(self._settings.group_id, self._settings.topics.requests, [partition]))[partition]

    async def beginning_offset(self, topic: str, partition: int) -> int:
        return 0


class AnswersTail:
    """hotswap.kafka.partition.tail.AnswersTail."""

    def __init__(self, _: Settings) -> None:
        self._process = here()

    async def start(self) -> Self:
        return self

    stop = _nothing

    async def read(self, partition: int, known: KnownAnswers) -> Tail:
        broker, floor = self._process.world.broker, self._process.world.verifier.standing[partition].floor
        places = self._places(partition)
        records = [record for place in places for record in broker.read(place, is_committed=True)]
        # A cut-over without a request leaves no answer: that it may be announced again after a tear is not modelled.
        last = max((LastAnswer(at, max(generation, floor)) for at, generation in map(_answer, records)), default=None)
        aborted = [_answer(record).offset for place in places for record in broker.aborted(place) if record[2]]
        ends = {place: broker.written(place, read_committed=True) for place in places}
        open_at = {place: at for place, at in ends.items() if at != broker.written(place, read_committed=False)}
        opened = [broker.at(place, at) for place, at in open_at.items()]
        return Tail(
            last,
            min((offset for offset in aborted if last is None or offset > last.offset), default=None),
            broker.whose_open(open_at),
            min((_answer(record).offset for record in opened if record[2]), default=None),
            is_all=True,
        )

    def _places(self, partition: int) -> list[Place]:
        topics = self._process.settings.topics
        return [Place(topic, partition) for topic in (topics.predictions, topics.dead_letters)]


def _answer(record: Record) -> LastAnswer:
    headers = dict(record[2])
    return LastAnswer(int(headers["source"].rpartition(b"-")[2]), int(headers["generation"]))


class LogReader:
    """hotswap.kafka.topics.log.LogReader of the control topic; how far this worker has read is what the law goes by."""

    def __init__(self, settings: Settings, topic: str, *, read_committed: bool) -> None:
        self._process = here()

    start = stop = _nothing
    unreadable, damaged = 0, ""

    async def to_end(self) -> AsyncIterator[list[SimpleNamespace]]:
        found = self._received(await self._process.ask("replay", lambda: self._next(None)))
        self._process.has_replayed = self._process.has_read
        yield found

    async def read(self, timeout_s: float) -> list[SimpleNamespace]:
        ask, world = self._process.ask, self._process.world
        return self._received(await ask("control", lambda: self._next(world.read_limit), lambda: bool(self._unread())))

    def _unread(self) -> list[tuple[int, bytes]]:
        return self._process.world.fold.records[self._process.has_read :]

    def _next(self, limit: int | None) -> list[SimpleNamespace]:
        unread = enumerate(self._unread()[:limit], self._process.has_read)
        return [SimpleNamespace(offset=offset, timestamp=at, value=value) for offset, (at, value) in unread]

    def _received(self, found: list[SimpleNamespace]) -> list[SimpleNamespace]:
        self._process.has_read += len(found)  # only now: it may have decided something since the call took effect
        return found


class LogWriter:
    """hotswap.kafka.topics.log.LogWriter: what the worker says of itself is no part of the model."""

    def __init__(self, *_: object) -> None:
        pass

    start = stop = _nothing

    async def append_many(self, topic: str, items: Sequence[Item]) -> None:
        pass
