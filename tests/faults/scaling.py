"""A fleet that a StatefulSet scales, by the settings of ops/kubernetes: the highest ordinal leaves, and comes back."""

import asyncio
import signal
import time

from faults.arena import OPENED_S
from harness.fleet import ROOT

_SETTINGS = ROOT / "ops" / "kubernetes" / "base" / "settings.env"
_OF_MEMBERSHIP = ("session_timeout_ms", "leave_group_on_stop", "stop_timeout_s")


def as_deployed():
    """Return what the manifests say of a worker's membership."""
    lines = [line.partition("=") for line in _SETTINGS.read_text().splitlines() if line.startswith("HOTSWAP_")]
    told = {name.removeprefix("HOTSWAP_").lower(): value for name, _, value in lines}
    return {name: told[name] for name in _OF_MEMBERSHIP if name in told}


async def scaling(arena, seconds):
    """From 3 workers to 2 and to 4, each time amidst a swap; then one is killed, and comes back under its name."""
    _, second, third = arena.workers
    pause = seconds / 9
    # Which the partitions of a named member that neither leaves nor comes back wait for.
    session_s = arena.deployment.settings.session_timeout_ms / 1_000
    steps = {
        "from 3 to 2": lambda: _scale_in(arena, third),
        "from 2 to 4": lambda: _scale_out(arena, third),
        "when one was killed and came back": lambda: _restart(arena, second),
    }
    await arena.until(arena.are_opened, OPENED_S, "all partitions are opened")
    gaps = {}
    for told, step in steps.items():
        await asyncio.sleep(pause)
        arena.verifier.longest_gaps.clear()
        await arena.swap()
        began = time.monotonic()
        await step()
        await arena.until(arena.are_opened, OPENED_S, f"all partitions are opened {told}")
        took = time.monotonic() - began
        await asyncio.sleep(pause)
        gaps[told] = dict(arena.verifier.longest_gaps)
        slowest = max(gaps[told].values())
        arena.figures |= {f"longest gap {told}, s": round(slowest, 2), f"shared out {told} after, s": round(took, 1)}
        arena.say(f"{told}: shared out after {took:.1f} s, longest gap of a partition {slowest:.2f} s")
        assert slowest < session_s, f"a partition stood still for {slowest:.1f} s {told}"
    arena.verifier.longest_gaps |= {
        partition: max(of[partition] for of in gaps.values() if partition in of)
        for partition in set().union(*gaps.values())
    }
    await arena.until(lambda: len(arena.verifier.generations) == 1 + len(steps), 60, "each swap has answered")


async def _scale_in(arena, name):
    """Stop the highest ordinal, as a scale-in does; its name leaves the group with it."""
    process = arena.deployment.workers[name]
    arena.signal(name, signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 30)
    assert code == 0, f"{name} ended with {code}: {arena.deployment.log(name)[-500:]}"


async def _scale_out(arena, name):
    """Start the pod of that ordinal again, and beside it one that is new (podManagementPolicy: Parallel)."""
    arena.join(in_place_of=name, HOTSWAP_WORKER_ID=name)
    arena.join()


async def _restart(arena, name):
    """Kill a worker and start it again in its pod, as a kubelet does: it takes its partitions back by its name."""
    rebalances = len(arena.events(arena.workers[0], "membership.revoked"))
    arena.deployment.kill(name)
    await arena.is_serving(arena.join(in_place_of=name, HOTSWAP_WORKER_ID=name))
    assert len(arena.events(arena.workers[0], "membership.revoked")) == rebalances, "the others noticed a restart"
