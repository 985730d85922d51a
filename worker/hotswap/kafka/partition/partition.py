"""One input partition on Kafka: fenced, opened at its true position, and committed batch by batch in transactions.

Two things fence a zombie: the transactional ids of the *partition*, which every owner initializes before it reads the
committed offset (KIP-98), and its membership in the group, which its offsets name (KIP-447). Anything in doubt discards
the producers; whatever these still send is rejected for its old epoch.

    CLOSED ──▶ OPENING ──▶ OPEN ──▶ WRITING ──▶ COMMITTING ──▶ OPEN
                            └────────────────────▲  a commit of one batch
    any ──▶ CLOSED          the producers are discarded
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from hotswap.batch import BatchAnswers, Limits, Position, Stamp, Transaction
from hotswap.errors import Doubt
from hotswap.failpoints import failpoint
from hotswap.generation import MOST
from hotswap.kafka.client.connection import doubting
from hotswap.kafka.group.inbox import Inbox
from hotswap.kafka.group.membership import Membership
from hotswap.kafka.partition.outbox import Outbox
from hotswap.kafka.partition.position import Highest, Positions
from hotswap.kafka.partition.rejected import Rejections, asking, naming_rights
from hotswap.kafka.partition.tail import AnswersTail
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import committed_at
from hotswap.kafka.topics.records import FetchedRequests
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.brokers import Brokers
from hotswap.settings import Settings

log = logging.getLogger(__name__)


async def _unbounded(_: int) -> int:
    return MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The resources that the partitions of a worker share."""

    settings: Settings
    membership: Membership
    admin: Admin
    tail: AnswersTail
    brokers: Brokers
    batch_bytes: int
    """Largest produce batch, bytes, where the output topics accept it as one message."""
    highest: Highest = _unbounded


class SourceState(StrEnum):
    """State of a partition; the module's docstring draws the legal transitions."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    WRITING = "writing"
    COMMITTING = "committing"


_LEGAL = {
    SourceState.CLOSED: {SourceState.OPENING},
    SourceState.OPENING: {SourceState.OPEN},
    SourceState.OPEN: {SourceState.WRITING, SourceState.COMMITTING},
    SourceState.WRITING: {SourceState.WRITING, SourceState.COMMITTING},
    SourceState.COMMITTING: {SourceState.OPEN},
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
        self._state = SourceState.CLOSED
        self._producers: Alternating | None = None  # None in CLOSED
        self._outbox: Outbox | None = None
        self._answered_by: int | None = None  # id of the producer that wrote the last answers, for the next offset
        self._committing: asyncio.Task[None] | None = None  # at least once: while the next batch is scored
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
        """The limits of the output topics, as of the last `open`."""
        return self._rejections.limits

    @property
    def _batch_bytes(self) -> int:
        return min(self._cluster.batch_bytes, *self.limits)

    async def open(self) -> Position:
        """Fence every earlier owner, end its open transactions, and only then read the partition's position."""
        async with naming_rights(self._settings, self._cluster.admin):
            return await self._open()

    async def _open(self) -> Position:
        self._move(SourceState.OPENING)
        failpoint("open.begun")
        await self._cluster.admin.check_partition(self._partition)
        await self._rejections.check()
        cluster = self._cluster
        producers = Alternating.of_partition(self._settings, cluster.brokers, cluster.membership.group, self._partition)
        self._producers = producers
        self._outbox = Outbox(producers, self._settings, self._partition, self._batch_bytes)
        async with doubting(self._settings.call_timeout_s, f"fencing {self._name}"):
            await cluster.brokers.look()
            await producers.init()
        failpoint("open.fenced")
        if self._is_transactional:
            await self._end_what_is_open(producers)
            failpoint("open.cleaned")
        position = await self._positions.read(producers.producers if self._is_transactional else ())
        self._answered_by = self._positions.answered_by
        if self._positions.is_offset_lost:
            await self._commit_again(producers, position)
        failpoint("open.read")
        self._cluster.membership.seek(self._inbox, position.offset)
        facts = {"partition": self._partition, "offset": position.offset, "floor": position.floor}
        log.info("partition.opened", extra=facts)
        self._move(SourceState.OPEN)
        return position

    async def wait(self) -> int | None:
        """See Inbox.wait."""
        return await self._inbox.wait()

    def wake(self) -> None:
        """See Inbox.wake."""
        self._inbox.wake()

    async def pass_over(self) -> int:
        """Return the end of the committed requests; fetch none until the partition is opened again."""
        self._inbox.close()
        return await self._cluster.admin.end_offset(self._topics.requests, self._partition, read_committed=True)

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """Take at most `limit` requests, none from offset `until` on; empty if none has arrived."""
        return self._cluster.membership.take(self._inbox, limit, until)

    def take_raw(self, limit: int, until: int | None) -> FetchedRequests | None:
        """Take requests as `take` does, unparsed; None: none has arrived, or the next ones must be parsed."""
        return self._cluster.membership.take_raw(self._inbox, limit, until)

    def skip(self, why: str) -> None:
        """Skip past the damaged batch that `wait` raised; each of its offsets is refused, with `why` as the message."""
        self._cluster.membership.skip(self._inbox, why)

    @property
    def stamp(self) -> Stamp:
        """See Outbox.stamp."""
        assert self._outbox is not None
        return self._outbox.stamp

    def write(self, answers: BatchAnswers) -> None:
        """Write a batch's answers in a transaction, which goes on; `commit` waits until they are acknowledged."""
        self._move(SourceState.WRITING)
        assert self._outbox is not None
        self._outbox.write(answers.predictions, answers.dead_letters)
        failpoint("batch.written")

    async def commit(self, transaction: Transaction) -> None:
        """Write a transaction's last answers and its offset; return when all of it is committed.

        With at-least-once delivery, return when the records are written: their offset is committed while the next batch
        is scored, and the next commit raises a doubt about it.

        Raises:
            Doubt: the commit is in doubt; the producer must not be used again.

        """
        self._move(SourceState.COMMITTING)
        outbox, producers = self._outbox, self._producers
        assert outbox
        assert producers
        position = Position(transaction.next_offset, transaction.generation)
        async with self._writing("committing", position):
            outbox.write(transaction.predictions, transaction.dead_letters)
            if transaction.cut_over_at is not None:
                outbox.announce(transaction)
            failpoint("commit.sent")
            await self._acknowledged(position)
            failpoint("commit.acknowledged")
            if self._is_transactional:
                await producers.now.end(is_commit=True)
                producers.take_turns()
        if not self._is_transactional:
            await self._commit_in_background(position)
        self._move(SourceState.OPEN)
        failpoint("commit.done")

    async def close(self) -> None:
        """Discard the producers: nothing of them can be committed once the partition is opened again."""
        self._state = SourceState.CLOSED
        self._inbox.close()
        committing, self._committing = self._committing, None
        if committing:
            await asyncio.gather(committing, return_exceptions=True)
        producers, self._producers = self._producers, None
        if producers is not None:
            await producers.discard()

    def stop(self) -> None:
        """Make `wait` return None from now on."""
        self._inbox.stop()

    def _move(self, state: SourceState) -> None:
        """Change the state; the only place that does, except for `close`, which is legal in any state."""
        if state not in _LEGAL[self._state]:
            raise AssertionError(f"{self._name}: {self._state} -> {state} is not a legal transition")
        self._state = state

    async def _acknowledged(self, position: Position) -> None:
        """Wait until Kafka has the answers, and the offset that they lead to if that is part of their transaction."""
        outbox, producers = self._outbox, self._producers
        assert outbox
        assert producers
        if not self._is_transactional:
            await outbox.acknowledged()
            return
        if outbox.has_answers:
            self._answered_by = producers.now.id
        await asyncio.gather(
            outbox.acknowledged(), producers.now.offset(self._key, self._committed_at(position, producers))
        )

    def _committed_at(self, position: Position, producers: Alternating) -> OffsetAndMetadata:
        ids = (producer.id for producer in producers.producers)
        return committed_at(position.offset, position.floor, self._answered_by, ids)

    async def _commit_again(self, producers: Alternating, position: Position) -> None:
        """Commit an offset whose marker is lost once more, by each producer: one of them has left it open.

        Otherwise it stays open until that producer's next turn, which may not come before the partition moves again.
        """
        async with doubting(self._settings.call_timeout_s, f"committing the lost offset of {self._name}"):
            for producer in producers.producers:
                await producer.offset(self._key, self._committed_at(position, producers))
                await producer.end(is_commit=True)

    async def _end_what_is_open(self, producers: Alternating) -> None:
        """End transactions that a lost marker left open, although the id was initialized: they had ended.

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
        left, is_committed = await self._positions.left_open(producers.producers)
        event = "partition.open_records_committed" if is_committed else "partition.open_records_aborted"
        for producer in producers.producers:
            if not (topics := left.get(producer.id)):
                continue
            log.warning(event, extra={"partition": self._partition, "topics": topics})
            async with doubting(self._settings.call_timeout_s, f"ending open records of {self._name}"):
                keys = [TopicPartition(topic, self._partition) for topic in topics]
                if is_committed:  # nobody would answer their requests again
                    await producer.add(keys)
                    await producer.end(is_commit=True)
                # A pending offset, too; and a transaction cannot begin before the markers of the one before are there.
                for _ in range(2):
                    await producer.add(keys, with_offsets=True)
                    await producer.end(is_commit=False)

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
        offsets = {self._key: committed_at(position.offset, position.floor)}
        self._committing = asyncio.create_task(self._cluster.membership.commit(offsets))
