"""Latency at the highest rate, up to half of the maximum, that leaves a quarter of the cores idle.

Publisher and reader are light, so that what is measured has the cores: batch_publisher.py sends record batches that it
has built before, batch_reader.py reads their heads. As answers keep the order of their requests, the place of an answer
in its partition tells when its request was due.
"""

import asyncio
import contextlib
import os
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import by_java
import numpy as np
import psutil
from batch_publisher import TICK_S
from batch_reader import BATCH
from batches import fill
from contender import OURS, PARTITIONS, Contender, cpu_s
from report import Figures
from stream import SETTLE_S, Load
from through_kafka import measure_backlog
from workload import first_model

from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

IDLE = 0.25
SHARES = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)
"""Of the maximum, tried from the highest one down."""
_MEASURING = "the measuring alone"
_ROUNDS = 3

Say = Callable[[str], None]


@dataclass(slots=True)
class Busy:
    """A fast stream: from when a request is due to reading its committed answer, and the cores that each one takes."""

    name: str
    per_second: float
    p50_ms: float
    p99_ms: float
    answers_per_second: float
    cores: float
    broker_cores: float
    publisher_cores: float
    reader_cores: float

    @property
    def idle(self) -> float:
        """The share of the machine's cores that none of them takes."""
        taken = self.cores + self.broker_cores + self.publisher_cores + self.reader_cores
        return 1 - taken / (os.cpu_count() or 1)


@dataclass(slots=True)
class Half:
    """The maximum, rows/s of a backlog; what was tried, and the others at the rate of the last one."""

    maximum: float
    tried: list[Busy]
    others: list[Busy]


class Arrived(NamedTuple):
    """A batch of answers: when it was read, seconds after the first request was due, and how many came before it."""

    at: float
    partition: int
    before: int
    count: int


class Flood(Load):
    """Batches of so many rows, one every TICK_S; of their answers it keeps when they were read."""

    def __init__(self, settings: Settings, rows: int) -> None:
        super().__init__(settings)
        self._rows = rows
        self.arrived: list[Arrived] = []

    async def start(self) -> None:
        """Starts the publisher once the reader is ready."""
        kafka, topics = self.settings.kafka, self.settings.topics
        self.reader = await self.run("batch_reader.py", kafka, topics.predictions, stdout=PIPE)
        assert self.reader.stdout
        await self.reader.stdout.readexactly(BATCH.size)
        self.publisher = await self.run("batch_publisher.py", kafka, topics.requests, str(self._rows), stdout=PIPE)
        assert self.publisher.stdout
        self.began = float(await self.publisher.stdout.readline())

    async def read(self) -> None:
        """Keeps the batches of answers."""
        assert self.reader.stdout
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                at, *place = BATCH.unpack(await self.reader.stdout.readexactly(BATCH.size))
                self.arrived.append(Arrived(at - self.began, *place))

    def measured(self, begin: float, end: float) -> tuple[float, float, float]:
        """Returns p50 and p99 of what was due in a time span, in ms, and the answers read in it, a second."""
        self.check()
        ticks = range(int((begin - self.began) / TICK_S), int((end - self.began) / TICK_S))
        took = latencies(self.arrived, self._rows, ticks, time.monotonic() - self.began)
        p50, p99 = np.percentile(took, (50, 99)) * 1e3
        answers = sum(answer.count for answer in self.arrived if begin <= answer.at + self.began < end)
        return float(p50), float(p99), answers / (end - begin)


def latencies(arrived: Sequence[Arrived], rows: int, ticks: range, now: float) -> np.ndarray:
    """Returns how long after it was due the answer to each request of these ticks was read; without one, until now."""
    took = []
    for partition in range(PARTITIONS):
        mine = [answers for answers in arrived if answers.partition == partition]
        ends = np.array([answers.before + answers.count for answers in mine], dtype=np.int64)
        read = np.array([*(answers.at for answers in mine), now])
        due = np.array([tick for tick in ticks if tick % PARTITIONS == partition], dtype=np.int64)
        asked = (due // PARTITIONS * rows)[:, None] + np.arange(rows)
        took.append((read[np.searchsorted(ends, asked, "right")] - (due * TICK_S)[:, None]).ravel())
    return np.concatenate(took)


async def measure(kafka: LocalKafka, folder: Path, values: list[bytes], rows: int, seconds: float, say: Say) -> Half:
    """Measures the maximum, then ours at ever lower rates until a quarter is idle, then the others at that rate."""
    backlog = Settings(kafka=kafka.bootstrap, deployment="backlog")
    await fill(backlog, values, rows)
    taken = []
    for number in range(_ROUNDS):
        say(f"{OURS}: {rows:,} requests as a backlog, {number + 1} of {_ROUNDS}")
        taken.append(await measure_backlog(Contender(OURS, kafka, folder, backlog.topics.requests), rows))
    maximum, tried = median(one.rows_per_s for one in taken), []
    for share in SHARES:
        say(f"{OURS}: {share * maximum:,.0f} requests/s, {share:.0%} of the maximum")
        tried.append(await _measure_one(Contender(OURS, kafka, folder), share * maximum, seconds))
        say(_line(tried[-1]))
        if tried[-1].idle >= IDLE:
            break
    others, rate = [], tried[-1].per_second
    if by_java.can_compile():
        by_java.compile_programs(folder)
        say(f"{by_java.BY_HAND}: {rate:,.0f} requests/s")
        others.append(await _measure_one(Contender(by_java.BY_HAND, kafka, folder), rate, seconds))
    say(f"{_MEASURING}: {rate:,.0f} requests/s")
    others.append(await _measure_nothing(Contender(_MEASURING, kafka, folder), rate, seconds))
    for one in others:
        say(_line(one))
    return Half(maximum, tried, others)


async def _measure_one(contender: Contender, per_second: float, seconds: float) -> Busy:
    async with contender.running() as process:
        await contender.swap(first_model())
        return await _measure(contender, contender.settings, process, per_second, seconds)


async def _measure_nothing(contender: Contender, per_second: float, seconds: float) -> Busy:
    """The requests are read as if they were their own answers."""
    own = contender.settings.model_copy(update={"predictions_topic": contender.settings.topics.requests})
    await fill(contender.settings, [], 0)
    return await _measure(contender, own, None, per_second, seconds)


async def _measure(
    contender: Contender, settings: Settings, process: psutil.Process | None, per_second: float, seconds: float
) -> Busy:
    rows = max(1, round(per_second * TICK_S))

    async with Flood(settings, rows) as flood:

        def used() -> list[float]:
            load = [cpu_s(psutil.Process(one.pid)) for one in (flood.publisher, flood.reader)]
            return [cpu_s(process) if process else 0.0, contender.broker_cpu_s(), *load]

        await asyncio.sleep(SETTLE_S)
        began, before = time.monotonic(), used()
        await asyncio.sleep(seconds)
        ended, after = time.monotonic(), used()
        await asyncio.sleep(1)  # for the answers to the last requests
        measured = flood.measured(began, ended)
    cores = [(late - early) / (ended - began) for early, late in zip(before, after, strict=True)]
    return Busy(contender.name, rows / TICK_S, *measured, *cores)


def _line(one: Busy) -> str:
    latency = f"p50 {one.p50_ms:,.1f} and p99 {one.p99_ms:,.1f} ms"
    return f"  {one.answers_per_second:,.0f} answers/s, {latency}, {one.idle:.0%} of the cores idle"


def figures(half: Half) -> list[Figures]:
    """Builds the table, a column for each, and that of the rates at which fewer cores were idle."""
    *vain, ours = half.tried
    lines = [ours, *half.others]
    rows = [
        ["requests/s", *(f"{one.per_second:,.0f}" for one in lines)],
        ["answers/s", *(f"{one.answers_per_second:,.0f}" for one in lines)],
        ["p50, ms", *(f"{one.p50_ms:,.1f}" for one in lines)],
        ["p99, ms", *(f"{one.p99_ms:,.1f}" for one in lines)],
        ["cores", *(f"{one.cores:.2f}" for one in lines)],
        ["cores of Kafka", *(f"{one.broker_cores:.2f}" for one in lines)],
        ["cores of the publisher", *(f"{one.publisher_cores:.2f}" for one in lines)],
        ["cores of the reader", *(f"{one.reader_cores:.2f}" for one in lines)],
        ["cores idle", *(f"{one.idle:.0%}" for one in lines)],
    ]
    tried = [[f"{one.per_second:,.0f}", f"{one.p50_ms:,.1f}", f"{one.p99_ms:,.1f}", f"{one.idle:.0%}"] for one in vain]
    note = (
        f"The maximum is {half.maximum:,.0f} rows/s (of a backlog, warm, the median of {_ROUNDS}); this is "
        f"{ours.per_second / half.maximum:.0%} of it, the highest rate tried, from {SHARES[0]:.0%} down, at which "
        f"{IDLE:.0%} of the cores were idle. The latency is of every request; what Java has not answered when "
        "the stream ends counts until then. The publisher sends prepared record batches, one every 5 ms; the reader "
        "reads their heads."
    )
    tables = [
        Figures("Latency under load: a quarter of the cores idle", ["", *(one.name for one in lines)], rows, note)
    ]
    if tried:
        header = ["requests/s", "p50, ms", "p99, ms", "cores idle"]
        tables.append(Figures(f"Latency at higher rates: {ours.name}", header, tried))
    return tables
