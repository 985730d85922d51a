"""A member with a name of its own, as a real group's coordinator knows it."""

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from hotswap.kafka.membership import Membership


async def members(bootstrap, group):
    """Return the names of a group's members."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # what it is asked goes unanswered once nobody has it
    told = admin.describe_consumer_groups([group])[group]
    return [member.group_instance_id for member in (await asyncio.to_thread(told.result, 30)).members]


@pytest.mark.parametrize(("leaves", "left"), [(False, ["worker-2"]), (True, [])])
async def test_a_named_member_outlasts_its_clean_stop_unless_it_is_to_leave(deployment, leaves, left):
    given = {"group_instance_id": "worker-2", "leave_group_on_stop": leaves, "session_timeout_ms": 30_000}
    settings = deployment.settings.model_copy(update=given)
    joined = asyncio.Event()
    member = Membership(
        settings,
        on_rejoining=lambda: None,
        on_revoked=lambda: None,
        on_assigned=lambda *_: joined.set(),
    )
    try:
        await member.start(1_000_000)
        async with asyncio.timeout(30):
            await joined.wait()
        assert await members(settings.kafka, settings.group_id) == ["worker-2"]
    finally:
        await member.stop()
    assert await members(settings.kafka, settings.group_id) == left
