"""A deployment's five topics: how they are made, and how they must fit each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NamedTuple

from aiokafka.admin import NewTopic

from hotswap.settings import Topics

COPIES: Final = 3
"""RELIABILITY.md's requirement: with two of them in sync, nothing acknowledged is lost with a broker."""

DEFAULT_MESSAGE_BYTES: Final = 1_048_588
"""Kafka's default of max.message.bytes."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A topic's partitions, the copies of the one that has fewest, and how many have copies that are not in sync."""

    partitions: int
    copies: int
    behind: int


class Retained(NamedTuple):
    """How long a deployment's answers are retained (None: the broker's default), and how large they may be."""

    retention_ms: int | None = None
    prediction_bytes: int = 2 * DEFAULT_MESSAGE_BYTES
    dead_letter_bytes: int = 2 * DEFAULT_MESSAGE_BYTES


def new_topics(topics: Topics, partitions: int, copies: int, answers: Retained | None = None) -> list[NewTopic]:
    """Return the topics to create; with three copies, two must have a record before it is acknowledged."""
    safe = {"min.insync.replicas": "2"} if copies >= COPIES else {}
    # The status topic keeps the last record per key. The control topic keeps everything: the first command in log order
    # wins, and compaction, which keeps the last record of a key, would rewrite that history. Its timestamps are the
    # broker's, so that no publisher's clock decides whether a command has expired.
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    kept |= {"message.timestamp.type": "LogAppendTime"}
    # Small segments: the newest one is never compacted, and every reader starts at the beginning.
    latest = {"cleanup.policy": "compact", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}
    answers = answers or Retained()
    ending = {} if answers.retention_ms is None else {"retention.ms": str(answers.retention_ms)}
    prediction, dead_letter = (
        {"max.message.bytes": str(size)} | ending for size in (answers.prediction_bytes, answers.dead_letter_bytes)
    )
    return [
        NewTopic(topics.requests, partitions, copies, topic_configs=safe),
        NewTopic(topics.predictions, partitions, copies, topic_configs=prediction | safe),
        NewTopic(topics.dead_letters, partitions, copies, topic_configs=dead_letter | safe),
        NewTopic(topics.control, 1, copies, topic_configs=kept | safe),
        NewTopic(topics.status, 1, copies, topic_configs=latest | safe),
    ]


def misfits(topics: Topics, count: Mapping[str, int]) -> list[str]:
    """Return a line for each existing topic whose number of partitions does not fit; 0: it does not exist."""
    several = [topic for topic in (topics.control, topics.status) if count.get(topic, 0) > 1]
    least = count.get(topics.requests, 0)
    short = [topic for topic in (topics.predictions, topics.dead_letters) if 0 < count.get(topic, 0) < least]
    return [
        *(
            f"topic {topic} has {count[topic]} partitions and must have one: its records need one order"
            for topic in several
        ),
        *(
            f"topic {topic} has {count[topic]} partitions, fewer than {topics.requests} with {least}: each answer goes "
            "to its request's partition, so add partitions"
            for topic in short
        ),
    ]


def untimely(control: str, config: Mapping[str, str] | None) -> list[str]:
    """Return a line if publishers set the timestamps of the control topic, by which keys begin and end.

    `config`: the topic's settings; None: they may not be read.
    """
    if config is None:
        return [f"the settings of topic {control} may not be read: grant DescribeConfigs on it to this user"]
    if config["message.timestamp.type"] == "LogAppendTime":
        return []
    change = f"--alter --entity-type topics --entity-name {control} --add-config message.timestamp.type=LogAppendTime"
    why = "has its publishers' timestamps, so a key that has ended could still sign"
    return [f"topic {control} {why}: set them to the brokers', with kafka-configs.sh {change}"]


def meant(deployment: str, missing: str, topics: Sequence[str]) -> str:
    """Return a question that names the deployment whose topic is probably meant; nothing if none is near."""
    ending = missing.removeprefix(deployment)
    known = [topic.removesuffix(ending) for topic in topics if topic.endswith(ending)]
    return "".join(f"did you mean {name!r}? Otherwise, " for name in get_close_matches(deployment, known, 1))
