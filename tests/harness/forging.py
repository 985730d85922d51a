"""Records that look like a worker's answers, as anybody with Write on an output topic can append them."""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Message, Producer

from hotswap.settings import Settings

FORGED = b"forged"
"""The value of each of them, by which a test tells them from answers; a worker does not."""

_PLAIN: dict[str, object] = {"enable.idempotence": False, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}


class Claim(NamedTuple):
    """What a record claims: that it answers this request, scored by this generation."""

    topic: str
    partition: int
    offset: int
    generation: int = 1


def is_forged(message: Message) -> bool:
    return message.value() == FORGED


class Forger:
    """Somebody who may write to a deployment's output topics, and has transactional ids that are not the workers'."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ids = itertools.count()
        self._open: list[Producer] = []

    def claim(self, partition: int, offset: int, generation: int = 1, *, is_letter: bool = False) -> Claim:
        topics = self._settings.topics
        return Claim(topics.dead_letters if is_letter else topics.predictions, partition, offset, generation)

    def plainly(self, claims: Sequence[Claim], **options: object) -> None:
        """Append them without a transaction."""
        self._send(self._producer(_PLAIN | options), claims)

    def in_a_transaction(self, claims: Sequence[Claim], end: str) -> None:
        """Append them in one that ends in a `commit` or an `abort`, or stays `open`."""
        name = f"{self._settings.deployment}.forger-{next(self._ids)}"
        producer = self._producer({"transactional.id": name})
        producer.init_transactions(30)
        producer.begin_transaction()
        self._send(producer, claims)
        if end == "commit":
            producer.commit_transaction(30)
        elif end == "abort":
            producer.abort_transaction(30)
        else:
            self._open.append(producer)

    def close(self) -> None:
        """End what was left open."""
        while self._open:
            self._open.pop().abort_transaction(30)

    def mix(self, dice: random.Random, count: int, ends: Mapping[int, int]) -> None:
        """Append so many, in random ways; `ends` has the end of each partition's requests."""
        claims = self._drawn(dice, ends)
        while count > 0:
            some = list(itertools.islice(claims, min(count, dice.choice((1, 10, 1_000, 10_000)))))
            count -= len(some)
            ways: list[Callable[[list[Claim]], None]] = [
                self.plainly,
                lambda few: self.plainly(few, **{"compression.type": dice.choice(("gzip", "lz4", "snappy", "zstd"))}),
                lambda few: self.plainly(few, **{"batch.num.messages": "1"}),
                lambda few: self.in_a_transaction(few, "commit"),
                lambda few: self.in_a_transaction(few, "abort"),
            ]
            dice.choice(ways)(some)

    def _drawn(self, dice: random.Random, ends: Mapping[int, int]) -> Iterator[Claim]:
        while True:
            partition, end = dice.choice(list(ends.items()))
            offset = dice.choice(
                (0, dice.randrange(end + 1), end, end + 30, end + 1_000_000, 2**62, max(end - dice.randrange(100), 0))
            )
            generation = dice.choice((0, 1, 1, 1, 2, 3, 2**53, 2**64 - 1))
            yield self.claim(partition, offset, generation, is_letter=dice.random() < 0.5)

    def _producer(self, options: Mapping[str, object]) -> Producer:
        return Producer({"bootstrap.servers": self._settings.kafka, **options})

    def _send(self, producer: Producer, claims: Sequence[Claim]) -> None:
        requests = self._settings.topics.requests
        for claim in claims:
            headers: dict[str, str | bytes | None] = {
                "source": f"{requests}-{claim.partition}-{claim.offset}",
                "generation": str(claim.generation),
            }
            producer.produce(claim.topic, FORGED, partition=claim.partition, headers=headers)
        assert producer.flush(60) == 0
