"""What a worker tells of its machine: its Java, and the free space of its cache."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from hotswap.errors import StartError
from hotswap.local.jvm import find_java


def describe(cache: Path) -> Mapping[str, str]:
    """Return a line for each, for a person; may take seconds, and never raises."""
    return {"java": _java(), "cache": _free(cache)}


def _java() -> str:
    try:
        java = find_java()
    except StartError as error:
        return str(error)
    return f"{java.version} at {java.executable}"


def _free(folder: Path) -> str:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return f"{folder} cannot be looked at: {error.strerror}"
    return f"{folder} has {free / (1 << 30):.1f} GiB free"
