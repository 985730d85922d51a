"""Short runs of the proofs under fire, some seconds each; `make proofs` plays them in full."""

import os
from dataclasses import replace

import pytest

from faults import cluster, everything, schedule
from faults.arena import run
from faults.scenarios import RED, SCENARIOS
from faults.schedule import CYCLE_S, QUIET_S

SEED = int(os.environ.get("HOTSWAP_TEST_SEED", "1"))
BRIEF = {"zombies": 4, "drain": 0, "everything": 25}
PER_SECOND = 50
"""Requests: each of the full proofs has six times as many or more, which a short run would pay for in its broker."""


def calm(scenario, **terms):
    return replace(scenario, terms=replace(scenario.terms, per_second=PER_SECOND, **terms))


@pytest.mark.parametrize("name", BRIEF)
async def test_a_fleet_under_fire_answers_every_request_once_in_order_by_the_right_generation(name, tmp_path):
    arena = await run(calm(SCENARIOS[name]), seed=SEED, seconds=BRIEF[name], folder=tmp_path)
    assert arena.findings == []


@pytest.mark.parametrize(("name", "times"), [("red-unfenced", 5), ("red-at-least-once", 1)])
async def test_the_verifier_detects_a_fleet_that_cannot_keep_the_promise(name, times, tmp_path):
    arena = await run(calm(RED[name], sought="twice"), seed=SEED, seconds=times, folder=tmp_path)
    assert any("twice" in finding for finding in arena.findings), arena.figures


@pytest.mark.parametrize(("kinds", "gap_s"), [(everything.KINDS, schedule.GAP_S), (cluster.KINDS, cluster.GAP_S)])
def test_a_schedule_is_the_seed_s_alone_and_in_a_quarter_of_the_time_no_fault_begins(kinds, gap_s):
    def planned(seed):
        return schedule.schedule(kinds, seed=seed, seconds=600, gap_s=gap_s)

    plan = planned(7)
    assert plan == planned(7)
    assert plan != planned(8)
    assert {fault.name for fault in plan} == {kind.name for kind in kinds}
    assert all(fault.at % CYCLE_S < CYCLE_S - QUIET_S for fault in plan)
