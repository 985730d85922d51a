"""Plays a schedule of faults; those that any of them may have: workers that come and go, and swaps."""

import asyncio
import contextlib
import signal
from collections import Counter
from fractions import Fraction

from faults.schedule import schedule
from hotswap.client.change import Cut, Rollout
from hotswap.errors import NotReady


async def play(faults, kinds, seconds, **measures):
    """Play the schedule of these kinds, with at least two workers at any time and at most four."""
    arena = faults.arena
    plan = schedule(kinds, seed=arena.seed, seconds=seconds, **measures)
    began = asyncio.get_running_loop().time()
    running = []
    keeping = asyncio.create_task(faults.keep_a_fleet())
    for fault in plan:
        await asyncio.sleep(max(0.0, began + fault.at - asyncio.get_running_loop().time()))
        arena.say(f"fault: {fault.name}" + (f" for {fault.lasts_s} s" if fault.lasts_s else ""))
        running.append(asyncio.create_task(faults.strike(fault)))
    await asyncio.gather(*running)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    arena.figures |= {"faults": faults.done.total(), "faults by kind": dict(sorted(faults.done.items()))}
    arena.figures["left out, for another of its kind was going on"] = faults.left_out


class FleetFaults:
    """A method for each kind of fault, named after it."""

    def __init__(self, arena):
        self.arena = arena
        self.done = Counter()
        self.left_out = 0
        self._control = asyncio.Lock()

    async def strike(self, fault):
        if await getattr(self, fault.name)(fault.lasts_s) is False:
            self.left_out += 1
        else:
            self.done[fault.name] += 1

    async def keep_a_fleet(self):
        """Act as a container platform: replace a worker that is gone, stop one if there are too many."""
        while True:
            if len(self.arena.workers) < 2:
                self.arena.join()
            elif len(self._running()) > 4:
                self._pick(signal.SIGTERM)
            await asyncio.sleep(1)

    def _running(self):
        with contextlib.suppress(OSError):
            return [name for name in self.arena.workers if not self.arena.is_stopped(name)]
        return []

    def _pick(self, number):
        if running := self._running():
            name = self.arena.random.choice(running)
            self.arena.signal(name, number)
            return name
        return None

    # ---- workers

    async def kill_worker(self, _):
        return self._pick(signal.SIGKILL) is not None

    async def stop_worker(self, _):
        return self._pick(signal.SIGTERM) is not None

    async def join_worker(self, _):
        self.arena.join()

    async def pause_worker(self, seconds):
        if (name := self._pick(signal.SIGSTOP)) is None:
            return False
        await asyncio.sleep(seconds)
        self.arena.signal(name, signal.SIGCONT)
        return True

    # ---- swaps

    async def swap(self, _):
        return await self._command(self.arena.swap)

    async def swap_after_backlog(self, _):
        return await self._command(lambda: self.arena.swap(cut=Cut.AFTER_BACKLOG))

    # ---- generations that come by parts: whatever command comes next may follow them

    async def lost_publisher(self, _):
        """Stage a generation, and do no more, as a client that dies between its steps."""
        return await self._command(self._stage)

    async def canary(self, _):
        """Stage a generation, and give it one partition once every live worker is ready for it."""
        return await self._command(self._canary)

    async def promote(self, _):
        return await self._command(lambda: self._canary(then=self.arena.client.promote))

    async def abandon(self, _):
        return await self._command(lambda: self._canary(then=self.arena.abandon))

    async def _canary(self, then=None):
        staged = await self._stage()
        while True:
            with contextlib.suppress(NotReady):
                await self.arena.client.promote(staged.generation, *staged.steps)
                break
            await asyncio.sleep(0.5)
        if then:
            await then(staged.generation)

    async def _stage(self):
        return await self.arena.swap(rollout=Rollout(canary=Fraction(1, self.arena.terms.partitions)))

    async def _command(self, act):
        async with self._control:
            try:
                async with asyncio.timeout(30):
                    await act()
            except Exception as error:  # noqa: BLE001 - the broker may be what is broken just now
                self.arena.say(f"no command could be sent: {error}")
                return False
            return True
