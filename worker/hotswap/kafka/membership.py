"""This worker's place in the deployment's consumer group: which partitions it owns, and the requests that arrive."""

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
from hotswap.kafka.fetched import Fetches, get_batches, take_batches
from hotswap.kafka.inbox import Inbox
from hotswap.kafka.internals import FencedInstanceIdError, join_as, member_id
from hotswap.kafka.records import Bounds, Unpacker
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_POLL_MS = 200
_AGAIN_S = 0.1


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group: a single poller fills the inboxes; rebalances are passed on.

    Partitions come and go all at once (the eager protocol): on a rebalance every loop ends its batch in hand before the
    group goes on, and opens again what it is given.
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
        # Goes up whenever positions or owners change. An answer of the poller that was asked for before such a change
        # is thrown away whole: it may hold records of an owner, or of a position, that is no more.
        self._epoch = 0
        self._member_id = ""
        longest_batch_ms = settings.max_deadline_ms + int(2_000 * settings.call_timeout_s)
        self._consumer = AIOKafkaConsumer(
            **connection(settings),
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            # Exactly one, and not the sticky one: aiokafka's issues 1175 and 1176.
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.session_timeout_ms // 6,
            # How long the group waits for a live member to join again; a dead one is found by its session. aiokafka
            # sends it with JoinGroup, and polls and beats apart from it (max_poll_interval_ms is the poller's alone).
            rebalance_timeout_ms=longest_batch_ms + 10_000,
            fetch_max_wait_ms=100,
        )

    async def start(self, largest_record: int) -> None:
        """Joins the group, however long that takes: Kafka waits for members that died while they joined.

        A request of more bytes than `largest_record`, which is what a dead letter may have, is not kept whole.

        Raises:
            StartError: no broker answers.

        """
        self._consumer.subscribe([self._topic], listener=self)
        waiting = asyncio.create_task(self._say_what_takes_long())
        try:
            # Not `reaching`: what aiokafka says meanwhile is to be heard, and Kafka was reached a moment ago.
            await self._consumer.start()
        except KafkaConnectionError as error:
            raise StartError(f"no Kafka answers at {self._settings.kafka} any more: {error}") from error
        finally:
            waiting.cancel()
        take_batches(self._consumer, Unpacker(Bounds(self._settings.max_unpacked_bytes, largest_record)))

    async def run(self) -> None:
        """Polls until cancelled.

        Raises:
            StartError: the brokers forbid this worker its group or its topic, or another one has its name.

        """
        while True:
            epoch = self._epoch
            try:
                # Never bounded from outside and never cancelled but at the end: during a rebalance it ignores its own
                # time-out, and a cancelled call would switch max_poll_interval_ms off for good.
                answer = await get_batches(self._consumer, timeout_ms=_POLL_MS)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
                self._out_of_range(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
                raise StartError(f"Kafka forbids this worker to read {self._topic}: {error}") from error
            except KafkaError as error:
                # aiokafka passes on what it did not expect as the text of a plain KafkaError.
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
        """Leaves the group, but for a static member, whose place is kept; the caller has ended the loops before."""
        await end(self._consumer)

    def inbox(self, partition: int) -> Inbox:
        """The inbox of a partition that is owned now.

        Raises:
            Doubt: it was taken away meanwhile.

        """
        if partition not in self._inboxes:
            raise Doubt(f"{self._topic}-{partition} is not ours any more")
        return self._inboxes[partition]

    def seek(self, inbox: Inbox, offset: int) -> None:
        """Opens the inbox at an offset: the next record that it gets has this offset or a later one.

        Raises:
            Doubt: the partition was taken away meanwhile.

        """
        self._check_owned(inbox)
        self._epoch += 1
        self._consumer.seek(inbox.key, offset)
        inbox.open(offset)
        self._fetch_on(inbox)

    def take(self, inbox: Inbox, limit: int, until: int | None) -> list[Any]:
        """Takes requests (see Inbox.take), and fetches on where there is room again."""
        taken = inbox.take(limit, until)
        self._fetch_on(inbox)
        return taken

    def skip(self, inbox: Inbox, why: str) -> None:
        """Goes on behind a damaged batch, each of whose offsets is refused.

        Raises:
            Doubt: the partition was taken away meanwhile.

        """
        self._check_owned(inbox)
        self._epoch += 1
        self._consumer.seek(inbox.key, inbox.skip(why))
        self._fetch_on(inbox)

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """Commits offsets outside any transaction: for delivery at least once only.

        Raises:
            Doubt: not known to be committed.

        """
        await bounded(self._consumer.commit(offsets), self._settings.call_timeout_s, f"committing {offsets}")

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Ends every loop; called by the consumer before the group hands out the partitions anew."""
        self._epoch += 1
        self._stand_by_member_id()
        metrics.REBALANCES.labels(self._settings.deployment, "revoked").inc()
        log.info("membership.revoked", extra={"partitions": sorted(key.partition for key in revoked)})
        failpoint("membership.revoked")
        await self._on_revoked()
        self._inboxes.clear()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Starts a loop for each partition; each opens itself, so that none waits for another."""
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

    def _stand_by_member_id(self) -> None:
        """Joins again as who we were, so that a second worker with our name is found out.

        A second one takes our place, and our heartbeats, which aiokafka sends without the name, are those of an unknown
        member. aiokafka forgets the member id then and joins as new, which throws out the second one, and so on for
        ever. With the old id the broker says what is the case: the name is another's now (FENCED_INSTANCE_ID), or our
        session ended and it is free (UNKNOWN_MEMBER_ID, and we join as new).
        """
        if self._settings.group_instance_id:
            join_as(self._consumer, self._member_id)

    def _fenced(self) -> str:
        name, group = self._settings.group_instance_id, self._settings.group_id
        return (
            f"another worker has joined group {group} as {name!r}, so this one ends: give each worker a "
            "HOTSWAP_GROUP_INSTANCE_ID of its own, or none"
        )

    def _check_owned(self, inbox: Inbox) -> None:
        if self._inboxes.get(inbox.key.partition) is not inbox or inbox.key not in self._consumer.assignment():
            raise Doubt(f"{inbox.key.topic}-{inbox.key.partition} is not ours any more")

    def _fetch_on(self, inbox: Inbox) -> None:
        # A seek does not end a pause: a partition that is opened again after a doubt, with a full inbox, would get
        # nothing any more until the next rebalance.
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

    async def _reach(self) -> None:
        owned = self._consumer.assignment()
        for inbox in [inbox for inbox in self._inboxes.values() if inbox.position is not None and inbox.key in owned]:
            inbox.reach(await self._consumer.position(inbox.key))

    def _rewind(self) -> None:
        owned = self._consumer.assignment()
        for inbox in self._inboxes.values():
            if inbox.position is not None and inbox.key in owned:
                self._consumer.seek(inbox.key, inbox.position)

    async def _say_what_takes_long(self) -> None:
        while True:
            await asyncio.sleep(self._settings.call_timeout_s)
            why = "Kafka waits for other members of the group: for one that is dead until its session ends, or longer"
            log.warning("membership.waits", extra={"why": why})

    def _out_of_range(self, error: KafkaError) -> None:
        # Before a partition is opened the consumer may stand nowhere, which is no news. An open one whose position the
        # topic does not have any more must be opened again.
        (where,) = error.args
        for key in where if isinstance(where, dict) else [where]:
            inbox = self._inboxes.get(key.partition)
            if inbox is not None and inbox.position is not None:
                inbox.fail(Doubt(f"{key.topic}-{key.partition} has no offset {inbox.position}: {error!r}"))
