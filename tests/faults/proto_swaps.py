"""How long a stream is without answers at swaps of the model alone, and at swaps to another proto and domain."""

import asyncio
import contextlib
import time
from statistics import median

from faults.arena import MODELS, OPENED_S
from harness.fleet import EXAMPLES
from hotswap.client.change import Change, Rollout

_QUIET_S = 2.0
_TIMES = 2
_KINDS = ALONE, OTHER, BACK = "the model alone", "another proto and domain", "the ones before"


async def proto_swaps(arena, count):
    """Swap the model alone, to another proto, and back, `count` times; compare the longest gaps of the whole stream."""
    await arena.until(arena.are_opened, OPENED_S, "all partitions are opened")
    gaps = {kind: [] for kind in ("no swap", *_KINDS)}
    for number in range(int(count)):
        model = MODELS[1 - number % 2]
        gaps["no swap"].append(await _longest(arena, asyncio.sleep(_QUIET_S)))
        gaps[ALONE].append(await _longest(arena, _swap(arena, Change(model=_model(model), rollout=Rollout()))))
        gaps[OTHER].append(await _longest(arena, _swap_domain(arena, "cancer_gbm", "cancer")))
        gaps[BACK].append(await _longest(arena, _swap_domain(arena, model, "iris")))
        arena.say(f"round {number + 1}: " + ", ".join(f"{kind} {all_of[-1]:.0f} ms" for kind, all_of in gaps.items()))
    medians = {kind: median(all_of) for kind, all_of in gaps.items()}
    arena.figures |= {f"longest gap at {kind}, median of {count:.0f}, ms": round(ms) for kind, ms in medians.items()}
    for kind in (OTHER, BACK):
        times = medians[kind] / medians[ALONE]
        arena.figures[f"{kind}: times that of {ALONE}"] = round(times, 2)
        assert times <= _TIMES, f"the gap at {kind} is {times:.1f} times that of a swap of {ALONE}"


def _model(name):
    return EXAMPLES / "models" / f"{name}.zip"


async def _swap_domain(arena, model, example):
    """Swap to another proto; the publisher rests from before the cut until all workers know it, and then changes over.

    So what it does not publish meanwhile is part of the gap.
    """

    @contextlib.asynccontextmanager
    async def changing_over():
        await arena.publisher.rest()
        yield
        arena.publisher.change_over(example)
        arena.publisher.rate(arena.terms.per_second)

    proto = EXAMPLES / "protos" / f"{example}.proto"
    await _swap(arena, Change(model=_model(model), proto=proto, rollout=Rollout()), changing_over)


async def _swap(arena, change, changing_over=None):
    receipt = await arena.command(change)
    answer = await arena.client.await_swap(receipt, changing_over=changing_over)
    assert answer.is_good, answer
    await arena.until(lambda: receipt.generation in arena.verifier.generations, 30, f"generation {receipt.generation}")


async def _longest(arena, act):
    """Return the longest time in which the whole stream had no answer, ms, from before `act` until after it."""
    begin = time.time()
    await act
    await asyncio.sleep(_QUIET_S)
    end = time.time()
    arrivals = arena.watcher.look(lambda verifier: sorted(at for at in verifier.arrivals if begin <= at <= end))
    return max(after - before for before, after in zip([begin, *arrivals], [*arrivals, end], strict=True)) * 1_000
