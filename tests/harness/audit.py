"""Audits a run: reads the topics with read_committed, with a Kafka client other than the worker's, and counts."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from harness.forging import is_forged
from hotswap.settings import Topics

Place = tuple[int, int]
"""Partition and offset of a request."""

_AT_END = (KafkaError._PARTITION_EOF, KafkaError._BAD_COMPRESSION)  # it never gets past what it cannot unpack


@dataclass
class Audit:
    """The outcomes of all published requests."""

    asked: int
    predictions: list[Message] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    lost: set[Place] = field(default_factory=set)
    twice: set[Place] = field(default_factory=set)
    phantom: set[Place] = field(default_factory=set)
    went_back: list[Place] = field(default_factory=list)
    out_of_order: list[Place] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, object]:
        """All breaches of the promise; empty in a good run."""
        named = ("lost", "twice", "phantom", "went_back", "out_of_order")
        return {name: found for name in named if (found := getattr(self, name))}


def header(message: Message, name: str) -> str | None:
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])  # as a consumer gives them
    return next((value.decode() for key, value in headers if key == name and value is not None), None)


def source(message: Message) -> Place:
    _, partition, offset = (header(message, "source") or "").rsplit("-", 2)
    return int(partition), int(offset)


def generation(message: Message) -> int:
    return int(header(message, "generation") or "")


def read(bootstrap: str, topic: str) -> list[Message]:
    """Read the committed records of a topic, in the order of each partition."""
    return list(each(bootstrap, topic))


def each(bootstrap: str, topic: str) -> Iterator[Message]:
    """The same, record by record."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            "fetch.wait.max.ms": 20,  # at the end of a topic; otherwise half a second
            "auto.offset.reset": "earliest",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        at_end: set[int | None] = set()
        while len(at_end) < len(partitions):
            message = consumer.poll(10)
            assert message is not None, f"{topic} does not end: is a transaction left open?"
            error = message.error()
            if error is None:
                yield message
            elif error.code() in _AT_END:
                at_end.add(message.partition())
            else:
                assert not error.fatal(), f"{topic} cannot be read: {error}"  # any other one the client gets over
    finally:
        consumer.close()


def _answers(bootstrap: str, topic: str) -> list[Message]:
    return [message for message in each(bootstrap, topic) if not is_forged(message)]


def audit(bootstrap: str, topics: Topics) -> Audit:
    """Compare the requests of a deployment with its predictions and dead letters."""
    asked = {(message.partition() or 0, message.offset() or 0) for message in read(bootstrap, topics.requests)}
    result = Audit(len(asked), _answers(bootstrap, topics.predictions), _answers(bootstrap, topics.dead_letters))
    answers = result.predictions + result.dead_letters
    times = Counter(source(message) for message in answers)
    result.lost = asked - times.keys()
    result.phantom = times.keys() - asked
    result.twice = {key for key, count in times.items() if count > 1}
    for answered in (result.predictions, result.dead_letters):
        last: dict[int, int] = {}
        for message in answered:
            partition, offset = source(message)
            if message.partition() != partition or offset <= last.get(partition, -1):
                result.out_of_order.append((partition, offset))
            last[partition] = offset
    newest: dict[int, int] = {}
    for message in sorted(answers, key=source):
        partition, offset = source(message)
        if generation(message) < newest.get(partition, 0):
            result.went_back.append((partition, offset))
        newest[partition] = generation(message)
    return result
