"""The reader of a steady stream's answers, in a separate process, so that nothing else delays it.

    python benchmarks/reader.py BOOTSTRAP TOPIC [PARTITION]

For each answer it writes an ANSWER to stdout: when it was read, and when the request was due. Requests of another
publisher, which have no key, are left out.
"""

import struct
import sys
import time
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

ANSWER = struct.Struct("ddQ")
"""When it was read and when its request was due, on the system's monotonic clock, and its generation (0: none)."""
_AT_ONCE = 10_000
_SETTINGS = {
    "group.id": "reader",  # the library requires one; nothing is committed
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 100,
    "queued.min.messages": 1_000_000,
    "fetch.queue.backoff.ms": 1,
    "log_level": 3,
}


def read(bootstrap: str, topic: str, only: str | None = None) -> None:
    """Reads what arrives from now on, until it is killed."""
    consumer = Consumer({"bootstrap.servers": bootstrap, **_SETTINGS})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_END) for number in partitions if only in (None, str(number))])
    while True:
        # `consume` alone would wait until it has so many.
        if first := consumer.poll(1):
            messages = [first, *consumer.consume(_AT_ONCE, 0)]
            now = time.monotonic()
            sys.stdout.buffer.write(b"".join(_answer(now, one) for one in messages if one.error() or one.key()))
            sys.stdout.buffer.flush()


def _answer(now: float, message: Any) -> bytes:
    if error := message.error():
        raise KafkaException(error)
    generation = next((value for name, value in message.headers() or () if name == "generation"), 0)
    return ANSWER.pack(now, float(message.key()), int(generation))


if __name__ == "__main__":
    read(*sys.argv[1:])
