"""One input partition on Kafka: fenced, opened at its true position, and committed batch by batch in transactions.

aiokafka sends offsets without the member id and generation of the group (no KIP-447), so only one thing fences a
zombie: the transactional id of the *partition*, `<group>-<topic>-<partition>`, which every owner initializes before it
reads the committed offset (KIP-98). Anything in doubt discards the producer; whatever that still sends is rejected for
its old epoch.

    CLOSED ──▶ OPENING ──▶ OPEN ──▶ BEGUN ──▶ WRITING ──▶ COMMITTING ──▶ OPEN
                            │        └─────────────────────▲  a commit of one batch
                            └──────────────────────────────▲  a commit without `begin`
    any ──▶ CLOSED          the producer is discarded
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from hotswap.batch import Answers, Limits, Position, Stamp, Transaction
from hotswap.errors import Doubt
from hotswap.failpoints import failpoint
from hotswap.generation import MOST
from hotswap.kafka.admin import Admin
from hotswap.kafka.committed import committed_at
from hotswap.kafka.connection import doubting, end
from hotswap.kafka.inbox import Inbox
from hotswap.kafka.internals import add_to_transaction, producer_state, wait_for_id
from hotswap.kafka.membership import Membership
from hotswap.kafka.outbox import Outbox, new_producer
from hotswap.kafka.position import Highest, Positions, Producer
from hotswap.kafka.records import RawRequests
from hotswap.kafka.rejected import Rejections, asking, naming_rights
from hotswap.kafka.tail import AnswersTail
from hotswap.kafka.transactions import Transactions
from hotswap.settings import Settings

log = logging.getLogger(__name__)


async def _unbounded(_: int) -> int:
    return MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the partitions of a worker share."""

    settings: Settings
    membership: Membership
    admin: Admin
    tail: AnswersTail
    batch_bytes: int
    """Largest produce batch, bytes, where the output topics accept it as one message."""
    highest: Highest = _unbounded


class State(StrEnum):
    """State of a partition; the module's docstring draws the legal transitions."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    BEGUN = "begun"
    WRITING = "writing"
    COMMITTING = "committing"


_LEGAL = {
    State.CLOSED: {State.OPENING},
    State.OPENING: {State.OPEN},
    State.OPEN: {State.BEGUN, State.COMMITTING},
    State.BEGUN: {State.WRITING, State.COMMITTING},
    State.WRITING: {State.WRITING, State.COMMITTING},
    State.COMMITTING: {State.OPEN},
}


class KafkaPartition:
    """A `pipeline.Source` on a real cluster."""

    def __init__(self, cluster: Cluster, partition: int) -> None:
        self._cluster = cluster
        self._settings = cluster.settings
        self._topics = cluster.settings.topics
        self._partition = partition
        self._key = TopicPartition(self._topics.requests, partition)
        self._name = f"{self._topics.requests}-{partition}"
        self._is_transactional = cluster.settings.delivery == "exactly_once"
        self._inbox: Inbox = cluster.membership.inbox(partition)
        self._state = State.CLOSED
        self._producer: AIOKafkaProducer | None = None  # None in CLOSED
        self._outbox: Outbox | None = None
        self._transactions: Transactions | None = None  # None in CLOSED, and with at-least-once delivery
        self._committing: asyncio.Task[None] | None = None  # at least once: while the next batch is scored
        self._begun = Position(0)
        self._rejections = Rejections(cluster.admin, self._topics)
        self._positions = Positions(
            self._settings, cluster.admin, cluster.tail, partition, cluster.membership.warnings, cluster.highest
        )

    @property
    def deleted(self) -> tuple[int, int]:
        """See Source.deleted."""
        return self._positions.deleted

    @property
    def limits(self) -> Limits:
        """What the output topics accept, as of the last `open`."""
        return self._rejections.limits

    @property
    def _batch_bytes(self) -> int:
        return min(self._cluster.batch_bytes, *self.limits)

    async def open(self) -> Position:
        """Fence every earlier owner, end what it left open, and only then read the partition's position."""
        async with naming_rights(self._settings, self._cluster.admin):
            return await self._open()

    async def _open(self) -> Position:
        self._move(State.OPENING)
        failpoint("open.begun")
        await self._cluster.admin.check_partition(self._partition)
        await self._rejections.check()
        self._producer = new_producer(self._settings, self._partition, self._batch_bytes)
        self._cluster.admin.introduce(self._producer)
        async with doubting(self._settings.call_timeout_s, f"fencing {self._name}"):
            await self._producer.start()
            await wait_for_id(self._producer)
        self._outbox = Outbox(self._producer, self._settings, self._partition, self._batch_bytes)
        failpoint("open.fenced")
        fenced = None
        if self._is_transactional:
            self._transactions = Transactions(
                self._producer, self._settings, self._cluster.admin, self._partition, self._inbox.fail
            )
            fenced = Producer(*producer_state(self._producer, self._key)[:2])
            await self._end_what_is_open(fenced)
            failpoint("open.cleaned")
        position = await self._positions.read(fenced)
        if self._transactions:
            self._transactions.answered_by = self._positions.answered_by
        failpoint("open.read")
        self._cluster.membership.seek(self._inbox, position.offset)
        facts = {"partition": self._partition, "offset": position.offset, "floor": position.floor}
        log.info("partition.opened", extra=facts)
        self._move(State.OPEN)
        return position

    async def wait(self) -> int | None:
        """See Inbox.wait."""
        return await self._inbox.wait()

    def wake(self) -> None:
        """See Inbox.wake."""
        self._inbox.wake()

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """Take at most `limit` requests, none from offset `until` on; empty if none has arrived."""
        return self._cluster.membership.take(self._inbox, limit, until)

    def take_raw(self, limit: int, until: int | None) -> RawRequests | None:
        """Take requests as `take` does, unparsed; None: nothing has arrived, or what comes next must be parsed."""
        return self._cluster.membership.take_raw(self._inbox, limit, until)

    def skip(self, why: str) -> None:
        """Skip past the damaged batch that `wait` raised; each of its offsets is refused, with `why` as the message."""
        self._cluster.membership.skip(self._inbox, why)

    def begin(self, position: Position) -> None:
        """Begin the transaction of a batch that is about to be scored and leads to `position`."""
        self._move(State.BEGUN)
        self._begun = position
        if self._transactions:
            self._transactions.begin(position)

    @property
    def stamp(self) -> Stamp:
        """See Outbox.stamp."""
        assert self._outbox is not None
        return self._outbox.stamp

    async def write(self, answers: Answers) -> None:
        """Write a batch's answers in the transaction that was begun; `commit` waits until they are acknowledged.

        Raises:
            Doubt: they are in doubt; the producer must not be used again.

        """
        self._move(State.WRITING)
        if self._transactions:
            await self._transactions.promise(self._begun)
        assert self._outbox is not None
        async with self._writing("writing", self._begun):
            await self._outbox.write(answers.predictions, answers.dead_letters)
            failpoint("batch.written")

    async def commit(self, transaction: Transaction) -> None:
        """Write a transaction's last answers and its offset; return when all of it is committed.

        With at-least-once delivery, return when the records are written: their offset is committed while the next batch
        is scored, and the next commit raises a doubt about it.

        Raises:
            Doubt: the commit is in doubt; the producer must not be used again.

        """
        self._move(State.COMMITTING)
        outbox = self._outbox
        assert outbox is not None
        position = Position(transaction.next_offset, transaction.generation)
        if self._transactions:
            await self._transactions.promise(position)
        async with self._writing("committing", position):
            await outbox.write(transaction.predictions, transaction.dead_letters)
            if transaction.cut_over_at is not None:
                await outbox.announce(transaction)
            failpoint("commit.sent")
            await outbox.acknowledged()
            failpoint("commit.acknowledged")
            if self._transactions:
                await self._transactions.commit()
        if not self._transactions:
            await self._commit_in_background(position)
        self._move(State.OPEN)
        failpoint("commit.done")

    async def close(self) -> None:
        """Discard the producer: stop it within two seconds, or cut it off; nothing of it can be committed later."""
        self._state = State.CLOSED
        self._inbox.close()
        transactions, self._transactions = self._transactions, None
        if transactions:
            await transactions.discard()
        committing, self._committing = self._committing, None
        if committing:
            await asyncio.gather(committing, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await end(producer)

    def stop(self) -> None:
        """Make `wait` return None from now on."""
        self._inbox.stop()

    def _move(self, state: State) -> None:
        """Change the state; the only place that does, except for `close`, which is legal in any state."""
        if state not in _LEGAL[self._state]:
            raise AssertionError(f"{self._name}: {self._state} -> {state} is not a legal transition")
        self._state = state

    async def _end_what_is_open(self, fenced: Producer) -> None:
        """End what a lost marker has left open although this id was just initialized, as its transaction has ended.

        A lone Kafka 4.3 broker that is killed while commits are pending can drop their markers (3 of 9 kills), those of
        all partitions of a transaction or of one. Its records stay invisible there, and *our* next commit would publish
        them. The symptom is a last stable offset below the end offset; a stranger's open transaction has it, too, and
        is left alone.
        """
        admin = self._cluster.admin
        for topic in (self._topics.predictions, self._topics.dead_letters):
            stable = await admin.end_offset(topic, self._partition, read_committed=True)
            if stable != await admin.end_offset(topic, self._partition):
                break
        else:
            return
        topics, is_committed = await self._positions.left_open(fenced)
        if not topics:
            return
        event = "partition.open_records_committed" if is_committed else "partition.open_records_aborted"
        log.warning(event, extra={"partition": self._partition, "topics": topics})
        async with doubting(self._settings.call_timeout_s, f"ending open records of {self._name}"):
            if is_committed:
                await self._commit_what_is_open(topics)
            await self._abort_what_is_open(topics)

    async def _commit_what_is_open(self, topics: Sequence[str]) -> None:
        """Commit open records by a transaction that adds none: nobody would answer their requests again."""
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        for topic in topics:
            add_to_transaction(producer, TopicPartition(topic, self._partition))
        await producer.commit_transaction()

    async def _abort_what_is_open(self, topics: Sequence[str]) -> None:
        """Abort open records and a pending offset, as if they had never been sent; wait until all markers are there."""
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        for topic in topics:
            await producer.send_and_wait(topic, b"", partition=self._partition)
        await producer.send_offsets_to_transaction({self._key: OffsetAndMetadata(0, "")}, self._settings.group_id)
        await producer.abort_transaction()
        # A second transaction cannot begin before the markers of the first are written, so it waits for them.
        await producer.begin_transaction()
        await producer.send_and_wait(topics[0], b"", partition=self._partition)
        await producer.abort_transaction()

    @contextlib.asynccontextmanager
    async def _writing(self, what: str, position: Position) -> AsyncIterator[None]:
        try:
            async with asking(self._settings, self._cluster.admin, f"{what} {self._name} at {position.offset}"):
                yield
        except Doubt as doubt:
            self._rejections.remember(doubt)
            raise

    async def _commit_in_background(self, position: Position) -> None:
        """Commit the offset in the background, once the previous one is committed."""
        if self._committing:
            await self._committing
        offset = self._offset(position)
        self._committing = asyncio.create_task(self._cluster.membership.commit(offset))

    def _offset(self, position: Position) -> dict[TopicPartition, OffsetAndMetadata]:
        return {self._key: committed_at(position.offset, position.floor)}
