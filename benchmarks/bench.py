"""Rows per second, CPU per row, latency, and the gap at a swap: in one run, on one local Kafka, over the same records.

    make bench            all of it (about eight minutes on two cores)
    python benchmarks/bench.py --rows 100000 --seconds 10

Figures are for comparing the lines of one run with each other; machines differ, ratios hold. The JSON is kept in
benchmarks/results.json.
"""

import argparse
import asyncio
import csv
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import by_java
import kinds
import psutil
import report
from report import Figures
from rich.console import Console

from worker.answers import Outgoing
from worker.change import Change
from worker.client import Client
from worker.codec.proto import compile as compile_proto
from worker.generation import Configuration
from worker.kafka.connection import Admin
from worker.kafka.log import LogReader, LogWriter
from worker.local_kafka import LocalKafka
from worker.settings import Settings

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
RESULTS = Path(__file__).with_name("results.json")
PARTITIONS = 4
PER_SECOND = 1_000
TICK_S = 0.005
BARE = "bare loop, nothing scored"
CONTENDERS = (BARE, "hotswap, at least once", "hotswap, exactly once", *by_java.PROGRAMS)


@dataclass(slots=True)
class Line:
    """The figures of one contender."""

    name: str
    rows_per_s: float = 0.0
    cpu_us_per_row: float = 0.0
    memory_mb: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_cores_at_1000_per_s: float = 0.0
    swap_gap_ms: float | None = None
    steady_gap_ms: float | None = None


def rows() -> list[bytes]:
    """The 2,000 rows of the GBM with 50 trees of depth 5 on 12 columns, as messages of its proto."""
    schema = compile_proto((EXAMPLES / "protos" / "gbm_50x5.proto").read_bytes(), is_descriptor_set=False)
    (operation,) = schema.operations.values()
    texts = {field.name for field in operation.input.DESCRIPTOR.fields if field.type == field.TYPE_STRING}
    names = {field.name for field in operation.input.DESCRIPTOR.fields}
    with (EXAMPLES / "data" / "gbm_50x5.csv").open(newline="") as file:
        return [
            operation.input(
                **{key: value if key in texts else float(value) for key, value in row.items() if value and key in names}
            ).SerializeToString()
            for row in csv.DictReader(file)
        ]


class Contender:
    """One process tree that answers the requests topic into a predictions topic of its own."""

    def __init__(self, name: str, kafka: LocalKafka, folder: Path, requests: str) -> None:
        self.line = Line(name)
        self._folder = folder
        self._is_ours = name.startswith("hotswap")
        self.deployment = f"bench-{CONTENDERS.index(name)}-{requests.partition('.')[0]}"
        self.settings = Settings(
            kafka=kafka.bootstrap,
            deployment=self.deployment,
            requests_topic=requests,
            control_topic=f"{self.deployment}.control",
            status_topic=f"{self.deployment}.status",
            delivery="at_least_once" if "least" in name else "exactly_once",
            store=(folder / "store").as_uri(),
            log_level="WARNING",
        )

    @asynccontextmanager
    async def running(self) -> Any:
        """The process, ready to answer; stopped at the end."""
        async with Admin.connect(self.settings) as admin:
            await admin.create_topics(PARTITIONS)
        self._start()
        try:
            yield psutil.Process(self._process.pid)
        finally:
            self._stop()

    def _start(self) -> None:
        given = self.settings.model_dump(mode="json", include=self.settings.model_fields_set)
        environment = os.environ | {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()}
        self._process = subprocess.Popen(self._command(), env=environment, cwd=ROOT)

    def _command(self) -> Sequence[str]:
        if self._is_ours:
            return [sys.executable, "-m", "worker", "run", self.deployment]
        settings, topics = self.settings, self.settings.topics
        arguments = (settings.kafka, topics.requests, topics.predictions, settings.group_id)
        if self.line.name == BARE:
            return [sys.executable, str(Path(__file__).with_name("bare_loop.py")), *arguments]
        return by_java.command(self.line.name, self._folder, *arguments)

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    async def change(self) -> None:
        """Goes to another generation: by a swap, or where there is none by a redeploy."""
        if self._is_ours:
            await self.swap(Change(configuration=Configuration(max_batch_records=4_999)))
        elif self.line.name != BARE:
            await asyncio.to_thread(self._stop)
            self._start()

    async def swap(self, change: Change) -> None:
        """Sends a swap and awaits that it serves; the others have no swap, and serve what they were written for."""
        if not self._is_ours:
            return
        async with Client(self.settings) as client:
            answer = await client.await_swap(await client.swap(change))
        if not answer.is_good:
            raise SystemExit(f"{self.line.name} cannot serve the benchmark's model: {answer}")


def first_model() -> Change:
    """The GBM with 50 trees, and its proto."""
    return Change(model=EXAMPLES / "models" / "gbm_50x5.zip", proto=EXAMPLES / "protos" / "gbm_50x5.proto")


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    tree = [process, *process.children(recursive=True)]
    return sum(times.user + times.system for times in (one.cpu_times() for one in tree))


async def throughput(contender: Contender, count: int) -> None:
    """Answers `count` requests that lie ready; the figures are of the second half, when everything is warm."""
    async with contender.running() as process, Admin.connect(contender.settings) as admin:
        await contender.swap(first_model())
        group, topic = contender.settings.group_id, contender.settings.topics.requests

        async def answered(at_least: int) -> int:
            while True:
                committed = await admin.committed(group, topic, range(PARTITIONS))
                done = sum(max(at.offset, 0) for at in committed.values())
                if done >= at_least:
                    return done
                await asyncio.sleep(0.02)

        half = await answered(count // 2)
        began, used = time.perf_counter(), cpu_s(process)
        await answered(count)
        seconds, spent = time.perf_counter() - began, cpu_s(process) - used
        tree = [process, *process.children(recursive=True)]
        contender.line.memory_mb = sum(one.memory_info().rss for one in tree) / 1e6
    contender.line.rows_per_s = (count - half) / seconds
    contender.line.cpu_us_per_row = spent / (count - half) * 1e6


async def publish(writer: LogWriter, topic: str, values: list[bytes], seconds: float) -> None:
    """1,000 requests a second for so long, each with the time of its sending as key."""
    began = time.perf_counter()
    sent = 0
    while (now := time.perf_counter() - began) < seconds:
        due = int(now * PER_SECOND) - sent
        await writer.append_many(
            topic, [(str(time.perf_counter()).encode(), values[(sent + n) % len(values)], ()) for n in range(due)]
        )
        sent += due
        await asyncio.sleep(TICK_S)


async def latency(contender: Contender, values: list[bytes], seconds: float) -> None:
    """From publishing to reading the committed answer at 1,000 requests a second, then the gap at a swap under it."""
    settings = contender.settings
    arrived: list[tuple[float, float]] = []
    async with contender.running() as process:
        await contender.swap(first_model())
        writer, reader = LogWriter(settings), LogReader(settings, settings.topics.predictions, is_isolated=True)
        await writer.start()
        await reader.start(await _ends(settings))

        async def read() -> None:
            while True:
                records = await reader.read(1)
                now = time.perf_counter()
                arrived.extend((now, now - float(record.key)) for record in records)

        reading = asyncio.create_task(read())
        publishing = asyncio.create_task(publish(writer, settings.topics.requests, values, 2 * seconds + 5))
        await asyncio.sleep(5)
        began, used = time.perf_counter(), cpu_s(process)
        await asyncio.sleep(seconds)
        ended, spent = time.perf_counter(), cpu_s(process) - used
        swapped = time.perf_counter()
        await contender.change()
        await publishing
        await asyncio.sleep(0.5)
        reading.cancel()
        await writer.stop()
        await reader.stop()
    steady = [took for at, took in arrived if began <= at < ended]
    percentiles = quantiles(steady, n=100)
    contender.line.p50_ms, contender.line.p99_ms = percentiles[49] * 1e3, percentiles[98] * 1e3
    contender.line.cpu_cores_at_1000_per_s = spent / (ended - began)
    contender.line.steady_gap_ms = _longest_gap([at for at, _ in arrived if began <= at < ended])
    if contender.line.name != BARE:
        # The end of the window counts too: who has not come back by then has a gap of at least so long.
        around = [at for at, _ in arrived if swapped - 0.5 <= at < swapped + seconds]
        contender.line.swap_gap_ms = _longest_gap([*around, swapped + seconds])


async def _ends(settings: Settings) -> dict[int, int]:
    async with Admin.connect(settings) as admin:
        return await admin.end_offsets(settings.topics.predictions)


def _longest_gap(times: list[float]) -> float:
    return max(after - before for before, after in pairwise(times)) * 1e3


async def fill(settings: Settings, values: list[bytes], count: int) -> None:
    """Publishes `count` requests, spread over the partitions."""
    async with Admin.connect(settings) as admin, Client(settings) as client:
        await admin.create_topics(PARTITIONS)
        for start in range(0, count, 10_000):
            size = min(10_000, count - start)
            await client.publish(Outgoing(values[n % len(values)], key=b"%d" % n) for n in range(size))


async def measure(
    kafka: LocalKafka, folder: Path, count: int, seconds: float, say: Callable[[str], None]
) -> list[Line]:
    """Every contender, one after the other: first a backlog, then a steady stream with a swap in it."""
    values = rows()
    backlog = Settings(kafka=kafka.bootstrap, deployment="backlog")
    say(f"publishing {count:,} requests")
    await fill(backlog, values, count)
    lines = []
    has_jdk = by_java.can_compile()
    if has_jdk:
        by_java.compile_programs(folder)
    else:
        say(f"there is no JDK: without {', '.join(by_java.PROGRAMS)}")
    for name in CONTENDERS if has_jdk else [name for name in CONTENDERS if name not in by_java.PROGRAMS]:
        say(f"{name}: {count:,} requests that lie ready")
        contender = Contender(name, kafka, folder, backlog.topics.requests)
        await throughput(contender, count)
        say(f"{name}: {PER_SECOND:,} requests/s for {2 * seconds + 5:g} s")
        live = Settings(kafka=kafka.bootstrap, deployment=f"live{len(lines)}")
        await fill(live, values, 0)
        steady = Contender(name, kafka, folder, live.topics.requests)
        steady.line = contender.line
        await latency(steady, values, seconds)
        lines.append(contender.line)
    return lines


def machine() -> dict[str, str | int | None]:
    """What the figures were measured on and with."""
    names = ("aiokafka", "protobuf", "jpype1", "numpy")
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "kafka": "4.3.1, one node on the same cores",
        **{name: importlib.metadata.version(name) for name in names},
    }


def figures(lines: list[Line]) -> Figures:
    """The table: a column for each contender."""
    rows = []
    for label, field, digits in (
        ("rows/s (warm half)", "rows_per_s", 0),
        ("CPU, µs a row", "cpu_us_per_row", 1),
        ("memory, MB", "memory_mb", 0),
        ("p50 at 1,000/s, ms", "p50_ms", 1),
        ("p99 at 1,000/s, ms", "p99_ms", 1),
        ("cores at 1,000/s", "cpu_cores_at_1000_per_s", 2),
        ("longest gap, steady, ms", "steady_gap_ms", 0),
        ("longest gap at a swap, or a redeploy, ms", "swap_gap_ms", 0),
    ):
        values = [getattr(line, field) for line in lines]
        rows.append([label, *("-" if value is None else f"{value:,.{digits}f}" for value in values)])
    title = f"Through Kafka: GBM of 50 trees on 12 columns, {PARTITIONS} partitions"
    return Figures(title, ["", *(line.name for line in lines)], rows)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as name:
        yield Path(name)


def main() -> None:
    """Runs the benchmark and keeps its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000, help="requests of the backlog (default 400,000)")
    parser.add_argument("--seconds", type=float, default=15, help="of the steady stream (default 15)")
    options = parser.parse_args()
    console = Console()
    facts = machine()
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()))
    with _folder() as folder, LocalKafka() as kafka:
        lines = asyncio.run(
            measure(kafka, folder, options.rows, options.seconds, lambda text: console.print(f"· {text}"))
        )
    by_kind = asyncio.run(kinds.measure_all(lambda text: console.print(f"· {text}")))
    tables = [figures(lines), kinds.figures(by_kind)]
    for table in tables:
        report.show(console, table)
    report.write(facts, tables)
    results = {"machine": facts, "rows": options.rows}
    results["lines"] = [asdict(line) for line in lines]
    results["kinds"] = [asdict(line) for line in by_kind]
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"kept in {RESULTS.relative_to(ROOT)}, and written to {report.TARGET.name}")


if __name__ == "__main__":
    main()
