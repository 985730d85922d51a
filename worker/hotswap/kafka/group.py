"""A consumer group and a consumer's part in it, beyond aiokafka's documented interface.

internals.py says how that is checked.
"""

import logging
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupIdNotFound, NoError, UnknownMemberIdError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from hotswap.errors import Doubt
from hotswap.kafka.assignor import KeepingAssignor
from hotswap.kafka.transactions.producer import Member
from hotswap.settings import Settings

log = logging.getLogger(__name__)

AWAY_S: Final = 1.0
"""A broker that restarts is away for longer than this, and a connection that is only renewed is not."""


class Group(NamedTuple):
    """A consumer group as its coordinator knows it; dead members count until their sessions end."""

    is_rebalancing: bool
    """Whether it waits for members to join again."""
    members: Mapping[str, str]
    """Member id -> client id."""


async def group_of(admin: AIOKafkaAdminClient, group: str) -> Group:
    """Return a group, which is empty if there is none; raises Doubt if the coordinator cannot tell."""
    (answer,) = await admin.describe_consumer_groups([group])
    code, _, state, _, _, members, *_ = answer.groups[0]
    if code:
        raise Doubt(f"members of {group}: {for_code(code).__name__}")
    return Group(state == "PreparingRebalance", {member: client for member, client, *_ in members})


async def remove_member(admin: AIOKafkaAdminClient, group: str, member: str) -> None:
    """Have a member leave its group, and its name with it; raises Doubt if the coordinator refuses.

    One that has left already is no error.
    """
    answer = await admin._send_request(LeaveGroupRequest(group, member), await admin.find_coordinator(group))
    if answer.error_code not in (NoError.errno, UnknownMemberIdError.errno):
        raise Doubt(f"removing {member} from {group}: {for_code(answer.error_code).__name__}")


async def delete_group(admin: AIOKafkaAdminClient, group: str) -> None:
    """Delete a group with its offsets, if there is one; raises aiokafka's error if the coordinator refuses."""
    answer = await admin._send_request(DeleteGroupsRequest([group]), await admin.find_coordinator(group))
    ((_, code),) = answer.results
    if code not in (NoError.errno, GroupIdNotFound.errno):
        raise for_code(code)(f"deleting group {group}")


def member_id(consumer: AIOKafkaConsumer) -> str:
    """Return the consumer's member id in its group; empty if it will join as a new member."""
    known: str = consumer._coordinator.member_id
    return known


class OwnGroup:
    """The deployment's group, and the member of it that a consumer is: transactions/producer.py's Group."""

    def __init__(self, consumer: AIOKafkaConsumer, assignor: KeepingAssignor, settings: Settings) -> None:
        self.name = settings.group_id
        self._consumer = consumer
        self._assignor = assignor
        assignor.knows_both_ids = settings.transactional_ids > 1
        self._instance = settings.group_instance_id

    @property
    def knows_both_ids(self) -> bool:
        """Whether each member knows both transactional ids of a partition."""
        return self._assignor.all_know_both_ids

    @property
    def member(self) -> Member | None:
        """Who the consumer is in the group now; None: no member."""
        coordinator = self._consumer._coordinator
        if coordinator.generation < 0 or not coordinator.member_id:
            return None
        return Member(coordinator.generation, coordinator.member_id, self._instance)


def join_as(consumer: AIOKafkaConsumer, member: str) -> None:
    """Make a static member join next time with its old id, so that a second worker with its name is detected.

    A second one takes our place, and our heartbeats, which aiokafka sends without the name, are then those of an
    unknown member. aiokafka would forget its member id and join as a new member, which evicts the second one, and so on
    for ever. With the old id the broker tells the cases apart: the name belongs to another member now
    (FENCED_INSTANCE_ID), or our session has ended and the name is free (UNKNOWN_MEMBER_ID, and we join as new).
    """
    if not consumer._coordinator.member_id:
        consumer._coordinator.member_id = member


def membership_number(consumer: AIOKafkaConsumer) -> int:
    """Return the consumer-group generation (Kafka's own) that the consumer has joined last."""
    known: int = consumer._coordinator.generation
    return known


def rejoin(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer join its group again, which shares the partitions out anew."""
    consumer._coordinator.request_rejoin()


def rejoin_once_back(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer join its group again whenever its coordinator was away for AWAY_S, and knows it as before.

    A lone Kafka 4.3.1 may have forgotten the sessions of dead members in a crash. It then keeps their partitions for
    them until the group shares out anew, for which nothing else may ever give it cause.
    """
    coordinator = consumer._coordinator
    send = coordinator._do_heartbeat
    lost: tuple[int, float] | None = None  # the membership whose heartbeats go unanswered, and since when

    async def heartbeat() -> bool:
        nonlocal lost
        number, began = coordinator.generation, time.monotonic()
        is_answered: bool = await send()
        if not is_answered:
            lost = lost if lost and lost[0] == number else (number, began)
            return False
        if lost and lost[0] == number and (away := time.monotonic() - lost[1]) >= AWAY_S:
            log.info("membership.rejoins", extra={"why": f"its coordinator was away for {away:.1f} s"})
            coordinator.request_rejoin()
        lost = None
        return True

    coordinator._do_heartbeat = heartbeat


def read_on(consumer: AIOKafkaConsumer) -> None:
    """Let `getmany` go on with the partitions at hand until the consumer has others; aiokafka's waits for these."""
    consumer._subscription.begin_reassignment = lambda: None


def leave_at_stop(consumer: AIOKafkaConsumer) -> None:
    """Let `stop` leave the group with a static member too, which aiokafka's never does (KIP-1092: LEAVE_GROUP).

    aiokafka sends the member id only (LeaveGroup version 1), and the broker removes the name with it.
    """
    if consumer._coordinator:  # none before `start`
        consumer._coordinator._group_instance_id = None
