"""Requests in record batches that are built once and sent again and again, so that publishing them costs little."""

import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any

from aiokafka import AIOKafkaProducer
from contender import PARTITIONS

from hotswap.kafka.topics.admin import Admin
from hotswap.settings import Settings

_ROWS = 1_250
"""Of a batch in a backlog; fewer if they are large."""
_BYTES = 1_000_000
_IN_FLIGHT = 100


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose batches may be sent again: it is not idempotent, and writes nothing into them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1, max_batch_size=_BYTES)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def build(producer: AIOKafkaProducer, values: Iterable[bytes], rows: int = _ROWS) -> list[Any]:
    """Return batches of requests without a key, of so many rows each, or of as many as fit."""
    made, left, now_ms = [], deque(values), int(time.time() * 1000)
    while left:
        batch = producer.create_batch()
        while left and batch.record_count() < rows and batch.append(timestamp=now_ms, key=None, value=left[0]):
            left.popleft()
        batch.close()
        made.append(batch)
    return made


async def fill(settings: Settings, values: Sequence[bytes], count: int, partitions: int = PARTITIONS) -> None:
    """Publish `count` requests, batch by batch to one partition after the other; create the topics if need be."""
    async with Admin.connect(settings) as admin, producing(settings.kafka) as producer:
        await admin.create_topics(partitions)
        topic, sent = settings.topics.requests, deque[Any]()
        whole = cycle(build(producer, islice(cycle(values), max(len(values), _ROWS)) if count else ()))
        numbers = cycle(range(partitions))
        while count:
            batch = next(whole)
            if batch.record_count() > count:
                (batch,) = build(producer, islice(cycle(values), count))
            count -= batch.record_count()
            sent.append(await producer.send_batch(batch, topic, partition=next(numbers)))
            if len(sent) > _IN_FLIGHT:
                await sent.popleft()
        for one in sent:
            await one
