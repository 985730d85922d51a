"""The floor: a bare transactional aiokafka loop per partition, which scores nothing and copies every value.

    python benchmarks/bare_loop.py BOOTSTRAP REQUESTS PREDICTIONS GROUP

It is fast but not safe: it trusts the committed offset, and never rereads when in doubt. Ours is compared with it.
"""

import asyncio
import signal
import sys
from typing import Any

import aiokafka.producer.sender
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition

_BATCH = 5_000
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.001


class Copier(ConsumerRebalanceListener):  # type: ignore[misc]
    """Copies each partition of one topic into the same partition of another."""

    def __init__(self, bootstrap: str, requests: str, predictions: str, group: str) -> None:
        self._bootstrap, self._predictions, self._group = bootstrap, predictions, group
        self._tasks: list[asyncio.Task[None]] = []
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )
        self.consumer.subscribe([requests], listener=self)

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Is never called with partitions: there is one process, which only ends."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Starts a loop and a producer for each partition."""
        self._tasks = [asyncio.create_task(self._copy(key)) for key in assigned]

    async def stop(self) -> None:
        """Ends the loops in the middle of whatever they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.consumer.stop()

    async def _copy(self, key: TopicPartition) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            transactional_id=f"{self._group}-{key.partition}",
            acks="all",
            max_batch_size=262_144,
            retry_backoff_ms=5,
        )
        await producer.start()
        try:
            while True:
                answer = await self.consumer.getmany(key, timeout_ms=200, max_records=_BATCH)
                if records := answer.get(key):
                    await self._commit(producer, key, records)
        finally:
            await producer.stop()

    async def _commit(self, producer: AIOKafkaProducer, key: TopicPartition, records: list[Any]) -> None:
        await producer.begin_transaction()
        batch, sent = producer.create_batch(), []
        for record in records:
            if batch.append(timestamp=None, key=record.key, value=record.value, headers=[]) is None:
                sent.append(await producer.send_batch(batch, self._predictions, partition=key.partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=record.key, value=record.value, headers=[])
        sent.append(await producer.send_batch(batch, self._predictions, partition=key.partition))
        for produced in sent:
            await produced
        await producer.send_offsets_to_transaction({key: records[-1].offset + 1}, self._group)
        await producer.commit_transaction()


async def main() -> None:
    """Copies until SIGTERM."""
    copier = Copier(*sys.argv[1:5])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await copier.consumer.start()
    await stop.wait()
    await copier.stop()


if __name__ == "__main__":
    asyncio.run(main())
