"""What somebody who may write to the status topic, and nothing else, can have others believe."""

import asyncio
import contextlib
import json
import os
import signal
import time

from faults.forger import Forger
from harness.fleet import EXAMPLES

_MODEL = str(EXAMPLES / "models" / "iris_glm.zip")
_FLOOD = 100_000
_SWAP_S = 120.0
_STATUS_S = 60.0
_ANSWERED_S = 3.0


async def swap_without_a_worker(stage):
    """SERVING of every swap, forged while all workers are stopped."""
    forger, workers = Forger(stage.deployment), stage.alive
    before = len(await asyncio.to_thread(forger.commands))
    await asyncio.sleep(_ANSWERED_S)
    stage.over = time.time()
    await asyncio.sleep(_ANSWERED_S)  # what was published until then
    for name in workers:
        os.kill(stage.pid(name), signal.SIGSTOP)
    try:
        async with _repeating(lambda: _serving(forger, before, workers)):
            code, told = await stage.command_line("swap", "--model", _MODEL, "--timeout", "8")
    finally:
        for name in workers:
            os.kill(stage.pid(name), signal.SIGCONT)
    why = told.strip().splitlines()[-1].rpartition("but ")[2]
    return f"swap exits {code}: {why}", code == 1 and "committed offsets" in told


async def reports_in_random_mixes(stage):
    """100,000 forged reports of workers, outcomes and holds, and more of them all along."""
    forger = Forger(stage.deployment)
    known = await asyncio.to_thread(forger.commands)
    await asyncio.to_thread(forger.flood, _FLOOD)
    stage.over = time.time()
    # A failure of the next swap could be forged as well, and its command would report that.
    async with _repeating(lambda: forger.flood(200, ("ghost",), known)):
        began = time.monotonic()
        _, shown = await stage.command_line("status", "--json")
        status_s = time.monotonic() - began
        code, told = await stage.command_line("swap", "--model", _MODEL, "--timeout", "40", "--json")
        swap_s = time.monotonic() - began - status_s
        served = {part["generation"] for part in json.loads(_json(shown))[0]["partitions"]}
        number = json.loads(_json(told))["generation"] if code == 0 else 0
        _, later = await stage.command_line("status", "--json")
    serves = {part["generation"] for part in json.loads(_json(later))[0]["partitions"]}
    why = f" ({told.strip().splitlines()[-1][:200]})" if code else ""
    seen = f"status in {status_s:.0f} s: {served}; swap exits {code}{why} in {swap_s:.0f} s; then {serves}"
    are_right = len(served) == 1 and code == 0 and serves == {number}
    return seen, are_right and status_s < _STATUS_S and swap_s < _SWAP_S


def _json(shown):
    """The document in a command's output, to which what it notes is appended."""
    begin = min(at for at in (shown.find("{"), shown.find("[")) if at >= 0)
    return json.dumps(json.JSONDecoder().raw_decode(shown[begin:])[0])


def _serving(forger, before, workers):
    for command_id, generation in forger.commands()[before:]:
        for name in workers:
            forger.outcome(name, command_id, generation)
    for name in workers:
        forger.worker(name, 1)
    forger.flush()


@contextlib.asynccontextmanager
async def _repeating(do):
    async def repeat():
        while True:
            await asyncio.to_thread(do)
            await asyncio.sleep(0.3)

    repeating = asyncio.create_task(repeat())
    try:
        yield
    finally:
        repeating.cancel()
        await asyncio.gather(repeating, return_exceptions=True)
