"""What a worker tells of its machine: its Java, and the free space of its cache."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hotswap.errors import StartError
from hotswap.local.jvm import find_java

_LITTLE_BYTES = 512 << 20


class Machine(NamedTuple):
    """What there is to tell, a line for each thing, and what is wrong with it and what to do; both for a person."""

    told: Mapping[str, str]
    faults: tuple[str, ...] = ()


def look(cache: Path) -> Machine:
    """Look at this machine; may take seconds, and never raises."""
    told: dict[str, str] = {}
    faults = []
    try:
        java = find_java()
        told["java"] = f"{java.version} at {java.executable}"
    except StartError as error:
        told["java"] = str(error)
        faults.append(f"no model host can be started: {error}")
    there = next(path for path in (cache, *cache.parents) if path.exists())
    try:
        free = shutil.disk_usage(there).free
        told["cache"] = f"{cache} has {free / (1 << 30):.1f} GiB free"
        if free < _LITTLE_BYTES:
            faults.append(f"{told['cache']}: free space there, or set HOTSWAP_CACHE, or the next swap may find no room")
    except OSError as error:
        told["cache"] = f"{cache} cannot be looked at: {error.strerror}"
        faults.append(told["cache"])
    return Machine(told, tuple(faults))
