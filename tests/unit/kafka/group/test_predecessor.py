"""What a worker that is back does about the place of the dead one with its name."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import NoError, NotCoordinatorForGroupError, UnknownMemberIdError

from hotswap.errors import Doubt
from hotswap.kafka.client.groups import ConsumerGroup, remove_member
from hotswap.kafka.group import predecessor
from hotswap.kafka.group.predecessor import is_called, release_membership

UUID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
WAITING = ConsumerGroup(is_rebalancing=True, members={f"w-1-{UUID}": "client", f"w-2-{UUID}": "client"})


class Admin:
    """Tells and does what a test has put into `told` and `done`; an exception is raised. At the end, it is prepared."""

    def __init__(self, told, done=()):
        self._told, self._done, self.prepared = iter(told), iter(done), asyncio.Event()
        self.removed = []

    async def group(self, group):
        answer = next(self._told, None)
        if answer is None:
            self.prepared.set()
            return ConsumerGroup(is_rebalancing=False, members={})
        return _raised_or(answer)

    async def remove_member(self, group, member):
        self.removed.append((group, member))
        _raised_or(next(self._done, None))


def _raised_or(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


async def stand(admin, name="w-1"):
    async with asyncio.timeout(10):
        await release_membership(admin, SimpleNamespace(group_instance_id=name, group_id="g"), admin.prepared)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(predecessor, "_LOOK_S", 0.0)


@pytest.mark.parametrize(
    ("told", "done"), [([Doubt("no answer"), WAITING], ()), ([WAITING, WAITING], (Doubt("not the coordinator"),))]
)
async def test_a_place_is_given_up_at_a_later_look_if_kafka_left_the_first_in_doubt(told, done):
    admin = Admin(told, done)
    aside = asyncio.create_task(stand(admin))
    while len(admin.removed) <= len(done) and not aside.done():
        await asyncio.sleep(0)
    assert set(admin.removed) == {("g", f"w-1-{UUID}")}
    admin.prepared.set()
    await aside


async def test_no_place_is_given_up_that_another_name_has_or_that_nobody_waits_for():
    admin = Admin([WAITING._replace(is_rebalancing=False), WAITING._replace(members={f"w-2-{UUID}": "client"})])
    await stand(admin)
    assert admin.removed == []


async def test_a_worker_without_a_name_does_not_look():
    admin = Admin([RuntimeError("it looked")])
    aside = asyncio.create_task(stand(admin, name=None))
    await asyncio.sleep(0)
    assert not aside.done()
    admin.prepared.set()
    await aside


def test_a_member_is_known_by_its_whole_name():
    assert is_called(f"w-1-{UUID}", "w-1")
    assert not any(is_called(f"w-1-{UUID}", other) for other in ("w", "w-", "w-1-0a1b2c3d", "w.1", ""))


def coordinator(code):
    async def answer(*_):
        return SimpleNamespace(error_code=code)

    return SimpleNamespace(coordinator_lookup=answer, send=answer)


async def test_a_removal_that_the_coordinator_refuses_is_in_doubt():
    with pytest.raises(Doubt, match="removing m from g: NotCoordinator"):
        await remove_member(coordinator(NotCoordinatorForGroupError.errno), "g", "m")


@pytest.mark.parametrize("code", [NoError.errno, UnknownMemberIdError.errno])
async def test_a_member_that_has_left_already_is_removed(code):
    await remove_member(coordinator(code), "g", "m")
