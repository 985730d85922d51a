"""The publisher of a steady stream, in a separate process, so that nothing else affects its rate.

    python benchmarks/publisher.py BOOTSTRAP TOPIC PER_SECOND [--partition NUMBER] [--requests FILE]

Every 5 ms a group of requests is due, to one partition after the other, unless one is named. A late request is sent as
soon as possible, and counts from when it was due (no coordinated omission): the due time is its key. FILE has other
requests than those of the workload, a base64 a line.
"""

import argparse
import base64
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Producer
from workload import rows

TICK_S = 0.005
_SETTINGS = {
    "enable.idempotence": True,
    "linger.ms": 1,  # a group is one batch
    "queue.buffering.max.messages": 0,  # no bound: what a slow broker does not accept waits here, and is late
    "log_level": 3,
}


def publish(bootstrap: str, topic: str, per_second: float, values: Sequence[bytes], only: int | None) -> None:
    """Publishes until it is killed."""
    producer = Producer({"bootstrap.servers": bootstrap, **_SETTINGS})
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


def main() -> None:
    """Publishes what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("per_second", type=float)
    parser.add_argument("--partition", type=int)
    parser.add_argument("--requests", type=Path)
    told = parser.parse_args()
    values = [base64.b64decode(line) for line in told.requests.read_bytes().split()] if told.requests else rows()
    publish(told.bootstrap, told.topic, told.per_second, values, told.partition)


if __name__ == "__main__":
    main()
