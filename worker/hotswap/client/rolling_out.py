"""A staged generation comes to its partitions: once all workers are ready it is promoted, step by step if asked for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import TypeAlias

from hotswap.client.change import Receipt
from hotswap.client.fleet import FleetAnswer
from hotswap.errors import SwapError
from hotswap.printable import numbers
from hotswap.swap.command import Outcome

Abandon: TypeAlias = Callable[[int], Awaitable[Receipt]]


async def roll_out(
    receipt: Receipt,
    promote: Callable[[int, Collection[int] | None], Awaitable[Receipt]],
    abandon: Abandon,
    follow: Callable[[Receipt], Awaitable[FleetAnswer]],
    on_step: Callable[[str], None],
) -> FleetAnswer:
    """Wait for the fleet to stage a generation, promote it, and return the answer to the last step.

    `promote` and `abandon` are a client's; `follow` returns the fleet's answer to a command; `on_step` is called with
    what has been done. If it fails on a worker it is abandoned. If a worker is late, it remains staged.

    Raises:
        SwapError: a promotion was refused, since another command came first.

    """
    answer = await follow(receipt)
    if not answer.is_good:
        on_step(await _ended(abandon, receipt, answer))
        return answer
    rollout, number = receipt.rollout, receipt.generation
    assert rollout is not None, "only a staged generation is rolled out"
    if (wait_s := (rollout.at_s or 0.0) - time.time()) > 0:
        on_step(f"generation {number} is staged, and will be promoted in {wait_s:.0f} s")
        await asyncio.sleep(wait_s)
    for place, partitions in enumerate(receipt.steps):
        if place:
            await asyncio.sleep(rollout.pause_s)
        promoted = await promote(number, partitions)
        # Workers report SERVING to the command that staged it, once all is promoted.
        whole = replace(receipt, rollout=None, cut=promoted.cut)
        answer = await follow(whole if partitions is None else promoted)
        if not answer.is_good:
            break
        if partitions is not None:
            on_step(f"generation {number} scores partitions {numbers(partitions)}")
    return answer


async def _ended(abandon: Abandon, receipt: Receipt, answer: FleetAnswer) -> str:
    """Abandon a generation that failed on a worker; return what became of it."""
    number = receipt.generation
    failed = sorted(worker for worker, told in answer.told.items() if told.outcome is Outcome.FAILED)
    if failed:
        try:
            await abandon(number)
        except SwapError as refused:
            return f"generation {number} could not be abandoned: {refused.message}"
        return f"generation {number} failed on {', '.join(failed)} and was abandoned: nothing that serves has changed"
    if answer.missing:
        return f"generation {number} remains staged: `hotswap promote` or `hotswap abandon` ends that"
    return f"generation {number} was not promoted"
