"""The plays that strike a worker between two given steps of its work: it dies there, or stops and wakes up too late."""

import asyncio
import contextlib
import signal
from collections import Counter

from hotswap.failpoints import NAMES

_STARTS = ("start.joining", "control.received", "stage.begun", "stage.fetched", "stage.ready", "cache.write")
_RARE = ("membership.", "open.", "cut_over.", "retire.", "stop.", "batch.written")


def _count(arena, name):
    """Choose at which pass to strike: late for what happens in every batch, early for what is rare."""
    if name in _STARTS or name.startswith(_RARE):
        return arena.random.randint(1, 2) if name.startswith(("open.", "batch.")) else 1
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


async def kills_in_doubt(arena, times):
    """Kill `times` workers, one after the other, between the write of their answers and the commit of the offset."""
    hits = misses = 0
    while hits < times:
        if await _struck(arena, "commit.acknowledged"):
            hits += 1
        else:
            misses += 1
            assert misses <= times, "workers do not come to commit.acknowledged"
    arena.figures["workers killed"] = hits


async def _struck(arena, name):
    """Start a worker that is to die at the failpoint; return whether it did."""
    own = {}
    if name == "cache.write":
        own["HOTSWAP_CACHE"] = str(arena.folder / f"cache-{arena.random.getrandbits(32):x}")
    elif name == "batch.written":  # only a full batch is followed by another one in its transaction
        own["HOTSWAP_MAX_BATCH_RECORDS"] = "10"
    worker = arena.join(failpoints=f"{name}=kill@{_count(arena, name)}", **own)
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
