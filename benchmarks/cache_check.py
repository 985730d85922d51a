"""Prints how long it takes to verify a cache entry, as is done before each load of a model.

    python benchmarks/cache_check.py [MIB ...]

For each size, it takes a MOJO of that many MiB, deflated to half of that, and a jar of that many. Without sizes: 0.1, 2
and 2,048 MiB; it needs three times the largest on the disk.
"""

import asyncio
import hashlib
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from hotswap.artifacts.store import Store
from hotswap.generation import Model
from hotswap.settings import Settings

MIB = 1 << 20
PARTS = 50
SIZES = (0.1, 2.0, 2_048.0)
ROUNDS = 3


def main() -> None:
    """Measure each size."""
    for mib in map(float, sys.argv[1:]) if sys.argv[1:] else SIZES:
        for kind in ("h2o", "java"):
            with tempfile.TemporaryDirectory() as folder:
                seconds = asyncio.run(measure(kind, mib, Path(folder)))
            sys.stdout.write(f"{kind}, {mib:g} MiB: verified in {seconds:.3f} s, {mib / seconds:,.0f} MiB/s\n")


async def measure(kind: str, mib: float, folder: Path) -> float:
    """Return the seconds of the fastest of several verifications."""
    path = folder / "artifact"
    if kind == "h2o":
        pack(path, mib)
    else:
        write(path, mib)
    with path.open("rb") as file:
        model = Model(path.as_uri(), hashlib.file_digest(file, "sha256").hexdigest(), kind)
    store = Store(Settings(cache=folder / "cache", store=folder.as_uri(), max_artifact_bytes=4 << 30))
    await store.fetch(model)
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await store.verify(model)
        taken.append(time.perf_counter() - begun)
    return min(taken)


def pack(path: Path, mib: float) -> None:
    """Write a zip of so many MiB in some files, half of each block noise."""
    block = os.urandom(1 << 15) + bytes(1 << 15)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(PARTS):
            with archive.open(f"trees/t00_{number:03}.bin", "w") as part:
                left = int(mib * MIB / PARTS)
                while left > 0:
                    part.write(block[:left])
                    left -= len(block)


def write(path: Path, mib: float) -> None:
    """Write so many MiB of noise."""
    block = os.urandom(MIB)
    with path.open("wb") as file:
        left = int(mib * MIB)
        while left > 0:
            file.write(block[:left])
            left -= len(block)


if __name__ == "__main__":
    main()
