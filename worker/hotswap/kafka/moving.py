"""A deployment's partitions carried over to another group: it goes on under another name."""

from contextlib import AsyncExitStack
from typing import cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from hotswap.errors import UsageError
from hotswap.kafka.connection import Admin, bounded, connection, end, reaching
from hotswap.kafka.inbox import Inbox
from hotswap.kafka.membership import Membership
from hotswap.kafka.partition import Cluster, KafkaPartition, committed_at
from hotswap.kafka.tail import AnswersTail
from hotswap.settings import Settings

_BATCH_BYTES = 1 << 14  # nothing is answered here


class _Nobody:
    """In the place of a membership: nobody is in the group, and nothing is fetched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def inbox(self, partition: int) -> Inbox:
        key = TopicPartition(self._settings.topics.requests, partition)
        return Inbox(key, max_bytes=1, deployment=self._settings.deployment)

    def seek(self, inbox: Inbox, offset: int) -> None:
        inbox.open(offset)


async def check_move(admin: Admin, old: Settings, new: Settings) -> None:
    """Whether one deployment's group may go on as the other's, on the same topics.

    Raises:
        UsageError: one of the groups has members, or the new one has offsets, or they are one group.

    """
    if old.group_id == new.group_id:
        raise UsageError(f"both deployments have the group {old.group_id}: give the new one another name")
    for group in (old.group_id, new.group_id):
        if members := await admin.members(group):
            raise UsageError(
                f"group {group} has members ({', '.join(members)}): stop its workers first (one that was killed is a "
                "member until its session ends)"
            )
    committed = await admin.committed(new.group_id, new.topics.requests)
    if begun := sorted(partition for partition, at in committed.items() if at.offset >= 0):
        raise UsageError(
            f"group {new.group_id} has offsets of {new.topics.requests} already (partitions "
            f"{', '.join(map(str, begun))}): it was moved there before, or has answered requests; take another name"
        )


async def carry_over(old: Settings, new: Settings) -> dict[int, int]:
    """Sets the new group to where the old one's partitions truly stand; returns partition -> next offset.

    Each partition is opened as by a worker of the old group. So one that was only paused, and wakes up, can commit
    nothing more, what it left open is ended, and where an offset's marker was lost the answers say how far it came.
    What is written names no generation of the old deployment, for the numbers of the new one begin anew; and its
    answers, whose headers name some, all lie before the offset, where they are no witness. But where an operator has
    set the offset back: that stays an order, which no witness corrects.

    Raises:
        UsageError: see `check_move`.
        Doubt: Kafka did not answer in time; nothing is carried over, or all of it.

    """
    async with AsyncExitStack() as parts:
        admin = await parts.enter_async_context(Admin.connect(old))
        tail = AnswersTail(old)
        parts.push_async_callback(tail.stop)
        await tail.start()
        await check_move(admin, old, new)
        membership = cast("Membership", _Nobody(old))
        cluster = Cluster(settings=old, membership=membership, admin=admin, tail=tail, batch_bytes=_BATCH_BYTES)
        places: dict[int, OffsetAndMetadata] = {}
        for number in range(await admin.partitions(old.topics.requests)):
            partition = KafkaPartition(cluster, number)
            parts.push_async_callback(partition.close)
            at = await partition.open()
            is_past_answers = at.floor > 0 and old.delivery == "exactly_once"
            places[number] = committed_at(at.offset, 0) if is_past_answers else OffsetAndMetadata(at.offset, "")
        await _commit(new, places)
    return {number: place.offset for number, place in places.items()}


async def _commit(new: Settings, places: dict[int, OffsetAndMetadata]) -> None:
    consumer = AIOKafkaConsumer(**connection(new), group_id=new.group_id, enable_auto_commit=False)
    written = {TopicPartition(new.topics.requests, number): place for number, place in places.items()}
    try:
        with reaching(new):
            await bounded(consumer.start(), new.call_timeout_s, "connecting")
        consumer.assign(list(written))
        # All in one request, which Kafka refuses where the group has members by now.
        await bounded(consumer.commit(written), new.call_timeout_s, f"committing the offsets of {new.group_id}")
    finally:
        await end(consumer)
