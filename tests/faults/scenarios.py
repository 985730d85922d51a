"""The proofs under fire, each a short story: what dies, when, and what must hold besides the verifier's verdict."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial

from faults.arena import OPENED_S, Arena, Terms
from faults.at_failpoints import failpoints, kills_in_doubt, zombies
from faults.brokers import proxied_cluster, proxied_kafka
from faults.cluster import cluster
from faults.epochs import epochs
from faults.everything import everything
from faults.kinds_in_turn import ALL_KINDS, kinds_in_turn
from faults.late_copies import late_copies
from faults.proto_swaps import proto_swaps
from faults.rollouts import Partly, rollouts
from faults.scaling import as_deployed, scaling
from faults.swaps import swaps
from faults.transaction_versions import transaction_versions

QUICK_SESSION = {"session_timeout_ms": 2_000}
"""A short session, so that a dead worker's partitions move soon and a run of a hundred deaths does not take hours."""

UNFENCED = """
import uuid
from hotswap.kafka.transactions import alternating
alternating.transactional_ids = lambda *_: (uuid.uuid4().hex, uuid.uuid4().hex)
"""
"""A worker whose producers fence nobody: each has its own transactional id."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What `make NAME` plays; `seconds` is its full length: a time, or a number of what it counts.

    `brokers` provides the Kafka and what is before it, for a with-block.
    """

    name: str
    promise: str
    play: Callable[[Arena, float], Awaitable[None]]
    seconds: float = 0
    terms: Terms = field(default_factory=Terms)
    brokers: Callable[..., AbstractAsyncContextManager] = proxied_kafka
    arena: type[Arena] = Arena


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


async def takeover(arena, seconds):
    """Kill one worker of three; the others open its partitions, and go on meanwhile with their own."""
    await arena.until(arena.are_opened, OPENED_S, "all partitions are opened")
    await asyncio.sleep(seconds / 2)
    victim = arena.random.choice(arena.workers)
    moved = set(arena.events(victim, "membership.assigned")[-1]["partitions"])
    before = len(arena.opened())
    arena.verifier.longest_gaps.clear()
    arena.deployment.kill(victim)
    await asyncio.sleep(seconds)
    gaps = arena.verifier.longest_gaps
    silent = {
        what: max((gap for partition, gap in gaps.items() if (partition in moved) == (what == "moved")), default=0)
        for what in ("moved", "stayed")
    }
    arena.figures |= {"moved": len(moved), "opened anew": len(arena.opened()) - before}
    arena.figures |= {f"longest gap of one that {what}, s": round(gap, 2) for what, gap in silent.items()}
    assert arena.figures["opened anew"] == len(moved), "partitions that stay were opened anew"
    assert silent["moved"] <= 12, f"a partition that moved stood still for {silent['moved']:.1f} s"
    assert silent["stayed"] <= 2, f"a partition that stayed stood still for {silent['stayed']:.1f} s"


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
    recycled = arena.events_of_all("partition.recycled")
    gaps = {partition: round(gap, 2) for partition, gap in sorted(arena.verifier.longest_gaps.items())}
    arena.figures["longest gap by partition, s"] = gaps
    arena.figures["transactions given up"] = len(recycled)
    assert not recycled, f"a batch was abandoned, so its requests were delivered again: {recycled[0]}"


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
            name="kinds",
            promise="H2O, ONNX, XGBoost, a jar, LightGBM, Spark and functions with NumPy 1 and 2 take each other's "
            "place, and a worker is killed while each is staged, and while it serves",
            play=kinds_in_turn,
            seconds=600,
            terms=Terms(per_second=100, settings=QUICK_SESSION | ALL_KINDS),
        ),
        Scenario(
            name="failpoints",
            promise="a worker is killed between any two steps of its work, ten times each",
            play=failpoints,
            seconds=10,
            # Two for each of four workers: of four, one that joins would open one, and never come to its second pass.
            terms=Terms(partitions=8, workers=2, settings=QUICK_SESSION),
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
            name="takeover",
            promise="one of three workers dies: its partitions go on within 12 s, and the others' within 2 s",
            play=takeover,
            seconds=30,
            terms=Terms(partitions=1_000, per_second=100),
        ),
        Scenario(
            name="drain",
            promise="each worker in turn is asked to stop under load: nothing is delivered again",
            play=drain,
            terms=Terms(partitions=6, per_second=500),
        ),
        Scenario(
            name="scaling",
            promise="3 workers become 2, then 4, as a StatefulSet does it by the settings of ops/kubernetes, and swap "
            "meanwhile: no partition waits for a session to end",
            play=scaling,
            seconds=90,
            terms=Terms(partitions=12, per_second=500, is_static=True, settings=as_deployed()),
        ),
        Scenario(
            name="swaps",
            promise="a thousand swaps under 500 requests/s: the stream does not feel them, and nothing is left behind",
            play=swaps,
            seconds=1_000,
            terms=Terms(per_second=500, workers=1),
        ),
        Scenario(
            name="rollouts",
            promise="generations come to a canary, to some partitions at a time, or are staged with another proto, and "
            "are promoted or abandoned while workers die, sleep or come and go: none scores what it was not given",
            play=rollouts,
            seconds=720,
            terms=Terms(partitions=8, keys=40, settings=QUICK_SESSION),
            arena=Partly,
        ),
        Scenario(
            name="proto-swaps",
            promise="swaps to another proto and domain, whose publisher changes over at the cut, interrupt a stream of "
            "1,000 requests/s at most twice as long as swaps of the model alone",
            play=proto_swaps,
            seconds=5,
            terms=Terms(per_second=1_000, workers=2),
            arena=Partly,
        ),
        Scenario(
            name="everything",
            promise="all kinds of faults, overlapping; in a quarter of the time none begins",
            play=everything,
            seconds=600,
            terms=Terms(settings={"deadline_ms": 3_000}, is_proxied=True),
        ),
        Scenario(
            name="cluster",
            promise="one of three brokers at a time is killed, stopped, paused or cut off, two are once down for a "
            "minute, and workers and models come and go meanwhile",
            play=cluster,
            seconds=600,
            terms=Terms(partitions=12, copies=3, is_proxied=True),
            brokers=proxied_cluster,
        ),
        Scenario(
            name="late-copies",
            promise="Produce, TxnOffsetCommit and EndTxn arrive once more after their transaction's end: none "
            "touches a later transaction of version 2",
            play=late_copies,
            seconds=1_000,
            terms=Terms(partitions=12, is_proxied=True, settings=QUICK_SESSION),
        ),
        Scenario(
            name="transaction-versions",
            promise="the cluster's transaction.version is lowered and raised again under load, and workers are killed",
            play=transaction_versions,
            seconds=120,
            terms=Terms(is_proxied=True, settings=QUICK_SESSION),
        ),
        Scenario(
            name="epochs",
            promise="both transactional ids of a partition run out of epochs, so that Kafka gives them other producer "
            "ids, and workers are killed around that",
            play=epochs,
            seconds=60,
            terms=Terms(settings=QUICK_SESSION),
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
