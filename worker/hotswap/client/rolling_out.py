"""A staged generation comes to its partitions: once all workers are ready it is promoted, step by step if asked for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import TypeAlias

from hotswap.client.change import Receipt
from hotswap.client.fleet import FleetAnswer
from hotswap.errors import NotReady, SwapError
from hotswap.printable import numbers
from hotswap.swap.command import Outcome

Promote: TypeAlias = Callable[[int, Collection[int] | None, float | None], Awaitable[Receipt]]
Abandon: TypeAlias = Callable[[int], Awaitable[Receipt]]


async def roll_out(
    receipt: Receipt,
    promote: Promote,
    abandon: Abandon,
    follow: Callable[[Receipt], Awaitable[FleetAnswer]],
    on_step: Callable[[str], None],
) -> FleetAnswer:
    """Wait for the fleet to stage a generation, promote it, and return the answer to the last step.

    `promote` and `abandon` are a client's; `follow` returns the fleet's answer to a command; `on_step` is called with
    what has been done. If it fails on a worker it is abandoned. If a worker is late, it remains as it is. One that
    joins meanwhile is waited for, too.

    Raises:
        SwapError: a promotion was refused, since another command came first.
        NotReady: workers join faster than they are ready.

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
        promoted = await _promoted(promote, receipt, partitions, follow)
        if isinstance(promoted, FleetAnswer):
            on_step(await _ended(abandon, receipt, promoted, is_begun=place > 0))
            return promoted
        # Workers report SERVING to the command that staged it, once all is promoted.
        whole = replace(receipt, rollout=None, cut=promoted.cut)
        answer = await follow(whole if partitions is None else promoted)
        if not answer.is_good:
            break
        if partitions is not None:
            on_step(f"generation {number} scores partitions {numbers(partitions)}")
    return answer


async def _promoted(
    promote: Promote,
    receipt: Receipt,
    partitions: Collection[int] | None,
    follow: Callable[[Receipt], Awaitable[FleetAnswer]],
) -> Receipt | FleetAnswer:
    """Promote once the workers that have joined meanwhile are ready; return the fleet's answer if one never is."""
    give_up = time.monotonic() + receipt.deadline_s
    while True:
        try:
            return await promote(receipt.generation, partitions, receipt.rollout.at_s if receipt.rollout else None)
        except NotReady:
            if time.monotonic() > give_up:
                raise
        answer = await follow(receipt)
        if not answer.is_good:
            return answer


async def _ended(abandon: Abandon, receipt: Receipt, answer: FleetAnswer, *, is_begun: bool = False) -> str:
    """Abandon a generation that failed on a worker; return what became of it. `is_begun`: it has partitions."""
    number = receipt.generation
    failed = sorted(worker for worker, told in answer.told.items() if told.outcome is Outcome.FAILED)
    if failed:
        try:
            await abandon(number)
        except SwapError as refused:
            return f"generation {number} could not be abandoned: {refused.message}"
        what = "its partitions go back" if is_begun else "nothing that serves has changed"
        return f"generation {number} failed on {', '.join(failed)} and was abandoned: {what}"
    if answer.missing:
        return f"generation {number} remains staged: `hotswap promote` or `hotswap abandon` ends that"
    return f"generation {number} was not promoted"
