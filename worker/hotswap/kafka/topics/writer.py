"""Appends to a topic as a log, outside transactions: commands, reports, requests."""

import asyncio
import contextlib
import time
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import randrange
from typing import Any, NamedTuple, TypeAlias

from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from hotswap.batch import Stamp
from hotswap.errors import Doubt
from hotswap.kafka.client.acls import Right
from hotswap.kafka.client.connection import bounded, needing
from hotswap.kafka.transactions.producer import Producer
from hotswap.kafka.wire.batches import packed
from hotswap.kafka.wire.brokers import Brokers
from hotswap.settings import Settings

_BATCH_BYTES = 262_144
_FLUSH_S = 2.0

Item: TypeAlias = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""A record to write: key, value, headers."""


class Sent(NamedTuple):
    """A record batch that is on its way: where to, which of the records are in it, in order, and its first offset."""

    key: TopicPartition
    by: Producer
    records: Sequence[int]
    offset: asyncio.Future[int]


class Written(NamedTuple):
    """A record batch that was written: its partition and first offset, and which of the records are in it, in order."""

    partition: int
    offset: int
    records: Sequence[int]


class LogWriter:
    """Appends records outside transactions, each acknowledged by every in-sync replica.

    Each partition has its own producer: the failure or doubt of one does not affect the others.
    """

    def __init__(self, settings: Settings, brokers: Brokers | None = None) -> None:
        """Without `brokers`, whose connections it shares, it has its own."""
        self._settings = settings
        self._brokers = brokers or Brokers(settings)
        self._has_own = brokers is None
        self._producers: dict[TopicPartition, Producer] = {}
        self._opening: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._partitioner = DefaultPartitioner()
        self._turn = randrange(1_000)  # noqa: S311 - where the round robin starts is no secret

    async def start(self) -> None:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        if self._has_own:
            await self._brokers.start()

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
            Doubt: whether it was written is not known; Denied: this user may not write there.

        """
        sent = await self.send_many(topic, [key], [value], [headers], partition=partition)
        ((number, offset, _),) = await self.acknowledged(topic, sent)
        return number, offset

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
        sent: list[Sent] = await self._bounded(sending, topic)
        return sent

    async def acknowledged(self, topic: str, sent: Sequence[Sent]) -> list[Written]:
        """Await the acknowledgements of the records of `send_many`.

        Raises:
            Doubt: which of them were written is not known; Denied: this user may not write there.

        """
        # Shielded: who gives up waiting leaves no gap before what others have sent since.
        waiting = asyncio.gather(*(asyncio.shield(one.offset) for one in sent))
        try:
            firsts = await self._bounded(waiting, topic)
        except Doubt:
            await self._discard(sent)
            raise
        return [Written(one.key.partition, first, one.records) for one, first in zip(sent, firsts, strict=True)]

    async def _bounded(self, call: Any, topic: str) -> Any:
        with needing(self._settings, Right("Write", "topic", topic)):
            return await bounded(call, self._settings.call_timeout_s, f"writing to {topic}")

    async def _discard(self, sent: Sequence[Sent]) -> None:
        """Write no more by a producer whose batch has failed, or is still in doubt: others would be out of order."""
        for one in sent:
            if not one.offset.done() or one.offset.cancelled() or one.offset.exception():
                if self._producers.get(one.key) is one.by:
                    del self._producers[one.key]
                await one.by.discard()

    async def _send(self, topic: str, to: int | None, keys: Sequence[Any], *more: Sequence[Any]) -> list[Sent]:
        # One future per batch instead of per record: those were most of the cost of publishing.
        shares = self._shares(keys, *await self._brokers.partitions(topic)) if to is None else {to: range(len(keys))}
        places = [TopicPartition(topic, number) for number in shares]
        producers = await asyncio.gather(*map(self._producer, places))
        now_ms, sent = int(time.time() * 1000), []
        for key, producer, share in zip(places, producers, shares.values(), strict=True):
            part = share
            while part:
                records: Any = zip(*(map(column.__getitem__, part) for column in (keys, *more)), strict=True)
                stamp = Stamp(producer.id, producer.epoch, producer.sequence(key), False, _BATCH_BYTES)
                batch = packed(records, now_ms, stamp)
                sent.append(Sent(key, producer, part[: batch.records], producer.produce(key, batch)))
                part = part[batch.records :]
        return sent

    async def _producer(self, key: TopicPartition) -> Producer:
        """Return the producer of a partition, ready."""
        async with self._opening[key]:
            if key not in self._producers:
                producer = Producer(self._brokers)
                await producer.init()
                self._producers[key] = producer
            return self._producers[key]

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
        """Send pending records, within two seconds, and close the connections."""
        producers = self._producers.values()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_FLUSH_S):
                await asyncio.gather(*(producer.acknowledged() for producer in producers))
        await asyncio.gather(*(producer.discard() for producer in producers))
        if self._has_own:
            await self._brokers.stop()
