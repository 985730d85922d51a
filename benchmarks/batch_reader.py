"""The reader of a fast stream's answers, in a separate process: of each record batch it reads the head only.

    python benchmarks/batch_reader.py BOOTSTRAP TOPIC

For each committed record batch it writes a BATCH to stdout; the first one, of no answers, says that it is ready. The
first answer of each uncompressed batch is decoded: if it names its source, then that must be the request of the same
number in its partition, counted from where this began.
"""

import asyncio
import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka import TopicPartition

from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.internals import Cutter, PartitionFetch, consumer_of
from hotswap.kafka.wire.batches import records_of
from hotswap.recordbatch.header import CONTROL, SIZE, Header, size_of

BATCH = struct.Struct("dIQI")
"""When it was read, on the system's monotonic clock; its partition, how many answers came before it there, how many it
has."""
_FETCH_BYTES = 8 << 20


class Head(NamedTuple):
    """What is read of a batch: its number of records; and the batch as it is, empty if it is compressed."""

    count: int
    batch: memoryview


def heads(of: PartitionFetch) -> Iterator[Head]:
    """Yields the batches of a fetch, without the transactions' markers."""
    whole, at = memoryview(of.data), 0
    while len(whole) - at >= SIZE:
        end = at + size_of(whole, at)
        if end > len(whole):
            return
        header = Header.read(whole, at)
        of.next_fetch_offset = header.next_offset
        if not header.attributes & CONTROL:
            yield Head(header.records_count, whole[:0] if header.codec else whole[at:end])
        at = end


class Places:
    """Checks that the answers of a partition are those to its requests, in order and none left out."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}

    def check(self, partition: int, number: int, batch: memoryview) -> None:
        """Raises ValueError if the first answer's source is another request than the one of this number."""
        headers = dict(next(records_of(batch)).headers)
        if source := headers.get("source"):
            offset = int(source.rpartition(b"-")[2])
            if offset != self._first.setdefault(partition, offset - number) + number:
                raise ValueError(f"answer {number} of partition {partition} is to the request at {offset}")


async def read(bootstrap: str, topic: str) -> None:
    """Reads what arrives from now on, until it is killed."""
    client = KafkaClient(bootstrap_servers=bootstrap)
    consumer = consumer_of(
        client,
        value_deserializer=Cutter(heads),
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    keys = [TopicPartition(topic, number) for number in await client.partitions(topic)]
    consumer.assign(keys)
    await consumer.seek_to_end(*keys)
    places, seen = Places(), dict.fromkeys(keys, 0)
    sys.stdout.buffer.write(BATCH.pack(time.monotonic(), 0, 0, 0))
    while True:
        sys.stdout.buffer.flush()
        fetched = await consumer.getmany(timeout_ms=1_000)
        now = time.monotonic()
        for key, batches in fetched.items():
            for count, batch in batches:
                if batch:
                    places.check(key.partition, seen[key], batch)
                sys.stdout.buffer.write(BATCH.pack(now, key.partition, seen[key], count))
                seen[key] += count


if __name__ == "__main__":
    asyncio.run(read(*sys.argv[1:3]))
