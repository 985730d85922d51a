"""Facts about a worker's machine: its Java, its CPU, the free space of its cache, its memory."""

import contextlib
import ctypes
import functools
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hotswap.errors import StartError
from hotswap.local.jvm import find_java

_LITTLE_BYTES = 512 << 20


class Machine(NamedTuple):
    """Facts, a line each, and faults with their remedies; both for people."""

    facts: Mapping[str, str]
    faults: tuple[str, ...] = ()


def look(cache: Path) -> Machine:
    """Look at this machine; may take seconds, and never raises."""
    facts: dict[str, str] = {}
    faults = []
    try:
        java = find_java()
        facts["java"] = f"{java.version} at {java.executable}"
    except StartError as error:
        facts["java"] = str(error)
        faults.append(f"no model host can be started: {error}")
    if memory := memory_of(os.getpid()):
        facts["memory"] = f"{memory / (1 << 20):,.0f} MiB with its hosts"
    there = next(path for path in (cache, *cache.parents) if path.exists())
    try:
        free = shutil.disk_usage(there).free
        facts["cache"] = f"{cache} has {free / (1 << 30):.1f} GiB free"
        if free < _LITTLE_BYTES:
            faults.append(
                f"{facts['cache']}: free space there, or set HOTSWAP_CACHE, or the next swap may find no room"
            )
    except OSError as error:
        facts["cache"] = f"{cache} cannot be looked at: {error.strerror}"
        faults.append(facts["cache"])
    return Machine(facts, tuple(faults))


@functools.cache
def cpu() -> str:
    """Return the name of the CPU's model; its architecture, if the system does not tell the name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


def return_free_memory() -> None:
    """Return to the system the pages of the heap that are free, where the C library can (glibc's `malloc_trim`).

    By itself it returns only what is at the heap's end. asyncio receives each time into a buffer of 256 KiB, and what
    is left of the last ones often has no room for the next: small chunks, once freed, are kept apart for reuse.
    Takes 2 ms for a heap of 70 MiB, half of it free.
    """
    if trim := getattr(_c_library(), "malloc_trim", None):
        trim(0)


@functools.cache
def _c_library() -> ctypes.CDLL:
    # Each CDLL makes a class, which a worker's rare full collections would leave in the heap for an hour.
    return ctypes.CDLL(None)


def memory_of(pid: int, processes: Path = Path("/proc")) -> int:
    """Return the resident memory of a process and of all that it started, bytes; 0: it is not known (not on Linux).

    What they share is counted once for each.
    """
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for folder in processes.glob("[0-9]*"):
        try:
            facts = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        children.setdefault(int(facts[1]), []).append(int(folder.name))
        pages[int(folder.name)] = int(facts[21])
    pages_used, ours = 0, [pid]
    while ours:
        one = ours.pop()
        pages_used += pages.get(one, 0)
        ours += children.get(one, [])
    return pages_used * os.sysconf("SC_PAGE_SIZE")
