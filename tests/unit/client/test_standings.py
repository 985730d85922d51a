"""Which generation scores each partition, and its standing: from the stage to the promote or the end."""

from dataclasses import replace

import pytest

from fakes.staged import ALL, StagedFleet
from hotswap.client.overview import overview
from hotswap.client.standings import Standing, generations_of, scorers
from hotswap.kafka.topics.committed import Lag
from hotswap.swap.command import RollbackCommand, SwapCommand


@pytest.fixture
def fleet(settings, monkeypatch):
    made = StagedFleet(settings, monkeypatch)
    made.stage()
    return made


async def told(settings):
    return {one.number: (one.words, one.partitions) for one in (await overview(settings)).generations}


async def test_a_generation_alone_serves(settings, monkeypatch):
    StagedFleet(settings, monkeypatch).report(ALL, (1,))
    assert await told(settings) == {1: ("serves", (0, 1, 2, 3))}


async def test_a_staged_one_scores_nothing_and_is_told_with_the_workers_that_have_it(fleet, settings):
    assert await told(settings) == {1: ("serves", (0, 1, 2, 3)), 2: ("staged on 2 of 2 workers", ())}
    view = await overview(settings)
    assert (view.serving, view.generations[1].loaded) == ((1,), ("w1", "w2"))
    assert [(one.is_open, one.may_be_promoted(view.at)) for one in view.generations] == [(False, False), (True, True)]
    fleet.report(ALL, (1,))
    assert (await told(settings))[2] == ("staged on 0 of 2 workers", ())


async def test_until_when_it_can_be_promoted(settings, monkeypatch):
    StagedFleet(settings, monkeypatch).stage(promote_by_ms=5_000)
    _, staged = (await overview(settings)).generations
    assert [staged.may_be_promoted(at) for at in (5.0, 5.001)] == [True, False]


async def test_a_canary_does_not_serve_beside_the_one_that_has_the_other_partitions(fleet, settings):
    fleet.promote({0: 0, 3: 50})
    assert (await told(settings))[2] == ("promoted on partitions 0, 3 of 4", ())
    fleet.report({**ALL, 0: 2})
    assert await told(settings) == {1: ("serves", (1, 2, 3)), 2: ("promoted on partitions 0, 3 of 4", (0,))}
    assert (await overview(settings)).serving == (1,)


@pytest.mark.parametrize("is_complete", [False, True])
async def test_one_that_scores_all_serves_whether_its_stage_has_ended_or_not(fleet, settings, is_complete):
    fleet.promote(dict.fromkeys(ALL, 0), is_complete=is_complete)
    fleet.report(dict.fromkeys(ALL, 2))
    assert await told(settings) == {2: ("serves", (0, 1, 2, 3))}
    view = await overview(settings)
    assert (view.serving, view.generations[0].is_open) == ((2,), not is_complete)


async def test_a_promote_of_all_serves_beside_the_one_before_until_the_last_partition_is_cut(fleet, settings):
    fleet.promote({1: 100}, is_complete=True)
    fleet.report({**ALL, 0: 2, 2: 2, 3: 2})
    assert await told(settings) == {1: ("serves", (1,)), 2: ("serves", (0, 2, 3))}
    assert (await overview(settings)).serving == (1, 2)


async def test_an_abandoned_one_is_told_until_its_partitions_have_another(fleet, settings):
    fleet.promote({0: 0})
    fleet.report({**ALL, 0: 2})
    fleet.abandon()
    assert await told(settings) == {1: ("serves", (1, 2, 3)), 2: ("abandoned", (0,))}
    fleet.report({**ALL, 0: 3}, (1, 3))
    assert await told(settings) == {1: ("serves", (1, 2, 3)), 3: ("serves in place of 2", (0,))}
    assert (await overview(settings)).serving == (1, 3)


async def test_what_another_followed_goes_no_further_and_is_told_while_it_scores(fleet, settings):
    fleet.promote({0: 0})
    fleet.report({**ALL, 0: 2})
    fleet.publish(SwapCommand(command_id="c3", generation=3, is_staged=True))
    assert list((await told(settings)).values())[1:] == [
        ("promoted on partition 0 of 4, and goes no further", (0,)),
        ("staged on 0 of 2 workers", ()),
    ]
    fleet.publish(RollbackCommand(command_id="c4", generation=4, to=1))
    fleet.report(dict.fromkeys(ALL, 4), (4,))
    assert await told(settings) == {4: ("serves", (0, 1, 2, 3))}


async def test_the_offsets_decide_and_reports_only_where_they_name_none(fleet, settings):
    fleet.report(dict.fromkeys(ALL, 2), is_committed=False)  # a stranger may report
    view = await overview(settings)
    assert scorers(view) == ALL
    unnamed = tuple(replace(lag, generation=0) for lag in view.lags)
    assert scorers(replace(view, lags=unnamed)) == dict.fromkeys(ALL, 2)
    assert scorers(replace(view, lags=(), workers=())) == {}
    impossible = Lag(0, 0, 0, 2**63)  # as workers, which pass over it
    assert scorers(replace(view, lags=(impossible,), workers=())) == {}


async def test_a_generation_that_the_control_topic_lacks_is_told_as_such(settings, monkeypatch):
    fleet = StagedFleet(settings, monkeypatch)
    fleet.report(dict.fromkeys(ALL, 7), (7,))
    (one,) = (await overview(settings)).generations
    assert (one.standing, one.words, one.model) == (Standing.UNKNOWN, "unknown to the control topic", "")


async def test_a_worker_serves_what_scores_its_partitions_or_would(fleet, settings):
    fleet.report({**ALL, 0: 2})
    first, second = (await overview(settings)).workers
    assert (generations_of(first), generations_of(second)) == ((1, 2), (1,))
    assert generations_of(replace(second, generation=2)) == (1,)  # it has a newer one, which nothing is cut to yet
    assert generations_of(replace(first, partitions=())) == (2,)
    assert generations_of(replace(first, partitions=(), generation=0)) == ()


async def test_shares_are_those_of_the_partitions(fleet, settings):
    assert [one.share for one in (await overview(settings)).generations] == [None, None]
    fleet.request(0, 1, 1, 2)
    fleet.report({**ALL, 1: 2})
    assert [one.share for one in (await overview(settings)).generations] == [0.5, 0.5]
    view = replace(await overview(settings), window=None)
    assert [one.share for one in view.generations] == [None, None]
