"""The last answer of a partition that is committed: the second witness of how far it was answered."""

import asyncio
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.kafka.connection import connection, doubting, end, reaching
from worker.settings import Settings

_FIRST_LOOK = 64
_WIDER = 16


class LastAnswer(NamedTuple):
    """Offset of the request that was answered last on a partition, and the generation that did."""

    offset: int
    generation: int


class AnswersTail:
    """Reads the ends of the output topics, one at a time, as a reader that isolates committed transactions."""

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
        """Connects; StartError where no broker answers."""
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                await self._consumer.start()
        return self

    async def stop(self) -> None:
        """Closes the connection."""
        await end(self._consumer)

    async def last(self, requests: str, partition: int) -> LastAnswer | None:
        """The last request of this partition that a committed prediction or dead letter names as its source.

        Raises:
            Doubt: Kafka did not answer within our bound.

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
                answer = await self._consumer.getmany(key, timeout_ms=50)
                named += [n for record in answer.get(key, ()) if (n := _source(record, prefix))]
            if named or start == begin:
                return [max(named)] if named else []
            # An aborted batch may lie between the end and the last committed record: look farther back.
            look *= _WIDER
        return []


def _source(record: Any, prefix: bytes) -> LastAnswer | None:
    headers = dict(record.headers)
    source = headers.get("source", b"")
    offset, generation = source.removeprefix(prefix), headers.get("generation", b"")
    if source.startswith(prefix) and offset.isdigit() and generation.isdigit():
        return LastAnswer(int(offset), int(generation))
    return None
