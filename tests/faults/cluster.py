"""One of three brokers at a time is broken, beside workers that come and go and swaps: `python -m faults cluster`."""

import asyncio
import contextlib
import os
import random
import signal
import time
from contextlib import asynccontextmanager

from confluent_kafka import ElectionType, KafkaException

from faults.acts_on_brokers import behind, goes_on
from faults.fleet_faults import FleetFaults, play
from faults.schedule import Kind
from hotswap.local.kafka import LocalKafka

KINDS = (
    Kind("kill_broker", 2, 1, 8),
    Kind("stop_broker", 1, 1, 8),
    Kind("pause_broker", 1, 4, 14),
    Kind("cut_broker_from_workers", 1, 4, 14),
    Kind("cut_broker_from_brokers", 2, 4, 14),
    Kind("cut_broker_from_all", 1, 4, 14),
    Kind("roll_brokers", 1),
    Kind("break_two_brokers_for_a_minute", 0, 60, 60),
    Kind("kill_worker", 10),
    Kind("stop_worker", 6),
    Kind("pause_worker", 4, 7, 12),
    Kind("join_worker", 4),
    Kind("swap", 14),
    Kind("swap_after_backlog", 6),
)
"""Those of brokers come one after the other: each after the one before is over, and all copies are in sync."""
GAP_S = 6.0
_IN_SYNC_S = 120
_GOES_ON_S = 120
_CALM_S = 3.0
"""For how long all copies are seen in sync: a broker that was cut off does not know at once what it has missed."""


async def cluster(arena, seconds):
    """Play the faults; no worker may end by itself."""
    if not arena.kafka.network.has_cables:
        arena.say("only root may pull cables: brokers are not cut from each other")
    faults = Faults(arena)
    await play(faults, KINDS, seconds, gap_s=GAP_S)
    await goes_on(arena, _GOES_ON_S)
    workers = arena.deployment.workers.items()
    waited = [name for name, _ in workers if '"worker.waiting_for_kafka"' in arena.deployment.log(name)]
    arena.figures["workers whose start waited for a broker"] = len(waited)
    ended = [name for name, process in workers if process.poll() is not None and name not in faults.asked]
    assert not ended, f"workers ended by themselves: {', '.join(ended)}"


class Faults(FleetFaults):
    """Those of a fleet, and of the brokers."""

    def __init__(self, arena):
        super().__init__(arena)
        self.asked = set()
        """The workers that were killed, or asked to stop."""
        self._brokers = asyncio.Lock()
        # Only for brokers, which are taken in turn: so the seed determines which ones.
        self._chance = random.Random(arena.seed)

    def _pick(self, number):
        name = super()._pick(number)
        if number != signal.SIGSTOP:
            self.asked.add(name)
        return name

    @asynccontextmanager
    async def _chosen(self, count=1):
        """Choose so many brokers for a with-block that breaks and mends them, once all are well; then wait for that."""
        async with self._brokers:
            nodes = self._chance.sample(self.arena.kafka.nodes, count)
            self.arena.say(f"now on broker {' and '.join(str(node.number) for node in nodes)}")
            yield nodes
            await self._in_sync()
            # The leaders that have moved move back, so that the next fault hits some, too.
            await asyncio.to_thread(self._elect)

    async def _in_sync(self):
        give_up, since = time.monotonic() + _IN_SYNC_S, time.monotonic()
        while time.monotonic() - since < _CALM_S:
            assert time.monotonic() < give_up, f"not within {_IN_SYNC_S} s: all copies are in sync"
            await asyncio.sleep(0.3)
            if not await asyncio.to_thread(self._is_in_sync):
                since = time.monotonic()

    def _is_in_sync(self):
        try:
            return not behind(self.arena)
        except KafkaException:
            return False

    def _elect(self):
        try:
            self.arena.admin.elect_leaders(ElectionType.PREFERRED, None).result(30)
        except KafkaException as error:
            self.arena.say(f"leaders do not move back: {error}")

    async def _for_a_while(self, begin, end, seconds):
        async with self._chosen() as (node,):
            await asyncio.to_thread(begin, node)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(end, node)

    async def kill_broker(self, seconds):
        await self._for_a_while(LocalKafka.kill, _start, seconds)

    async def stop_broker(self, seconds):
        await self._for_a_while(LocalKafka.stop, _start, seconds)

    async def pause_broker(self, seconds):
        def send(number):
            return lambda node: os.kill(node.pid, number)

        await self._for_a_while(send(signal.SIGSTOP), send(signal.SIGCONT), seconds)

    async def roll_brokers(self, _):
        """Restart all, each once the copies of the one before are in sync."""
        async with self._chosen(len(self.arena.kafka.nodes)) as nodes:
            for node in nodes:
                await asyncio.to_thread(node.stop)
                await asyncio.to_thread(node.start)
                await self._in_sync()

    async def break_two_brokers_for_a_minute(self, seconds):
        """Nothing can be acknowledged meanwhile; the gap that this makes is told apart."""
        gaps, told = self.arena.verifier.longest_gaps, "two brokers down: longest gap of a partition, s"
        async with self._chosen(2) as nodes:
            before = dict(gaps)
            gaps.clear()
            await asyncio.gather(*(asyncio.to_thread(node.kill) for node in nodes))
            await asyncio.sleep(seconds)
            await asyncio.gather(*(asyncio.to_thread(node.start) for node in nodes))
            after = await goes_on(self.arena, _GOES_ON_S)
            self.arena.figures["two brokers down: all goes on after their return within, s"] = round(after, 1)
            self.arena.figures[told] = round(max(gaps.values()), 2)
            gaps.clear()
            gaps.update(before)

    # ---- the network

    async def cut_broker_from_workers(self, seconds):
        await self._cut([self._from_workers], seconds)

    async def cut_broker_from_brokers(self, seconds):
        """The other brokers and controllers do not reach it, while clients do: it does not know of new leaders."""
        return await self._cut([self._from_brokers], seconds)

    async def cut_broker_from_all(self, seconds):
        return await self._cut([self._from_workers, self._from_brokers], seconds)

    async def _cut(self, ways, seconds):
        if self._from_brokers in ways and not self.arena.kafka.network.has_cables:
            return False
        async with self._chosen() as (node,):
            with self.arena.verifier.cut_offs.during() if self._from_workers in ways else contextlib.nullcontext():
                for way in ways:
                    way(node, is_cut=True)
                await asyncio.sleep(seconds)
                for way in ways:
                    way(node, is_cut=False)
        return True

    def _from_workers(self, node, *, is_cut):
        proxy = self.arena.proxy[node.number - 1]
        (proxy.hold if is_cut else proxy.release)()

    def _from_brokers(self, node, *, is_cut):
        network = self.arena.kafka.network
        (network.pull if is_cut else network.plug)(node.number)


def _start(node):
    node.start()
