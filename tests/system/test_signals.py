"""A worker that is told to stop exits with 0, not by the signal, from the first line of its program on."""

import asyncio
import os
import signal
import sys

import pytest

from harness.fleet import ROOT

HOOK = """
import os, signal, sys
is_over = False
def strike(event, given):
    global is_over
    if not is_over and event == os.environ["AT_EVENT"] and str(given[0]).startswith(os.environ["AT_WHAT"]):
        is_over = True
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
sys.addaudithook(strike)
"""
"""A sitecustomize.py: the process signals itself at the first event of a kind, not after some time."""

ENTRANCES = {
    "module": ("-m", "hotswap"),
    "script": ("-c", "import re, sys; from hotswap.__main__ import main; sys.exit(main())"),
}
MOMENTS = {
    "first line": ("import", "hotswap.cli.main"),
    "settings": ("import", "pydantic"),
    "client of Kafka": ("import", "aiokafka"),
    "the worker itself": ("import", "hotswap.service"),
    "first socket": ("socket.__new__", ""),
    "Kafka is asked for": ("socket.connect", ""),
}


@pytest.fixture(autouse=True)
def sigint():
    """Let the processes of a test have Ctrl-C's usual effect, which those of a background job ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    return tmp_path


async def exit_code(folder, *command, number=signal.SIGTERM, event="import", what="hotswap.cli.main"):
    """Return how a process ends that gets the signal at that moment; it has no Kafka. It must not leave a traceback."""
    environment = {"PYTHONPATH": f"{folder}:{ROOT / 'worker'}", "AT_EVENT": event, "AT_WHAT": what}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command,
        env={**os.environ, **environment, "SIGNAL": str(int(number))}, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert b"Traceback" not in said
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("entrance", ENTRANCES)
async def test_a_signal_ends_a_worker_with_0_at_each_moment_of_its_start(folder, entrance, number):
    (folder / "hotswap.toml").touch()
    config = ("--config", "hotswap.toml") if entrance == "module" else ("--config=hotswap.toml",)
    run = (*ENTRANCES[entrance], *config, "run", "d", "--kafka", "127.0.0.1:9")
    ends = [exit_code(folder, *run, number=number, event=event, what=what) for event, what in MOMENTS.values()]
    codes = await asyncio.gather(*ends)
    assert dict(zip(MOMENTS, codes, strict=True)) == dict.fromkeys(MOMENTS, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_command_that_is_not_a_worker_ends_by_the_signal(folder, number):
    assert await exit_code(folder, "-m", "hotswap", "status", "d", number=number) == -number
