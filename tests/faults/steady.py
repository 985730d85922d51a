"""A steady stream of good requests, beside whatever a scenario does to the control plane."""

import asyncio
import itertools

from confluent_kafka import Producer

from harness.fleet import messages

_TURN_S = 0.05


class Steady:
    """Publishes the iris rows in a cycle while its block runs; `ends`: the next known offset of each partition."""

    def __init__(self, deployment, *, per_second):
        self.acknowledged = 0
        self.ends = {}
        self._deployment = deployment
        self._per_turn = max(1, round(per_second * _TURN_S))
        self._producer = Producer(
            {"bootstrap.servers": deployment.kafka.bootstrap, "enable.idempotence": True, "linger.ms": 2}
        )
        self._is_over = False
        self._task = None

    async def __aenter__(self):
        topic = self._deployment.settings.topics.requests
        described = await asyncio.to_thread(self._producer.list_topics, topic, 10)
        self.ends = dict.fromkeys(described.topics[topic].partitions, 0)
        self._task = asyncio.create_task(self._publish())
        return self

    async def __aexit__(self, *_):
        self._is_over = True
        await self._task

    async def _publish(self):
        producer, topic = self._producer, self._deployment.settings.topics.requests
        values = itertools.cycle(messages("iris")[0])
        partitions = itertools.cycle(self.ends)
        while not self._is_over:
            for value in itertools.islice(values, self._per_turn):
                producer.produce(topic, value, partition=next(partitions), callback=self._acknowledge)
            producer.poll(0)
            await asyncio.sleep(_TURN_S)
        assert await asyncio.to_thread(producer.flush, 30) == 0, "requests could not be published"

    def _acknowledge(self, error, message):
        assert error is None, error
        self.acknowledged += 1
        if (offset := message.offset()) is not None:  # unknown when Kafka answers a retry with "I have it already"
            self.ends[message.partition()] = offset + 1
