"""One input partition on Kafka: fenced, opened where it truly stands, and committed in one transaction per batch.

aiokafka sends offsets without the group's member and membership (no KIP-447), so one thing only shuts out a zombie: the
transactional id of the *partition*, `<group>-<topic>-<partition>`, which every owner initializes anew before it reads
the committed offset (KIP-98). Any doubt throws the producer away; what it still sends is refused by its old epoch.

    CLOSED ──▶ OPENING ──▶ OPEN ──▶ BEGUN ──▶ COMMITTING ──▶ OPEN
                            └───────────────────▲  a commit that was not begun
    each ──▶ CLOSED         the producer is thrown away
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import time
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from hotswap.batch import Position, Record, Transaction
from hotswap.errors import Doubt
from hotswap.failpoints import failpoint
from hotswap.kafka.connection import Admin, bounded, connection, doubting, end
from hotswap.kafka.inbox import Inbox
from hotswap.kafka.internals import add_to_transaction, fill, retry_soon, wrap_sequences
from hotswap.kafka.membership import Membership
from hotswap.kafka.tail import AnswersTail
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

log = logging.getLogger(__name__)

_TRANSACTION_TIMEOUT_MS = 30_000
_IDLE_TRANSACTION_S = 10.0
"""How long a transaction may be open while its batch is scored: well below its time-out, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What every partition of a worker shares."""

    settings: Settings
    membership: Membership
    admin: Admin
    tail: AnswersTail
    batch_bytes: int
    """How many bytes of records go to an output topic at once; both must take as much in one message."""


def committed_at(offset: int, generation: int) -> OffsetAndMetadata:
    """What a worker commits: the next offset, and the generation that scored the one before it."""
    return OffsetAndMetadata(offset, json.dumps({"generation": generation}))


class State(StrEnum):
    """How far a partition is with its batch; the module's text draws the legal transitions."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    BEGUN = "begun"
    COMMITTING = "committing"


_LEGAL = {
    State.CLOSED: {State.OPENING},
    State.OPENING: {State.OPEN},
    State.OPEN: {State.BEGUN, State.COMMITTING},
    State.BEGUN: {State.COMMITTING},
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
        self._answers = TopicPartition(self._topics.predictions, partition)
        self._name = f"{self._topics.requests}-{partition}"
        self._is_transactional = cluster.settings.delivery == "exactly_once"
        self._inbox: Inbox = cluster.membership.inbox(partition)
        self._state = State.CLOSED
        self._producer: AIOKafkaProducer | None = None  # none in CLOSED
        # Both go on while the loop scores: the first that batch, the second the one behind it.
        self._beginning: asyncio.Task[bool] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._is_scored = asyncio.Event()

    async def open(self) -> Position:
        """Fences every earlier owner, ends what it left open, and only then reads where the partition stands."""
        self._move(State.OPENING)
        failpoint("open.begun")
        self._producer = self._new_producer()
        await bounded(self._producer.start(), self._settings.call_timeout_s, f"fencing {self._name}")
        failpoint("open.fenced")
        if self._is_transactional:
            await self._end_what_is_open()
            failpoint("open.cleaned")
        position = await self._position()
        failpoint("open.read")
        self._cluster.membership.seek(self._inbox, position.offset)
        facts = {"partition": self._partition, "offset": position.offset, "floor": position.floor}
        log.info("partition.opened", extra=facts)
        self._move(State.OPEN)
        return position

    async def wait(self) -> int | None:
        """Offset of the next request, once it is here, or up to which there is none; None after `stop`."""
        return await self._inbox.wait()

    def take(self, limit: int, until: int | None) -> Sequence[Any]:
        """At most `limit` requests, none from offset `until` on; none at all where none is here."""
        return self._cluster.membership.take(self._inbox, limit, until)

    def skip(self, why: str) -> None:
        """Goes on behind the damaged batch that `wait` has met: each of its offsets is refused, for this reason."""
        self._cluster.membership.skip(self._inbox, why)

    def begin(self, position: Position) -> None:
        """Begins the transaction of a batch that is about to be scored and leads to `position`.

        Three of a transaction's five round trips take place while the host works: the partition and the group are added
        to it, and the offset is sent.
        """
        self._move(State.BEGUN)
        if self._is_transactional:
            self._is_scored.clear()
            self._beginning = asyncio.create_task(self._begin(position))

    async def commit(self, transaction: Transaction) -> None:
        """Writes the batch's records and its offset; returns when both are committed.

        With delivery at least once it returns when the records are written: their offset is committed while the next
        batch is scored, and a doubt about it is raised by the next commit.

        Raises:
            Doubt: not known to be committed; the producer must not be used again.

        """
        self._move(State.COMMITTING)
        producer = self._producer
        assert producer is not None
        position = Position(transaction.next_offset, transaction.generation)
        if self._is_transactional:
            await self._begun(position)
        async with doubting(self._settings.call_timeout_s, f"committing {self._name} at {position.offset}"):
            sent = await self._send(producer, self._topics.predictions, transaction.predictions)
            sent += await self._send(producer, self._topics.dead_letters, transaction.dead_letters)
            if transaction.cut_over_at is not None:
                sent += await self._announce(producer, transaction)
            failpoint("commit.sent")
            # A commit does not look at these: with one of them failed it would still say OK, and records would be lost.
            for produced in sent:
                await produced
            failpoint("commit.acknowledged")
            if self._is_transactional:
                await producer.commit_transaction()
        if not self._is_transactional:
            await self._commit_behind(position)
        self._move(State.OPEN)
        failpoint("commit.done")

    async def close(self) -> None:
        """Buries the producer: stopped within two seconds, else cut off; then nothing of it can be committed."""
        self._state = State.CLOSED
        self._inbox.close()
        if self._beginning:
            self._beginning.cancel()
        tasks = [task for task in (self._beginning, self._committing) if task]
        self._beginning = self._committing = None
        await asyncio.gather(*tasks, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await end(producer)

    def stop(self) -> None:
        """Makes `wait` say None from now on."""
        self._inbox.stop()

    def _move(self, state: State) -> None:
        """The one place where the state changes, but for `close`, which any state allows."""
        if state not in _LEGAL[self._state]:
            raise AssertionError(f"{self._name}: {self._state} -> {state} is no legal transition")
        self._state = state

    def _new_producer(self) -> AIOKafkaProducer:
        settings = self._settings
        arguments: dict[str, Any] = {"enable_idempotence": True}
        if self._is_transactional:
            # Stable and of the partition: a random one would leave a dead worker's transaction open, and one of the
            # worker would fence nobody else who has the partition.
            transactional_id = f"{settings.group_id}-{self._topics.requests}-{self._partition}"
            arguments = {"transactional_id": transactional_id, "transaction_timeout_ms": _TRANSACTION_TIMEOUT_MS}
        producer = AIOKafkaProducer(
            **connection(settings),
            **arguments,
            acks="all",
            max_batch_size=self._cluster.batch_bytes,
            # Longer than our own bound: else aiokafka repeats TxnOffsetCommit and EndTxn by itself, and the late first
            # copy of one lands in the next transaction.
            request_timeout_ms=int(4_000 * settings.call_timeout_s),
        )
        wrap_sequences(producer)
        retry_soon(producer)
        return producer

    async def _position(self) -> Position:
        settings, requests = self._settings, self._topics.requests
        committed = (await self._cluster.admin.committed(settings.group_id, requests, [self._partition]))[
            self._partition
        ]
        first = await self._cluster.admin.beginning_offset(requests, self._partition)
        position = Position(max(committed.offset, 0), committed.generation)
        if committed.is_ours and self._is_transactional:
            # A lone broker that is killed can lose the marker of the offset alone (1 of 16 kills). The answers then
            # show how far the partition came. An offset that an operator has set is an order, and is not corrected.
            last = await self._cluster.tail.last(requests, self._partition)
            if last and last.offset >= position.offset:
                log.warning("partition.offset_was_lost", extra={"partition": self._partition, "found": last.offset + 1})
                position = Position(last.offset + 1, max(last.generation, position.floor))
        if position.offset < first:
            if committed.offset >= 0:
                gone = {"partition": self._partition, "from": position.offset, "to": first}
                log.error("partition.requests_were_deleted", extra=gone)
            position = Position(first, position.floor)
        return position

    async def _end_what_is_open(self) -> None:
        """Ends records that a lost commit marker has left open although this id was just initialized.

        A lone Kafka 4.3 broker that is killed while commits are pending can drop their markers (3 of 9 kills). The
        records stay invisible, and *our* next commit would publish them. It shows as stable end < end, and an aborted
        transaction over the same partitions ends them as if they had never been sent.
        """
        producer = self._producer
        assert producer is not None
        admin, one = self._cluster.admin, [self._partition]
        torn = []
        for topic in (self._topics.predictions, self._topics.dead_letters):
            stable = await admin.end_offsets(topic, one, read_committed=True)
            if stable != await admin.end_offsets(topic, one):
                torn.append(topic)
        if not torn:
            return
        log.warning("partition.open_records_aborted", extra={"partition": self._partition, "topics": torn})
        async with doubting(self._settings.call_timeout_s, f"aborting open records of {self._name}"):
            await producer.begin_transaction()
            for topic in torn:
                await producer.send_and_wait(topic, b"", partition=self._partition)
            await producer.send_offsets_to_transaction({self._key: OffsetAndMetadata(0, "")}, self._settings.group_id)
            await producer.abort_transaction()
            # A second one cannot begin before the markers of the first are written: it is the wait for them.
            await producer.begin_transaction()
            await producer.send_and_wait(torn[0], b"", partition=self._partition)
            await producer.abort_transaction()

    async def _begin(self, position: Position) -> bool:
        """Opens the transaction, and ends it again where the host takes too long; whether it is still open then."""
        await self._open_transaction(position)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_TRANSACTION_S):
                await self._is_scored.wait()
                return True
        # Kafka would end it at its time-out, and shut out our producer: a batch that takes longer could never be done.
        assert self._producer is not None
        async with doubting(self._settings.call_timeout_s, f"giving up the transaction of {self._name}"):
            await self._producer.abort_transaction()
        return False

    async def _begun(self, position: Position) -> None:
        """Awaits that the transaction is open and has the offset, or opens it now."""
        self._is_scored.set()
        beginning, self._beginning = self._beginning, None
        if not (beginning and await beginning):
            await self._open_transaction(position)

    async def _open_transaction(self, position: Position) -> None:
        producer = self._producer
        assert producer is not None
        async with doubting(self._settings.call_timeout_s, f"beginning {self._name} up to {position.offset}"):
            await producer.begin_transaction()
            failpoint("commit.begun")
            # Before the group: what follows a commit too closely is tried again soonest for a partition.
            add_to_transaction(producer, self._answers)
            await producer.send_offsets_to_transaction(self._offset(position), self._settings.group_id)
            failpoint("commit.offsets_sent")

    async def _commit_behind(self, position: Position) -> None:
        """Commits the offset in the background, once the one before is."""
        if self._committing:
            await self._committing
        offset = self._offset(position)
        self._committing = asyncio.create_task(self._cluster.membership.commit(offset))

    def _offset(self, position: Position) -> dict[TopicPartition, OffsetAndMetadata]:
        return {self._key: committed_at(position.offset, position.floor)}

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, records: Sequence[Record], partition: int | None = None
    ) -> list[asyncio.Future[Any]]:
        where = self._partition if partition is None else partition
        sent: list[asyncio.Future[Any]] = []
        now_ms = int(time() * 1000)
        while records:
            # Always of this producer: a batch of another one would not be part of the transaction.
            batch = producer.create_batch()
            count = fill(batch, now_ms, records)
            if not count:
                raise Doubt(f"a record of {len(records[0][1] or b'')} bytes does not fit into a batch for {topic}")
            records = records[count:]
            sent.append(await producer.send_batch(batch, topic, partition=where))
        return sent

    async def _announce(self, producer: AIOKafkaProducer, transaction: Transaction) -> list[asyncio.Future[Any]]:
        deployment, generation = self._settings.deployment, transaction.generation
        status = wire.Status(
            cut_over=wire.CutOverDone(
                deployment=deployment,
                generation=generation,
                partition=self._partition,
                first_offset=transaction.cut_over_at,
                worker=self._settings.worker_id,
            )
        )
        key = f"{deployment}/{generation}/cut-over/{self._partition}".encode()
        return await self._send(producer, self._topics.status, [(key, status.SerializeToString(), [])], 0)
