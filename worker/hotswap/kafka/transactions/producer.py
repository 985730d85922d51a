"""A producer of our own, whose states are drawn here and moved in one place.

    NEW ──▶ READY ──▶ OPEN ──▶ ENDING ──▶ READY      a transaction
                       │ ▲
                       └─┘                            its answers and its offset
    any ──▶ DISCARDED                                 at the first failure or doubt: its successor fences it

Version 2 of transactions (KIP-890) takes two steps: the answers and the offset side by side, then the end, whose answer
has the next epoch, so that a late copy of anything is refused. In version 1 the partitions and the group are added
before, and the epoch stays.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from hotswap.batch import RecordBatch
from hotswap.failpoints import failpoint
from hotswap.kafka.client.connection import claimed
from hotswap.kafka.client.error_codes import for_code
from hotswap.kafka.transactions.verdicts import Call, Reaction, unanswered, unsent, verdict
from hotswap.kafka.wire.batches import stamped
from hotswap.kafka.wire.brokers import Brokers, Coordinated, CoordinatorKind
from hotswap.kafka.wire.messages import (
    AddOffsets,
    AddPartitions,
    CommitOffset,
    CommitOffsetInTransaction,
    EndTransaction,
    EndTransactionAndEpoch,
    InitProducerId,
    Message,
    Produce,
    ProduceInTransaction,
    one,
)
from hotswap.recordbatch.header import SEQUENCES

_TIMEOUT_MS: Final = 30_000
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.1
_REJOINING_S: Final = 0.005
_OFFSET: Final = 2
"""Index of the batch's offset in the answer to a Produce, after the partition and the error code."""


class Member(NamedTuple):
    """A member of a consumer group, in one of its generations (`membership`)."""

    membership: int = -1
    id: str = ""
    instance: str | None = None


class Group(Protocol):
    """The group whose offsets a transaction commits."""

    @property
    def name(self) -> str:
        """Its id."""

    @property
    def knows_both_ids(self) -> bool:
        """Whether each member knows both transactional ids of a partition: see alternating.py."""

    @property
    def member(self) -> Member | None:
        """Our membership; None while we have none. A default member is not checked."""


class Nobody(NamedTuple):
    """A group without membership checks."""

    name: str
    knows_both_ids: bool = True
    member: Member = Member()


class ProducerState(StrEnum):
    """State of a producer; the module's docstring draws the legal transitions."""

    NEW = "new"
    READY = "ready"
    OPEN = "open"
    ENDING = "ending"
    DISCARDED = "discarded"


_LEGAL: Final = {
    ProducerState.NEW: {ProducerState.READY},
    ProducerState.READY: {ProducerState.OPEN},
    ProducerState.OPEN: {ProducerState.OPEN, ProducerState.ENDING},
    ProducerState.ENDING: {ProducerState.READY},
    ProducerState.DISCARDED: set[ProducerState](),
}

_Where: TypeAlias = Callable[..., Awaitable[int]]


class Producer:
    """Writes record batches to some partitions, in order each; with a transactional id in transactions.

    Each call raises an error of aiokafka's if a broker refuses it or cannot tell, and the producer must be discarded
    then. None is bounded in time.
    """

    def __init__(self, brokers: Brokers, transactional_id: str | None = None, group: Group | None = None) -> None:
        self._brokers = brokers
        self._name = transactional_id
        self._group = group
        self._coordinator: _Where = partial(
            brokers.coordinator, Coordinated(CoordinatorKind.TRANSACTIONS, transactional_id or "")
        )
        self._state = ProducerState.NEW
        self.id, self.epoch = -1, -1
        """As Kafka has given them; the end of a transaction may change both."""
        self._version = 1  # of the open transaction
        self._sequences: defaultdict[TopicPartition, int] = defaultdict(int)
        self._last: dict[TopicPartition, asyncio.Future[int]] = {}  # partition -> what was sent to it last
        self._added: set[TopicPartition | None] = set()  # to the open transaction, in version 1; None: the group
        self._adding = asyncio.Lock()

    async def init(self) -> None:
        """Get an id and an epoch, after the transactional id's open transaction is ended and its producer fenced."""
        request = InitProducerId(self._name, _TIMEOUT_MS, -1, -1, {})
        where = self._coordinator if self._name else self._brokers.any
        answer = await self._insist(Call.INIT, where, request, _error)
        self.id, self.epoch = answer.producer_id, answer.epoch
        self._move(ProducerState.READY)

    def sequence(self, key: TopicPartition) -> int:
        """Return the sequence number of the next record to a partition."""
        return self._sequences[key]

    def produce(self, key: TopicPartition, batch: RecordBatch) -> asyncio.Future[int]:
        """Send a record batch after those that were sent to the partition before; return its offset once it has one.

        `acknowledged` waits for all.
        """
        self._open()
        data = stamped(batch, self.id, self.epoch, self._sequences[key]).data
        self._sequences[key] = (self._sequences[key] + batch.records) % SEQUENCES
        sent = self._last[key] = claimed(asyncio.ensure_future(self._produce(key, data, self._last.get(key))))
        return sent

    async def acknowledged(self) -> None:
        """Wait until all that was sent is on each in-sync replica."""
        for sent in self._last.values():
            await asyncio.shield(sent)
        self._last.clear()

    async def offset(self, key: TopicPartition, committed: OffsetAndMetadata) -> None:
        """Have the transaction commit an offset of the group, as the member of it that we are (KIP-447)."""
        self._open()
        assert self._group
        if self._version == 1:
            await self._add(None)
        what = one(key.topic, key.partition, committed.offset, -1, committed.metadata)
        kind = CommitOffset if self._version == 1 else CommitOffsetInTransaction
        where = partial(self._brokers.coordinator, Coordinated(CoordinatorKind.GROUP, self._group.name))
        member: Member | None = None
        while True:
            # Each generation of the group has us as another member, also where the partition has stayed ours.
            member = await self._other_member_than(member)
            request = kind(self._name, self._group.name, self.id, self.epoch, *member, what, {})
            if await self._insist(Call.OFFSET, where, request, partial(_error_at, key)):
                break
        failpoint("commit.offsets_sent")

    async def add(self, keys: Iterable[TopicPartition], *, with_offsets: bool = False) -> None:
        """Have a transaction end partitions to which it writes nothing, and the group's offsets; it is of version 1."""
        self._open(version=1)
        for key in keys:
            await self._add(key)
        if with_offsets:
            await self._add(None)

    async def end(self, *, is_commit: bool) -> None:
        """Commit or abort; return once that is certain, which is before the broker has written its markers."""
        assert not self._last, "what is not acknowledged may be lost"
        self._move(ProducerState.ENDING)
        kind = EndTransaction if self._version == 1 else EndTransactionAndEpoch
        request = kind(self._name, self.id, self.epoch, is_commit, {})
        answer = await self._insist(Call.END, self._coordinator, request, _error)
        if kind is EndTransactionAndEpoch:
            self.id, self.epoch = answer.producer_id, answer.epoch
            self._sequences.clear()
        self._added.clear()
        self._move(ProducerState.READY)

    async def discard(self) -> None:
        """Stop sending; the successor fences requests on their way. Never raises."""
        self._state = ProducerState.DISCARDED
        for sent in self._last.values():
            sent.cancel()
        await asyncio.gather(*self._last.values(), return_exceptions=True)

    def _open(self, version: int | None = None) -> None:
        """Have a transaction open, in the version that the cluster has agreed upon by its beginning."""
        is_begun = self._state is ProducerState.OPEN
        self._move(ProducerState.OPEN)
        if self._name and not is_begun:
            self._version = version or self._brokers.transaction_version
            failpoint("commit.begun")

    def _move(self, state: ProducerState) -> None:
        """Change the state; the only place that does, except for `discard`, which is legal in any state."""
        if state not in _LEGAL[self._state]:
            raise AssertionError(f"{self._name}: {self._state} -> {state} is not a legal transition")
        self._state = state

    async def _produce(self, key: TopicPartition, data: memoryview, before: asyncio.Future[int] | None) -> int:
        if before:
            await before
        if self._name and self._version == 1:
            await self._add(key)
        kind = Produce if self._version == 1 else ProduceInTransaction
        request = kind(self._name, -1, _TIMEOUT_MS, one(key.topic, key.partition, data), {})
        answer = await self._insist(Call.PRODUCE, partial(self._brokers.leader, key), request, partial(_error_at, key))
        return int(_at(key, answer)[_OFFSET])

    async def _add(self, key: TopicPartition | None) -> None:
        async with self._adding:
            if key in self._added:
                return
            if key:
                added: list[Any] = [(key.topic, [key.partition], {})]
                request: Message = AddPartitions(self._name, self.id, self.epoch, added, {})
                await self._insist(Call.ADD, self._coordinator, request, partial(_error_at, key))
            else:
                assert self._group
                request = AddOffsets(self._name, self.id, self.epoch, self._group.name, {})
                await self._insist(Call.ADD, self._coordinator, request, _error)
            self._added.add(key)

    async def _other_member_than(self, before: Member | None) -> Member:
        assert self._group
        while (member := self._group.member) is None or member == before:  # noqa: ASYNC110
            await asyncio.sleep(_REJOINING_S)  # aiokafka tells nobody when it has joined again
        return member

    async def _insist(self, call: Call, where: _Where, request: Message, error_of: Callable[[Any], int]) -> Any:
        """Send a request until it is carried out, and return the answer; None: our membership has changed."""
        pause_s, is_stale = _FIRST_PAUSE_S, False
        while True:
            outcome, answer = await self._ask(call, partial(where, is_stale=is_stale), request, error_of)
            if outcome is Reaction.DONE:
                return answer
            if outcome is Reaction.FAILED:
                raise answer
            if outcome is Reaction.REJOINED:
                return None
            is_stale = outcome is Reaction.ELSEWHERE
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _ask(
        self, call: Call, where: _Where, request: Message, error_of: Callable[[Any], int]
    ) -> tuple[Reaction, Any]:
        """Send a request once; return the reaction, and the answer or the error."""
        try:
            node = await where()
        except KafkaError as error:
            return unsent(error), error
        try:
            answer = await self._brokers.ask(node, request)
        except KafkaError as error:
            return unanswered(call, error), error
        outcome = verdict(call, code := error_of(answer))
        return outcome, for_code(code)() if outcome is Reaction.FAILED else answer


def _error(answer: Any) -> int:
    return int(answer.error)


def _error_at(key: TopicPartition, answer: Any) -> int:
    """Return the error code of the only partition of a request."""
    return int(_at(key, answer)[1])


def _at(key: TopicPartition, answer: Any) -> Any:
    ((_, (response, *_), *_), *_) = answer.topics
    assert response[0] == key.partition
    return response
