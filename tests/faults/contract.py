"""The control plane for the verifier, without the worker's code: publishes commands, follows the status topic."""

import asyncio
import contextlib
import uuid
from collections import defaultdict

from confluent_kafka import Consumer, Producer, TopicPartition

from faults.fold import Status, Verdict
from harness.audit import read

OUTCOMES = {
    value.number: value.name.removeprefix("OUTCOME_")
    for value in Status.DESCRIPTOR.file.enum_types_by_name["Outcome"].values
}


async def read_log(deployment):
    """Read all records of the control topic: (value, timestamp in ms)."""
    messages = await asyncio.to_thread(read, deployment.kafka.bootstrap, deployment.settings.topics.control)
    return [(message.value(), message.timestamp()[1]) for message in messages]


class ControlPlane:
    """Commands in, statuses out: `publish` appends records unchanged, and one reader follows the status topic."""

    def __init__(self, deployment):
        self.said = defaultdict(list)
        """By worker: its verdicts in the order in which they were written."""
        self.workers = {}
        """By worker: its last WorkerStatus."""
        self.records = self.bytes = 0
        self._topics = deployment.settings.topics
        servers = {"bootstrap.servers": deployment.kafka.bootstrap, "topic.metadata.refresh.interval.ms": 2_000}
        self._producer = Producer(servers | {"enable.idempotence": True})
        self._consumer = Consumer(
            servers | {"group.id": uuid.uuid4().hex, "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
        )
        self._following = None
        self._is_closing = False

    async def __aenter__(self):
        self._consumer.assign([TopicPartition(self._topics.status, 0, 0)])
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_):
        self._is_closing = True
        await self._following
        await asyncio.to_thread(self._consumer.close)

    async def publish(self, commands):
        """Append (key, value) or (key, value, headers) to the control topic; return once they are acknowledged."""
        errors = []

        def acknowledge(error, _):
            errors.extend([error] if error else [])

        for key, value, *headers in commands:
            more = {"headers": headers[0]} if headers else {}
            self._producer.produce(self._topics.control, value, key=key, partition=0, callback=acknowledge, **more)
        await asyncio.to_thread(self._producer.flush, 30)
        assert not errors, errors

    async def until(self, is_so, timeout_s):
        """Wait until it holds; return whether it did in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    if self._following.done():
                        self._following.result()
                    await asyncio.sleep(0.02)
                return True
        return False

    async def _follow(self):
        while not self._is_closing:
            for message in await asyncio.to_thread(self._consumer.consume, 1_000, 0.05):
                assert message.error() is None, message.error()
                self._receive(message.value())

    def _receive(self, value):
        self.records += 1
        self.bytes += len(value)
        status = Status.FromString(value)
        if status.WhichOneof("kind") == "worker":
            self.workers[status.worker.worker] = status.worker
        elif status.WhichOneof("kind") == "swap":
            swap = status.swap
            verdict = Verdict(swap.command_id, swap.generation, OUTCOMES[swap.outcome], swap.code)
            self.said[swap.worker].append(verdict)
