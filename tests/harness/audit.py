"""Audits a run: reads the topics with read_committed, with a Kafka client other than the worker's, and counts."""

import uuid
from collections import Counter
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition


@dataclass
class Audit:
    """The outcomes of all published requests."""

    asked: int
    predictions: list = field(default_factory=list)
    dead_letters: list = field(default_factory=list)
    lost: set = field(default_factory=set)
    twice: set = field(default_factory=set)
    phantom: set = field(default_factory=set)
    went_back: list = field(default_factory=list)
    out_of_order: list = field(default_factory=list)

    @property
    def faults(self):
        """All breaches of the promise; empty in a good run."""
        named = ("lost", "twice", "phantom", "went_back", "out_of_order")
        return {name: found for name in named if (found := getattr(self, name))}


def header(message, name):
    return next((value.decode() for key, value in message.headers() or [] if key == name), None)


def source(message):
    _, partition, offset = header(message, "source").rsplit("-", 2)
    return int(partition), int(offset)


def generation(message):
    return int(header(message, "generation"))


def read(bootstrap, topic):
    """Read the committed records of a topic, in the order of each partition."""
    return list(each(bootstrap, topic))


def each(bootstrap, topic):
    """The same, record by record."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,  # at the end of a topic; otherwise half a second
            "auto.offset.reset": "earliest",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        at_end = set()
        while len(at_end) < len(partitions):
            message = consumer.poll(10)
            assert message is not None, f"{topic} does not end: is a transaction left open?"
            if message.error():
                at_end.add(message.partition())
            else:
                yield message
    finally:
        consumer.close()


def audit(bootstrap, topics):
    """Compare the requests of a deployment with its predictions and dead letters."""
    asked = {(message.partition(), message.offset()) for message in read(bootstrap, topics.requests)}
    result = Audit(len(asked), read(bootstrap, topics.predictions), read(bootstrap, topics.dead_letters))
    answers = result.predictions + result.dead_letters
    times = Counter(source(message) for message in answers)
    result.lost = asked - times.keys()
    result.phantom = times.keys() - asked
    result.twice = {key for key, count in times.items() if count > 1}
    for answered in (result.predictions, result.dead_letters):
        last = {}
        for message in answered:
            partition, offset = source(message)
            if message.partition() != partition or offset <= last.get(partition, -1):
                result.out_of_order.append((partition, offset))
            last[partition] = offset
    newest = {}
    for message in sorted(answers, key=source):
        partition, offset = source(message)
        if generation(message) < newest.get(partition, 0):
            result.went_back.append((partition, offset))
        newest[partition] = generation(message)
    return result
