"""The publisher of a steady stream, in a separate process, so that nothing else affects its rate.

    python benchmarks/publisher.py BOOTSTRAP TOPIC PER_SECOND [PARTITION]

Every 5 ms a group of requests is due, to one partition after the other, unless one is named. A late request is sent as
soon as possible, and counts from when it was due (no coordinated omission): the due time is its key.
"""

import itertools
import sys
import time

from confluent_kafka import Producer
from workload import rows

TICK_S = 0.005
_SETTINGS = {
    "enable.idempotence": True,
    "linger.ms": 1,  # a group is one batch
    "queue.buffering.max.messages": 0,  # no bound: what a slow broker does not accept waits here, and is late
    "log_level": 3,
}


def publish(bootstrap: str, topic: str, per_second: float, only: int | None = None) -> None:
    """Publishes until it is killed."""
    producer, values = Producer({"bootstrap.servers": bootstrap, **_SETTINGS}), rows()
    partitions = len(producer.list_topics(topic, 10).topics[topic].partitions)
    began, sent = time.monotonic(), 0
    for tick in itertools.count(1):
        due = began + tick * TICK_S
        producer.poll(0)
        time.sleep(max(0.0, due - time.monotonic()))
        key, until = str(due).encode(), int(tick * TICK_S * per_second)
        partition = tick % partitions if only is None else only
        for number in range(sent, until):
            producer.produce(topic, values[number % len(values)], key, partition)
        sent = until


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], float(sys.argv[3]), *map(int, sys.argv[4:]))
