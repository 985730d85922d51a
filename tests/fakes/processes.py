"""Queries about processes, and about what they leave behind."""

import asyncio
import contextlib
import os
import select
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

Left: TypeAlias = set[threading.Thread | str]
"""Threads, descriptors (each with what it is open on), temporary folders."""


def left_behind() -> Left:
    """Return what a host of ours may leave behind."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    return {*threads, *descriptors("self"), *temporary_folders()}


def temporary_folders() -> list[str]:
    """Return those of a host or its Java: other programs use the same place."""
    ours = (f"hotswap-host-{os.getpid()}-", "hsperfdata")
    return [name for name in names(tempfile.gettempdir()) if name.startswith(ours)]


def descriptors(pid: int | str) -> set[str]:
    """Return what the process has open: each descriptor with what it is open on."""
    return set(_descriptors(pid))


def _descriptors(pid: int | str) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since: at least the one with which the folder was read
            yield f"{descriptor.name} -> {descriptor.readlink()}"


async def nothing_left(before: Left, look: Callable[[], Left] = left_behind) -> None:
    """Wait until `look` returns nothing beyond `before`: asyncio closes a transport's descriptors in later iterations,
    and Java opens files of the system for a moment.

    What an earlier test left, and what ends only now, is not this one's.
    """
    give_up = time.monotonic() + 10
    while left := look() - before:
        assert time.monotonic() < give_up, f"left behind: {left}"
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
