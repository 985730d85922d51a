"""Reads a topic as a log, without a consumer group, and appends to one: control, status, answers."""

import asyncio
import logging
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from random import randrange
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from hotswap import metrics
from hotswap.batch import Headers, Unscorable
from hotswap.errors import Doubt, StartError
from hotswap.kafka.connection import bounded, claimed, connection, end, reaching
from hotswap.kafka.contents import Bounds, Unpacker
from hotswap.kafka.fetched import Batch, get_batches, take_batches
from hotswap.kafka.internals import available_partitions, cluster_id, fill, partitions_for_topic, wrap_sequences
from hotswap.kafka.records import Damaged
from hotswap.kafka.unparsed import Unparsed
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 5_000
_AT_ONCE_BYTES = 1 << 20
_LARGEST_BYTES = 1 << 30  # no record is too large here
_AGAIN_S = 1.0
_PROBE_S = 0.05

Item: TypeAlias = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""A record to write: key, value, headers."""
Sent: TypeAlias = tuple[Sequence[int], "asyncio.Future[Any]"]
"""A record batch that is on its way: which of the records are in it, in order, and its acknowledgement."""


class Written(NamedTuple):
    """A record batch that was written: its partition and first offset, and which of the records are in it, in order."""

    partition: int
    offset: int
    records: Sequence[int]


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
        self._consumer = AIOKafkaConsumer(
            **connection(settings),
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

        """
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                await self._consumer.start()
        take_batches(self._consumer, Unpacker(Bounds(self._settings.max_unpacked_bytes, _LARGEST_BYTES)))
        numbers = await self._ask(partitions_for_topic(self._consumer, self._topic), "metadata")
        if not numbers:
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
        asked = bounded(cluster_id(self._consumer), self._settings.call_timeout_s, "asking for the cluster's id")
        return str(await asked)

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

    async def to_end(self) -> AsyncIterator[list[Any]]:
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
        while not (found := await self.read(_PROBE_S)):
            if await self._consumer.position(key) >= end:
                return []
            if asyncio.get_running_loop().time() > give_up:
                raise Doubt(f"reading {self._topic}: {self.damaged or 'nothing arrived'}")
        return found

    async def read(self, timeout_s: float) -> list[LogRecord]:
        """Return the next records as soon as there are any, at most some thousands or a MiB; none on time-out."""
        await self._fetch(timeout_s)
        found: list[LogRecord] = []
        size = 0
        while self._batches and len(found) < _AT_ONCE and size < _AT_ONCE_BYTES:
            key, batch = self._batches[0]
            if isinstance(batch, Damaged):
                await self._wait_at(key, batch)
            elif batch.first is not None:
                found += self._readable(key.partition, batch.take(_AT_ONCE, None))
                size += batch.window_bytes
                continue
            self._batches.popleft()
        return found

    async def read_unparsed(self, timeout_s: float) -> list[Unparsed]:
        """Return the next record batches as soon as there are any, about a MiB of them; none on time-out."""
        await self._fetch(timeout_s)
        found: list[Unparsed] = []
        size = 0
        while self._batches and size < _AT_ONCE_BYTES:
            key, batch = self._batches.popleft()
            if isinstance(batch, Damaged):
                await self._wait_at(key, batch)
            else:
                found.append(Unparsed(batch, partial(self._readable, key.partition)))
                size += batch.size
                self.damaged = ""
        return found

    async def _fetch(self, timeout_s: float) -> None:
        if not self._batches:
            answer = await get_batches(self._consumer, timeout_ms=int(timeout_s * 1000))
            self._batches.extend((key, batch) for key, batches in answer.items() for batch in batches)

    def _readable(self, partition: int, records: Sequence[Any]) -> list[LogRecord]:
        """Return the readable records; count and log the others."""
        read = [
            LogRecord(self._topic, partition, record.offset, record.timestamp, record.key, record.value, record.headers)
            for record in records
            if type(record) is not Unscorable
        ]
        if skipped := len(records) - len(read):
            self.unreadable += skipped
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
        return await bounded(call, self._settings.call_timeout_s, f"{what} of {self._topic}")


class LogWriter:
    """Appends records outside transactions, each acknowledged by every in-sync replica."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            **connection(settings), acks="all", enable_idempotence=True, max_batch_size=262_144
        )
        wrap_sequences(self._producer)
        self._partitioner = DefaultPartitioner()
        self._turn = randrange(1_000)  # noqa: S311 - where the round robin starts is no secret

    async def start(self) -> None:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        with reaching(self._settings):
            async with asyncio.timeout(self._settings.call_timeout_s):
                await self._producer.start()

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Append one record and await its acknowledgement; return its partition and offset.

        Raises:
            Doubt: whether it was written is not known.

        """
        sent = self._producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=partition)
        written = await bounded(sent, self._settings.call_timeout_s, f"writing to {topic}")
        return written.partition, written.offset

    async def append_many(self, topic: str, items: Sequence[Item]) -> list[Written]:
        """Append records and await their acknowledgements; return where they are, batch by batch.

        Keys are partitioned as by Kafka's own clients; records without a key go round robin.

        Raises:
            Doubt: which of them were written is not known.

        """
        keys, values, headers = zip(*items, strict=True)
        return await self.acknowledged(topic, await self.send_many(topic, keys, values, headers))

    async def send_many(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[tuple[str, bytes]]],
        *,
        partition: int | None = None,
    ) -> list[Sent]:
        """Append records, as `append_many` does, but do not await the acknowledgements of the last ones.

        The parts of the records come in columns: a tuple for each record costs as much as to write it. With a
        `partition`, all go there.
        """
        lists = [part if type(part) is list else list(part) for part in headers]
        sending = self._send(topic, partition, keys, values, lists)
        return await bounded(sending, self._settings.call_timeout_s, f"writing to {topic}")

    async def acknowledged(self, topic: str, sent: Sequence[Sent]) -> list[Written]:
        """Await the acknowledgements of what `send_many` returned."""
        waiting = asyncio.gather(*(acknowledgement for _, acknowledgement in sent))
        firsts = await bounded(waiting, self._settings.call_timeout_s, f"writing to {topic}")
        return [Written(first.partition, first.offset, part) for (part, _), first in zip(sent, firsts, strict=True)]

    async def _send(self, topic: str, to: int | None, keys: Sequence[Any], *more: Sequence[Any]) -> list[Sent]:
        # One future per batch instead of per record: those were most of the cost of publishing.
        now_ms = int(time.time() * 1000)
        sent: list[Sent] = []
        shares = self._shares(keys, *await self._partitions(topic)) if to is None else {to: range(len(keys))}
        for partition, part in shares.items():
            while part:
                batch = self._producer.create_batch()
                records: Any = zip(*(map(column.__getitem__, part) for column in (keys, *more)), strict=True)
                taken = fill(batch, now_ms, records)
                queued = await self._producer.send_batch(batch, topic, partition=partition)
                sent.append((part[:taken], claimed(queued)))
                part = part[taken:]  # noqa: PLW2901
        return sent

    async def _partitions(self, topic: str) -> tuple[list[int], list[int]]:
        """Return the topic's partitions, and those that have a leader."""
        numbers = sorted(await self._producer.partitions_for(topic))
        return numbers, sorted(available_partitions(self._producer, topic)) or numbers

    def _shares(
        self, keys: Sequence[bytes | None], numbers: Sequence[int], available: Sequence[int]
    ) -> Mapping[int, Sequence[int]]:
        """Return which of the records go to which partition."""
        turn, count = self._turn, len(available)
        self._turn += len(keys)
        if keys.count(None) == len(keys):
            return {available[(turn + at) % count]: range(at, len(keys), count) for at in range(min(count, len(keys)))}
        shares: dict[int, array[int]] = {}
        for at, key in enumerate(keys):
            where = available[(turn + at) % count] if key is None else self._partitioner(key, numbers, available)
            shares.setdefault(where, array("L")).append(at)
        return shares

    async def stop(self) -> None:
        """Send what is pending, and close the connection."""
        await end(self._producer)
