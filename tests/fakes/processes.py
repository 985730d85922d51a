"""Queries about processes, and about what they leave behind."""

import asyncio
import os
import select
import tempfile
import threading
from pathlib import Path
from typing import TypeAlias

Left: TypeAlias = tuple[int, set[threading.Thread], list[str]]
"""The number of descriptors, the threads, the temporary folders."""


def left_behind() -> Left:
    """Return what a host of ours may leave behind: descriptors, threads except asyncio's pool, temporary folders.

    Only the temporary folders of a host or its Java count: other programs use the same place.
    """
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    ours = (f"hotswap-host-{os.getpid()}-", "hsperfdata")
    folders = [name for name in names(tempfile.gettempdir()) if name.startswith(ours)]
    return len(names("/proc/self/fd")), threads, folders


async def nothing_left(before: Left) -> None:
    """Wait until nothing is left beyond `before`: asyncio closes a transport's descriptors in later iterations."""
    async with asyncio.timeout(10):
        while left_behind() != before:
            await asyncio.sleep(0.01)


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def is_running(pid: int) -> bool:
    """Return whether the process is running; a zombie of a killed worker awaits its new parent and counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before the file was opened, or before it was read
        return False


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


async def gone(pid: int) -> None:
    """Wait until a process, which need not be our child, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = await asyncio.to_thread(select.select, [descriptor], [], [], 20)
        assert ready, f"process {pid} lives on"
    finally:
        os.close(descriptor)
