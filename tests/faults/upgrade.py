"""A fleet is upgraded from another version's workers to this checkout's, one by one, under load and swaps.

First there and back, then for good (upgrade_for_good.py), where the log goes on with what the other does not know.
"""

import asyncio
import json
import time
from collections import Counter
from functools import partial
from itertools import cycle

from faults.arena import MODELS, Terms
from faults.arena import run as run_scenario
from faults.other_version import OURS, command_line, installed, replace_worker
from faults.rollouts import Partly
from faults.scenarios import Scenario
from faults.upgrade_for_good import for_good
from harness.fleet import EXAMPLES

BEGAN_WITH = "783c6f7"
"""The commit before there was a proof of upgrades."""
FIRST_RELEASE = "0b160349"
"""That of 0.2.0, and the first that holds where a command needs a later version than it knows."""
SECONDS = 180
_MIXED = 4  # times that two versions are side by side, one and two of three, on the way up and down
_STANDS_S = 30


async def run(folder, *, old, seed, seconds, say):
    """Play both from `old`, a commit or a checkout's folder, or None; return the findings and the figures."""
    findings, figures = [], {}
    for name, play, commit, what in (
        ("upgrade", _there_and_back, old or BEGAN_WITH, "and back: nothing lost, nothing twice"),
        ("for-good", for_good, old or FIRST_RELEASE, "for good: another proto in one step before, staged afterwards"),
    ):
        python = await asyncio.to_thread(installed, commit, say)
        scenario = Scenario(
            name=name,
            promise=f"workers of {commit} are replaced by this checkout's one by one, {what}",
            play=partial(play, old=python),
            terms=Terms(partitions=6, workers=3, python=python, is_mixed=True),
            arena=Partly,
        )
        (folder / name).mkdir(exist_ok=True)
        arena = await run_scenario(scenario, seed=seed, seconds=seconds / 2, folder=folder / name, say=say)
        findings += arena.findings
        figures |= {f"{name}: {what}": value for what, value in ({"from": commit} | arena.figures).items()}
    return findings, figures


async def _there_and_back(arena, seconds, old):
    swaps = _Swaps(arena, old)
    arena.figures["mixed for, s"] = 0.0
    for way, python, before in (("to this checkout's", OURS, swaps.by_old), ("back", old, swaps.by_new)):
        await before()  # a fleet of one version, and its own client
        arena.verifier.longest_gaps.clear()
        for number, worker in enumerate(list(arena.workers), start=1):
            await replace_worker(arena, worker, python)
            began = time.monotonic()
            while number < arena.terms.workers and time.monotonic() - began < seconds * 2 / 3 / _MIXED:
                await swaps.next()
            if number < arena.terms.workers:
                await _both_see_the_fleet(arena, old)
                arena.figures["mixed for, s"] += time.monotonic() - began
        gap = max(arena.verifier.longest_gaps.values(), default=0.0)
        arena.figures[f"longest gap {way}, s"] = round(gap, 2)
        arena.say(f"{way}: done, the longest gap of a partition was {gap:.2f} s")
        await swaps.next()
        await swaps.next()
        assert gap <= _STANDS_S, f"a partition stood still for {gap:.1f} s"
    arena.figures["mixed for, s"] = round(arena.figures["mixed for, s"])
    arena.figures |= {f"swaps by {whose} clients": count for whose, count in swaps.done.items()}


class _Swaps:
    """Swaps to one model and the other, each followed to its end, by clients of both versions in turns."""

    def __init__(self, arena, old):
        self._arena, self._old = arena, old
        self._turns = cycle((self.by_old, self.by_new))
        self._models = cycle(MODELS)
        self.done = Counter()

    async def next(self):
        await next(self._turns)()

    async def by_new(self):
        receipt = await self._arena.swap()
        answer = await self._arena.client.await_swap(receipt)
        assert answer.is_good, f"generation {receipt.generation}, swapped by a client of this checkout: {answer}"
        self.done["new"] += 1

    async def by_old(self):
        model = EXAMPLES / "models" / f"{next(self._models)}.zip"
        await command_line(self._arena, self._old, "swap", "--model", model, "--json")
        self.done["old"] += 1


async def _both_see_the_fleet(arena, old):
    """What workers of both versions report, clients of both can read."""
    for python in (old, OURS):
        said, _ = await command_line(arena, python, "status", "--json")
        (told,) = json.loads(said)
        live = {worker["worker"] for worker in told["workers"] if worker["is_live"]}
        assert (live, told["problems"]) == (set(arena.workers), []), told
