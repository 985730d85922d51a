"""This worker's membership in the deployment's consumer group: the partitions it owns, and their requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata

from hotswap import metrics
from hotswap.errors import Doubt, StartError
from hotswap.failpoints import failpoint
from hotswap.kafka.connection import bounded, connection, end
from hotswap.kafka.contents import Bounds, Unpacker
from hotswap.kafka.fetched import Fetches, get_batches, take_batches
from hotswap.kafka.inbox import Inbox
from hotswap.kafka.internals import FencedInstanceIdError, join_as, member_id
from hotswap.kafka.records import RawRequests
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_POLL_MS = 200
_AGAIN_S = 0.1


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group: a single poller fills the inboxes; rebalances are forwarded to the pipeline.

    All partitions are revoked and assigned at once (the eager protocol): in a rebalance every loop ends its batch in
    hand before the group continues, and opens its partition again if that is assigned.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_assigned: Callable[[Sequence[int]], None],
        on_revoked: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._topic = settings.topics.requests
        self._inboxes: dict[int, Inbox] = {}
        # Incremented whenever positions or owners change. A poll that began before such a change is discarded whole: it
        # may hold records from before a seek, or of a partition that is no longer ours.
        self._epoch = 0
        self._member_id = ""
        self.warnings: dict[int, str] = {}
        """What is worth knowing about partitions that were owned, though none is held for it: partition -> text."""
        longest_batch_ms = settings.max_deadline_ms + int(2_000 * settings.call_timeout_s)
        self._consumer = AIOKafkaConsumer(
            **connection(settings),
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            # Only one assignor, and not the sticky one: aiokafka issues 1175 and 1176.
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.session_timeout_ms // 6,
            # How long the group waits for a live member to rejoin; a dead one is detected by its session. aiokafka only
            # sends it with JoinGroup; polls and heartbeats do not use it (max_poll_interval_ms is the poller's alone).
            rebalance_timeout_ms=longest_batch_ms + 10_000,
            fetch_max_wait_ms=100,
        )

    async def start(self, largest_record: int) -> None:
        """Join the group, however long that takes: Kafka waits for members that died while joining.

        A request larger than `largest_record` bytes, the limit of a dead letter, is not kept whole.

        Raises:
            StartError: no broker answers.

        """
        self._consumer.subscribe([self._topic], listener=self)
        waiting = asyncio.create_task(self._warn_while_waiting())
        try:
            # Not `reaching`, which silences aiokafka's log; and Kafka was reachable a moment ago.
            await self._consumer.start()
        except KafkaConnectionError as error:
            raise StartError(f"no Kafka answers at {self._settings.kafka} any more: {error}") from error
        finally:
            waiting.cancel()
        unpacker = Unpacker(Bounds(self._settings.max_unpacked_bytes, largest_record))
        take_batches(self._consumer, unpacker, self._removed)

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            StartError: this worker is not authorized for its group or topic, or another one has taken its name.

        """
        while True:
            epoch = self._epoch
            try:
                # Never bounded from outside, and cancelled only at the end: during a rebalance it ignores its own
                # timeout, and cancelling it would disable max_poll_interval_ms for good.
                answer = await get_batches(self._consumer, timeout_ms=_POLL_MS)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
                self._out_of_range(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
                raise StartError(f"Kafka forbids this worker to read {self._topic}: {error}") from error
            except KafkaError as error:
                # aiokafka reports unexpected errors as the text of a plain KafkaError.
                if FencedInstanceIdError.__name__ in str(error):
                    raise StartError(self._fenced()) from error
                log.warning("membership.poll_failed", extra={"why": repr(error)})
                await asyncio.sleep(_AGAIN_S)
                continue
            if epoch != self._epoch:
                self._rewind()
            elif answer:
                self._deliver(answer)
            else:
                await self._reach()

    async def stop(self) -> None:
        """Leave the group, unless a static member, which keeps its place; the loops must have ended before."""
        await end(self._consumer)

    def inbox(self, partition: int) -> Inbox:
        """Return the inbox of an owned partition.

        Raises:
            Doubt: it has been revoked.

        """
        if partition not in self._inboxes:
            raise Doubt(f"{self._topic}-{partition} has been revoked from this worker")
        return self._inboxes[partition]

    def seek(self, inbox: Inbox, offset: int) -> None:
        """Open the inbox at an offset: the next record that it gets has this offset or a later one.

        Raises:
            Doubt: the partition has been revoked.

        """
        self._check_owned(inbox)
        self._epoch += 1
        self._consumer.seek(inbox.key, offset)
        inbox.open(offset)
        self._resume(inbox)

    def take(self, inbox: Inbox, limit: int, until: int | None) -> list[Any]:
        """Take requests (see Inbox.take), and resume fetching if there is room again."""
        taken = inbox.take(limit, until)
        self._resume(inbox)
        return taken

    def take_raw(self, inbox: Inbox, limit: int, until: int | None) -> RawRequests | None:
        """Take requests unparsed (see Inbox.take_raw), and resume fetching if there is room again."""
        taken = inbox.take_raw(limit, until)
        self._resume(inbox)
        return taken

    def skip(self, inbox: Inbox, why: str) -> None:
        """Skip past a damaged batch; each of its offsets is refused.

        Raises:
            Doubt: the partition has been revoked.

        """
        self._check_owned(inbox)
        self._epoch += 1
        self._consumer.seek(inbox.key, inbox.skip(why))
        self._resume(inbox)

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit offsets outside a transaction, for at-least-once delivery only.

        Raises:
            Doubt: the commit is in doubt.

        """
        await bounded(self._consumer.commit(offsets), self._settings.call_timeout_s, f"committing {offsets}")

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """End every loop; the consumer calls this before the group assigns the partitions anew."""
        self._epoch += 1
        self._rejoin_with_same_id()
        metrics.REBALANCES.labels(self._settings.deployment, "revoked").inc()
        log.info("membership.revoked", extra={"partitions": sorted(key.partition for key in revoked)})
        failpoint("membership.revoked")
        await self._on_revoked()
        self._inboxes.clear()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Start a loop for each partition; each opens its own, so that none waits for another."""
        self._epoch += 1
        self._member_id = member_id(self._consumer)
        metrics.REBALANCES.labels(self._settings.deployment, "assigned").inc()
        partitions = sorted(key.partition for key in assigned)
        log.info("membership.assigned", extra={"partitions": partitions})
        settings = self._settings
        self._inboxes = {
            key.partition: Inbox(key, max_bytes=settings.max_queued_bytes, deployment=settings.deployment)
            for key in assigned
        }
        failpoint("membership.assigned")
        self._on_assigned(partitions)

    def _rejoin_with_same_id(self) -> None:
        """Rejoin with our old member id, so that a second worker with our name is detected.

        A second one takes our place, and our heartbeats, which aiokafka sends without the name, are then those of an
        unknown member. aiokafka would forget its member id and join as a new member, which evicts the second one, and
        so on for ever. With the old id the broker tells the cases apart: the name belongs to another member now
        (FENCED_INSTANCE_ID), or our session has ended and the name is free (UNKNOWN_MEMBER_ID, and we join as new).
        """
        if self._settings.group_instance_id:
            join_as(self._consumer, self._member_id)

    def _fenced(self) -> str:
        name, group = self._settings.group_instance_id, self._settings.group_id
        return (
            f"another worker has joined group {group} as {name!r}, so this one ends: give each worker its own "
            "HOTSWAP_GROUP_INSTANCE_ID, or none"
        )

    def _check_owned(self, inbox: Inbox) -> None:
        if self._inboxes.get(inbox.key.partition) is not inbox or inbox.key not in self._consumer.assignment():
            raise Doubt(f"{inbox.key.topic}-{inbox.key.partition} has been revoked from this worker")

    def _resume(self, inbox: Inbox) -> None:
        # A seek does not resume a paused partition: one that is opened again after a doubt, with a full inbox, would
        # receive nothing until the next rebalance.
        if inbox.is_paused and inbox.has_room and inbox.key in self._consumer.assignment():
            self._consumer.resume(inbox.key)
            inbox.is_paused = False

    def _deliver(self, answer: Fetches) -> None:
        for key, batches in answer.items():
            inbox = self._inboxes.get(key.partition)
            if inbox is None or inbox.position is None:
                continue
            inbox.put(batches)
            if inbox.is_full and not inbox.is_paused:
                self._consumer.pause(key)
                inbox.is_paused = True

    def _removed(self, key: TopicPartition, begin: int, end: int, count: int) -> None:
        inbox = self._inboxes.get(key.partition)
        if inbox is not None and inbox.position is not None:
            inbox.removed(begin, end, count)
            self.warnings[key.partition] = inbox.warning

    async def _reach(self) -> None:
        owned = self._consumer.assignment()
        for inbox in [inbox for inbox in self._inboxes.values() if inbox.position is not None and inbox.key in owned]:
            inbox.reach(await self._consumer.position(inbox.key))

    def _rewind(self) -> None:
        owned = self._consumer.assignment()
        for inbox in self._inboxes.values():
            if inbox.position is not None and inbox.key in owned:
                self._consumer.seek(inbox.key, inbox.position)

    async def _warn_while_waiting(self) -> None:
        while True:
            await asyncio.sleep(self._settings.call_timeout_s)
            why = "Kafka is waiting for other members of the group; for a dead one, until its session ends or longer"
            log.warning("membership.waits", extra={"why": why})

    def _out_of_range(self, error: KafkaError) -> None:
        # Before a partition is opened the consumer may have no position, which is normal. An open one whose position no
        # longer exists in the topic must be opened again.
        (where,) = error.args
        for key in where if isinstance(where, dict) else [where]:
            inbox = self._inboxes.get(key.partition)
            if inbox is not None and inbox.position is not None:
                inbox.fail(Doubt(f"{key.topic}-{key.partition} has no offset {inbox.position}: {error!r}"))
