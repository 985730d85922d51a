"""The publisher of a fast stream, in a separate process: it sends record batches that it has built before.

    python benchmarks/batch_publisher.py BOOTSTRAP TOPIC ROWS

Every TICK_S a batch of ROWS requests is due, to one partition after the other. A late one is sent as soon as possible,
and counts from when it was due (no coordinated omission). Once it is ready it writes to stdout when the first one is
due, on the system's monotonic clock: with that, the place of a request in its partition tells when it was due.
"""

import asyncio
import sys
import time
from typing import Any

import batches
from aiokafka import AIOKafkaProducer
from workload import different_rows

TICK_S = 0.005
_DIFFERENT = 200_000
_SOON_S = 0.5


async def publish(bootstrap: str, topic: str, rows: int) -> None:
    """Publishes until it is killed."""
    async with batches.producing(bootstrap) as producer, asyncio.TaskGroup() as partitions:
        count = len(await producer.partitions_for(topic))
        made = batches.build(producer, different_rows(max(1, _DIFFERENT // rows) * rows), rows)
        begin = time.monotonic() + _SOON_S
        sys.stdout.write(f"{begin}\n")
        sys.stdout.flush()
        for number in range(count):
            partitions.create_task(_publish_to(producer, topic, number, made, (begin, count)))


async def _publish_to(
    producer: AIOKafkaProducer, topic: str, partition: int, made: list[Any], plan: tuple[float, int]
) -> None:
    """Publishes to one partition at its every turn."""
    begin, count = plan
    sent: asyncio.Future[Any] | None = None
    for tick in range(partition, sys.maxsize, count):
        await asyncio.sleep(max(0.0, begin + tick * TICK_S - time.monotonic()))
        queued = await producer.send_batch(made[tick % len(made)], topic, partition=partition)
        if sent and sent.done():
            sent.result()  # whatever failed ends the publisher
        sent = queued


if __name__ == "__main__":
    asyncio.run(publish(sys.argv[1], sys.argv[2], int(sys.argv[3])))
