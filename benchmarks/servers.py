"""Single rows over HTTP in a closed loop: MLServer, BentoML and our gateway, each with the same model, one by one."""

import asyncio
import base64
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import numpy as np
import psutil
from contender import OURS, Contender, cpu_s
from kinds import Contender as Kind
from kinds_by_hand import change_of
from over_http import gateway
from python_libraries import matrix_of, scorer_of
from python_models import CRAYFISH
from report import Figures
from served import HOTSWAP, Endpoint, served, servers_of, versions
from stream import Stream

from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

CALLERS = (1, 16)
_GATEWAY = "hotswap, one gateway and one worker"
_SETTLE_S = 5.0
_TOLERANCE = 1e-5

Say = Callable[[str], None]


@dataclass(slots=True)
class Calls:
    """A server with so many callers: from sending a row to its reply, and the CPU of each call."""

    callers: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_call: float
    kafka_us_per_call: float = 0.0
    """What Kafka takes beside that."""


@dataclass(slots=True)
class Served:
    """A server of a model; `name` is the model's."""

    name: str
    server: str
    versions: str
    calls: list[Calls]


class Closed(Stream):
    """Callers in a closed loop; the reply to each call is timed."""

    def __init__(self, settings: Settings, port: int, callers: int, requests: Path) -> None:
        super().__init__(settings)
        self._words = [str(port), str(callers), str(requests)]

    async def start(self) -> None:
        """Starts the callers, who also read."""
        self.publisher = self.reader = await self.run("closed_caller.py", *self._words, stdout=PIPE)


async def measure(kafka: LocalKafka, folder: Path, models: Sequence[Kind], seconds: float, say: Say) -> list[Served]:
    """Measures each model in every server that there is for it, one after the other."""
    lines = []
    for model in (one for one in models if one.name != CRAYFISH):
        for name in servers_of(model.kind):
            with served(name, model) as (endpoint, pid):
                run = _Run(model, endpoint, [psutil.Process(pid)], folder, seconds)
                told = versions(name, model.kind)
                lines.append(Served(model.name, name, told, await run.measured(f"{model.name}: {told}", say)))
        lines.append(await _ours(kafka, folder, model, seconds, say))
    return lines


async def _ours(kafka: LocalKafka, folder: Path, model: Kind, seconds: float, say: Say) -> Served:
    contender = Contender(OURS, kafka, folder, kinds=model.kind)
    async with contender.running() as worker, AsyncExitStack() as gateways:
        await contender.swap(change_of(model, folder / f"{model.kind}.proto"))
        port, process = await gateways.enter_async_context(gateway(contender))
        endpoint = Endpoint(port, f"/v1/{contender.settings.deployment}/predict", is_ours=True)
        run = _Run(model, endpoint, [worker, process], folder, seconds, contender.broker_cpu_s)
        return Served(
            model.name, _GATEWAY, versions(HOTSWAP, model.kind), await run.measured(f"{model.name}: {_GATEWAY}", say)
        )


class _Run:
    """A server that runs, and how it is measured."""

    def __init__(
        self,
        model: Kind,
        endpoint: Endpoint,
        processes: Sequence[psutil.Process],
        folder: Path,
        seconds: float,
        broker_cpu_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._model, self._endpoint, self._processes = model, endpoint, processes
        self._seconds, self._broker_cpu_s = seconds, broker_cpu_s
        self._requests = folder / "calls"

    async def measured(self, title: str, say: Say) -> list[Calls]:
        """Checks that it scores as the library does, and calls it by one caller and by more."""
        expected = scorer_of(self._model.kind, self._model.model)(matrix_of(self._model.rows[:1]))
        scores = await asyncio.to_thread(self._endpoint.scores, self._model.rows[0])
        np.testing.assert_allclose(scores, np.ravel(expected), rtol=_TOLERANCE)
        requests = map(self._endpoint.request, self._model.rows)
        self._requests.write_bytes(b"\n".join(map(base64.b64encode, requests)))
        taken = []
        for callers in CALLERS:
            taken.append(await self._called(callers))
            told = f"p50 {taken[-1].p50_ms:.2f} and p99 {taken[-1].p99_ms:.2f} ms"
            say(f"{title}: {callers} at once, {told}, {taken[-1].cpu_us_per_call:,.0f} µs a call")
        return taken

    async def _called(self, callers: int) -> Calls:
        nowhere = Settings(deployment="none")
        async with Closed(nowhere, self._endpoint.port, callers, self._requests) as calls:
            await asyncio.sleep(_SETTLE_S)
            began, used, broker = time.monotonic(), self._cpu_s(), self._broker_cpu_s()
            await asyncio.sleep(self._seconds)
            ended, used, broker = time.monotonic(), self._cpu_s() - used, self._broker_cpu_s() - broker
            await asyncio.sleep(1)  # for the replies that are still in the pipe
            replies = calls.between(began, ended)
        percentiles = quantiles([reply.took * 1e3 for reply in replies], n=100)
        count = len(replies)
        per_call = [spent / count * 1e6 for spent in (used, broker)]
        return Calls(callers, count / (ended - began), percentiles[49], percentiles[98], *per_call)

    def _cpu_s(self) -> float:
        return sum(map(cpu_s, self._processes))


def figures(lines: list[Served]) -> list[Figures]:
    """Builds the table, a row for each server and number of callers."""
    rows = [
        [
            f"{line.name}: {line.server}",
            str(one.callers),
            f"{one.per_second:,.0f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.cpu_us_per_call:,.0f}",
            f"{one.kafka_us_per_call:,.0f}" if one.kafka_us_per_call else "-",
        ]
        for line in lines
        for one in line.calls
    ]
    header = ["", "callers", "calls/s", "p50, ms", "p99, ms", "CPU, µs a call", "CPU of Kafka, µs a call"]
    told = "; ".join(sorted({line.versions for line in lines}))
    note = (
        "Single rows of JSON in a closed loop: each caller sends the next row at the reply. MLServer scores in its own "
        "process (parallel_workers 0) and logs no calls, BentoML has one worker and no access log; both answer from "
        "memory and keep nothing. Ours writes request and answer to Kafka, exactly once, before it replies. One thread "
        "of the library everywhere. MLServer has no runtime for ONNX. The function in Python is called by a custom "
        f"runtime of MLServer and by a service of BentoML. {told}."
    )
    return [Figures("Single rows over HTTP, beside MLServer and BentoML", header, rows, note)]
