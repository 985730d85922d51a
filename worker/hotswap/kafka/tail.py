"""Finds a partition's last committed answer, the second witness of its position."""

import asyncio
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from hotswap.errors import Doubt
from hotswap.generation import MOST
from hotswap.kafka.connection import connection, doubting, end, reaching
from hotswap.kafka.contents import Bounds, Unpacker
from hotswap.kafka.fetched import Batch, get_batches, take_batches
from hotswap.kafka.records import Damaged
from hotswap.settings import Settings

_FIRST_LOOK = 64
_WIDER = 16
_AT_ONCE = 5_000
_LARGEST_BYTES = 1 << 20  # an answer's headers are needed, not its value
_DIGITS = 20


class LastAnswer(NamedTuple):
    """Offset of the last answered request of a partition, and the generation that scored it."""

    offset: int
    generation: int


class AnswersTail:
    """Reads the ends of the output topics as a read_committed consumer, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._consumer = AIOKafkaConsumer(
            **connection(settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
        )

    async def start(self) -> Self:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                await self._consumer.start()
        take_batches(self._consumer, Unpacker(Bounds(self._settings.max_unpacked_bytes, _LARGEST_BYTES)))
        return self

    async def stop(self) -> None:
        """Close the connection."""
        await end(self._consumer)

    async def last(self, requests: str, partition: int) -> LastAnswer | None:
        """Return the last request of this partition that a committed prediction or dead letter names as its source.

        Raises:
            Doubt: Kafka did not answer in time, or an answer's batch is damaged.

        """
        topics = self._settings.topics
        prefix = f"{requests}-{partition}-".encode()
        found: list[LastAnswer] = []
        async with (
            self._lock,
            doubting(self._settings.call_timeout_s, f"reading the last answers of {prefix.decode()}"),
        ):
            for topic in (topics.predictions, topics.dead_letters):
                found += await self._last(TopicPartition(topic, partition), prefix)
        return max(found, default=None)

    async def _last(self, key: TopicPartition, prefix: bytes) -> list[LastAnswer]:
        self._consumer.assign([key])
        end = (await self._consumer.end_offsets([key]))[key]
        begin = (await self._consumer.beginning_offsets([key]))[key]
        look = _FIRST_LOOK
        while begin < end:
            start = max(begin, end - look)
            self._consumer.seek(key, start)
            named: list[LastAnswer] = []
            while await self._consumer.position(key) < end:
                answer = await get_batches(self._consumer, key, timeout_ms=50)
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
