"""One kind of fault of a fleet, again and again for as long as a block takes: workers die, fall asleep, come and go."""

import asyncio
import contextlib
import signal
from collections import Counter, defaultdict

_FLEET = 3, 4
_STEPS = ("cut_over.begun", "commit.begun", "batch.scored", "commit.offsets_sent", "commit.acknowledged")
_STOPS_S = 15
_ASLEEP_S = 3.0, 6.0
"""Longer than the session of a worker, so that others have its partitions when it wakes up."""
_PAUSE_S = 0.5, 3.5
_SERVES_S = 30
_STORM = 3
_STORM_EVERY_S = 0.8, 2.0


class Strikes:
    """Strikes a fleet; `phase` is what is done to it meanwhile, and is counted with each strike.

    `newest` is the generation that is staged, or was at last.
    """

    KINDS = ("die", "sleep", "come_and_go")

    def __init__(self, arena):
        self._arena = arena
        self._is_over = False
        self.phase, self.newest = "", 0
        self._done = defaultdict(Counter)
        self._hurry = asyncio.Event()

    def told(self):
        """Return how often each kind struck in each phase."""
        return {phase: dict(sorted(kinds.items())) for phase, kinds in sorted(self._done.items())}

    @contextlib.asynccontextmanager
    async def of(self, kind):
        """Strike until the block ends; then wait until what was struck last is at work again."""
        self._is_over = False
        striking = asyncio.create_task(self._again(kind))
        try:
            yield
        finally:
            self._is_over = True
            await striking

    def now(self, phase):
        """Strike at once, in this phase, unless a strike is still going on."""
        self.phase = phase
        self._hurry.set()

    async def _again(self, kind):
        while not self._is_over:
            self._hurry.clear()
            self._done[self.phase][kind] += 1
            await getattr(self, kind)()
            await self._keep_a_fleet()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._arena.random.uniform(*_PAUSE_S)):
                    await self._hurry.wait()

    async def _keep_a_fleet(self):
        least, most = _FLEET
        while len(self._arena.workers) < least:
            await self._serves(self._arena.join())
        if len(self._arena.workers) > most:
            self._leave()

    async def _serves(self, name):
        """Wait until a worker has partitions and the newest generation, if that is soon: it may get none, or die.

        Nothing is promoted before all are ready, and no fault that comes sooner than that is one during a promotion.
        """

        def is_there():
            is_ready = any(event["generation"] >= self.newest for event in self._arena.events(name, "swap.ready"))
            return self._hurry.is_set() or (is_ready and "partition.opened" in self._arena.deployment.log(name))

        with contextlib.suppress(AssertionError):
            await self._arena.until(is_there, _SERVES_S, f"{name} serves")

    def _leave(self):
        self._arena.signal(self._arena.random.choice(self._arena.workers), signal.SIGTERM)

    # ---- the kinds

    async def die(self):
        """Kill a worker, and start one in its place; some die by themselves, in the midst of their first cut-over."""
        victim = self._arena.random.choice(self._arena.workers)
        self._arena.deployment.kill(victim)
        is_to_die = self._arena.random.random() < 1 / 3
        name = self._arena.join(in_place_of=victim, failpoints="cut_over.begun=kill@1" if is_to_die else "")
        await self._serves(name)

    async def sleep(self):
        """Stop a worker, in the midst of a step or at any moment, and wake it up when its partitions are others'."""
        chance = self._arena.random
        if chance.random() < 0.5:
            step = chance.choice(_STEPS)
            name = self._arena.join(failpoints=f"{step}=stop@{1 if step == _STEPS[0] else chance.randint(1, 40)}")
            with contextlib.suppress(AssertionError, FileNotFoundError):
                await self._arena.until(lambda: self._arena.is_stopped(name), _STOPS_S, f"{name} stops")
        else:
            name = chance.choice(self._arena.workers)
        self._arena.signal(name, signal.SIGSTOP)
        await asyncio.sleep(chance.uniform(*_ASLEEP_S))
        self._arena.signal(name, signal.SIGCONT)

    async def come_and_go(self):
        """Let workers join and leave faster than their partitions settle; then wait until they have."""
        for _ in range(_STORM):
            self._arena.join()
            await asyncio.sleep(self._arena.random.uniform(*_STORM_EVERY_S))
            self._leave()
            await asyncio.sleep(self._arena.random.uniform(*_STORM_EVERY_S))
        await asyncio.gather(*map(self._serves, self._arena.workers))
