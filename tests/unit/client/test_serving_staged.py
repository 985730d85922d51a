"""By which generation's proto a gateway encodes rows, while one is staged, promoted or abandoned."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from fakes.staged import ALL, CANARY, EVERYWHERE, StagedFleet
from hotswap.client.serving import follow_serving


@pytest.fixture
def fleet(settings, monkeypatch):
    made = StagedFleet(settings, monkeypatch)
    made.stage()
    return made


async def served(settings):
    """Return what a gateway that starts now encodes by."""
    async with aclosing(follow_serving(settings)) as following:
        found = await anext(following)
    return found and found.generation.number


@asynccontextmanager
async def followed(fleet, settings):
    """Yield the numbers of what a gateway has encoded by, each once in a row."""
    numbers: list[int] = []

    async def follow():
        async for found in follow_serving(settings):
            if found and [found.generation.number] != numbers[-1:]:
                numbers.append(found.generation.number)

    following = asyncio.create_task(follow())
    await fleet.looked()
    try:
        yield numbers
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_beside_a_staged_one_or_a_canary_it_is_the_one_before_and_then_the_promoted_one(fleet, settings):
    async with followed(fleet, settings) as numbers:
        fleet.promote({0: 0})
        for scored in (ALL, CANARY, {**CANARY, 1: 2}, CANARY):
            fleet.report(scored)
            await fleet.looked()
            assert await served(settings) == 1
        assert numbers == [1]
        fleet.promote({}, is_complete=True)
        await fleet.looked()
        assert numbers == [1, 2]
        fleet.report(EVERYWHERE)
        await fleet.looked()
    assert numbers == [1, 2]


async def test_one_that_is_promoted_on_all_partitions_is_it_once_it_has_the_last(fleet, settings):
    fleet.cluster.committed = dict.fromkeys(ALL, 3)
    async with followed(fleet, settings) as numbers:
        fleet.promote(dict.fromkeys(ALL, 0))
        fleet.report({**EVERYWHERE, 3: 1})
        await fleet.looked()
        assert numbers == [1]
        fleet.report(EVERYWHERE)
        await fleet.looked()
    assert numbers == [1, 2]


@pytest.mark.parametrize("is_complete", [False, True])
async def test_one_that_is_cut_by_offsets_on_all_is_it_as_soon_as_workers_have_it(fleet, settings, is_complete):
    fleet.promote(dict.fromkeys(ALL, 5), is_complete=is_complete)
    fleet.cluster.committed = dict.fromkeys(ALL, 3)
    assert await served(settings) == 1  # no worker has said that it is ready with it
    fleet.say(2, "SERVING")
    assert await served(settings) == 2
    fleet.cluster.committed[3] = 6
    assert await served(settings) == 1  # it was passed by: 2 cannot have been ready


async def test_one_that_is_cut_by_offsets_on_some_is_not_due(fleet, settings):
    fleet.promote({0: 5, 1: 5})
    fleet.cluster.committed = dict.fromkeys(ALL, 3)
    fleet.say(2, "SERVING")
    assert await served(settings) == 1


async def test_after_an_abandon_it_is_the_one_before_or_what_took_its_place(fleet, settings):
    fleet.promote({0: 0})
    fleet.report(CANARY)
    async with followed(fleet, settings) as numbers:
        fleet.abandon()
        fleet.say(3, "SERVING")
        await fleet.looked()
        assert numbers == [1]
        fleet.report({**ALL, 0: 3})
        await fleet.looked()
    assert numbers == [1, 3]


async def test_while_an_abandoned_one_has_all_partitions_it_is_that(fleet, settings):
    fleet.promote({}, is_complete=True)
    fleet.report(EVERYWHERE)
    fleet.abandon()
    assert await served(settings) == 2
    fleet.report(dict.fromkeys(ALL, 3))
    assert await served(settings) == 3


async def test_a_user_who_may_not_read_offsets_has_the_reports_of_the_partitions(fleet, settings):
    fleet.cluster.is_group_hidden = True
    fleet.say(2, "SERVING")  # of a worker without a partition
    assert await served(settings) == 1
    fleet.promote({0: 0})
    fleet.report(CANARY)
    assert await served(settings) == 1
    fleet.promote(dict.fromkeys(ALL, 0))
    assert await served(settings) == 1
    fleet.report(EVERYWHERE)
    assert await served(settings) == 2


async def test_what_was_abandoned_or_takes_its_place_at_offsets_is_not_due(fleet, settings):
    fleet.cluster.committed = dict.fromkeys(ALL, 3)
    fleet.promote(dict.fromkeys(ALL, 5))
    fleet.abandon(dict.fromkeys(ALL, 5))
    for number in (2, 3):
        fleet.say(number, "SERVING")
        assert await served(settings) == 1


async def test_offsets_are_read_only_while_they_may_change(fleet, settings):
    async with followed(fleet, settings):
        reads = fleet.cluster.offset_reads
        await fleet.looked(6)
        assert fleet.cluster.offset_reads == reads  # staged for days, it costs nothing
        fleet.promote({0: 0})
        await fleet.looked()
        assert (before := fleet.cluster.offset_reads) > reads
        fleet.report(CANARY)
        await fleet.looked()
        reads = fleet.cluster.offset_reads
        assert reads > before
        await fleet.looked(6)
        assert fleet.cluster.offset_reads == reads
