"""A partition of a real Kafka as a loop has it: what is published to it, and what a batch leaves in it."""

import asyncio
import contextlib
from dataclasses import replace

from aiokafka import AIOKafkaProducer

from harness.audit import read
from hotswap.batch import Position, Transaction
from hotswap.kafka.group.membership import Membership
from hotswap.kafka.partition.partition import Cluster, KafkaPartition
from hotswap.kafka.partition.tail import AnswersTail
from hotswap.kafka.topics import fetched
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.brokers import Brokers

DAMAGED = b"damaged"
"""A batch with this value in it is damaged on its way."""


class OnKafka:
    """The first partition of a deployment, which a real consumer fetches."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.settings = cluster.settings

    def source(self, **settings):
        return KafkaPartition(replace(self.cluster, settings=self.settings.model_copy(update=settings)), 0)

    async def publish(self, *values, is_transaction=False):
        name = {"transactional_id": f"{self.settings.deployment}-publisher"} if is_transaction else {}
        async with (
            AIOKafkaProducer(bootstrap_servers=self.settings.kafka, **name) as producer,
            producer.transaction() if is_transaction else contextlib.nullcontext(),
        ):
            batch = producer.create_batch()
            for value in values:
                assert batch.append(key=b"key", value=value, timestamp=None)
            await (await producer.send_batch(batch, self.settings.topics.requests, partition=0))

    async def committed(self):
        await self._settle()
        settings = self.settings
        found = (await self.cluster.admin.committed(settings.group_id, settings.topics.requests, [0]))[0]
        return Position(max(found.offset, 0), found.generation)

    async def answers(self):
        return await self._values(self.settings.topics.predictions)

    async def letters(self):
        return await self._values(self.settings.topics.dead_letters)

    async def end(self, *, read_committed):
        """Return the end of the predictions, or that of what readers of committed ones get to."""
        return await self.cluster.admin.end_offset(self.settings.topics.predictions, 0, read_committed=read_committed)

    async def _settle(self):
        """Wait for the markers of the last commit, which returns before them; it shuts out those who committed it."""
        cluster = self.cluster
        await Alternating.of_partition(self.settings, cluster.brokers, cluster.membership.group, 0).init()

    async def _values(self, topic):
        await self._settle()
        return [record.value() for record in await asyncio.to_thread(read, self.settings.kafka, topic)]


@contextlib.asynccontextmanager
async def on_kafka(settings, monkeypatch):
    is_sound = fetched.is_sound
    monkeypatch.setattr(fetched, "is_sound", lambda data, crc: DAMAGED not in bytes(data) and is_sound(data, crc))
    is_assigned = asyncio.Event()
    async with Admin.connect(settings) as admin:
        tail = await AnswersTail(settings).start()
        membership = Membership(
            settings,
            on_rejoining=lambda: None,
            on_revoked=lambda: asyncio.sleep(0),
            on_assigned=lambda *_: is_assigned.set(),
        )
        await membership.start(900_000)
        poller = asyncio.create_task(membership.run())
        await is_assigned.wait()
        brokers = await Brokers(settings).start()
        around = {"membership": membership, "admin": admin, "tail": tail, "brokers": brokers}
        yield OnKafka(Cluster(settings=settings, **around, batch_bytes=900_000))
        poller.cancel()
        await asyncio.gather(poller, return_exceptions=True)
        await membership.stop()
        await brokers.stop()
        await tail.stop()


def batch(position, *values, refused=()):
    """What a batch leaves behind that leads to a position."""
    return Transaction(
        [(b"key", value, []) for value in values],
        [(b"key", value, []) for value in refused],
        position.offset,
        position.floor,
        None,
    )
