"""What a partition's producer sends in a transaction: answers as records, or in record batches that are finished."""

import asyncio
from collections.abc import Iterator, Sequence
from time import time
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition

from hotswap.batch import Alike, Predictions, Record, RecordBatch, Stamp, Transaction
from hotswap.errors import Doubt
from hotswap.kafka.batches import compressed, crc32c, stamped
from hotswap.kafka.connection import claimed, connection
from hotswap.kafka.internals import (
    claim_failures,
    fill,
    join_group,
    producer_state,
    retry_soon,
    wrap_sequences,
)
from hotswap.kafka.sessions import end_once
from hotswap.recordbatch.alike import record_batches
from hotswap.recordbatch.header import SEQUENCES
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

_TRANSACTION_TIMEOUT_MS: Final = 30_000


def new_producer(settings: Settings, partition: int, batch_bytes: int) -> AIOKafkaProducer:
    """Return a producer for the answers of a partition, whose start fences every earlier one."""
    arguments: dict[str, Any] = {"enable_idempotence": True}
    is_transactional = settings.delivery == "exactly_once"
    if is_transactional:
        # Stable, and one per partition: a random id would leave a dead worker's transaction open, and an id per worker
        # would not fence other owners of the partition.
        transactional_id = f"{settings.group_id}-{settings.topics.requests}-{partition}"
        arguments = {"transactional_id": transactional_id, "transaction_timeout_ms": _TRANSACTION_TIMEOUT_MS}
    producer = AIOKafkaProducer(
        **connection(settings),
        **arguments,
        acks="all",
        compression_type=None if settings.compression == "none" else settings.compression,
        max_batch_size=batch_bytes,
        # Longer than our own timeout, which is to say what is in doubt.
        request_timeout_ms=int(4_000 * settings.call_timeout_s),
    )
    wrap_sequences(producer)
    retry_soon(producer)
    if is_transactional:
        claim_failures(producer)
        join_group(producer, settings.group_id)
        end_once(producer)
    return producer


class Outbox:
    """The records of one transaction at a time, to the partition of the same number in each output topic."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings, partition: int, batch_bytes: int) -> None:
        """`batch_bytes` is the producer's own bound on a batch."""
        self._producer = producer
        self._settings = settings
        self._topics = settings.topics
        self._partition = partition
        self._batch_bytes = batch_bytes
        self._sent: list[asyncio.Future[Any]] = []
        self._predicted = self._first_sequence = 0

    @property
    def stamp(self) -> Stamp:
        """See `pipeline.ports.Source.stamp`."""
        producer, key = self._producer, TopicPartition(self._topics.predictions, self._partition)
        producer_id, epoch, sequence = producer_state(producer, key)
        if not self._predicted:
            self._first_sequence = sequence  # later, aiokafka's does not count what it has queued
        sequence = (self._first_sequence + self._predicted) % SEQUENCES
        return Stamp(producer_id, epoch, sequence, self._settings.delivery == "exactly_once", self._batch_bytes)

    async def write(self, predictions: Predictions, dead_letters: Sequence[Record]) -> None:
        """Send answers."""
        if isinstance(predictions, Alike):
            now_ms = int(time() * 1000)
            predictions = record_batches(predictions, self.stamp, now_ms, crc32c) or list(predictions.records())
        await self._send(self._topics.predictions, predictions)
        await self._send(self._topics.dead_letters, dead_letters)
        self._predicted += sum(one.records if isinstance(one, RecordBatch) else 1 for one in predictions)

    async def announce(self, transaction: Transaction) -> None:
        """Send the report of a cut-over to the status topic."""
        deployment, generation = self._settings.deployment, transaction.generation
        status = wire.Status(
            cut_over=wire.CutOverDone(
                deployment=deployment,
                generation=generation,
                partition=self._partition,
                first_offset=transaction.cut_over_at,
                worker=self._settings.worker_id,
            )
        )
        key = f"{deployment}/{generation}/cut-over/{self._partition}".encode()
        await self._send(self._topics.status, [(key, status.SerializeToString(), [])], partition=0)

    async def acknowledged(self) -> None:
        """Wait until everything is acknowledged. The next transaction begins empty."""
        # commit_transaction ignores these futures: if one had failed it would still succeed, and records be lost.
        for produced in self._sent:
            await produced
        self._sent, self._predicted = [], 0

    async def _send(
        self, topic: str, records: Sequence[Record] | Sequence[RecordBatch], partition: int | None = None
    ) -> None:
        where = self._partition if partition is None else partition
        for batch in self._batches(topic, records):
            # Always from this producer: another one's batch would not be part of the transaction.
            self._sent.append(claimed(await self._producer.send_batch(batch, topic, partition=where)))

    def _batches(self, topic: str, records: Sequence[Record] | Sequence[RecordBatch]) -> Iterator[Any]:
        now_ms = int(time() * 1000)
        while records:
            first = records[0]
            if isinstance(first, RecordBatch):
                batch, count = _Finished(first, self._settings.compression), 1
            else:
                batch = self._producer.create_batch()
                count = fill(batch, now_ms, records)
                if not count:
                    raise Doubt(f"a record of {len(first[1] or b'')} bytes does not fit into a batch for {topic}")
            records = records[count:]
            yield batch


class _Finished:
    """A finished record batch in place of aiokafka's BatchBuilder, which it has the methods of."""

    def __init__(self, batch: RecordBatch, compression: str) -> None:
        self._batch = compressed(batch, compression)

    def append(self, **_: Any) -> None:
        """Accept no record: it is full."""

    def close(self) -> None:
        """Do nothing: it is closed."""

    def closed(self) -> bool:
        """Whether it is closed: always."""
        return True

    def size(self) -> int:
        """Bytes on the wire."""
        return len(self._batch.data)

    def record_count(self) -> int:
        """Its number of records, by which the sequence number advances."""
        return self._batch.records

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        # aiokafka calls it once, when it takes the batch; a retry sends the same bytes.
        self._batch = stamped(self._batch, producer_id, producer_epoch, base_sequence)

    def _build(self) -> memoryview:
        return self._batch.data
