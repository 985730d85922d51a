"""This worker's membership in the deployment's consumer group: the partitions it owns, and their requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata

from hotswap import metrics
from hotswap.errors import Doubt, StartError, Unanswered
from hotswap.failpoints import failpoint
from hotswap.kafka.client.connection import bounded, connection, end
from hotswap.kafka.client.internals import (
    Cutter,
    PartitionFetch,
    fetch_at_most,
    fetch_within,
    join_as,
    leave_at_stop,
    member_id,
    membership_number,
    read_on,
    rejoin,
)
from hotswap.kafka.group.assignor import NOTHING, Claim, KeepingAssignor
from hotswap.kafka.group.inbox import Inbox, bytes_fetched, bytes_queued
from hotswap.kafka.group.member import IDLE_WAIT_MS, WAIT_MS, MemberClient, OwnGroup, consumer_in_group
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.fetched import Batch, Fetches, cut, get_batches
from hotswap.kafka.topics.records import FetchedRequests
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_POLL_MS = 200
_AGAIN_S = 0.1
_DENIED_S = 1.0


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group: a single poller fills the inboxes; rebalances are forwarded to the pipeline.

    aiokafka revokes and assigns all partitions at once (the eager protocol). With exactly-once delivery the loops go on
    meanwhile: the next owner of a partition fences the last one. Then the loops of moving partitions end, and the
    worker joins again. At least once, where nothing fences, every loop ends its batch in hand before the group goes on,
    and the worker claims nothing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_rejoining: Callable[[], None],
        on_revoked: Callable[[], Awaitable[None]],
        on_assigned: Callable[[AbstractSet[int], AbstractSet[int], AbstractSet[int]], asyncio.Future[None]],
    ) -> None:
        """`on_assigned` receives the owned partitions, the kept ones of them, and those to be given up in order."""
        self._settings = settings
        self._on_rejoining, self._on_revoked, self._on_assigned = on_rejoining, on_revoked, on_assigned
        self._keeps = settings.delivery == "exactly_once"
        self._topic = settings.topics.requests
        self._inboxes: dict[int, Inbox] = {}
        self._claim, self._kept, self._moving = NOTHING, frozenset[int](), frozenset[int]()
        # Incremented whenever a position changes. Of a poll that began before, what it has of that partition is
        # discarded: it may hold records from before the seek.
        self._epoch = 0
        self._member_id = ""
        self._unpacker: Unpacker
        self.warnings: dict[int, str] = {}
        """What is worth knowing about partitions that were owned, though none is held for it: partition -> text."""
        assignor = KeepingAssignor(self._topic, claim=self._claimed, on_assigned=self._take_over)
        self._client = MemberClient(self._rejoin_once_back, **connection(settings))
        self._consumer = consumer_in_group(settings, self._client, assignor, Cutter(self._cut))
        self.group = OwnGroup(self._consumer, assignor, settings)

    async def start(self, largest_record: int) -> None:
        """Join the group, however long that takes: Kafka waits for members that died while joining.

        A request larger than `largest_record` bytes, the limit of a dead letter, is not kept whole.

        Raises:
            Unanswered: no broker answers any more.

        """
        self._unpacker = Unpacker(Bounds(self._settings.max_unpacked_bytes, largest_record))
        self._consumer.subscribe([self._topic], listener=self)
        waiting = asyncio.create_task(self._warn_while_waiting())
        try:
            # Not `reaching`, which silences aiokafka's log; and Kafka was reachable a moment ago.
            await self._consumer.start()
        except (KafkaConnectionError, TimeoutError) as error:
            raise Unanswered(f"no Kafka answers at {self._settings.kafka} any more: {error}") from error
        finally:
            waiting.cancel()
        if self._keeps:
            read_on(self._consumer)

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            StartError: another worker has taken its name.

        """
        while True:
            epoch = self._epoch
            try:
                # Never bounded from outside, and cancelled only at the end: during a rebalance it ignores its own
                # timeout, and cancelling it would disable max_poll_interval_ms for good.
                answer = await get_batches(self._consumer, timeout_ms=_POLL_MS)
            except OffsetOutOfRangeError as error:
                self._out_of_range(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
                # aiokafka retries after the error; the worker's check of its rights names the missing one.
                log.debug("membership.denied", extra={"why": repr(error)})
                await asyncio.sleep(_DENIED_S)
                if isinstance(error, GroupAuthorizationFailedError):
                    rejoin(self._consumer)  # its heartbeats have ended, and begin with a join only
                continue
            except KafkaError as error:
                if self._client.is_displaced:
                    raise StartError(self._fenced()) from error
                log.warning("membership.poll_failed", extra={"why": repr(error)})
                await asyncio.sleep(_AGAIN_S)
                continue
            self._rewind(epoch)
            if answer:
                self._deliver(answer, epoch)
            else:
                await self._reach(epoch)
            fetch_within(self._consumer, IDLE_WAIT_MS if self._is_settled else WAIT_MS)

    @property
    def _is_settled(self) -> bool:
        """Whether each partition is fetched: no other one will be due before the fetch in hand is answered."""
        return all(inbox.position is not None and not inbox.is_paused for inbox in self._inboxes.values())

    async def stop(self) -> None:
        """Leave the group, unless a static member that keeps its place; the loops must have ended before."""
        if self._settings.leave_group_on_stop:
            leave_at_stop(self._consumer)
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
        inbox.open(offset)
        self._seek(inbox, offset)
        self._resume(inbox)

    def take(self, inbox: Inbox, limit: int, until: int | None) -> list[Any]:
        """Take requests (see Inbox.take), and resume fetching if there is room again."""
        taken = inbox.take(limit, until)
        self._resume(inbox)
        return taken

    def take_raw(self, inbox: Inbox, limit: int, until: int | None) -> FetchedRequests | None:
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
        self._seek(inbox, inbox.skip(why))
        self._resume(inbox)

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit offsets outside a transaction, for at-least-once delivery only.

        Raises:
            Doubt: the commit is in doubt.

        """
        await bounded(self._consumer.commit(offsets), self._settings.call_timeout_s, f"committing {offsets}")

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Let the loops go on, or end every loop; the consumer calls this before it joins the group again."""
        if self._settings.group_instance_id:
            join_as(self._consumer, self._member_id)
        metrics.REBALANCES.labels(self._settings.deployment, "revoked").inc()
        log.info("membership.revoked", extra={"partitions": sorted(key.partition for key in revoked)})
        failpoint("membership.revoked")
        if self._keeps:
            self._on_rejoining()
        else:
            await self._on_revoked()
            self._inboxes.clear()

    def _rejoin_once_back(self) -> None:
        if self._keeps:
            rejoin(self._consumer)

    def _cut(self, fetched: PartitionFetch) -> Iterator[Batch]:
        return cut(fetched, self._unpacker, self._removed)

    def _claimed(self) -> Claim:
        return self._claim if self._keeps else NOTHING

    def _take_over(self, assigned: frozenset[int], moving: frozenset[int]) -> None:
        """Have an inbox for each partition that is ours now. The consumer has none of its positions any more.

        One that is not open is paused at any position. aiokafka would ask for the committed offset of each, one after
        the other, and fetch nothing from its broker meanwhile.
        """
        number, before = membership_number(self._consumer), self._claim
        # In each generation of the group a partition has one owner. Where we have missed none, nobody else has had what
        # was ours before and is ours now; otherwise its position may be stale.
        has_missed_none = before.membership <= number <= before.membership + 1
        self._claim, self._moving = Claim(number, assigned | moving), moving
        self._kept = assigned.intersection(self._inboxes) if has_missed_none else frozenset()
        self._inboxes = {n: self._inboxes[n] if n in self._kept else self._new_inbox(n) for n in sorted(assigned)}
        queued = bytes_queued(self._settings.max_queued_bytes, len(assigned))
        fetch_at_most(self._consumer, bytes_fetched(queued))
        fetch_within(self._consumer, WAIT_MS)
        for inbox in self._inboxes.values():
            inbox.max_bytes = queued
            inbox.is_paused |= inbox.position is None
            self._seek(inbox, inbox.position or 0)
            if inbox.is_paused:
                self._consumer.pause(inbox.key)

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """End the loops of moving partitions, and start those of new ones; each opens its own partition."""
        self._member_id = member_id(self._consumer)
        metrics.REBALANCES.labels(self._settings.deployment, "assigned").inc()
        partitions = sorted(key.partition for key in assigned)
        facts = {"partitions": partitions, "kept": len(self._kept), "moving": sorted(self._moving)}
        log.info("membership.assigned", extra=facts)
        failpoint("membership.assigned")
        ended = self._on_assigned(self._inboxes.keys(), self._kept, self._moving)
        if self._moving:
            ended.add_done_callback(self._give_up)

    def _give_up(self, _: object) -> None:
        """Give up the claim to the moving partitions, so that other members get them."""
        self._claim = self._claim._replace(partitions=frozenset(self._inboxes))
        rejoin(self._consumer)

    def _new_inbox(self, partition: int) -> Inbox:
        settings = self._settings
        key = TopicPartition(self._topic, partition)
        return Inbox(key, max_bytes=settings.max_queued_bytes, deployment=settings.deployment)

    def _fenced(self) -> str:
        name, group = self._settings.group_instance_id, self._settings.group_id
        return (
            f"another worker has joined group {group} as {name!r}, so this one ends: give each worker its own "
            "HOTSWAP_GROUP_INSTANCE_ID, or none"
        )

    def _check_owned(self, inbox: Inbox) -> None:
        if self._inboxes.get(inbox.key.partition) is not inbox or inbox.key not in self._consumer.assignment():
            raise Doubt(f"{inbox.key.topic}-{inbox.key.partition} has been revoked from this worker")

    def _seek(self, inbox: Inbox, offset: int) -> None:
        self._epoch += 1
        inbox.sought_in = self._epoch
        self._consumer.seek(inbox.key, offset)

    def _resume(self, inbox: Inbox) -> None:
        # A seek does not resume a paused partition: one that is opened again after a doubt, with a full inbox, would
        # receive nothing until the next rebalance.
        if inbox.is_paused and inbox.has_room and inbox.key in self._consumer.assignment():
            self._consumer.resume(inbox.key)
            inbox.is_paused = False

    def _deliver(self, answer: Fetches, epoch: int) -> None:
        for key, batches in answer.items():
            inbox = self._inboxes.get(key.partition)
            if inbox is None or inbox.sought_in > epoch:
                continue
            if inbox.position is not None:
                inbox.put(batches)
            if (inbox.is_full or inbox.position is None) and not inbox.is_paused:
                self._consumer.pause(key)
                inbox.is_paused = True

    def _removed(self, key: TopicPartition, begin: int, end: int, count: int) -> None:
        inbox = self._inboxes.get(key.partition)
        if inbox is not None and inbox.position is not None:
            inbox.removed(begin, end, count)
            self.warnings[key.partition] = inbox.warning

    def _open_ones(self) -> list[Inbox]:
        owned = self._consumer.assignment()
        return [inbox for inbox in self._inboxes.values() if inbox.position is not None and inbox.key in owned]

    async def _reach(self, epoch: int) -> None:
        for inbox in self._open_ones():
            if inbox.sought_in <= epoch:
                inbox.reach(await self._consumer.position(inbox.key))

    def _rewind(self, epoch: int) -> None:
        """Repeat the seeks since `epoch`, when a poll began, which may have moved the position on."""
        if epoch != self._epoch:
            for inbox in self._open_ones():
                if inbox.sought_in > epoch:
                    self._consumer.seek(inbox.key, inbox.position)

    async def _warn_while_waiting(self) -> None:
        while True:
            await asyncio.sleep(self._settings.call_timeout_s)
            why = "Kafka is waiting for other members of the group; for a dead one, until its session ends or longer"
            log.warning("membership.waiting", extra={"why": why})

    def _out_of_range(self, error: KafkaError) -> None:
        # A partition whose position no longer exists in the topic must be opened again.
        (where,) = error.args
        for key in where:
            inbox = self._inboxes.get(key.partition)
            if inbox is not None and inbox.position is not None:
                inbox.fail(Doubt(f"{key.topic}-{key.partition} has no offset {inbox.position}: {error!r}"))
