"""Generations that come to their partitions by parts, under fire: `python -m faults rollouts`.

Each act stages a generation, gives it to partitions, and ends in a promotion to all or in an abandonment, while one
kind of fault strikes again and again: workers die, wake up after their session, or join and leave. cohorts.py tells
which answers may be; here the committed offsets are compared with them, and the shares.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from fractions import Fraction

from faults.arena import MODELS, OPENED_S, Arena
from faults.cohorts import InParts, Window
from faults.strikes import Strikes
from harness.command import hotswap
from harness.fleet import EXAMPLES
from hotswap.client.change import Change, Rollout
from hotswap.errors import NoAnswer, UsageError

_READY_S = 90
_SCORED_S = 90
_CANARY_S = 6
_PAUSE_S = 2.0


class Partly(Arena):
    """An arena whose verifier knows generations that come by parts."""

    verifier_of = InParts

    async def verdict(self):
        """See Arena.verdict; and tell how long partitions took to follow a command."""
        await super().verdict()
        for kind, seconds in self.verifier.follows_s.items():
            name = f"the last request that was answered as before a {kind} came after it by, s"
            self.figures[name] = seconds
            self.say(f"{name}: {seconds}")


async def rollouts(arena, seconds):
    """Play each act under each kind of fault, in the seed's order, again and again until the time is over."""
    await arena.until(arena.are_opened, OPENED_S, "all partitions are opened")
    acts = Acts(arena)
    plan = list(itertools.product(_ACTS, Strikes.KINDS))
    arena.random.shuffle(plan)
    until, played = time.monotonic() + seconds, Counter()
    for act, fault in itertools.cycle(plan):
        if time.monotonic() > until:
            break
        arena.say(f"{act} while workers {fault}")
        async with acts.strikes.of(fault):
            await getattr(acts, act)()
        played[act] += 1
        arena.say(f"{act} while workers {fault}: done, {arena.verifier.counts.total()} findings")
    await acts.compare()
    arena.figures |= {"acts": played.total(), "of each": dict(sorted(played.items())), **acts.figures}
    arena.figures["struck in"] = acts.strikes.told()


class Acts:
    """What is done to the fleet, and which generations may score each partition by that."""

    def __init__(self, arena):
        self.arena = arena
        self.strikes = Strikes(arena)
        self.figures = Counter()
        self.may = {partition: {1} for partition in range(arena.terms.partitions)}
        self._before = dict(self.may)
        count = arena.terms.partitions
        self._quarter = Fraction(max(1, count // 4), count)
        self._models = itertools.cycle(MODELS[::-1])  # the fleet begins with the first one

    # ---- the acts

    async def canary(self):
        """Give a quarter of the partitions to a generation, and then all."""
        staged = await self.stage(rollout=Rollout(canary=self._quarter))
        await self._canary(staged)
        await self.promote(staged.generation, None)

    async def canary_abandoned(self):
        """Give a quarter to a generation, and take it back."""
        staged = await self.stage(rollout=Rollout(canary=self._quarter))
        await self._canary(staged)
        await self._abandon(staged)

    async def half_abandoned(self):
        """Give a generation some partitions, then some more, at random and perhaps none, and take them back."""
        staged = await self.stage(rollout=Rollout(is_barrier=True))
        left = sorted(self.may)
        for _ in range(self.arena.random.randrange(3)):
            chosen = self.arena.random.sample(left, max(1, len(left) // 4))
            left = [one for one in left if one not in chosen]
            await self.promote(staged.generation, frozenset(chosen), is_awaited=self.arena.random.random() < 0.5)
        await self._abandon(staged)

    async def stagger(self):
        """Let the client give it to a quarter at a time; what it gives up is brought to its end as an operator does."""
        size = max(1, len(self.may) // 4)
        change = self._change(rollout=Rollout(stagger=size, pause_s=_PAUSE_S))
        receipt = await self.arena.command(change)
        self.strikes.phase, self.strikes.newest = "stagger", receipt.generation
        try:
            answer = await self.arena.client.await_swap(receipt)
            why = "" if answer.is_good else str(answer)
        except (UsageError, NoAnswer) as error:
            why = str(error)
        if why:
            self.figures["staggers that the client gave up"] += 1
            self.arena.say(f"the client gave up a stagger: {why}")
        await self.promote(receipt.generation, None)

    async def other_proto(self):
        """Stage one of another proto, promote it while the publisher waits, who changes over then; and back."""
        for model, example in (("cancer_gbm", "cancer"), (next(self._models), "iris")):
            proto = EXAMPLES / "protos" / f"{example}.proto"
            staged = await self.stage(model=EXAMPLES / "models" / f"{model}.zip", proto=proto, rollout=Rollout())
            assert not staged.cut, staged
            await asyncio.sleep(self.arena.random.uniform(0, 2))
            await self.promote(staged.generation, None, changes_to=example)
            await self.arena.publisher.reach(2 * self.arena.terms.per_second)

    # ---- their parts

    def _change(self, **given):
        return Change(**{"model": EXAMPLES / "models" / f"{next(self._models)}.zip"} | given)

    async def stage(self, **given):
        self.strikes.phase, self._before = "staging", dict(self.may)
        receipt = await self.arena.command(self._change(**given))
        self.strikes.newest = receipt.generation
        assert receipt.rollout is not None, f"generation {receipt.generation} was not staged: {receipt.notes}"
        return receipt

    async def _canary(self, staged):
        """Promote a canary, and compare what is told of it with what the topics have."""
        look = self.arena.watcher.look
        (cohort,) = staged.steps
        forecast = look(lambda verifier: verifier.share(cohort))
        await self.promote(staged.generation, cohort)
        self.strikes.phase = "canary"
        begin_ms = time.time() * 1_000
        await asyncio.sleep(_CANARY_S)
        await self.compare()
        window = Window(staged.generation, cohort, begin_ms, time.time() * 1_000)
        self.arena.verifier.windows.append(window)
        share, keys = look(lambda verifier: verifier.shares(window))
        told, counted = await self._told(staged.generation), look(lambda verifier: verifier.share(cohort))
        assert agree(told, counted), f"canary {staged.generation} has {counted:.1%} of the requests, told {told:.1%}"
        of_it = keys.pop(staged.generation, 0)
        self.arena.say(
            f"canary {staged.generation}: forecast {forecast:.1%} of the requests, told by status {told:.1%}, had "
            f"{counted:.1%}, gave {share:.1%} of the answers; it scored {of_it} keys, and others {sum(keys.values())}"
        )
        self.figures["canaries counted"] += 1

    async def _told(self, generation):
        """Return the share of the requests that a generation has according to `hotswap status --json`."""
        told, errors = await hotswap(self.arena.deployment, "status", "--json", code=None)
        views = {view["generation"]: view for (status,) in [json.loads(told)] for view in status["generations"]}
        assert generation in views, f"status does not know generation {generation}: {sorted(views)} {errors}"
        return views[generation]["share"]

    async def promote(self, number, partitions, *, is_awaited=True, changes_to=""):
        """Promote once all live workers are ready; `changes_to`: the publisher waits, and goes on with these rows."""
        receipt = await self._once_ready(number, partitions, has_to_wait=bool(changes_to))
        self.strikes.now("promotion")
        given = self.may if partitions is None else partitions
        self.may |= {one: {number} if is_awaited else {number, *self.may[one]} for one in given}
        if receipt and is_awaited:
            await self.answered(receipt)
        if is_awaited:
            await self.scored()
        if changes_to:
            assert set(receipt.cut) == set(self.may), f"not cut everywhere by offsets: {receipt.cut}"
            self.arena.publisher.change_over(changes_to)
            self.arena.publisher.rate(self.arena.terms.per_second)

    async def _once_ready(self, number, partitions, *, has_to_wait):
        """Return the receipt of a promotion; None: all of it was promoted already."""
        publisher, began = self.arena.publisher, time.monotonic()
        while True:
            if has_to_wait:
                await publisher.rest()
            try:
                return await self.arena.client.promote(number, partitions)
            except UsageError as refused:
                why = str(refused)
            if "is cut everywhere" in why:
                return None
            assert "is not ready on" in why, why
            assert time.monotonic() - began < _READY_S, f"not within {_READY_S} s: {why}"
            self.figures["promotions refused, for a worker was not ready"] += 1
            if has_to_wait:
                publisher.rate(self.arena.terms.per_second)
            await asyncio.sleep(0.5)

    async def _abandon(self, staged):
        """Take it back; what never came to it, for its worker was dead, stays where it is."""
        receipt = await self.arena.abandon(staged.generation)
        self.strikes.now("abandonment")
        await self.answered(receipt)
        for one, may in self.may.items():
            if staged.generation in may:
                self.may[one] = {receipt.generation, *self._before[one]}
        await self.scored()
        new, old = (self.arena.verifier.parts_of(number) for number in (receipt.generation, min(self._before[0])))
        assert new == old, f"generation {receipt.generation} has {new} instead of {old}"

    async def answered(self, receipt):
        """Let the client await the fleet; that it does not hear of all in time is no more than a figure."""
        try:
            answer = await self.arena.client.await_swap(receipt)
            why = "" if answer.is_good else str(answer)
        except NoAnswer as error:
            why = str(error)
        if why:
            self.figures["commands of which the client did not hear from all in time"] += 1
            self.arena.say(f"{receipt}: {why}")

    async def scored(self):
        """Wait until the committed offsets name a generation that may be, on each partition."""
        give_up = time.monotonic() + _SCORED_S
        while wrong := {one: it for one, (_, it) in (await self._committed()).items() if it not in self.may[one]}:
            assert time.monotonic() < give_up, f"not within {_SCORED_S} s: {wrong} are scored by {self.may}"
            await asyncio.sleep(0.2)

    async def _committed(self):
        """Return the offset and the generation that the workers have committed for each partition."""
        committed = await asyncio.to_thread(self.arena.watcher.committed)
        return {one: (offset, json.loads(metadata)["generation"]) for one, (offset, metadata) in committed.items()}

    async def compare(self):
        """Compare the generation of each partition by the committed offsets with that counted from the topics."""
        committed = await self._committed()
        told = {one: generation for one, (_, generation) in committed.items()}

        def counted(verifier):
            return {one: verifier.scored(one, offset) for one, (offset, _) in committed.items()}

        give_up = time.monotonic() + _SCORED_S
        while (found := self.arena.watcher.look(counted)) != told:
            assert time.monotonic() < give_up, f"committed are the generations {told}, and the topics have {found}"
            await asyncio.sleep(0.2)
        self.figures["partitions compared"] += len(told)


def agree(told, counted, within=0.01):
    """Whether a share that is told is the one that was counted from the topics, some moments before or after."""
    return abs(told - counted) <= within


_ACTS = ("canary", "canary_abandoned", "half_abandoned", "stagger", "other_proto")
