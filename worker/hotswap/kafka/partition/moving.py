"""Moves a deployment's committed offsets to another group, so that it continues under another name."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import cast

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from hotswap.errors import UsageError
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import bounded, connection, end, reaching
from hotswap.kafka.client.internals import consumer_of
from hotswap.kafka.group.inbox import Inbox
from hotswap.kafka.group.membership import Membership
from hotswap.kafka.partition.partition import Cluster, KafkaPartition
from hotswap.kafka.partition.tail import AnswersTail
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import committed_at
from hotswap.kafka.transactions.producer import Nobody
from hotswap.kafka.wire.brokers import Brokers
from hotswap.settings import Settings

_BATCH_BYTES = 1 << 14  # nothing is answered here


class _Nobody:
    """Stand-in for a membership: no member joins the group, and nothing is fetched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.warnings: dict[int, str] = {}
        self.group = Nobody(settings.group_id)

    def inbox(self, partition: int) -> Inbox:
        key = TopicPartition(self._settings.topics.requests, partition)
        return Inbox(key, max_bytes=1, deployment=self._settings.deployment)

    def seek(self, inbox: Inbox, offset: int) -> None:
        inbox.open(offset)


async def check_move(admin: Admin, old: Settings, new: Settings) -> None:
    """Check that the new deployment's group can take over from the old one's, on the same topics.

    Raises:
        UsageError: one of the groups has members, the new one has offsets, or both are the same group.

    """
    if old.group_id == new.group_id:
        raise UsageError(f"both deployments use the group {old.group_id}: give the new one another name")
    for group in (old.group_id, new.group_id):
        if clients := sorted((await admin.group(group)).members.values()):
            raise UsageError(
                f"group {group} has members ({', '.join(clients)}): stop its workers first (a killed one stays a "
                "member until its session ends)"
            )
    committed = await admin.committed(new.group_id, new.topics.requests)
    if begun := sorted(partition for partition, at in committed.items() if at.offset >= 0):
        raise UsageError(
            f"group {new.group_id} already has offsets on {new.topics.requests} (partitions "
            f"{', '.join(map(str, begun))}): it was moved before, or has answered requests; choose another name"
        )


async def carry_over(old: Settings, new: Settings) -> dict[int, int]:
    """Commit the old group's true positions to the new group; return partition -> next offset.

    Each partition is opened as by a worker of the old group. That fences a worker that was only paused, ends what it
    left open, and, if an offset's marker was lost, finds the position from the answers. The committed metadata names
    no generation of the old deployment, because the new one numbers its own from the start; the old answers, whose
    headers do name generations, all lie before the offset, so they set no floor. An offset that an operator has set
    back is an exception: it stays an order, which the answers do not correct.

    Raises:
        UsageError: see `check_move`.
        Doubt: Kafka did not answer in time; either nothing was moved, or everything.

    """
    async with AsyncExitStack() as parts:
        admin = await parts.enter_async_context(Admin.connect(old))
        tail = AnswersTail(old)
        parts.push_async_callback(tail.stop)
        await tail.start()
        await check_move(admin, old, new)
        membership = cast("Membership", _Nobody(old))
        brokers = Brokers(old)
        parts.push_async_callback(brokers.stop)
        await brokers.start()
        cluster = Cluster(
            settings=old, membership=membership, admin=admin, tail=tail, brokers=brokers, batch_bytes=_BATCH_BYTES
        )
        places: dict[int, OffsetAndMetadata] = {}
        for number in range(await admin.partitions(old.topics.requests)):
            partition = KafkaPartition(cluster, number)
            parts.push_async_callback(partition.close)
            at = await partition.open()
            is_past_answers = at.floor > 0 and old.delivery == "exactly_once"
            places[number] = committed_at(at.offset, 0) if is_past_answers else OffsetAndMetadata(at.offset, "")
        await _commit(new, places)
    return {number: place.offset for number, place in places.items()}


async def begin_at(new: Settings, offsets: Mapping[int, int]) -> None:
    """Commit where a new deployment's group begins: partition -> the first offset that it answers.

    Raises:
        Doubt: Kafka did not answer in time, or the group has members.

    """
    # As an operator would: no generation has answered what lies before.
    await _commit(new, {partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()})


async def _commit(new: Settings, places: Mapping[int, OffsetAndMetadata]) -> None:
    client = KafkaClient(**connection(new))
    consumer = consumer_of(client, group_id=new.group_id, enable_auto_commit=False)
    written = {TopicPartition(new.topics.requests, number): place for number, place in places.items()}
    try:
        with reaching(new):
            await bounded(consumer.start(), new.call_timeout_s, "connecting")
        consumer.assign(list(written))
        # All in one request, which Kafka rejects if the group has gained members meanwhile.
        await bounded(consumer.commit(written), new.call_timeout_s, f"committing the offsets of {new.group_id}")
    finally:
        await end(consumer)
