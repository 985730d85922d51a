"""What the benchmark promises about its measurements, and that it and the demo leave nothing behind when killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import pairwise

import psutil
import pytest

from fakes.processes import gone
from harness.fleet import EXAMPLES, ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from publisher import TICK_S
from stream import Stream

LATE_S = 0.7
# On a busy machine, its workers take longer to report than it waits: it would end before it is killed.
PATIENTLY = """
import runpy, sys
from hotswap.client import following
following.SILENCE_S = 600.0
del sys.argv[0]
sys.path[0] = sys.argv[0].rpartition("/")[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
DEMO = ["-c", PATIENTLY, EXAMPLES / "demo.py", "--seconds", "60"]
BENCH = [ROOT / "benchmarks" / "bench.py", "contenders"]


async def test_what_a_stalled_publisher_sends_late_counts_from_when_it_was_due(deployment):
    requests = deployment.settings.topics.requests
    settings = deployment.settings.model_copy(update={"predictions_topic": requests})
    async with Stream(settings) as flow:
        assert await flow.first(0, lambda _: True)
        flow.publisher.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        await asyncio.sleep(LATE_S)  # the stall is what is tested
        flow.publisher.send_signal(signal.SIGCONT)
        resumed = time.monotonic()
        assert await flow.first(0, lambda answer: answer.at - answer.took > resumed + 1)

        def late() -> dict[float, float]:
            times = ((answer.at - answer.took, answer.took) for answer in flow.arrived)
            return {due: took for due, took in times if stopped < due < resumed}

        # Each tick goes to another partition, and one may be read later than the others.
        assert await flow.first(0, lambda _: longest_gap(late()) < 2 * TICK_S), "some were left out"
        assert max(late().values()) > LATE_S - 0.1


def longest_gap(due: Iterable[float]) -> float:
    """Return the longest time between two that follow each other, seconds."""
    return max(after - before for before, after in pairwise(sorted(due)))


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        pytest.param(DEMO, ["hotswap run", "hotswap.host.child"], id="demo"),
        pytest.param(BENCH, ["kafka.Kafka", "hotswap run", "publisher.py", "reader.py"], id="benchmark"),
    ],
)
async def test_a_killed_command_leaves_no_process_behind(command, needed, kafka, tmp_path):
    # The demo uses a Kafka that keeps running: without one, its workers might end by themselves.
    environment = os.environ | {
        "TMPDIR": str(tmp_path), "HOTSWAP_KAFKA": kafka.bootstrap, "HOTSWAP_CALL_TIMEOUT_S": "60",
    }  # fmt: skip
    program = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        started = await everything(psutil.Process(program.pid), needed)
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()
    for pid in started:
        await gone(pid)


async def everything(program, needed):
    """Wait until the needed processes are among a process's descendants; return process id -> command line."""
    async with asyncio.timeout(120):
        while True:
            assert psutil.pid_exists(program.pid), "it has ended"
            found = {}
            for one in program.children(recursive=True):
                try:
                    found[one.pid] = " ".join(one.cmdline())
                except psutil.Error:
                    continue  # it has just ended
            if all(any(word in line for line in found.values()) for word in needed):
                return found
            await asyncio.sleep(0.05)
