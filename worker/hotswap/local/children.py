"""Awaits the end of a child process."""

import asyncio
import contextlib
import os
import subprocess
from typing import Any, Final

_POLL_SECONDS: Final = 0.02


async def has_ended(process: subprocess.Popen[Any], timeout_s: float | None = None) -> bool:
    """Wait until a child has ended, for at most `timeout_s` (None: no limit); return whether it has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while process.poll() is None:
                await _may_have_ended(process.pid)
    return process.poll() is not None


async def _may_have_ended(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not on Linux, or out of file descriptors
        await asyncio.sleep(_POLL_SECONDS)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
