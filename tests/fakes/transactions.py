"""Brokers that answer the requests of transactions from a script, and remember what they were asked."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hotswap.kafka.transactions.producer import Member, Producer
from hotswap.kafka.wire.messages import (
    AddPartitions,
    CommitOffset,
    EndTransactionAndEpoch,
    InitProducerId,
    Message,
    Produce,
)

ANSWERS, LETTERS = TopicPartition("d.predictions", 0), TopicPartition("d.dead-letters", 0)
REQUESTS = TopicPartition("d.requests", 0)
OFFSET = 70
"""Where each record batch is appended."""


class FakeBrokers:
    """hotswap.kafka.wire.brokers.Brokers; each request is carried out, unless `script` has something else for it."""

    def __init__(self, version: int = 2) -> None:
        self.transaction_version = version
        self.asked: list[Message] = []
        self.script: defaultdict[type[Message], list[int | KafkaError]] = defaultdict(list)
        """Kind of request -> error codes, or errors, with which the next ones of it end."""
        self.moved: list[Any] = []
        """Whose leader or coordinator was asked for anew."""
        self.ends = 0

    async def leader(self, of: Any, *, is_stale: bool = False) -> int:
        self.moved += [of] * is_stale
        return 1

    coordinator = leader

    async def any(self, *, is_stale: bool = False) -> int:
        return await self.leader("any", is_stale=is_stale)

    async def look(self) -> None:
        pass

    async def ask(self, _: int, request: Message) -> Any:
        self.asked.append(request)
        script = self.script[type(request)]
        code = script.pop(0) if script else 0
        if isinstance(code, KafkaError):
            raise code
        if isinstance(request, InitProducerId):
            return SimpleNamespace(error=code, producer_id=self._producer(request), epoch=3)
        if isinstance(request, EndTransactionAndEpoch):
            self.ends += not code
            return SimpleNamespace(error=code, producer_id=self._producer(request), epoch=3 + self.ends)
        if isinstance(request, AddPartitions):
            ((topic, (partition,), _),) = request.topics
        elif isinstance(request, (Produce, CommitOffset)):
            ((topic, ((partition, *_),), _),) = request.topics
        else:
            return SimpleNamespace(error=code)
        return SimpleNamespace(topics=[(topic, [(partition, code, OFFSET, {})], {})])

    def _producer(self, request: Any) -> int:
        return 8 if str(request.transactional_id).endswith("b") else 7

    @property
    def names(self) -> list[str]:
        """The kinds of what was asked, in order."""
        return [type(request).__name__ for request in self.asked]

    def of(self, kind: type[Message]) -> list[Any]:
        return [request for request in self.asked if isinstance(request, kind)]


class FakeGroup:
    """Our membership in the group; `members` are who we are, time after time that somebody looks."""

    name = "d"
    knows_both_ids = True

    def __init__(self, *members: Member | None) -> None:
        self._members: Sequence[Member | None] = members or (Member(5, "m", None),)
        self._looks = 0

    @property
    def member(self) -> Member | None:
        self._looks += 1
        return self._members[min(self._looks, len(self._members)) - 1]


async def settled() -> None:
    """Let every task go on until it waits for somebody else."""
    for _ in range(20):
        await asyncio.sleep(0)


async def producing(brokers: Any, name: str | None = "d-d.requests-0", group: Any = None) -> Producer:
    """Return a producer that is ready."""
    producer = Producer(brokers, name, group or FakeGroup())
    await producer.init()
    return producer
