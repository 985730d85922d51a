"""The contender in Python for the same job: confluent-kafka in batches with its transactions, and the model's library.

    python benchmarks/by_python.py BOOTSTRAP REQUESTS PREDICTIONS GROUP KIND MODEL PROTO PROCESSES

Exactly once, as ours: it reads committed requests, and commits its offsets in the transaction of their answers. A
process that fails ends. Answers have the keys of their requests, and no headers. The model and the proto are
hard-coded: scoring with others takes a redeploy.
"""

import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from python_libraries import dtype_of, scorer_of

from hotswap.codec.proto import compile as compile_proto

PROCESSES = 2
BY_HAND = f"Python by hand, {PROCESSES} processes"
BATCH = 10_000
"""Rows of a transaction at most: a tenth of a second of work."""
_CONSUMER = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 1,
    "queued.min.messages": 100_000,
}
_PRODUCER = {"linger.ms": 5, "batch.size": 262_144, "queue.buffering.max.messages": 1_000_000}


class Task(NamedTuple):
    """What it scores."""

    kind: str
    model: Path
    proto: Path


def command(task: Task, *arguments: str) -> Sequence[str]:
    """Return the command that runs it; `arguments` are bootstrap, requests, predictions and group."""
    return [sys.executable, __file__, *arguments, *map(str, task), str(PROCESSES)]


class Scorer:
    """A model and its messages: from requests to answers."""

    def __init__(self, kind: str, model: Path, proto: Path) -> None:
        (operation,) = compile_proto(proto.read_bytes()).operations.values()
        self._parse, self._answer = operation.input.FromString, operation.output
        names = [field.name for field in operation.input.DESCRIPTOR.fields]
        self._values, self._is_list = attrgetter(*names), len(names) == 1
        self._score, self._dtype = scorer_of(kind, model), dtype_of(kind)

    def __call__(self, requests: Sequence[bytes]) -> list[bytes]:
        """Return the answers of a batch of requests."""
        values: Any = map(self._values, map(self._parse, requests))
        if self._is_list:
            values = [np.array(value, self._dtype) for value in values]  # protobuf has them as a buffer
        return self._answers(self._score(np.array(list(values), self._dtype)))

    def _answers(self, scores: Any) -> list[bytes]:
        if scores.ndim == 1:
            return [self._answer(yes=one).SerializeToString() for one in scores.tolist()]
        if scores.shape[1] == 2:  # noqa: PLR2004 - the classes of the GBM
            return [self._answer(no=no, yes=yes).SerializeToString() for no, yes in scores.tolist()]
        return [self._answer(output=row).SerializeToString() for row in scores.tolist()]


class Loop:
    """A consumer and its producer."""

    def __init__(self, score: Scorer, bootstrap: str, predictions: str, group: str, transactional_id: str) -> None:
        self._score, self._predictions = score, predictions
        servers = {"bootstrap.servers": bootstrap, "log_level": 3}
        self._consumer = Consumer({**servers, **_CONSUMER, "group.id": group})
        self._producer = Producer({**servers, **_PRODUCER, "transactional.id": transactional_id})
        self._is_revoked = False

    def run(self, requests: str) -> None:
        """Answer until the process is terminated."""
        self._producer.init_transactions()
        self._consumer.subscribe([requests], on_revoke=self._revoke)
        while True:
            if messages := self._poll():
                self._commit(messages)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _revoke(self, *_: object) -> None:
        self._is_revoked = True

    def _poll(self) -> list[Any]:
        """Return what is at hand, but nothing of partitions that were taken away meanwhile."""
        self._is_revoked = False
        first = self._consumer.poll(0.1)
        messages = [first, *self._consumer.consume(BATCH - 1, 0)] if first else []
        for error in filter(None, (message.error() for message in messages)):
            raise KafkaException(error)
        return [] if self._is_revoked else messages

    def _commit(self, messages: Sequence[Any]) -> None:
        answers = self._score([message.value() for message in messages])
        by_partition = defaultdict[int, list[dict[str, Any]]](list)
        offsets = {}
        for message, answer in zip(messages, answers, strict=True):
            partition = message.partition()
            by_partition[partition].append({"value": answer, "key": message.key()})
            offsets[partition] = message.offset() + 1
        self._producer.begin_transaction()
        for partition, batch in by_partition.items():
            if self._producer.produce_batch(self._predictions, batch, partition) != len(batch):
                raise SystemExit("the producer's queue is full")
        topic = messages[0].topic()
        positions = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        self._producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata())
        self._producer.commit_transaction()


def _stop(*_: object) -> None:
    raise SystemExit


def main() -> None:
    """Answer until SIGTERM: in this process, or in several that it starts."""
    signal.signal(signal.SIGTERM, _stop)
    *words, number = sys.argv[1:]
    if not number.startswith("#"):
        command = [sys.executable, __file__, *words]
        processes = [subprocess.Popen([*command, f"#{one}"]) for one in range(int(number))]
        try:
            codes = [process.wait() for process in processes]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
        raise SystemExit(f"a consumer by hand has ended: {codes}")
    bootstrap, requests, predictions, group, kind, model, proto = words
    loop = Loop(Scorer(kind, Path(model), Path(proto)), bootstrap, predictions, group, group + number)
    try:
        loop.run(requests)
    finally:
        loop.close()


if __name__ == "__main__":
    main()
