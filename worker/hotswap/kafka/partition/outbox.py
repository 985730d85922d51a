"""The writes of a partition's transaction: answers as records or as finished record batches."""

from collections.abc import Sequence
from time import time
from typing import Any

from aiokafka import TopicPartition

from hotswap.batch import Alike, Predictions, Record, RecordBatch, Stamp, Transaction
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.batches import compressed, crc32c, packed
from hotswap.recordbatch.alike import record_batches
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire


class Outbox:
    """The records of one transaction at a time, to the partition of the same number in each output topic."""

    def __init__(self, producers: Alternating, settings: Settings, partition: int, batch_bytes: int) -> None:
        """`batch_bytes` bounds a batch of more than one record."""
        self._producers = producers
        self._settings = settings
        self._topics = settings.topics
        self._partition = partition
        self._batch_bytes = batch_bytes
        self._is_transactional = settings.delivery == "exactly_once"
        self.has_answers = False
        """Whether the current transaction has answers."""

    @property
    def stamp(self) -> Stamp:
        """See `pipeline.ports.Source.stamp`."""
        return self._stamp(TopicPartition(self._topics.predictions, self._partition))

    def write(self, predictions: Predictions, dead_letters: Sequence[Record]) -> None:
        """Send answers."""
        if isinstance(predictions, Alike):
            now_ms = int(time() * 1000)
            predictions = record_batches(predictions, self.stamp, now_ms, crc32c) or list(predictions.records())
        self.has_answers |= bool(predictions) or bool(dead_letters)
        self._send(self._topics.predictions, predictions)
        self._send(self._topics.dead_letters, dead_letters)

    def announce(self, transaction: Transaction) -> None:
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
        self._send(self._topics.status, [(key, status.SerializeToString(), [])], partition=0)

    async def acknowledged(self) -> None:
        """Wait until everything is acknowledged. The next transaction begins empty."""
        await self._producers.now.acknowledged()
        self.has_answers = False

    def _send(self, topic: str, records: Sequence[Any], partition: int | None = None) -> None:
        key = TopicPartition(topic, self._partition if partition is None else partition)
        now_ms = int(time() * 1000)
        while records:
            is_finished = isinstance(records[0], RecordBatch)
            batch = records[0] if is_finished else packed(records, now_ms, self._stamp(key))
            records = records[1 if is_finished else batch.records :]
            smaller = compressed(batch, self._settings.compression)
            self._producers.now.produce(key, smaller if len(smaller.data) < len(batch.data) else batch)

    def _stamp(self, key: TopicPartition) -> Stamp:
        producer = self._producers.now
        return Stamp(producer.id, producer.epoch, producer.sequence(key), self._is_transactional, self._batch_bytes)
