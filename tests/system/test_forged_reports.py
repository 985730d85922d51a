"""Reports that a stranger writes to the status topic of a real Kafka: nothing believes that a generation serves."""

import asyncio
import contextlib
import json
import os
import signal
import time

import pytest

from faults.forger import Forger
from harness.command import hotswap
from harness.fleet import EXAMPLES, messages
from hotswap.cli.status import document, overviews
from hotswap.client.serving import follow_serving, serving_schema

MODEL = EXAMPLES / "models" / "iris_glm.zip"


@contextlib.contextmanager
def paused(process):
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


async def forge(forger, before, *worker):
    """Report that each new command's generation serves, and that the worker lives, until cancelled."""
    while True:
        for command_id, generation in (await asyncio.to_thread(forger.commands))[before:]:
            forger.outcome("w1", command_id, generation)
        forger.worker("w1", 1, *worker)
        forger.flush()
        await asyncio.sleep(0.3)


@contextlib.asynccontextmanager
async def forging(deployment, *worker):
    forger = Forger(deployment)
    running = asyncio.create_task(forge(forger, len(forger.commands()), *worker))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("held", [(), (0, 1, 2, 3)], ids=["serves", "serves, and holds every partition"])
async def test_a_swap_is_not_reported_while_the_only_worker_is_stopped(deployment, held):
    await deployment.serve("iris_gbm")
    name = deployment.name
    with paused(deployment.workers["w1"]):
        async with forging(deployment, held):
            _, told = await hotswap(deployment, "swap", name, "--model", MODEL, "--timeout", 12, code=1)
            assert "w1: SERVING" in told
            line = told.strip().splitlines()[-1]
            assert line.startswith("hotswap: generation 2: not confirmed in time: w1 reported that it serves, but the ")
            assert line.endswith(f"committed offsets of group {name} name generation 1 for partitions 0-3")
            assert (await serving_schema(deployment.settings)).generation.number == 2  # it is about to
            async with contextlib.aclosing(follow_serving(deployment.settings)) as following:
                assert (await anext(following)).generation.number == 1
    # The worker goes on, reads the command, and serves it: that is seen without anybody's report.
    async with contextlib.aclosing(follow_serving(deployment.settings)) as following, asyncio.timeout(30):
        async for served in following:
            if served.generation.number == 2:
                break
    printed, _ = await hotswap(deployment, "rollback", name, "--json")
    assert json.loads(printed)["is_good"]


async def test_after_a_flood_of_forged_reports_swaps_and_the_status_are_right_and_in_time(deployment):
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    await asyncio.to_thread(Forger(deployment).flood, 100_000)
    await deployment.publish(messages("iris")[0])
    began = time.monotonic()
    (view,) = map(document, await overviews(deployment.settings))
    assert {part["generation"] for part in view["partitions"]} == {1}
    printed, told = await hotswap(deployment, "swap", deployment.name, "--model", MODEL, "--json")
    assert json.loads(printed)["is_good"], told
    assert json.loads(printed)["generation"] == 2
    assert time.monotonic() - began < 60
    await deployment.drained()
    assert not (await deployment.audit()).faults
