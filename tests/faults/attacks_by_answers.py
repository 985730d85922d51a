"""What somebody who may write to the output topics can do to the workers that open their partitions behind that."""

import asyncio
import json
import random
import time
from datetime import datetime

from faults.stage import WORKERS
from harness.forging import Forger
from hotswap.kafka.topics.admin import Admin

_MANY = 100_000
_OPENING_S = 5.0
_TAKES_OVER_S = 30
_BESIDE_S = 3.0


async def forged_answers(stage):
    """100,000 forged answers in random mixes, and 100,000 more before the workers open their partitions."""
    return await _play(stage, lambda forger, end: forger.mix(random.Random(46), _MANY, end))


async def forged_ahead(stage):
    """One forged answer on each output partition, to a request that is 30 ahead."""

    def forge(forger, end):
        forger.plainly([forger.claim(part, at + 30) for part, at in end.items()])

    return await _play(stage, forge)


async def forged_behind(stage):
    """70 forged answers to the first request of each partition, and an aborted one to its last."""

    def forge(forger, end):
        forger.plainly([forger.claim(part, 0) for part in end for _ in range(70)])
        forger.in_a_transaction([forger.claim(part, at - 1) for part, at in end.items()], "abort")

    return await _play(stage, forge)


async def forged_numbers(stage):
    """Forged answers to request 2^62, and of generation 2^64-1, on both output topics."""

    def forge(forger, end):
        for claim in ((2**62, 1), (1, 2**64 - 1)):
            forger.plainly([forger.claim(part, *claim, is_letter=letter) for part in end for letter in (False, True)])

    return await _play(stage, forge)


async def foreign_transaction(stage):
    """A transaction of a stranger that stays open on each output partition while a worker opens them."""
    forger = Forger(stage.deployment.settings)
    await asyncio.sleep(_BESIDE_S)
    # Readers of committed answers wait behind it, as Kafka has it: that is no effect on the workers.
    stage.over = time.time()
    end = await _ends(stage)
    await asyncio.to_thread(forger.in_a_transaction, [forger.claim(part, at + 30) for part, at in end.items()], "open")
    try:
        opened, lines = await _reopened(stage)
    finally:
        await asyncio.to_thread(forger.close)
    return f"{_said(opened)}, {_moved(lines)} positions moved", opened is not None and not _moved(lines)


async def _play(stage, forge):
    """Forge beside the stream, and again while no worker runs, so that nothing of theirs follows; then they start."""
    forger = Forger(stage.deployment.settings)
    await asyncio.to_thread(forge, forger, await _ends(stage))
    await asyncio.sleep(_BESIDE_S)
    stage.over = time.time()
    opened, lines = await _reopened(stage, lambda end: forge(forger, end))
    counted = sum(line["records"] for line in lines if line["event"] == "partition.foreign_answers")
    is_held = opened is not None and opened <= _OPENING_S and counted and not _moved(lines)
    return f"{_said(opened)}, {counted:,} counted, {_moved(lines)} positions moved", bool(is_held)


async def _reopened(stage, between=lambda _: None):
    """Stop the workers, do something, and start them; return the longest opening, seconds, and what they log."""
    for name in WORKERS:
        await stage.deployment.stop(name)
    before = {name: len(stage.deployment.log(name)) for name in WORKERS}
    end = await _ends(stage)
    await asyncio.to_thread(between, end)
    for name in WORKERS:
        stage.start(name)

    def lines(name):
        told = stage.deployment.log(name)[before[name] :].splitlines(keepends=True)
        return [json.loads(line) for line in told if line.startswith("{") and line.endswith("\n")]

    def are_open():
        return {line["partition"] for name in WORKERS for line in _of("partition.opened", lines(name))} == set(end)

    is_opened = await stage.plane.until(are_open, _TAKES_OVER_S)
    took = [seconds for name in WORKERS for seconds in _times(lines(name))]
    return max(took) if is_opened else None, [line for name in WORKERS for line in lines(name)]


def _times(lines):
    """Yield how long partitions took to open after their assignment, seconds."""
    assigned = 0.0
    for line in lines:
        if line["event"] == "membership.assigned":
            assigned = _at(line)
        elif line["event"] == "partition.opened":
            yield _at(line) - assigned


def _of(event, lines):
    return [line for line in lines if line["event"] == event]


def _moved(lines):
    return len(_of("partition.offset_was_lost", lines) + _of("partition.answers_were_lost", lines))


def _at(line):
    return datetime.fromisoformat(line["time"]).timestamp()


def _said(opened):
    return "a partition did not open" if opened is None else f"opened in {opened:.1f} s at most"


async def _ends(stage):
    async with Admin.connect(stage.deployment.settings) as admin:
        return await admin.end_offsets(stage.topics.requests)
