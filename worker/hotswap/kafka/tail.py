"""Finds what a partition's answers end with, the second witness of its position, and whose answers are left open."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from hotswap.errors import Doubt
from hotswap.generation import MOST
from hotswap.kafka.connection import connection, doubting, end, reaching
from hotswap.kafka.contents import Bounds, Unpacker
from hotswap.kafka.fetched import Batch, get_batches, take_batches
from hotswap.kafka.internals import learn
from hotswap.kafka.records import Damaged, RawBatch
from hotswap.settings import Settings

_READERS = 16  # a partition takes five round trips, which wait for whatever else the worker does
_FIRST_LOOK = 64
_WIDER = 16
_AT_ONCE = 5_000
_LARGEST_BYTES = 1 << 20  # an answer's headers are needed, not its value
_DIGITS = 20


class LastAnswer(NamedTuple):
    """Offset of the last answered request of a partition, and the generation that scored it."""

    offset: int
    generation: int


class Tail(NamedTuple):
    """What the answers of a partition end with.

    `last` is None where none is committed. `aborted` is the offset of the first request behind it whose answer was
    aborted, in whichever transaction; None: there is none.
    """

    last: LastAnswer | None
    aborted: int | None


class _Reader(NamedTuple):
    """A consumer, and what it has read of aborted answers."""

    consumer: AIOKafkaConsumer
    aborted: list[LastAnswer]


class AnswersTail:
    """Reads the ends of the output topics as read_committed consumers, a few partitions at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._unpacker = Unpacker(Bounds(settings.max_unpacked_bytes, _LARGEST_BYTES))
        self._readers: list[_Reader] = []
        self._idle: list[_Reader] = []
        self._places = asyncio.Semaphore(_READERS)

    async def start(self) -> Self:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                self._idle.append(await self._connect())
        return self

    async def _connect(self, isolation_level: str = "read_committed") -> _Reader:
        """Start another consumer; of those that stay, there are as many as partitions have ever been read at a time."""
        consumer = AIOKafkaConsumer(
            **connection(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation_level,
            fetch_max_wait_ms=50,
        )
        try:
            await consumer.start()
        except BaseException:
            await end(consumer)
            raise
        aborted: list[LastAnswer] = []

        def note(key: TopicPartition, batch: RawBatch) -> None:
            aborted.extend(_named(batch, self._prefix(key.partition)))

        take_batches(consumer, self._unpacker, on_aborted=note)
        self._readers.append(_Reader(consumer, aborted))
        return self._readers[-1]

    async def stop(self) -> None:
        """Close the connections."""
        for reader in self._readers:
            await end(reader.consumer)

    def _prefix(self, partition: int) -> bytes:
        """What the `source` of its answers begins with."""
        return f"{self._settings.topics.requests}-{partition}-".encode()

    async def last(self, partition: int) -> LastAnswer | None:
        """Return the last request of this partition that a committed prediction or dead letter names as its source.

        Raises:
            Doubt: Kafka did not answer in time, or an answer's batch is damaged.

        """
        return (await self.read(partition)).last

    async def read(self, partition: int) -> Tail:
        """Return what `last` does, and the first request behind it that an aborted answer names.

        Raises:
            Doubt: Kafka did not answer in time, or an answer's batch is damaged.

        """
        topics, prefix = self._settings.topics, self._prefix(partition)
        reading = doubting(self._settings.call_timeout_s, f"reading the last answers of {prefix.decode()}")
        async with self._places, reading:
            reader = self._idle.pop() if self._idle else await self._connect()
            try:
                reader.aborted.clear()
                keys = [TopicPartition(topic, partition) for topic in (topics.predictions, topics.dead_letters)]
                last = max(await _read(reader.consumer, keys, prefix), default=None)
                behind = [answer.offset for answer in reader.aborted if last is None or answer.offset > last.offset]
                return Tail(last, min(behind, default=None))
            finally:
                self._idle.append(reader)

    async def first_at(self, partition: int, offsets: Mapping[str, int]) -> int | None:
        """Return the first request that is answered at these offsets, one of each output topic in question.

        The answers need not be committed. None: none is to a request of this partition.

        Raises:
            Doubt: Kafka did not answer in time, or an answer's batch is damaged.

        """
        prefix = self._prefix(partition)
        keys = {TopicPartition(topic, partition): offset for topic, offset in offsets.items()}
        async with doubting(self._settings.call_timeout_s, f"reading the open answers of {prefix.decode()}"):
            reader = await self._connect("read_uncommitted")
            consumer = reader.consumer
            try:
                await learn(consumer, offsets)
                await _assign(consumer, keys)
                named = [answer for key in keys for answer in _named(await _next_batch(consumer, key), prefix)]
            finally:
                self._readers.remove(reader)
                await end(consumer)
        return min((answer.offset for answer in named), default=None)


async def _assign(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    # All topics at once: a consumer fetches the metadata of a topic that it was not assigned before.
    consumer.assign([*positions])
    for key, position in positions.items():
        consumer.pause(key)
        consumer.seek(key, position)


async def _next_batch(consumer: AIOKafkaConsumer, key: TopicPartition) -> Batch:
    consumer.resume(key)
    while not (batches := (await get_batches(consumer, key, timeout_ms=50)).get(key)):
        pass
    consumer.pause(key)
    return batches[0]


async def _read(consumer: AIOKafkaConsumer, keys: list[TopicPartition], prefix: bytes) -> list[LastAnswer]:
    await learn(consumer, (key.topic for key in keys))
    begins, ends = await asyncio.gather(consumer.beginning_offsets(keys), consumer.end_offsets(keys))
    await _assign(consumer, ends)
    return [found for key in keys for found in await _last(consumer, key, begins[key], ends[key], prefix)]


async def _last(
    consumer: AIOKafkaConsumer, key: TopicPartition, begin: int, end: int, prefix: bytes
) -> list[LastAnswer]:
    look = _FIRST_LOOK
    while begin < end:
        start = max(begin, end - look)
        consumer.seek(key, start)
        consumer.resume(key)
        named: list[LastAnswer] = []
        while await consumer.position(key) < end:
            answer = await get_batches(consumer, key, timeout_ms=50)
            if await consumer.position(key) >= end:
                consumer.pause(key)  # at once, so that no fetch waits at the end, and the next partition behind it
            for batch in answer.get(key, ()):
                named += _named(batch, prefix)
        if named or start == begin:
            return [max(named)] if named else []
        # Aborted batches may lie between the last committed record and the end: look farther back.
        look *= _WIDER
    return []


def _named(batch: Batch, prefix: bytes) -> list[LastAnswer]:
    if isinstance(batch, Damaged):
        raise Doubt(f"the answers to {prefix.decode()} are damaged at offset {batch.offset}: they are fetched again")
    named = []
    while batch.first is not None:
        named += [found for record in batch.take(_AT_ONCE, None) if (found := _source(record, prefix))]
    return named


def _source(record: Any, prefix: bytes) -> LastAnswer | None:
    # Anyone may write to the topic: a header may be null, or a number with thousands of digits.
    headers = dict(record.headers)
    source, generation = headers.get("source") or b"", headers.get("generation") or b""
    offset = source.removeprefix(prefix)
    if source.startswith(prefix) and _is_number(offset) and _is_number(generation):
        return LastAnswer(int(offset), int(generation))
    return None


def _is_number(text: bytes) -> bool:
    """Whether it is a number of at most 64 bits: anyone may write to a topic without ACLs."""
    return text.isdigit() and len(text) <= _DIGITS and int(text) <= MOST
