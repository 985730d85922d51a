"""The versions of Kafka, each as the only broker of a fleet under fire: a table (`python -m faults versions`)."""

import asyncio
import signal
from dataclasses import replace

from faults import topics
from faults.acts_on_brokers import goes_on
from faults.topics import HEAD, Act
from harness.fleet import ROOT
from hotswap.local.kafka import LocalKafka

VERSIONS = ("3.9.2", "4.0.2", "4.1.2", "4.2.2", "4.3.1")
REPORTED = ("3.9.2",)
"""Those of which the table only reports what is seen: nothing is promised on them."""
_NEWEST = VERSIONS[-1]
_LOCKS = ROOT / "tests" / "harness" / "locks"
_DOWN_S = 2.0
figures = topics.figures


class OfVersion(LocalKafka):
    """A broker of another version than ours, whose jars a lock of the harness names."""

    def __init__(self, version):
        if version != _NEWEST:
            self.jars = str(_LOCKS / f"kafka-{version}")
        if version in REPORTED:
            self.features = {}  # 3.9 has no transaction.version to choose
        super().__init__()


async def run(folder, *, seed, say=print):
    """Play the same on each version; return the rows of the table."""
    rows = []
    for version in VERSIONS:
        with OfVersion(version) as kafka:
            row = await topics.play(Act(under_fire, called=f"Kafka {version}"), kafka, folder / version, seed, say)
        if version in REPORTED:
            seen = "; ".join(row.findings) or row.seen
            row = replace(row, seen=f"{seen} (reported, not promised)", findings=[])
        rows.append(row)
    say("\n".join([HEAD, *map(str, rows)]))
    return rows


async def under_fire(arena):
    """A worker is killed, paused and stopped, the broker killed and stopped, the model swapped before and after."""
    slowest = 0.0
    for breaks in (_kill_a_worker, _kill_the_broker, _pause_a_worker, _stop_the_broker, _stop_a_worker):
        await arena.swap()
        await breaks(arena)
        slowest = max(slowest, await goes_on(arena, 60))
    receipt = await arena.swap()
    answer = await arena.client.await_swap(receipt)
    assert answer.is_good, answer
    await goes_on(arena)
    return f"{len(arena.verifier.generations)} generations; goes on after {slowest:.0f} s at most"


async def _kill_a_worker(arena):
    arena.deployment.kill(arena.random.choice(arena.workers))
    arena.join()


async def _stop_a_worker(arena):
    arena.signal(arena.random.choice(arena.workers), signal.SIGTERM)
    arena.join()


async def _pause_a_worker(arena):
    name = arena.random.choice(arena.workers)
    arena.signal(name, signal.SIGSTOP)
    await asyncio.sleep(8)  # past its session
    arena.signal(name, signal.SIGCONT)


async def _kill_the_broker(arena):
    await _down(arena, arena.kafka.kill)


async def _stop_the_broker(arena):
    await _down(arena, arena.kafka.stop)


async def _down(arena, end):
    await asyncio.to_thread(end)
    await asyncio.sleep(_DOWN_S)
    await asyncio.to_thread(arena.kafka.start)
