"""The processes that make environments, as a test sees them from outside."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

_MODULE = "hotswap.environments.child"


def builders(worker: int | None = None) -> list[int]:
    """Return the processes that make environments for a worker, by default this process."""
    return [pid for pid in children(worker or os.getpid()) if _MODULE in command_line(pid)]


def children(parent: int) -> list[int]:
    """Return the processes that a process has started, and those that these have started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, father = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(father) == parent and state != "Z":
            found += [int(folder.name), *children(int(folder.name))]
    return sorted(found)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def waits_for_a_lock(pid: int) -> bool:
    """Return whether a process is blocked on a lock that another one has."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)


async def until(is_so: Callable[[], object]) -> None:
    """Wait for something that another process does, and that announces itself in no other way."""
    give_up = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < give_up, "it did not happen within 30 s"
        await asyncio.sleep(0.02)
