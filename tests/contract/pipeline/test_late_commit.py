"""A commit that the network delivers after the connection broke on which it was sent, on a real Kafka."""

import asyncio

from faults.brokers import proxied_kafka
from faults.one_partition import batch, on_kafka
from harness.fleet import Deployment
from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.kafka.topics.committed import committed_at


async def test_a_commit_that_arrives_after_its_connection_broke_ends_no_later_batch(monkeypatch, tmp_path):
    async with proxied_kafka() as (kafka, proxy):
        deployment = await Deployment(kafka, tmp_path).create(partitions=1)
        behind = deployment.settings.model_copy(update={"kafka": proxy.bootstrap})
        async with on_kafka(behind, monkeypatch) as partition:
            source = partition.source()
            await source.open()
            held = proxy.hold_requests()
            committing = asyncio.create_task(source.commit(batch(Position(1, 1), b"a")))
            await held.full()
            proxy.cut()
            (outcome,) = await asyncio.gather(committing, return_exceptions=True)
            position = Position(1, 1)
            if outcome is not None:  # as a loop does after a doubt
                assert isinstance(outcome, Doubt)
                await source.close()
                position = await source.open()
            # The next transaction: its offset is there, and its answers are not yet.
            await source._producers.now.offset(source._key, committed_at(position.offset + 1, 1))
            proxy.release_held()
            await held.answered()
            await source.close()
            assert (await partition.committed()).offset == len(await partition.answers()) == position.offset
