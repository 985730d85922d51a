"""A publisher that sends finished record batches unchanged, unlike client libraries (faults/raw_batches.py)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer


class _Finished:
    """A finished batch in place of aiokafka's BatchBuilder."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data, self._count = bytearray(data), count

    def append(self, **_: object) -> None:
        return None

    def close(self) -> None:
        pass

    def closed(self) -> bool:
        return True

    def size(self) -> int:
        return len(self._data)

    def record_count(self) -> int:
        return self._count

    def _set_producer_state(self, *_: object) -> None:
        pass

    def _build(self) -> bytearray:
        return self._data


@asynccontextmanager
async def sending(bootstrap: str) -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Yield a coroutine function that sends a finished batch to a partition and returns its first offset."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()

    async def send(topic: str, partition: int, data: bytes, *, count: int) -> int:
        written = await (await producer.send_batch(_Finished(data, count), topic, partition=partition))
        return int(written.offset)

    try:
        yield send
    finally:
        await producer.stop()
