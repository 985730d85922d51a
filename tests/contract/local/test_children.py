"""The end of a child is an event: it is not looked for again and again, and nothing is left of the wait."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.local.children import has_ended

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child is looked for every 20 ms")


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.stdin.close()
    process.kill()
    process.wait()


def descriptors():
    return len([*Path("/proc/self/fd").iterdir()]) if sys.platform == "linux" else 0


@LINUX
async def test_the_end_of_a_child_wakes_who_waits_for_it(child, monkeypatch):
    monkeypatch.setattr(asyncio, "sleep", pytest.fail)
    waiting = asyncio.create_task(has_ended(child, 30))
    asyncio.get_running_loop().call_later(0.01, child.kill)
    assert await waiting
    assert child.returncode == -signal.SIGKILL


async def test_a_child_that_does_not_end_is_waited_for_so_long_and_nothing_is_left_of_it(child):
    before = descriptors()
    assert not await has_ended(child, 0.05)
    assert not await has_ended(child, 0)
    assert descriptors() == before


async def test_a_wait_that_is_given_up_leaves_nothing(child):
    before = descriptors()
    waiting = asyncio.create_task(has_ended(child))
    asyncio.get_running_loop().call_later(0.01, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert descriptors() == before


@pytest.mark.parametrize("why", [AttributeError, OSError])
async def test_where_there_is_no_descriptor_for_it_the_end_of_a_child_is_found_all_the_same(child, why, monkeypatch):
    def pidfd_open(_):
        raise why

    monkeypatch.setattr(os, "pidfd_open", pidfd_open, raising=False)
    assert not await has_ended(child, 0.05)
    child.kill()
    assert await has_ended(child, 30)
