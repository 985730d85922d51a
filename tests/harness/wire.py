"""A publisher that sends finished record batches unchanged, unlike client libraries (faults/raw_batches.py)."""

from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer


class _Finished:
    """A finished batch in place of aiokafka's BatchBuilder."""

    def __init__(self, data, count):
        self._data, self._count = bytearray(data), count

    def append(self, **_):
        return None

    def close(self):
        pass

    def closed(self):
        return True

    def size(self):
        return len(self._data)

    def record_count(self):
        return self._count

    def _set_producer_state(self, *_):
        pass

    def _build(self):
        return self._data


@asynccontextmanager
async def sending(bootstrap):
    """Yield a coroutine function that sends a finished batch to a partition and returns its first offset."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()

    async def send(topic, partition, data, *, count):
        written = await (await producer.send_batch(_Finished(data, count), topic, partition=partition))
        return written.offset

    try:
        yield send
    finally:
        await producer.stop()
