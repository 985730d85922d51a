"""A consumer group as its coordinator knows it."""

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import GroupIdNotFound, NoError, UnknownMemberIdError
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from hotswap.errors import Doubt
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.error_codes import for_code


class ConsumerGroup(NamedTuple):
    """A consumer group as its coordinator knows it; dead members count until their sessions end."""

    is_rebalancing: bool
    """Whether it waits for members to join again."""
    members: Mapping[str, str]
    """Member id -> client id."""


async def group_of(admin: AIOKafkaAdminClient, group: str) -> ConsumerGroup:
    """Return a group, which is empty if there is none; raises Doubt if the coordinator cannot tell."""
    (answer,) = await admin.describe_consumer_groups([group])
    code, _, state, _, _, members, *_ = answer.groups[0]
    if code:
        raise Doubt(f"members of {group}: {for_code(code).__name__}")
    return ConsumerGroup(state == "PreparingRebalance", {member: client for member, client, *_ in members})


async def remove_member(client: KafkaClient, group: str, member: str) -> None:
    """Have a member leave its group, and its name with it; raises Doubt if the coordinator refuses.

    One that has left already is no error.
    """
    coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
    answer = await client.send(coordinator, LeaveGroupRequest(group, member))
    if answer.error_code not in (NoError.errno, UnknownMemberIdError.errno):
        raise Doubt(f"removing {member} from {group}: {for_code(answer.error_code).__name__}")


async def delete_group(client: KafkaClient, group: str) -> None:
    """Delete a group with its offsets, if there is one; raises aiokafka's error if the coordinator refuses."""
    coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
    answer = await client.send(coordinator, DeleteGroupsRequest([group]))
    ((_, code),) = answer.results
    if code not in (NoError.errno, GroupIdNotFound.errno):
        raise for_code(code)(f"deleting group {group}")
