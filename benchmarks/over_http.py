"""Calls over HTTP beside requests published directly: latency, what a call costs, the highest rate with room left."""

import asyncio
import contextlib
import csv
import http.client
import io
import json
import os
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from statistics import quantiles

import psutil
from contender import OURS, Contender, cpu_s
from report import Figures
from stream import SETTLE_S, Load, Stream
from workload import different_documents, first_model

from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

GATEWAYS = 2
RATES = (1_000, 1_500, 2_000, 2_250, 2_500)
"""Calls a second, until the cores are busier than BUSY."""
BUSY = 0.8
QUIET = 200
"""Requests or calls a second beside the fast stream."""
FAST = 100_000
TABLE_ROWS = 100_000
_TICKS = 200  # a second, of batch_publisher.py
_READY_S = 60.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Asked:
    """Single rows at a rate: from when each is due to its answer, and the cores that everything takes."""

    name: str
    per_second: float
    p50_ms: float
    p99_ms: float
    worker_cores: float
    broker_cores: float
    gateway_cores: float
    busy: float
    """The share of the machine's cores that was busy, whoever kept them so."""


@dataclass(slots=True)
class OverHttp:
    """Rows published directly and over HTTP, without and beside a fast stream; and a table in one call."""

    alone: list[Asked]
    beside: list[Asked]
    table_rows: int
    table_s: float
    table_gateway_cpu_s: float


class Callers(Stream):
    """Calls of gateways at a rate; the reply to each is timed."""

    def __init__(self, settings: Settings, per_second: float, ports: Sequence[int]) -> None:
        super().__init__(settings, per_second)
        self._ports = ports

    async def start(self) -> None:
        """Starts the callers, who also read."""
        path = f"/v1/{self.settings.deployment}/predict"
        words = [path, str(self.per_second), *map(str, self._ports)]
        self.publisher = self.reader = await self.run("http_caller.py", *words, stdout=PIPE)


class Fast(Load):
    """Another publisher's fast stream, whose answers nobody here reads."""

    async def start(self) -> None:
        """Starts the publisher."""
        words = [self.settings.kafka, self.settings.topics.requests, str(FAST // _TICKS)]
        self.publisher = self.reader = await self.run("batch_publisher.py", *words, stdout=PIPE)

    async def read(self) -> None:
        """Keeps nothing."""
        assert self.reader.stdout
        await self.reader.stdout.read()


async def measure(kafka: LocalKafka, folder: Path, seconds: float, say: Say) -> OverHttp:
    """Measures all of it, one after the other, on one deployment with one worker."""
    contender = Contender(OURS, kafka, folder)
    async with contender.running() as worker:
        await contender.swap(first_model())
        async with contextlib.AsyncExitStack() as gateways:
            started = [await gateways.enter_async_context(gateway(contender)) for _ in range(GATEWAYS)]
            run = _Run(contender, worker, started, seconds, say)
            alone = [await run.direct(1_000)]
            for rate in RATES:
                alone.append(await run.called(rate))
                if alone[-1].busy > BUSY:
                    break
            spent, took = (
                sum(cpu_s(one) for _, one in started),
                await asyncio.to_thread(_table, contender, started[0][0]),
            )
            spent = sum(cpu_s(one) for _, one in started) - spent
            say(f"{TABLE_ROWS:,} rows of a CSV in {took:.1f} s, {spent:.1f} s of the gateway's CPU")
            async with Fast(contender.settings):
                await asyncio.sleep(SETTLE_S)
                beside = [await run.direct(QUIET), await run.called(QUIET)]
    return OverHttp(alone, beside, TABLE_ROWS, took, spent)


class _Run:
    """What is measured, and how."""

    def __init__(
        self,
        contender: Contender,
        worker: psutil.Process,
        gateways: Sequence[tuple[int, psutil.Process]],
        seconds: float,
        say: Say,
    ) -> None:
        self._contender, self._worker, self._seconds, self._say = contender, worker, seconds, say
        self._ports = [port for port, _ in gateways]
        self._gateways = [process for _, process in gateways]

    async def direct(self, per_second: float) -> Asked:
        """Publishes to one partition, whose answers are read, as a gateway's calls are."""
        stream = Stream(self._contender.settings, per_second, partition=0)
        return await self._measured("published to Kafka", stream)

    async def called(self, per_second: float) -> Asked:
        """Calls the gateways."""
        callers = Callers(self._contender.settings, per_second, self._ports)
        return await self._measured(f"over HTTP, {GATEWAYS} gateways", callers)

    async def _measured(self, name: str, stream: Stream) -> Asked:
        async with stream:
            await asyncio.sleep(SETTLE_S)
            began, before, all_before = time.monotonic(), self._used(), psutil.cpu_times()
            await asyncio.sleep(self._seconds)
            took, after, all_after = time.monotonic() - began, self._used(), psutil.cpu_times()
            answers = stream.between(began, began + took)
        percentiles = quantiles([answer.took * 1e3 for answer in answers], n=100)
        cores = [(late - early) / took for early, late in zip(before, after, strict=True)]
        idle = (all_after.idle + all_after.iowait - all_before.idle - all_before.iowait) / took
        busy = 1 - idle / (os.cpu_count() or 1)
        asked = Asked(name, stream.per_second, percentiles[49], percentiles[98], *cores, busy)
        told = f"p50 {asked.p50_ms:.1f} and p99 {asked.p99_ms:.1f} ms, cores {busy:.0%} busy"
        self._say(f"{name}, {stream.per_second:,.0f}/s: {told}, {len(answers) / took:,.0f} answers/s")
        return asked

    def _used(self) -> list[float]:
        gateways = sum(cpu_s(one) for one in self._gateways)
        return [cpu_s(self._worker), self._contender.broker_cpu_s(), gateways]


@contextlib.asynccontextmanager
async def gateway(contender: Contender) -> AsyncIterator[tuple[int, psutil.Process]]:
    """A gateway of the contender's deployment that is ready, and its port."""
    with contender.gateway() as (port, process):
        until = time.monotonic() + _READY_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if await asyncio.to_thread(_is_ready, port):
                    yield port, psutil.Process(process.pid)
                    return
            await asyncio.sleep(0.1)
        raise SystemExit("a gateway did not become ready")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    finally:
        connection.close()


def _table(contender: Contender, port: int) -> float:
    """Sends a table in one call, and returns how many seconds its reply took."""
    documents = [json.loads(document) for document in different_documents(TABLE_ROWS)]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, sorted({name for row in documents for name in row}), restval="")
    table.writeheader()
    table.writerows(documents)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    path, headers = f"/v1/{contender.settings.deployment}/predict", {"Content-Type": "text/csv", "Accept": "text/csv"}
    began = time.monotonic()
    connection.request("POST", path, text.getvalue().encode(), headers)
    reply = connection.getresponse()
    lines = reply.read().count(b"\n")
    took = time.monotonic() - began
    if reply.status != HTTPStatus.OK or lines != TABLE_ROWS + 1:
        raise SystemExit(f"the table: {reply.status}, {lines} lines")
    return took


def figures(over_http: OverHttp) -> list[Figures]:
    """Builds the table, a column for each."""
    lines = [*over_http.alone, *over_http.beside]
    marks = ["", *[""] * (len(over_http.alone) - 1), *[f", beside {FAST:,} rows/s"] * len(over_http.beside)]
    rows = [
        ["a second", *(f"{one.per_second:,.0f}" for one in lines)],
        ["p50, ms", *(f"{one.p50_ms:,.1f}" for one in lines)],
        ["p99, ms", *(f"{one.p99_ms:,.1f}" for one in lines)],
        ["CPU of the gateways, µs a call", *(_per_call(one, one.gateway_cores) for one in lines)],
        ["CPU of the worker, µs", *(_per_call(one, one.worker_cores) for one in lines)],
        ["CPU of Kafka, µs", *(_per_call(one, one.broker_cores) for one in lines)],
        ["cores busy", *(f"{one.busy:.0%}" for one in lines)],
    ]
    held = max((one.per_second for one in over_http.alone[1:] if one.busy <= BUSY), default=0)
    rows_per_s = over_http.table_rows / over_http.table_s
    cpu_us = over_http.table_gateway_cpu_s / over_http.table_rows * 1e6
    note = (
        f"Single rows of JSON, one worker, {GATEWAYS} gateways; from when a call is due to its reply. The highest of "
        f"these rates at which at most {BUSY:.0%} of the cores are busy: {held:,.0f} a second. Published to Kafka: to "
        f"one partition, as a gateway's calls are. A CSV of {over_http.table_rows:,} rows in one call: "
        f"{rows_per_s:,.0f} rows/s, {cpu_us:.0f} µs of CPU a row in the gateway."
    )
    header = ["", *(one.name + mark for one, mark in zip(lines, marks, strict=True))]
    return [Figures("Over HTTP: GBM of 50 trees on 12 columns", header, rows, note)]


def _per_call(one: Asked, cores: float) -> str:
    return f"{cores / one.per_second * 1e6:,.0f}" if cores and one.per_second else "-"
