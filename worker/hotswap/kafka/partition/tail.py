"""The last answers of a partition, which cross-check its committed offset, and its open transactions."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from hotswap.errors import Doubt, TopicMismatch
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import connection, doubting, end, reaching
from hotswap.kafka.client.internals import Cutter, PartitionFetch, consumer_of
from hotswap.kafka.partition.witness import Ending, KnownAnswers, LastAnswer
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.fetched import get_batches, next_offset, sound
from hotswap.kafka.topics.records import Damaged
from hotswap.settings import Settings

_READERS = 16  # a partition takes five round trips, which wait for whatever else the worker does
_SPARE_S = 10.0
_FIRST_LOOK = 64
_WIDER = 16
_FAR = _FIRST_LOOK * _WIDER * _WIDER
"""How far to look back, offsets, for answers of which the committed offset does not know."""
_MANY = 100_000
_LARGEST_BYTES = 1 << 20  # an answer's headers are needed, not its value


class Tail(NamedTuple):
    """The last answers of a partition; but for `claimed`, only the worker's own count.

    `last` is None where none is committed. `aborted` is the offset of the first request behind it whose answer was
    aborted, in whichever transaction; None: there is none.
    """

    last: LastAnswer | None
    aborted: int | None
    open: Mapping[int, Sequence[str]] = MappingProxyType({})
    """Producers with records that have no transaction marker, though none of theirs is open, and in which topics."""
    first_open: int | None = None
    """The first request that such a record answers; None: they answer none."""
    claimed: int | None = None
    """The last request that records of others claim to answer, as older answers do; it proves nothing."""
    foreign: int = 0
    """Records that claim to answer the partition, cannot be a worker's, and were not counted before."""
    is_all: bool = False
    """Whether these are all answers that there ever were, since none was removed, and all were read."""


class _Reader:
    """A consumer, and the function that receives its batches."""

    def __init__(self, settings: Settings) -> None:
        self.client = KafkaClient(**connection(settings))
        self.consumer = consumer_of(
            self.client,
            value_deserializer=Cutter(self.cut),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        self.look: Callable[[memoryview], None] = lambda _: None

    def cut(self, of: PartitionFetch) -> Iterator[Damaged]:
        """Pass the batches of a fetch to `look`; yield the damaged one that it ends with, if it does."""
        for batch in sound(of):
            if isinstance(batch, Damaged):
                yield batch
                return
            self.look(batch)
            of.next_fetch_offset = max(of.next_fetch_offset, next_offset(batch))


class AnswersTail:
    """Reads the ends of the output topics, a few partitions at a time.

    As a consumer that is read_uncommitted, which sees all, and decides by the markers what was committed: a stranger's
    open transaction hides nothing of ours then.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._unpacker = Unpacker(Bounds(settings.max_unpacked_bytes, _LARGEST_BYTES))
        self._readers: list[_Reader] = []
        self._idle: list[_Reader] = []
        self._places = asyncio.Semaphore(_READERS)
        self._closing: asyncio.Task[None] | None = None
        self._counted: dict[TopicPartition, int] = {}  # up to which offset foreign answers were counted

    async def start(self) -> Self:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                self._idle.append(await self._connect())
        return self

    async def _connect(self) -> _Reader:
        """Start another consumer."""
        reader = _Reader(self._settings)
        try:
            await reader.consumer.start()
        except BaseException:
            await end(reader.consumer)
            raise
        self._readers.append(reader)
        return reader

    def _put_back(self, reader: _Reader) -> None:
        self._idle.append(reader)
        if len(self._readers) > 1 and (self._closing is None or self._closing.done()):
            self._closing = asyncio.create_task(self._close_spare())

    async def _close_spare(self) -> None:
        """Close all idle readers but one once a rebalance is over: each fetches metadata for ever."""
        await asyncio.sleep(_SPARE_S)
        while len(self._idle) > 1:
            spare = self._idle.pop()
            self._readers.remove(spare)
            await end(spare.consumer)

    async def stop(self) -> None:
        """Close the connections."""
        if self._closing:
            self._closing.cancel()
            await asyncio.gather(self._closing, return_exceptions=True)
        for reader in self._readers:
            await end(reader.consumer)

    async def read(self, partition: int, known: KnownAnswers) -> Tail:
        """Return the last predictions and dead letters of a partition.

        Raises:
            TopicMismatch: they end with more records of others than can be passed over in time.
            Doubt: Kafka did not answer in time, or a batch is damaged.

        """
        topics = self._settings.topics
        keys = [TopicPartition(topic, partition) for topic in (topics.predictions, topics.dead_letters)]
        endings: dict[TopicPartition, Ending] = {}
        reading = doubting(self._settings.call_timeout_s, f"reading the last answers of {known.source.decode()}")
        try:
            async with self._places, reading:
                reader = self._idle.pop() if self._idle else await self._connect()
                try:
                    starts, ends = await self._read(reader, keys, known, endings)
                finally:
                    self._put_back(reader)
        except Doubt as doubt:
            for key, ending in endings.items():
                if ending.passed >= _MANY:
                    raise TopicMismatch(_flooded(key, ending.passed)) from doubt
            raise
        self._counted |= ends
        return _tail(endings)._replace(is_all=not any(starts.values()))

    async def _read(
        self, reader: _Reader, keys: list[TopicPartition], known: KnownAnswers, endings: dict[TopicPartition, Ending]
    ) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
        """Fill `endings`; return the offsets from which, and the end offsets up to which they go."""
        consumer = reader.consumer
        await reader.client.learn(key.topic for key in keys)
        begins, ends = await asyncio.gather(consumer.beginning_offsets(keys), consumer.end_offsets(keys))
        # All topics at once: a consumer fetches the metadata of a topic that it was not assigned before.
        consumer.assign(keys)
        for key in keys:
            consumer.pause(key)
            consumer.seek(key, ends[key])
        starts = dict(begins)
        for key in keys:
            for start in _starts(begins[key], ends[key], known):
                starts[key] = start
                counted_to = self._counted.get(key, 0)
                ending = endings[key] = Ending(known, self._unpacker, counted_to=counted_to)
                reader.look = ending.add
                await _look(consumer, key, start, ends[key])
                if ending.last:
                    break
        return starts, dict(ends)


def _starts(begin: int, end: int, known: KnownAnswers) -> Iterator[int]:
    """Yield start offsets, each earlier than the last: foreign or aborted records may lie before the end.

    A producer that has answered, as the committed offset says, has left answers, unless they were removed meanwhile.
    """
    look = _FIRST_LOOK
    farthest = look if known.is_new else end - begin if known.has_answered else _FAR
    while begin < end:
        start = max(begin, end - look)
        yield start
        if start == begin or look >= farthest:
            return
        look *= _WIDER


async def _look(consumer: AIOKafkaConsumer, key: TopicPartition, start: int, end: int) -> None:
    """Fetch the batches from one offset to another."""
    consumer.seek(key, start)
    consumer.resume(key)
    while await consumer.position(key) < end:
        answer = await get_batches(consumer, key, timeout_ms=50)
        if await consumer.position(key) >= end:
            consumer.pause(key)  # at once, so that no fetch waits at the end, and the next partition behind it
        for damaged in answer.get(key, ()):
            assert isinstance(damaged, Damaged)
            where = f"{key.topic}-{key.partition} are damaged at offset {damaged.offset}"
            raise Doubt(f"the answers in {where}: they are fetched again")


def _tail(endings: Mapping[TopicPartition, Ending]) -> Tail:
    ends = endings.values()
    last = max((ending.last for ending in ends if ending.last), default=None)
    aborted = _offsets(answer for ending in ends for answer in ending.aborted)
    opened: dict[int, list[str]] = {}
    for key, ending in endings.items():
        for producer in ending.open:
            opened.setdefault(producer, []).append(key.topic)
    return Tail(
        last=last,
        aborted=min((offset for offset in aborted if last is None or offset > last.offset), default=None),
        open=opened,
        first_open=min(
            _offsets(answer for ending in ends for answers in ending.open.values() for answer in answers), default=None
        ),
        claimed=max((ending.claimed for ending in ends if ending.claimed is not None), default=None),
        foreign=sum(ending.foreign for ending in ends),
    )


def _offsets(answers: Iterable[LastAnswer]) -> list[int]:
    return [answer.offset for answer in answers]


def _flooded(key: TopicPartition, passed: int) -> str:
    return (
        f"partition {key.partition} of {key.topic} ends with records that no worker of this deployment wrote: {passed} "
        "were passed over, and its last answer was not found in time. Find who writes to it, and take that right away; "
        "then stop the workers, and set the group's offset of the partition to where it is "
        "(`kafka-consumer-groups.sh --reset-offsets --to-current`): an offset that was set so is obeyed as it is"
    )
