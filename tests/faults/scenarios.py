"""The proofs under fire, each a short story: what dies, when, and what must hold besides the verifier's verdict."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from faults.arena import Arena, Terms
from faults.everything import everything
from faults.swaps import swaps
from hotswap.failpoints import NAMES

QUICK_SESSION = {"session_timeout_ms": 2_000}
"""A short session, so that a dead worker's partitions move soon and a run of a hundred deaths does not take hours."""

UNFENCED = """
import uuid
from hotswap.kafka import partition
_new = partition.AIOKafkaProducer
partition.AIOKafkaProducer = lambda **given: _new(**given | {"transactional_id": uuid.uuid4().hex})
"""
"""A worker whose producers fence nobody: each has its own transactional id."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What `make NAME` plays; `seconds` is its full length: a time, or a number of what it counts."""

    name: str
    promise: str
    play: Callable[[Arena, float], Awaitable[None]]
    seconds: float = 0
    terms: Terms = field(default_factory=Terms)


async def kills(arena, seconds, every_s=3.0):
    """SIGKILL a random worker every so often, and start another one in its place at once."""
    deaths, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(every_s)
        victim = arena.random.choice(arena.workers)
        arena.deployment.kill(victim)
        arena.join(in_place_of=victim)
        deaths += 1
        if deaths % 20 == 0:
            arena.say(f"{deaths} killed, {arena.verifier.answered} answered, {arena.verifier.counts.total()} findings")
    arena.figures["workers killed"] = deaths


async def kills_and_swaps(arena, seconds):
    """The same, and a swap every 5 s."""
    swapping = asyncio.create_task(arena.swap_for_ever(5))
    try:
        await kills(arena, seconds)
    finally:
        swapping.cancel()
        await asyncio.gather(swapping, return_exceptions=True)


async def kills_by_name(arena, seconds):
    """The same again with static membership: no partition waits for the session of a dead worker to end."""
    await kills_and_swaps(arena, seconds)
    _each_partition_has_moved(arena)


def _each_partition_has_moved(arena, every_s=30):
    slowest = max(arena.verifier.longest_gaps.values())
    assert slowest <= every_s, f"a partition stood still for {slowest:.1f} s"


_STARTS = ("start.joining", "control.received", "stage.begun", "stage.fetched", "stage.ready", "cache.write")
_RARE = ("membership.", "open.", "cut_over.", "retire.", "stop.")


def _count(arena, name):
    """Choose at which pass to strike: late for what happens in every batch, early for what is rare."""
    if name in _STARTS or name.startswith(_RARE):
        return arena.random.randint(1, 2) if name.startswith("open.") else 1
    return arena.random.randint(1, 40)


async def failpoints(arena, times):
    """Kill a worker at every failpoint, `times` times each, two at a time, during swaps and rebalances."""
    swapping = asyncio.create_task(arena.swap_for_ever(6))
    queue = [name for name in NAMES for _ in range(int(times))]
    arena.random.shuffle(queue)
    hits, misses = Counter(), Counter()

    async def strike():
        while queue:
            name = queue.pop()
            if await _struck(arena, name):
                hits[name] += 1
            else:
                misses[name] += 1
                assert misses[name] <= times, f"workers do not come to {name}"
                queue.insert(0, name)
            if hits.total() % 20 == 0:
                arena.say(f"{hits.total()} killed, {len(queue)} to go, {arena.verifier.answered} answered")

    try:
        await asyncio.gather(strike(), strike())
    finally:
        swapping.cancel()
        await asyncio.gather(swapping, return_exceptions=True)
    arena.figures["failpoints"] = f"{len(NAMES)}, each killed at {min(hits[name] for name in NAMES)} times"
    arena.figures["workers that did not come to theirs"] = misses.total()


async def kills_in_doubt(arena, times, name="commit.acknowledged"):
    """Kill `times` workers, one after the other, between the write of their answers and the commit of the offset."""
    hits = misses = 0
    while hits < times:
        if await _struck(arena, name):
            hits += 1
        else:
            misses += 1
            assert misses <= times, f"workers do not come to {name}"
    arena.figures["workers killed"] = hits


async def _struck(arena, name):
    """Start a worker that is to die at the failpoint; return whether it did."""
    cache = arena.folder / f"cache-{arena.random.getrandbits(32):x}"
    own_cache = {"HOTSWAP_CACHE": str(cache)} if name == "cache.write" else {}
    worker = arena.join(failpoints=f"{name}=kill@{_count(arena, name)}", **own_cache)
    process = arena.deployment.workers[worker]
    with contextlib.suppress(AssertionError):
        if name.startswith("stop."):
            await arena.is_serving(worker)
            process.send_signal(signal.SIGTERM)
        await arena.until(lambda: process.poll() is not None, 40, f"{worker} dies at {name}")
    was_hit = process.poll() == -signal.SIGKILL
    if not was_hit:
        arena.say(f"{worker} never came to {name}: {arena.deployment.log(worker)[-300:]}")
    arena.deployment.kill(worker)
    return was_hit


_STEPS = tuple(name for name in NAMES if name.startswith(("open.", "batch.", "commit.")))


async def zombies(arena, count, steps=_STEPS):
    """Stop workers at a random step until they have lost their partitions, and let them wake in the middle of it."""
    woken = Counter()

    async def haunt():
        while sum(woken.values()) < count:
            worker = arena.join(failpoints=_random_stops(arena, steps, 12))
            process = arena.deployment.workers[worker]
            while process.poll() is None and sum(woken.values()) < count:
                try:
                    await arena.until(lambda: arena.is_stopped(worker), 40, f"{worker} stops")  # noqa: B023
                except (AssertionError, FileNotFoundError):
                    break
                step, said = _step_of(arena, worker), len(arena.deployment.log(worker))
                took_over = await _taken_over(arena)
                process.send_signal(signal.SIGCONT)
                # It must have done its worst before it is killed: it logs a line at the end of that.
                with contextlib.suppress(AssertionError):
                    await arena.until(lambda: len(arena.deployment.log(worker)) > said, 10, f"{worker} wakes up")  # noqa: B023
                woken[step] += took_over
                if took_over and sum(woken.values()) % 10 == 0:
                    arena.say(f"{sum(woken.values())} zombies woken, {arena.verifier.counts.total()} findings")
            process.send_signal(signal.SIGCONT)
            arena.deployment.kill(worker)

    await asyncio.gather(haunt(), haunt())
    arena.figures["zombies woken"] = woken.total()
    arena.figures["zombies woken at"] = dict(sorted(woken.items()))


def _random_stops(arena, steps, count):
    stops = (f"{arena.random.choice(steps)}=stop@{arena.random.randint(1, 60)}" for _ in range(count))
    return ",".join(stops)


def _step_of(arena, worker):
    return arena.deployment.log(worker).rpartition('"failpoint": "')[2].partition('"')[0]


async def _taken_over(arena):
    """Wait until the group has continued without the stopped worker."""
    before = _openings(arena)
    try:
        await arena.until(lambda: _openings(arena) > before, 15, "its partitions are opened by another worker")
    except AssertionError:
        return False
    await asyncio.sleep(arena.random.uniform(0, 1))
    return True


def _openings(arena):
    running = [name for name in arena.workers if not arena.is_stopped(name)]
    return sum(arena.deployment.log(name).count('"partition.opened"') for name in running)


async def broker(arena, seconds):
    """Kill the broker five times, then leave it down for `seconds`; the fleet must recover by itself."""
    before = set(arena.workers)
    slowest = 0.0
    for pause in [*(arena.random.uniform(0, 3) for _ in range(5)), seconds]:
        await asyncio.sleep(arena.random.uniform(3, 6))
        await asyncio.to_thread(arena.kafka.kill)
        arena.say(f"broker killed, down for {pause:.1f} s")
        await asyncio.sleep(pause)
        await asyncio.to_thread(arena.kafka.start)
        answered, up = arena.verifier.answered, time.monotonic()
        await arena.until(lambda: arena.verifier.answered > answered, 60, "answers come again")  # noqa: B023
        slowest = max(slowest, time.monotonic() - up)
        arena.say(f"answers again {time.monotonic() - up:.1f} s after the broker was back")
    arena.figures["goes on after the broker's return within, s"] = round(slowest, 1)
    assert slowest <= 30, "the fleet did not recover within 30 s"
    assert set(arena.workers) == before, "a worker ended because of its broker"


async def storm(arena, seconds):
    """A worker joins, another leaves, every 2 s."""
    until, moves = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        await asyncio.sleep(2)
        if moves % 2 == 0:
            arena.join()
        else:
            arena.signal(arena.random.choice(arena.workers), signal.SIGTERM)
        moves += 1
        if moves % 30 == 0:
            gaps = arena.verifier.longest_gaps
            arena.say(f"{moves} joins and leaves, longest gap so far {max(gaps.values(), default=0):.1f} s")
    arena.figures["joins and leaves"] = moves
    arena.figures["rebalances"] = sum(
        arena.deployment.log(path.stem).count('"membership.assigned"') for path in arena.folder.glob("w*.log")
    )
    _each_partition_has_moved(arena)


async def drain(arena, _):
    """SIGTERM each worker in turn, as in a rolling upgrade; the next one once the new one has opened partitions."""
    for worker in list(arena.workers):
        await asyncio.sleep(3)
        process = arena.deployment.workers[worker]
        arena.signal(worker, signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, 20)
        assert code == 0, f"{worker} ended with {code}: {arena.deployment.log(worker)[-500:]}"
        await arena.is_serving(arena.join())
    await asyncio.sleep(3)
    logs = [path.read_text() for path in arena.folder.glob("w*.log")]
    recycled = sum(log.count('"partition.recycled"') for log in logs)
    gaps = {partition: round(gap, 2) for partition, gap in sorted(arena.verifier.longest_gaps.items())}
    arena.figures["longest gap by partition, s"] = gaps
    arena.figures["transactions given up"] = recycled
    assert recycled == 0, "a batch was abandoned, so its requests were delivered again"


FULL_LOAD = Terms(partitions=12, per_second=1_000, workers=3)
UNDER_ZOMBIES = Terms(workers=2, settings=QUICK_SESSION)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="kills",
            promise="a random worker of three is killed every 3 s: nothing lost, nothing twice, order kept",
            play=kills,
            seconds=600,
            terms=FULL_LOAD,
        ),
        Scenario(
            name="kills-swaps",
            promise="the same, with a swap every 5 s",
            play=kills_and_swaps,
            seconds=600,
            terms=FULL_LOAD,
        ),
        Scenario(
            name="kills-named",
            promise="the same with static membership, and each partition moves at least every 30 s",
            play=kills_by_name,
            seconds=600,
            terms=replace(FULL_LOAD, is_static=True),
        ),
        Scenario(
            name="failpoints",
            promise="a worker is killed between any two steps of its work, ten times each",
            play=failpoints,
            seconds=10,
            terms=Terms(workers=2, settings=QUICK_SESSION),
        ),
        Scenario(
            name="zombies",
            promise="a hundred workers wake up in the middle of a transaction that is no longer theirs",
            play=zombies,
            seconds=100,
            terms=UNDER_ZOMBIES,
        ),
        Scenario(
            name="broker",
            promise="the broker is killed five times and then down for a minute; the fleet recovers by itself",
            play=broker,
            seconds=60,
        ),
        Scenario(
            name="storm",
            promise="a worker joins or leaves every 2 s, and each partition moves at least every 30 s",
            play=storm,
            seconds=300,
        ),
        Scenario(
            name="drain",
            promise="each worker in turn is asked to stop under load: nothing is delivered again",
            play=drain,
            terms=Terms(partitions=6, per_second=500),
        ),
        Scenario(
            name="swaps",
            promise="a thousand swaps under 500 requests/s: the stream does not feel them, and nothing is left behind",
            play=swaps,
            seconds=1_000,
            terms=Terms(per_second=500, workers=1),
        ),
        Scenario(
            name="everything",
            promise="all kinds of faults, overlapping; in a quarter of the time none begins",
            play=everything,
            seconds=600,
            terms=Terms(settings={"deadline_ms": 3_000}, is_proxied=True),
        ),
        Scenario(
            name="at-least-once",
            promise="delivery=at_least_once under the same kills: duplicates are allowed, losses are not",
            play=kills,
            seconds=60,
            terms=Terms(settings={"delivery": "at_least_once"}, verified_as="at_least_once"),
        ),
    )
}

RED = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="red-at-least-once",
            promise="the verifier's own proof: an at-least-once fleet, verified as exactly once",
            # A death there is what fencing and transactions are for: the answers are written, their offset is not. A
            # random moment is seldom that one.
            play=kills_in_doubt,
            seconds=10,
            terms=Terms(workers=2, settings={"delivery": "at_least_once"} | QUICK_SESSION),
        ),
        Scenario(
            name="red-unfenced",
            promise="the verifier's own proof: a fleet without fencing",
            # Inside a transaction: a zombie that wakes elsewhere has nothing to commit, and does no harm unfenced.
            play=partial(zombies, steps=("commit.acknowledged", "commit.offsets_sent")),
            seconds=15,
            terms=Terms(workers=2, settings=QUICK_SESSION, prelude=UNFENCED),
        ),
    )
}
"""Runs in which the verifier must find something."""
