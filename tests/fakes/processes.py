"""What a test asks the system about processes, and about what they left."""

import asyncio
import os
import select
import tempfile
import threading
from pathlib import Path
from typing import TypeAlias

Left: TypeAlias = tuple[int, set[threading.Thread], list[str]]
"""How many descriptors, which threads, which temporary folders."""


def left_behind() -> Left:
    """Give what a host of ours may leave: descriptors, threads but for asyncio's own pool, temporary folders.

    Of the temporary folders only those that a host or its Java makes: other programs have theirs in the same place.
    """
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    ours = (f"hotswap-host-{os.getpid()}-", "hsperfdata")
    folders = [name for name in names(tempfile.gettempdir()) if name.startswith(ours)]
    return len(names("/proc/self/fd")), threads, folders


async def nothing_left(before: Left) -> None:
    """Wait until nothing is left beyond `before`: asyncio closes a transport's descriptors in its own next turns."""
    async with asyncio.timeout(10):
        while left_behind() != before:
            await asyncio.sleep(0.01)


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def is_running(pid: int) -> bool:
    """Whether there is such a process; a zombie of a killed worker waits for its new parent, and counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


async def gone(pid: int) -> None:
    """Wait until a process that need not be our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = await asyncio.to_thread(select.select, [descriptor], [], [], 20)
        assert ready, f"process {pid} lives on"
    finally:
        os.close(descriptor)
