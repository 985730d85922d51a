"""Reads a topic as a log, without a consumer group: control, status, answers."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from hotswap.batch import Headers, Unscorable
from hotswap.errors import Denied, Doubt, StartError
from hotswap.kafka.client.acls import Right, lacking
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import bounded, connection, end, needing, reaching
from hotswap.kafka.client.internals import consumer_of
from hotswap.kafka.client.rights import is_hidden
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.fetched import Batch, batches, get_batches
from hotswap.kafka.topics.records import Damaged
from hotswap.kafka.topics.unparsed import Unparsed
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 5_000
_AT_ONCE_BYTES = 1 << 20
_LARGEST_BYTES = 1 << 30  # no record is too large here
_AGAIN_S = 1.0
_PROBE_S = 0.05


class LogRecord(NamedTuple):
    """A record that was read; `timestamp` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class LogReader:
    """Reads every partition of one topic in order; `read_committed` returns only records of committed transactions.

    Records that cannot be read are skipped, and counted.
    """

    def __init__(self, settings: Settings, topic: str, *, read_committed: bool) -> None:
        self._settings = settings
        self._topic = topic
        self._right = Right("Read", "topic", topic)
        self._client = KafkaClient(**connection(settings))
        unpacker = Unpacker(Bounds(settings.max_unpacked_bytes, _LARGEST_BYTES))
        self._consumer = consumer_of(
            self._client,
            value_deserializer=batches(unpacker),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed" if read_committed else "read_uncommitted",
            fetch_max_wait_ms=100,
        )
        self._partitions: list[TopicPartition] = []
        self._batches: deque[tuple[TopicPartition, Batch]] = deque()
        self.unreadable = 0
        """Number of records that were skipped because they cannot be read."""
        self.damaged = ""
        """Where reading is stuck at a damaged batch, as text for a person; empty while it progresses."""

    async def start(self, offsets: Mapping[int, int] | None = None, *, only: int | None = None) -> None:
        """Connect, and seek to `offsets` (partition -> next offset); partitions not named start at their beginning.

        With `only`, no other partition is read.

        Raises:
            StartError: no broker answers, or there is no such topic.
            Denied: this user may not read it.

        """
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                await self._consumer.start()
        numbers = await self._ask(self._client.partitions(self._topic), "metadata")
        if not numbers:
            if await self._ask(is_hidden(self._client, self._topic), "metadata"):
                raise Denied(lacking(self._settings, [self._right]))
            raise StartError(f"topic {self._topic} does not exist: create it with `hotswap topics create`")
        self._partitions = [TopicPartition(self._topic, number) for number in sorted(numbers) if only in (None, number)]
        self._consumer.assign(self._partitions)
        begins = await self._ask(self._consumer.beginning_offsets(self._partitions), "beginning")
        for key in self._partitions:
            self._consumer.seek(key, max(begins[key], (offsets or {}).get(key.partition, 0)))

    @property
    def partitions(self) -> int:
        """Number of partitions of the topic."""
        return len(self._partitions)

    async def cluster_id(self) -> str:
        """Return Kafka's id of the cluster."""
        return await bounded(self._client.id(), self._settings.call_timeout_s, "asking for the cluster's id")

    async def positions(self) -> dict[int, int]:
        """Return the next offset to read of each partition."""
        ahead = {key: first for key, batch in reversed(self._batches) if (first := batch.first) is not None}
        return {
            key.partition: ahead[key] if key in ahead else await self._consumer.position(key)
            for key in self._partitions
        }

    async def end(self) -> dict[int, int]:
        """Return the end of each partition that this reader sees: its last stable offset, if read_committed."""
        ends = await self._ask(self._consumer.end_offsets(self._partitions), "end")
        return {key.partition: ends[key] for key in self._partitions}

    async def read_to_end(self) -> list[Any]:
        """Read every record up to the current end, in order within each partition; see `to_end`."""
        return [record async for records in self.to_end() for record in records]

    async def to_end(self) -> AsyncGenerator[list[Any], None]:
        """Yield every record up to the current end in chunks as they arrive, so that not all need fit into memory.

        Raises:
            Doubt: nothing arrived for `call_timeout_s` before the end was reached.

        """
        ends = await self.end()
        now = asyncio.get_running_loop().time
        heard, before = now(), await self.positions()
        while any(position < ends[number] for number, position in before.items()):
            yield await self.read(0.1)
            at = await self.positions()
            if at != before:
                heard, before = now(), at
            elif now() - heard > self._settings.call_timeout_s:
                why = self.damaged or f"nothing arrived for {self._settings.call_timeout_s:g} s"
                raise Doubt(f"reading {self._topic}: {why}")

    async def reached(self) -> None:
        """Wait until another task has read every record up to the current end.

        Raises:
            Doubt: it has not in `call_timeout_s`.

        """
        now = asyncio.get_running_loop().time
        ends, give_up = await self.end(), now() + self._settings.call_timeout_s
        while any(at < ends[number] for number, at in (await self.positions()).items()):
            if now() > give_up:
                raise Doubt(f"{self._topic} was not read to its end in time")
            await asyncio.sleep(_PROBE_S)

    async def read_from(self, partition: int, offset: int) -> list[LogRecord]:
        """Return records of a partition from this offset on, as `read` does; none: there are none up to its end.

        Raises:
            Doubt: they could not be read in time.

        """
        key = TopicPartition(self._topic, partition)
        self._batches.clear()
        self._consumer.seek(key, offset)
        end = (await self.end())[partition]
        give_up = asyncio.get_running_loop().time() + self._settings.call_timeout_s
        while not (records := await self.read(_PROBE_S)):
            if await self._consumer.position(key) >= end:
                return []
            if asyncio.get_running_loop().time() > give_up:
                raise Doubt(f"reading {self._topic}: {self.damaged or 'nothing arrived'}")
        return records

    async def read(self, timeout_s: float) -> list[LogRecord]:
        """Return the next records as soon as there are any, at most some thousands or a MiB; none on time-out.

        Raises:
            Denied: this user may not read the topic, or not any more.

        """
        await self._fetch(timeout_s)
        records: list[LogRecord] = []
        size = 0
        while self._batches and len(records) < _AT_ONCE and size < _AT_ONCE_BYTES:
            key, batch = self._batches[0]
            if isinstance(batch, Damaged):
                await self._wait_at(key, batch)
            elif batch.first is not None:
                records += self._readable(key.partition, batch.take(_AT_ONCE, None))
                size += batch.window_bytes
                continue
            self._batches.popleft()
        return records

    async def read_unparsed(self, timeout_s: float) -> list[Unparsed]:
        """Return the next record batches as soon as there are any, about a MiB of them; none on time-out.

        Raises:
            Denied: as `read` does.

        """
        await self._fetch(timeout_s)
        unparsed: list[Unparsed] = []
        size = 0
        while self._batches and size < _AT_ONCE_BYTES:
            key, batch = self._batches.popleft()
            if isinstance(batch, Damaged):
                await self._wait_at(key, batch)
            else:
                unparsed.append(Unparsed(batch, partial(self._readable, key.partition)))
                size += batch.size
                self.damaged = ""
        return unparsed

    async def _fetch(self, timeout_s: float) -> None:
        if not self._batches:
            with needing(self._settings, self._right):
                answer = await get_batches(self._consumer, timeout_ms=int(timeout_s * 1000))
            self._batches.extend((key, batch) for key, fetched in answer.items() for batch in fetched)

    def _readable(self, partition: int, records: Sequence[Any]) -> list[LogRecord]:
        """Return the readable records; count and log the others."""
        read = [
            LogRecord(self._topic, partition, record.offset, record.timestamp, record.key, record.value, record.headers)
            for record in records
            if type(record) is not Unscorable
        ]
        if skipped := len(records) - len(read):
            self.unreadable += skipped
            from hotswap import metrics  # noqa: PLC0415 - commands start without prometheus_client

            metrics.UNREADABLE.labels(self._topic).inc(skipped)
            first = next(record for record in records if type(record) is Unscorable)
            facts = {"topic": self._topic, "partition": partition, "offset": first.offset, "records": skipped}
            log.warning("log.unreadable", extra={**facts, "why": first.refusal.message})
        self.damaged = ""
        return read

    async def _wait_at(self, key: TopicPartition, batch: Damaged) -> None:
        """Report a damaged batch, and wait a while before it is fetched again."""
        why = f"{key.topic}-{key.partition} is damaged at offset {batch.offset}: its batch's checksum does not match"
        if why != self.damaged:
            log.error("log.damaged", extra={"why": why})
        self.damaged = why
        await asyncio.sleep(_AGAIN_S)

    async def stop(self) -> None:
        """Close the connection."""
        await end(self._consumer)

    async def _ask(self, call: Any, what: str) -> Any:
        with needing(self._settings, self._right):
            return await bounded(call, self._settings.call_timeout_s, f"{what} of {self._topic}")
