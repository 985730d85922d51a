"""Short runs of the proofs under fire, some seconds each; `make faults` plays them in full."""

import os

import pytest

from faults.arena import run
from faults.everything import KINDS
from faults.scenarios import RED, SCENARIOS
from faults.schedule import CYCLE_S, QUIET_S, schedule

SEED = int(os.environ.get("HOTSWAP_TEST_SEED", "1"))
BRIEF = {"zombies": 4, "drain": 0, "everything": 25}


@pytest.mark.parametrize("name", BRIEF)
async def test_a_fleet_under_fire_answers_every_request_once_in_order_by_the_right_generation(name, tmp_path):
    arena = await run(SCENARIOS[name], seed=SEED, seconds=BRIEF[name], folder=tmp_path)
    assert arena.findings == []


@pytest.mark.parametrize(("name", "times"), [("red-unfenced", 5), ("red-at-least-once", 1)])
async def test_the_verifier_detects_a_fleet_that_cannot_keep_the_promise(name, times, tmp_path):
    arena = await run(RED[name], seed=SEED, seconds=times, folder=tmp_path)
    assert any("twice" in finding for finding in arena.findings), arena.figures


def test_a_schedule_is_the_seed_s_alone_and_in_a_quarter_of_the_time_no_fault_begins():
    plan = schedule(KINDS, seed=7, seconds=600)
    assert plan == schedule(KINDS, seed=7, seconds=600)
    assert plan != schedule(KINDS, seed=8, seconds=600)
    assert {fault.name for fault in plan} == {kind.name for kind in KINDS}
    assert all(fault.at % CYCLE_S < CYCLE_S - QUIET_S for fault in plan)
