"""Curves: what lingering costs and saves, and whether the cost of a row stays the same as everything grows.

One worker at a time, exactly once, and warm. A point of growth is a backlog: it is published while the worker is
paused, and measured as a whole.
"""

import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import plots
import psutil
import stream
from batches import fill
from contender import OURS, PARTITIONS, Contender, Progress, cpu_s, memory_mb
from points import Growth, Lingering, Point
from report import Figures
from workload import another_model, first_model

from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.codec.proto import compile as compile_proto
from hotswap.kafka.topics.admin import Admin
from hotswap.local.kafka import LocalKafka

_LINGER = (
    f"CPU bought with latency by linger_ms: {stream.PER_SECOND:,} requests/s on {PARTITIONS} partitions, exactly once"
)
_SAVES = 0.9
"""What a setting may use of the first one's CPU to count as saving: two runs of the same differ by a tenth."""
LINGER_MS = (0, 5, 10, 20, 50, 100)
ROWS = (1_000_000, 3_000_000, 10_000_000, 30_000_000)
OVER_PARTITIONS = (1, 4, 16, 64)
COLUMNS = (1, 10, 50, 100, 200)
SWAPS = (1, 10, 100, 1_000)
_BACKLOG = 8_000_000
_WARM = 2_000_000
_WIDE_BYTES = 800_000_000
_ROUNDS = 5
_HEADER = ("", "rows of the backlog", "CPU of worker and host, µs a row", "times the first", "memory, MB")

Say = Callable[[str], None]


async def measure_linger(kafka: LocalKafka, folder: Path, seconds: float, say: Say) -> list[Lingering]:
    """1,000 requests a second, once for each setting."""
    made = []
    for linger_ms in LINGER_MS:
        say(f"linger_ms {linger_ms}: {stream.PER_SECOND:,} requests/s")
        contender = Contender(OURS, kafka, folder, linger_ms=linger_ms)
        made.append(Lingering(linger_ms, await stream.measure(contender, seconds)))
    return made


async def measure_growth(kafka: LocalKafka, folder: Path, values: list[bytes], most: int, say: Say) -> Growth:
    """Three curves; `most` is the number of rows of the largest backlog, to which the others are in proportion."""

    def scaled(rows: int) -> int:
        return rows * most // ROWS[-1]

    async def measure(change: Change, values: list[bytes], much: int, rows: int, partitions: int = PARTITIONS) -> Point:
        async with _worker(kafka, folder, change, values, scaled(_WARM), partitions) as worker:
            return await worker.point(much, values, rows)

    async def over_rows(much: int) -> Point:
        return await measure(first_model(), values, much, much)

    async def over_partitions(much: int) -> Point:
        return await measure(first_model(), values, much, scaled(_BACKLOG), much)

    async def over_columns(much: int) -> Point:
        change, wide = _regression(folder, much)
        return await measure(change, wide, much, scaled(min(_BACKLOG, _WIDE_BYTES // len(wide[0]))))

    return Growth(
        await _in_turns("rows", tuple(map(scaled, ROWS)), over_rows, say),
        await _in_turns("partitions", OVER_PARTITIONS, over_partitions, say),
        await _in_turns("columns", COLUMNS, over_columns, say),
    )


async def _in_turns(
    name: str, amounts: Sequence[int], measure: Callable[[int], Awaitable[Point]], say: Say
) -> list[Point]:
    """Measures each amount several times, in turns: what a machine does beside them changes within minutes."""
    taken: dict[int, list[Point]] = {much: [] for much in amounts}
    for number in range(_ROUNDS):
        for much, points in taken.items():
            say(f"{much:,} {name}, {number + 1} of {_ROUNDS}")
            points.append(await measure(much))
    return [_median(points) for points in taken.values()]


async def measure_swaps(kafka: LocalKafka, folder: Path, values: list[bytes], rows: int, say: Say) -> list[Point]:
    """The cost of a row of a backlog of so many, after ever more swaps."""
    models, done, points = cycle((another_model(folder), first_model())), 1, []  # the first one is the worker's own
    async with _worker(kafka, folder, first_model(), values, rows // 2) as worker:
        for much in SWAPS:
            say(f"{much:,} swaps")
            await worker.swap(islice(models, much - done))
            done = much
            points.append(_median([await worker.point(much, values, rows) for _ in range(_ROUNDS)]))
    return points


def _median(points: Sequence[Point]) -> Point:
    """The last one, with their costs, and the median of these and of their memory."""
    turns = [point.cpu_us_per_row for point in points]
    return replace(
        points[-1],
        cpu_us_per_row=median(turns),
        memory_mb=median(point.memory_mb for point in points),
        turns=turns,
    )


class Worker:
    """A running, warm worker of ours."""

    def __init__(self, contender: Contender, process: psutil.Process, progress: Progress, partitions: int) -> None:
        self.contender = contender
        self._process, self._progress, self._partitions = process, progress, partitions

    async def point(self, much: int, values: list[bytes], rows: int) -> Point:
        """Measures the cost of a row of a backlog."""
        cost = await self.answer(values, rows)
        return Point(much, cost, memory_mb(self._process), rows)

    async def swap(self, changes: Iterable[Change]) -> None:
        """Swaps repeatedly, without starting a command line for each."""
        async with Client(self.contender.settings) as client:
            for change in changes:
                answer = await client.await_swap(await client.swap(change))
                assert answer.is_good, answer

    async def answer(self, values: list[bytes], rows: int) -> float:
        """Publishes a backlog while the worker is paused; returns the CPU microseconds per row from its resuming on."""
        settings = self.contender.settings
        before = await self._progress.answered(0)
        async with Client(settings) as client:
            await client.await_swap(await client.pause())
            await fill(settings, values, rows, self._partitions)
            used = cpu_s(self._process)
            await client.resume()
            await self._progress.answered(before + rows)
        return (cpu_s(self._process) - used) / rows * 1e6


@asynccontextmanager
async def _worker(
    kafka: LocalKafka, folder: Path, change: Change, values: list[bytes], warm: int, partitions: int = PARTITIONS
) -> AsyncIterator[Worker]:
    contender = Contender(OURS, kafka, folder, spare_kinds="")  # preparing one would count towards the rows
    async with contender.running(partitions) as process, Admin.connect(contender.settings) as admin:
        await contender.swap(change)
        worker = Worker(contender, process, Progress(admin, contender.settings, partitions), partitions)
        await worker.answer(values, warm)
        yield worker


def _regression(folder: Path, columns: int) -> tuple[Change, list[bytes]]:
    """Builds a linear regression over so many numbers, by hand in H2O's own format, and rows for it."""
    names = [f"x{place}" for place in range(columns)]
    facts = {
        "h2o_version": "3.46.0.11",
        "mojo_version": "1.00",
        "algo": "glm",
        "algorithm": "Generalized Linear Modeling",
        "endianness": "LITTLE_ENDIAN",
        "category": "Regression",
        "uuid": str(columns),
        "supervised": "true",
        "n_features": str(columns),
        "n_classes": "1",
        "n_columns": str(columns + 1),
        "n_domains": "0",
        "balance_classes": "false",
        "default_threshold": "0.5",
        "prior_class_distrib": "null",
        "model_class_distrib": "null",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "escape_domain_values": "true",
        "use_all_factor_levels": "true",
        "cats": "0",
        "cat_offsets": "[0]",
        "nums": str(columns),
        "mean_imputation": "true",
        "num_means": str([0.0] * columns),
        "beta": str([0.5] * (columns + 1)),
        "family": "gaussian",
        "link": "identity",
    }
    model, proto = folder / f"regression_{columns}.zip", folder / f"regression_{columns}.proto"
    with zipfile.ZipFile(model, "w") as packed:
        info = "".join(f"{name} = {value}\n" for name, value in facts.items())
        packed.writestr("model.ini", f"[info]\n{info}\n[columns]\n" + "\n".join([*names, "y"]) + "\n\n[domains]\n")
    fields = " ".join(f"optional double {name} = {number};" for number, name in enumerate(names, 1))
    source = f"""syntax = "proto3";
message Row {{ {fields} }}
message Answer {{ double predict = 1; }}
service S {{ rpc Score(Row) returns (Answer); }}"""
    proto.write_text(source)
    (operation,) = compile_proto(source.encode()).operations.values()
    values = [
        operation.input(**{name: (row * 7 + place) % 13 - 6.0 for place, name in enumerate(names)}).SerializeToString()
        for row in range(100)
    ]
    return Change(model=model, proto=proto), values


def judge_linger(lines: list[Lingering]) -> str:
    """Says which settings save CPU and which do not, and at which p50, compared with the first one (no lingering)."""

    def cost(line: Lingering) -> float:
        return (line.steady.cores + line.steady.broker_cores) / (first.steady.cores + first.steady.broker_cores)

    def slower(*some: Lingering) -> str:
        return f"{max(line.steady.p50_ms for line in some) / first.steady.p50_ms:.1f}x"

    first, *rest = lines
    vain = [line for line in rest if cost(line) > _SAVES]
    saving = [line for line in rest if line not in vain]
    said = [f"{line.linger_ms} ms saves {1 - cost(line):.0%} (p50 {slower(line)})" for line in saving]
    if vain:
        span = " to ".join(f"{ms}" for ms in sorted({vain[0].linger_ms, vain[-1].linger_ms}))
        said.insert(0, f"{span} ms saves no CPU (p50 up to {slower(*vain)})")
    return ", ".join(said)


def linger_title(lines: list[Lingering]) -> str:
    """The title of the plot: what was measured, and what it says."""
    return f"{_LINGER}:\n{judge_linger(lines)}"


def linger_figures(lines: list[Lingering]) -> list[Figures]:
    """The table of latency and cores, with its plot."""
    rows = [
        [
            f"{line.linger_ms}",
            f"{line.steady.p50_ms:.1f}",
            f"{line.steady.p99_ms:.1f}",
            f"{line.steady.cores:.2f}",
            f"{line.steady.broker_cores:.2f}",
        ]
        for line in lines
    ]
    header = ("linger_ms", "p50, ms", "p99, ms", "cores of worker and host", "cores of Kafka")
    picture = plots.save(plots.linger(lines, linger_title(lines)), "linger.svg")
    note = f"Compared with 0: {judge_linger(lines)}. CPU is worker, host and Kafka; two runs differ by a tenth."
    return [Figures(_LINGER, header, rows, note, picture)]


def fit_columns(points: list[Point]) -> tuple[float, float, float]:
    """Returns a and b of a + b x columns, in microseconds, and the largest residual, as a share of its figure.

    The sum of the squares of these shares is the least: 200 columns do not weigh more than one.
    """
    much, cost = np.array([(point.much, point.cpu_us_per_row) for point in points]).T
    b, a = np.polyfit(much, cost, 1, w=1 / cost)
    return float(a), float(b), float(np.max(np.abs((a + b * much) / cost - 1)))


def growth_figures(growth: Growth) -> list[Figures]:
    """The table of every curve, with their plot."""
    rows = _lines("rows", growth.rows) + _lines("partitions", growth.partitions) + _lines("columns", growth.columns)
    a, b, residual = fit_columns(growth.columns)
    note = (
        f"Exactly once, a warm worker, no standby, whole backlogs, in turns: medians of {_ROUNDS}. A GBM of 50 trees; "
        f"for the columns a linear regression, which takes {a:.2f} + {b:.3f} x columns µs, to within {residual:.0%}."
    )
    return [Figures("Growth", _HEADER, rows, note, plots.save(plots.growth(growth), "growth.svg"))]


def swaps_figures(points: list[Point]) -> list[Figures]:
    """The table of what swaps leave behind."""
    note = "Exactly once, a warm worker, no standby; a GBM of 50 trees and another model in turns."
    return [Figures("After many swaps", _HEADER, _lines("swaps before", points), note)]


def _lines(name: str, points: list[Point]) -> list[list[str]]:
    return [
        [
            f"{point.much:,} {name}",
            f"{point.rows:,}",
            f"{point.cpu_us_per_row:.2f}",
            f"{point.cpu_us_per_row / points[0].cpu_us_per_row:.2f}",
            f"{point.memory_mb:.0f}",
        ]
        for point in points
    ]
