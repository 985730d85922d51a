"""Exactly once on a real Kafka through the faults that break naive loops: we have met each of these."""

import asyncio
import contextlib
import os
import signal
import threading
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka import Producer

from harness.audit import read, source
from harness.fleet import Deployment, messages
from hotswap.errors import Doubt
from hotswap.kafka.topics.admin import Admin


class Stream:
    """A publisher in a thread, with a client that survives restarts of the broker."""

    def __init__(self, deployment, per_second=300, partitions=4):
        self.acknowledged = 0
        self._topic = deployment.settings.topics.requests
        self._pause = 1 / per_second
        self._partitions = partitions
        self._stop = threading.Event()
        self._values, _, _ = messages("iris")
        self._producer = Producer(
            {
                "bootstrap.servers": deployment.kafka.bootstrap,
                "enable.idempotence": True,
                "topic.metadata.refresh.interval.ms": 2_000,
                "message.timeout.ms": 60_000,
                "linger.ms": 2,
            }
        )
        self._running = None

    def _run(self):
        number = 0
        while not self._stop.wait(self._pause):
            value = self._values[number % len(self._values)]
            with contextlib.suppress(BufferError):
                self._producer.produce(
                    self._topic, value, partition=number % self._partitions, callback=self._acknowledge
                )
            self._producer.poll(0)
            number += 1
        # Longer than message.timeout.ms: each is acknowledged, or given up, which the audit does not ask for.
        assert self._producer.flush(90) == 0

    def _acknowledge(self, error, _):
        self.acknowledged += error is None

    async def reach(self, count):
        """Wait until so many more requests are acknowledged."""
        goal = self.acknowledged + count
        async with asyncio.timeout(90):
            while self.acknowledged < goal:
                await asyncio.sleep(0.01)

    async def __aenter__(self):
        self._running = asyncio.create_task(asyncio.to_thread(self._run))
        return self

    async def __aexit__(self, *_):
        self._stop.set()
        await self._running


async def settled(deployment):
    """Return the run's faults, once everything is answered."""
    await deployment.drained(timeout=90)
    result = await deployment.audit()
    assert result.asked > 0
    return result.faults


async def takes_over(deployment, worker, count=1):
    """Wait until a worker has logged that it has opened so many partitions."""
    async with asyncio.timeout(60):
        while deployment.log(worker).count("partition.opened") < count:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("workers_by_command")
async def test_a_second_signal_ends_a_worker_at_once_and_nothing_is_lost(deployment):
    await deployment.serve("iris_gbm")
    async with Stream(deployment) as stream:
        await stream.reach(300)
        process = deployment.workers.pop("w1")
        os.kill(process.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        os.kill(process.pid, signal.SIGCONT)
        assert await asyncio.to_thread(process.wait, 5) in (0, 1)
        deployment.start("w2")
        await takes_over(deployment, "w2", 4)
        await stream.reach(300)
    assert await settled(deployment) == {}
    assert await deployment.stop("w2") == 0


@pytest.fixture
async def fragile(own_kafka, tmp_path):
    """A deployment on its own broker, with a short bound on each call."""
    made = Deployment(own_kafka, tmp_path, call_timeout_s=2)
    await made.create()
    yield made
    made.close()


async def test_late_copies_of_requests_to_a_stalled_broker_do_no_harm(fragile):
    await fragile.serve("iris_gbm")
    async with Stream(fragile) as stream:
        for _ in range(2):
            await stream.reach(300)
            os.kill(fragile.kafka.pid, signal.SIGSTOP)
            # Longer than the bound on a call: requests time out while the broker still has them in its sockets.
            await asyncio.sleep(5)
            os.kill(fragile.kafka.pid, signal.SIGCONT)
        await stream.reach(300)
    assert await settled(fragile) == {}
    assert "partition.recycled" in fragile.log()
    assert await fragile.stop() == 0


async def test_a_lone_broker_killed_with_commits_pending_loses_nothing_and_answers_nothing_twice(fragile):
    await fragile.serve("iris_gbm", workers=("w1", "w2"))
    async with Stream(fragile) as stream:
        for _ in range(4):
            await stream.reach(300)
            await asyncio.to_thread(fragile.kafka.kill)
            await asyncio.to_thread(fragile.kafka.start)
        await stream.reach(300)
    assert await settled(fragile) == {}
    assert [await fragile.stop(worker) for worker in ("w1", "w2")] == [0, 0]


async def test_a_coordinator_that_is_loading_is_never_taken_for_nothing_committed(fragile):
    await fragile.serve("iris_gbm")
    values, _, _ = messages("iris")
    await fragile.publish(values)
    await fragile.drained()
    assert await fragile.stop() == 0
    said, doubts = set(), 0
    async with Admin.connect(fragile.settings) as admin:
        partitions = list(range(4))
        truth = await admin.committed(fragile.name, fragile.settings.topics.requests, partitions)
        await asyncio.to_thread(fragile.kafka.kill)
        starting = asyncio.create_task(asyncio.to_thread(fragile.kafka.start))
        until = time.monotonic() + 60
        while time.monotonic() < until and len(said) < 200:
            try:
                answer = await admin._committed(fragile.name, fragile.settings.topics.requests, partitions)
                said.add((time.monotonic(), tuple(answer[number].offset for number in partitions)))
            except Doubt:
                doubts += 1
        await starting
    assert doubts
    assert {offsets for _, offsets in said} == {tuple(truth[number].offset for number in partitions)}


async def set_offset(deployment, partition, offset, metadata):
    """Commit an offset of the deployment's group from outside, as an operator's tool does."""
    where = TopicPartition(deployment.settings.topics.requests, partition)
    servers, group = deployment.kafka.bootstrap, deployment.name
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([where])
    await consumer.commit({where: OffsetAndMetadata(offset, metadata)})
    await consumer.stop()


async def answered_in_partition_0(deployment):
    """Publish to one partition and wait for the answers; return how many."""
    await deployment.serve("iris_gbm")
    count = publish_to_partition_0(deployment)
    await deployment.drained()
    assert await deployment.stop() == 0
    return count


def publish_to_partition_0(deployment):
    """Publish, and return how many."""
    values, _, _ = messages("iris")
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    for value in values:
        producer.produce(deployment.settings.topics.requests, value, partition=0)
    producer.flush()
    return len(values)


async def test_an_offset_whose_marker_was_lost_is_restored_from_the_answers(deployment):
    count = await answered_in_partition_0(deployment)
    await set_offset(deployment, 0, count - 50, '{"generation": 1}')
    deployment.start("w2")
    await takes_over(deployment, "w2", 4)
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    assert "partition.offset_was_lost" in deployment.log("w2")
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


async def test_answers_that_were_aborted_although_their_offset_was_committed_are_written_again(deployment):
    count = await answered_in_partition_0(deployment)
    more = publish_to_partition_0(deployment)
    topics, servers = deployment.settings.topics, deployment.kafka.bootstrap
    name = f"{deployment.name}-{topics.requests}-0"  # the worker's own: what others write is not believed
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=name) as producer:
        await producer.begin_transaction()
        for offset in range(count, count + more):
            headers = [("source", f"{topics.requests}-0-{offset}".encode()), ("generation", b"1")]
            await producer.send(topics.predictions, b"", partition=0, headers=headers)
        await producer.flush()
        await producer.abort_transaction()
    # Behind the offset some are aborted, too: as if a worker had gone back, begun a larger batch, and died.
    await set_offset(deployment, 0, count + more - 50, '{"generation": 1}')
    deployment.start("w2")
    await takes_over(deployment, "w2", 4)
    publish_to_partition_0(deployment)
    await deployment.drained()
    assert "partition.answers_were_lost" in deployment.log("w2")
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


async def test_an_offset_that_an_operator_sets_is_obeyed_and_the_requests_are_answered_again(deployment):
    count = await answered_in_partition_0(deployment)
    await set_offset(deployment, 0, count - 50, "")
    deployment.start("w2")
    await deployment.drained()
    answers = await asyncio.to_thread(read, deployment.kafka.bootstrap, deployment.settings.topics.predictions)
    assert len(answers) == count + 50
    assert len({source(message) for message in answers}) == count
    assert await deployment.stop("w2") == 0
