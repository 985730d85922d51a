"""A member with a name of its own, as a real group's coordinator knows it."""

import asyncio
import contextlib

import pytest
from confluent_kafka.admin import AdminClient

from harness.fleet import Deployment
from hotswap.kafka.group.membership import Membership
from hotswap.kafka.group.predecessor import release_membership
from hotswap.kafka.topics.admin import Admin


async def members(bootstrap, group):
    """Return the names of a group's members."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # what it is asked goes unanswered once nobody has it
    told = admin.describe_consumer_groups([group])[group]
    return [member.group_instance_id for member in (await asyncio.to_thread(told.result, 30)).members]


@contextlib.asynccontextmanager
async def joined(deployment, name, **given):
    """Provide the settings of a member that has joined; a clean stop at the end leaves its place, as a death does."""
    given = {"group_instance_id": name, "session_timeout_ms": 60_000, **given}
    settings, has_joined = deployment.settings.model_copy(update=given), asyncio.Event()
    member = Membership(
        settings, on_rejoining=lambda: None, on_revoked=lambda: None, on_assigned=lambda *_: has_joined.set()
    )
    try:
        async with asyncio.timeout(40):
            await member.start(1_000_000)
            await has_joined.wait()
        yield settings
    finally:
        await member.stop()


@pytest.mark.parametrize(("leaves", "left"), [(False, ["worker-2"]), (True, [])])
async def test_a_named_member_outlasts_its_clean_stop_unless_it_is_to_leave(deployment, leaves, left):
    async with joined(deployment, "worker-2", leave_group_on_stop=leaves) as settings:
        assert await members(settings.kafka, settings.group_id) == ["worker-2"]
    assert await members(settings.kafka, settings.group_id) == left


async def test_a_group_waits_for_no_dead_member_whose_name_is_back_and_is_left_alone_while_it_does_not_wait(
    deployment, monkeypatch
):
    async with joined(deployment, "worker-2") as settings:
        pass
    prepared, looks = asyncio.Event(), asyncio.Semaphore(0)
    async with Admin.connect(settings) as admin:
        ask = admin.group

        async def look(group):
            looks.release()
            return await ask(group)

        monkeypatch.setattr(admin, "group", look)
        aside = asyncio.create_task(release_membership(admin, settings, prepared))
        async with asyncio.timeout(10):
            for _ in range(2):  # the second time, it has done what followed from the first
                await looks.acquire()
        assert await members(settings.kafka, settings.group_id) == ["worker-2"]
        async with joined(deployment, "worker-3"):  # sooner than the session of the dead one ends
            assert await members(settings.kafka, settings.group_id) == ["worker-3"]
            prepared.set()
            await aside


async def test_a_member_joins_again_once_its_killed_broker_is_back_long_before_its_session_ends(own_kafka, tmp_path):
    deployment, shares = await Deployment(own_kafka, tmp_path).create(), asyncio.Queue()
    member = Membership(
        deployment.settings.model_copy(update={"session_timeout_ms": 60_000}),
        on_rejoining=lambda: None,
        on_revoked=lambda: None,
        on_assigned=lambda *given: shares.put_nowait(given),
    )
    try:
        async with asyncio.timeout(40):
            await member.start(1_000_000)
            owned, kept, _ = await shares.get()
            assert kept == set()
            await asyncio.to_thread(own_kafka.kill)
            await asyncio.to_thread(own_kafka.start)  # a Java: that takes longer than AWAY_S
            assert await shares.get() == (owned, owned, set())
    finally:
        await member.stop()
        deployment.close()
