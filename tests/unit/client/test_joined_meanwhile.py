"""A worker that joins between two steps of a rollout is waited for, as those that were there at its beginning."""

import pytest

from hotswap.client.change import Receipt, Rollout
from hotswap.client.fleet import FleetAnswer, Told
from hotswap.client.rolling_out import roll_out
from hotswap.errors import NotReady
from hotswap.swap.command import Outcome

STAGED = Receipt("c", 2, {}, deadline_s=30, rollout=Rollout(stagger=1), steps=(frozenset({0}), frozenset({1}), None))


def answer(outcome=Outcome.APPLIED, missing=()):
    told = Told(command_id="c", generation=2, worker="w1", outcome=outcome, code="", message="", at=0, phase_seconds={})
    return FleetAnswer({"w1": told}, missing, is_staged=outcome is Outcome.READY)


READY = answer(Outcome.READY)


class Fleet:
    """Workers of which one joins before some promotions, and may never be ready."""

    def __init__(self, joins, ready=READY):
        self.joins, self.ready = list(joins), ready
        self.did = []

    async def promote(self, generation, partitions, at_s):
        if self.joins and self.joins[0] == len([one for one in self.did if one != "waited"]):
            self.joins.pop(0)
            raise NotReady("generation 2 is not ready on w2")
        self.did.append(partitions)
        return Receipt("p", generation, {}, 30, partitions=partitions)

    async def abandon(self, generation):
        self.did.append(f"abandoned {generation}")
        return Receipt("a", generation + 1, {}, 30, abandoned=generation)

    async def follow(self, receipt):
        if receipt.rollout is None:
            return answer()
        if self.did or len(self.joins) < self.joined_at_first:
            self.did.append("waited")
            return self.ready
        return READY

    async def roll_out(self, steps):
        self.joined_at_first = len(self.joins)
        return await roll_out(STAGED, self.promote, self.abandon, self.follow, steps.append)


async def test_each_step_waits_for_those_that_have_joined():
    fleet, steps = Fleet(joins=[0, 1, 1]), []
    assert (await fleet.roll_out(steps)).is_good
    assert fleet.did == ["waited", frozenset({0}), "waited", "waited", frozenset({1}), None]
    assert steps == ["generation 2 scores partitions 0", "generation 2 scores partitions 1"]


@pytest.mark.parametrize(
    ("ready", "did", "step"),
    [
        (answer(Outcome.READY, missing=("w2",)), [], "remains staged"),
        (answer(Outcome.FAILED), ["abandoned 2"], "failed on w1 and was abandoned: its partitions go back"),
    ],
)
async def test_one_that_is_late_or_fails_ends_the_rollout_and_the_publisher_is_told(ready, did, step):
    fleet, steps = Fleet(joins=[1], ready=ready), []
    assert not (await fleet.roll_out(steps)).is_good
    assert fleet.did == [frozenset({0}), "waited", *did]
    assert step in steps[-1]


async def test_workers_that_join_for_ever_are_not_waited_for_for_ever(monkeypatch):
    times = iter(range(0, 1_000, 10))
    monkeypatch.setattr("hotswap.client.rolling_out.time.monotonic", lambda: next(times))
    with pytest.raises(NotReady):
        await Fleet(joins=[0] * 10).roll_out([])
