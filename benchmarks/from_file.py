"""How fast the rows of a CSV go to Kafka, as `predict` reads and publishes them, and in how much memory.

    python benchmarks/from_file.py [ROWS] [OLD]

Publishes ROWS rows (1,000,000 by default), each different, three times, and a file five times as large once: the memory
must be the same. Each run is a process of its own. OLD is another checkout, measured in turns.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from contender import ROOT
from rich.console import Console
from workload import MODEL

from hotswap.cli.files import open_rows
from hotswap.cli.table import Reading
from hotswap.client.answers import Outgoing
from hotswap.client.change import compile_file
from hotswap.client.client import Client
from hotswap.codec.text.reader import RowReader
from hotswap.generation import TextOptions
from hotswap.kafka.topics.admin import Admin
from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

out = Console(highlight=False)
_KNOWN = {"color": ["red", "green", "blue"], "country": ["PL", "DE", "FR"]}
_HEADERS = [("proto-digest", b"0" * 64)]


def write_rows(path: Path, count: int) -> None:
    """Writes rows of ten numbers, of which one in 50 is missing, and two categories."""
    chance = random.Random(count)  # noqa: S311 - test data
    with path.open("w") as file:
        print(*(f"x{number}" for number in range(10)), *_KNOWN, sep=",", file=file)
        for _ in range(count):
            numbers = [f"{chance.gauss():.6g}" if chance.random() > 1 / 50 else "" for _ in range(10)]
            print(*numbers, *map(chance.choice, _KNOWN.values()), sep=",", file=file)


def encoded(rows: RowReader) -> Iterable[tuple[object, Iterable[bytes]]]:
    """Yields rows as `predict` does; one by one in a checkout that reads them so."""
    reading = Reading(rows, _KNOWN)
    if hasattr(reading, "encoded"):
        return reading.encoded()
    return ((row.number, [rows.layout.pack([row.message]).SerializeToString()]) for row in reading)


async def publish(path: Path) -> None:
    """Publishes a file and prints what it took."""
    (operation,) = compile_file(ROOT / "examples" / "protos" / f"{MODEL}.proto").operations.values()

    def requests() -> Iterator[Outgoing]:
        with open_rows(path, operation, TextOptions()) as rows:
            for _, values in encoded(rows):
                yield from map(Outgoing, values, repeat(None), repeat(_HEADERS))

    async with Client(Settings(deployment="d")) as client:
        await client.publish([])
        began, used = time.monotonic(), time.process_time()
        count = len(await client.publish(requests()))
        took, used = time.monotonic() - began, time.process_time() - used
    memory = getrusage(RUSAGE_SELF).ru_maxrss >> 10
    out.print(f"{count:,} rows: {count / took:,.0f} rows/s, {1e6 * used / count:.2f} µs of CPU a row, {memory} MiB")


async def compare(count: int, old: Path | None) -> None:
    """Publishes the files, and prints a line for each."""
    with tempfile.TemporaryDirectory() as folder, LocalKafka() as kafka:
        async with Admin.connect(Settings(deployment="d", kafka=kafka.bootstrap)) as admin:
            await admin.create_topics(4)
        paths = [Path(folder) / f"{size}.csv" for size in (count, 5 * count)]
        for path, size in zip(paths, (count, 5 * count), strict=True):
            write_rows(path, size)
        for path in (*paths[:1] * 3, paths[1]):
            for tree in (old, ROOT) if old and path is paths[0] else (ROOT,):
                out.print("old" if tree is old else "new", end="  ")
                known = {**os.environ, "HOTSWAP_KAFKA": kafka.bootstrap, "PYTHONPATH": str(tree / "worker")}
                subprocess.run([sys.executable, __file__, "--publish", path], env=known, check=True)  # noqa: ASYNC221


if __name__ == "__main__":
    if sys.argv[1:2] == ["--publish"]:
        asyncio.run(publish(Path(sys.argv[2])))
    else:
        rows, *others = sys.argv[1:] or ["1000000"]
        asyncio.run(compare(int(rows), Path(others[0]).resolve() if others else None))
