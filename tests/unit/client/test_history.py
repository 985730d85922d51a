"""The serving generation and the one before it, while one is staged, promoted or abandoned: batch and rollback ask."""

from dataclasses import replace

import pytest

from fakes.client import SHA
from fakes.staged import ALL, CANARY, EVERYWHERE, StagedFleet
from hotswap.client.overview import read_fleet, read_history
from hotswap.client.serving import serving_schema
from hotswap.errors import UsageError
from hotswap.generation import Model
from hotswap.lake.origin import _generation
from hotswap.swap.command import AbandonCommand, RollbackCommand, SwapCommand


@pytest.fixture
def fleet(settings, monkeypatch):
    made = StagedFleet(settings, monkeypatch)
    made.stage()
    return made


async def serving(settings, scored):
    """Return what serves, and what a rollback goes to: 0, there is none; all that ever were have served."""
    history, fleet = await read_history(settings), await read_fleet(settings)
    names = frozenset(scored.values())
    found = history.serving(fleet, names)
    try:
        before = history.before(fleet, names, served=frozenset(history.timeline.swaps)).number
    except UsageError:
        before = 0
    return found and found.number, before


async def test_a_staged_one_does_not_serve_and_a_canary_goes_back_to_the_one_beside_it(fleet, settings):
    assert await serving(settings, ALL) == (1, 0)
    fleet.promote({0: 0})
    assert await serving(settings, ALL) == (1, 0)
    assert await serving(settings, CANARY) == (1, 1)


@pytest.mark.parametrize("is_complete", [False, True])
async def test_one_that_scores_all_serves_whether_its_stage_has_ended_or_not(fleet, settings, is_complete):
    fleet.promote(dict.fromkeys(ALL, 0), is_complete=is_complete)
    assert await serving(settings, EVERYWHERE) == (2, 1)
    assert await serving(settings, {**EVERYWHERE, 7: 99}) == (2, 1)


async def test_once_its_stage_has_ended_it_serves_while_older_ones_still_score(fleet, settings):
    assert await serving(settings, CANARY) == (1, 1)
    fleet.promote({}, is_complete=True)
    assert await serving(settings, CANARY) == (2, 1)


async def test_an_abandoned_one_neither_serves_nor_is_gone_back_to(fleet, settings):
    fleet.promote({0: 0})
    fleet.abandon()
    assert await serving(settings, CANARY) == (1, 0)  # it has not left its partition yet
    assert await serving(settings, ALL) == (1, 0)  # it never had one
    assert await serving(settings, EVERYWHERE) == (1, 0)


async def test_what_took_its_place_serves_and_goes_back_to_neither_it_nor_to_its_own_parts(settings, monkeypatch):
    fleet = StagedFleet(settings, monkeypatch)
    model = Model("file:///c.zip", SHA)
    fleet.publish(SwapCommand(command_id="c2", generation=2, model=model))
    fleet.publish(SwapCommand(command_id="c3", generation=3, is_staged=True, model=replace(model, sha256="c" * 64)))
    fleet.publish(AbandonCommand(command_id="c4", generation=4, abandoned=3))
    assert await serving(settings, {**dict.fromkeys(ALL, 2), 0: 4}) == (4, 1)
    fleet.publish(SwapCommand(command_id="c5", generation=5, model=replace(model, sha256="d" * 64)))
    assert await serving(settings, dict.fromkeys(ALL, 5)) == (5, 2)


async def test_one_that_went_no_further_is_not_gone_back_to(fleet, settings):
    fleet.promote({0: 0})
    fleet.publish(SwapCommand(command_id="c3", generation=3))
    assert await serving(settings, dict.fromkeys(ALL, 3)) == (3, 1)
    fleet.publish(RollbackCommand(command_id="c4", generation=4, to=1))
    assert await serving(settings, dict.fromkeys(ALL, 4)) == (4, 3)


async def test_a_batch_is_scored_by_what_serves_or_by_the_staged_one_if_it_is_named(fleet, settings):
    async def scores(number=None):
        return (await _generation(settings, number)).number

    assert (await scores(), await scores(2)) == (1, 2)
    fleet.promote({0: 0})
    fleet.report(CANARY)
    assert (await scores(), await scores(2), (await serving_schema(settings)).generation.number) == (1, 2, 1)
    fleet.promote({}, is_complete=True)
    assert await scores() == 2
    fleet.abandon()
    fleet.report({**ALL, 0: 3})
    assert (await scores(), (await _generation(settings, None)).model.name) == (3, "old")
