"""Appends to a topic as a log, outside transactions: commands, reports, requests."""

import asyncio
import time
from array import array
from collections.abc import Mapping, Sequence
from random import randrange
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, ClusterAuthorizationFailedError
from aiokafka.partitioner import DefaultPartitioner

from hotswap.errors import Denied, Doubt
from hotswap.kafka.acls import Right, lacking
from hotswap.kafka.connection import bounded, claimed, connection, end, needing, reaching
from hotswap.kafka.internals import available_partitions, fill, wrap_sequences
from hotswap.settings import Settings

Item: TypeAlias = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""A record to write: key, value, headers."""
Sent: TypeAlias = tuple[Sequence[int], "asyncio.Future[Any]"]
"""A record batch that is on its way: which of the records are in it, in order, and its acknowledgement."""


class Written(NamedTuple):
    """A record batch that was written: its partition and first offset, and which of the records are in it, in order."""

    partition: int
    offset: int
    records: Sequence[int]


class LogWriter:
    """Appends records outside transactions, each acknowledged by every in-sync replica."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = self._new_producer()
        self._is_denied, self._renewing = False, asyncio.Lock()
        self._partitioner = DefaultPartitioner()
        self._turn = randrange(1_000)  # noqa: S311 - where the round robin starts is no secret

    async def start(self) -> None:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        try:
            with reaching(self._settings):
                async with asyncio.timeout(self._settings.call_timeout_s):
                    await self._producer.start()
        except ClusterAuthorizationFailedError:
            self._is_denied = True  # a producer without Write on any topic; which one is wanted is known later

    def _new_producer(self) -> AIOKafkaProducer:
        arguments = connection(self._settings)
        producer = AIOKafkaProducer(**arguments, acks="all", enable_idempotence=True, max_batch_size=262_144)
        wrap_sequences(producer)
        return producer

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
        await self._check(topic)
        sent = self._producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=partition)
        written = await self._bounded(sent, topic)
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
        await self._check(topic)
        lists = [part if type(part) is list else list(part) for part in headers]
        sending = self._send(topic, partition, keys, values, lists)
        sent: list[Sent] = await self._bounded(sending, topic)
        return sent

    async def acknowledged(self, topic: str, sent: Sequence[Sent]) -> list[Written]:
        """Await the acknowledgements of what `send_many` returned."""
        waiting = asyncio.gather(*(acknowledgement for _, acknowledgement in sent))
        firsts = await self._bounded(waiting, topic)
        return [Written(first.partition, first.offset, part) for (part, _), first in zip(sent, firsts, strict=True)]

    async def _check(self, topic: str) -> None:
        """Start a producer that was denied, unless that is so still. Raises Denied."""
        if self._is_denied:
            try:
                await self._renew(self._producer)
            except Doubt as doubt:
                raise Denied(lacking(self._settings, [Right("Write", "topic", topic)])) from doubt
            self._is_denied = False

    async def _bounded(self, call: Any, topic: str) -> Any:
        try:
            with needing(self._settings, Right("Write", "topic", topic)):
                return await bounded(call, self._settings.call_timeout_s, f"writing to {topic}")
        except Doubt as doubt:
            cause = doubt.__cause__
            if isinstance(cause, Denied) or isinstance(getattr(cause, "__cause__", cause), BrokerResponseError):
                await self._renew(self._producer)
            raise

    async def _renew(self, rejected: AIOKafkaProducer) -> None:
        """Take another producer after a batch that the broker has rejected, unless somebody has just done so.

        aiokafka's has counted the records of that batch, so that every further one is OutOfOrderSequenceNumber.
        """
        async with self._renewing:
            if self._producer is not rejected:
                return
            fresh = self._new_producer()
            try:
                await bounded(fresh.start(), self._settings.call_timeout_s, "connecting again")
            except BaseException:
                await end(fresh)
                raise
            self._producer = fresh
            await end(rejected)

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
