"""Whether records without a gap between them are of one transaction, on a real Kafka."""

import asyncio
import time

from aiokafka import TopicPartition

from faults.one_partition import on_kafka
from faults.writers import are_of_one_transaction
from harness.fleet import Deployment
from hotswap.batch import Stamp
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.batches import packed


async def test_records_of_two_producers_are_of_two_transactions_though_no_marker_lies_between_them(
    kafka, monkeypatch, tmp_path
):
    deployment = await Deployment(kafka, tmp_path).create(partitions=1)
    async with on_kafka(deployment.settings, monkeypatch) as partition:
        cluster, topic = partition.cluster, deployment.settings.topics.predictions
        both = Alternating.of_partition(deployment.settings, cluster.brokers, cluster.membership.group, 0)
        await both.init()
        stamp = Stamp(-1, -1, -1, is_transactional=True, max_bytes=900)
        for producer in both.producers:
            records = packed([(None, b"x", [])] * 2, int(time.time() * 1000), stamp)
            producer.produce(TopicPartition(topic, 0), records)
            await producer.acknowledged()
        asked = [asyncio.to_thread(are_of_one_transaction, kafka.bootstrap, topic, 0, offset) for offset in (1, 2, 3)]
        assert await asyncio.gather(*asked) == [True, False, True]
        for producer in both.producers:
            await producer.end(is_commit=False)
