"""A steady stream of requests to a contender: the latency of each, and the effect of a change of the model."""

import asyncio
import contextlib
import sys
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, pairwise, permutations
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple, Self

import psutil
from contender import OURS, Contender, cpu_s
from reader import ANSWER
from workload import first_model

from hotswap.client.change import Change
from hotswap.kafka.topics.log import LogReader
from hotswap.local.kafka import LocalKafka
from hotswap.local.lifeline import start_watchdog
from hotswap.settings import Settings

PER_SECOND = 1_000
AROUND_S = 10.0
_TICK_S = 0.005
SETTLE_S = 15.0
_AGAIN_S = 4.0
_PIPE_S = 0.5  # an answer is here a little later than it was read
_BACK_WITHIN_S = 60.0


@dataclass(slots=True)
class Steady:
    """A steady stream: from when a request is due to reading its committed answer, and what it costs."""

    per_second: float
    p50_ms: float
    p99_ms: float
    longest_gap_ms: float
    cores: float
    broker_cores: float


@dataclass(slots=True)
class Floor:
    """The latency of the measurement itself."""

    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Changed:
    """The effect of a swap, or a redeploy, on a steady stream: in the ten seconds around it, and in the next ten."""

    longest_gap_ms: float
    p99_around_ms: float
    p99_after_ms: float | None  # None: only measured around it
    first_prediction_s: float | None


class Arrived(NamedTuple):
    """An answer: when it was read, how long after its request was due, and its generation (0: it names none)."""

    at: float
    took: float
    generation: int


class Load(ABC):
    """A publisher of requests and a reader of their answers, separate processes, for a with-block."""

    publisher: Process
    reader: Process

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def __aenter__(self) -> Self:
        self._watchdog = start_watchdog()
        await self.start()
        self._reading = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watchdog.communicate()
        await asyncio.gather(self.publisher.wait(), self.reader.wait(), self._reading)

    @abstractmethod
    async def start(self) -> None:
        """Starts both."""

    @abstractmethod
    async def read(self) -> None:
        """Keeps what the reader writes, until it ends."""

    async def run(self, script: str, *words: str, **options: Any) -> Process:
        """Starts a script that ends with the block."""
        command = [sys.executable, str(Path(__file__).with_name(script)), *words]
        return await asyncio.create_subprocess_exec(*command, process_group=self._watchdog.pid, **options)

    def check(self) -> None:
        """Ends the benchmark if one of them has ended."""
        if self._reading.done() or self.publisher.returncode is not None:
            raise SystemExit("the publisher or the reader has ended: see what it said")


class Stream(Load):
    """So many requests a second, to all partitions or to one; the answer to each is timed."""

    def __init__(
        self,
        settings: Settings,
        per_second: float = PER_SECOND,
        *,
        partition: int | None = None,
        requests: Path | None = None,
    ) -> None:
        """`requests` is a file of publisher.py, in place of the workload's."""
        super().__init__(settings)
        self.per_second = per_second
        self._partition = [] if partition is None else [str(partition)]
        self._options = [] if partition is None else ["--partition", str(partition)]
        self._options += [] if requests is None else ["--requests", str(requests)]
        self.arrived: list[Arrived] = []

    async def start(self) -> None:
        """Starts both."""
        kafka, topics = self.settings.kafka, self.settings.topics
        self.reader = await self.run("reader.py", kafka, topics.predictions, *self._partition, stdout=PIPE)
        rate = str(self.per_second)
        self.publisher = await self.run("publisher.py", kafka, topics.requests, rate, *self._options)

    async def read(self) -> None:
        """Keeps the answers."""
        assert self.reader.stdout
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                at, due, generation = ANSWER.unpack(await self.reader.stdout.readexactly(ANSWER.size))
                self.arrived.append(Arrived(at, at - due, generation))

    def between(self, begin: float, end: float) -> list[Arrived]:
        """Returns the answers that were read in a time span."""
        self.check()
        return [answer for answer in self.arrived if begin <= answer.at < end]

    async def first(self, seen: int, is_wanted: Callable[[Arrived], bool]) -> Arrived | None:
        """Returns the first wanted answer after those already seen; None if none arrives within a minute."""
        until = time.monotonic() + _BACK_WITHIN_S
        while time.monotonic() < until:
            for answer in self.arrived[seen:]:
                seen += 1
                if is_wanted(answer):
                    return answer
            await asyncio.sleep(_TICK_S)
        return None


async def measure(
    contender: Contender, seconds: float, change: Change | None = None, requests: Path | None = None
) -> Steady:
    """Measures a contender under a steady stream for so many seconds, once it has settled.

    `change` is another model than the workload's, with a file of its requests.
    """
    async with _flowing(contender, change, requests) as (stream, process):
        return await _steady(stream, contender, process, seconds)


async def measure_changes(
    contender: Contender, seconds: float, changes: Sequence[Change]
) -> tuple[Steady, list[Changed]]:
    """The same, followed by changes of the model, one by one, under the same stream."""
    async with _flowing(contender) as (stream, process):
        steady = await _steady(stream, contender, process, seconds)
        return steady, [await _change(stream, contender, change, after_s=AROUND_S) for change in changes]


async def measure_in_turns(
    contenders: Mapping[str, Contender],
    seconds: float,
    rounds: int,
    changes: Sequence[Change],
    say: Callable[[str], None],
) -> dict[str, tuple[list[Steady], list[Changed]]]:
    """Measures contenders that all run throughout, the stream given to one after the other, so many seconds each.

    Then the changes, one by one, in as many turns. What a process has warmed up, and what the machine gives at the
    time, are the same for all.
    """
    taken: dict[str, tuple[list[Steady], list[Changed]]] = {name: ([], []) for name in contenders}
    async with contextlib.AsyncExitStack() as stack:
        running: list[tuple[str, Contender, psutil.Process]] = []
        for name, contender in contenders.items():
            running.append((name, contender, await stack.enter_async_context(contender.running())))
            await contender.swap(first_model())
        orders = cycle(permutations(running))  # nobody always follows the same one
        for number, order in enumerate(islice(orders, rounds + 1)):  # the first warms up
            say(f"· steady streams, turn {number} of {rounds}")
            for name, contender, process in order:
                async with Stream(contender.settings) as stream:
                    await asyncio.sleep(_AGAIN_S if number else SETTLE_S)
                    steady = await _steady(stream, contender, process, seconds)
                    if number:
                        taken[name][0].append(steady)
        for number, order in enumerate(islice(orders, rounds), 1):
            say(f"· {len(changes)} changes of the model, turn {number} of {rounds}")
            for name, contender, _ in order:
                async with Stream(contender.settings) as stream:
                    await asyncio.sleep(AROUND_S / 2)
                    taken[name][1].extend([await _change(stream, contender, change) for change in changes])
    return taken


async def floor(settings: Settings, seconds: float) -> Floor:
    """Measures the measurement itself: the requests are read as if they were their own answers."""
    own = settings.model_copy(update={"predictions_topic": settings.topics.requests})
    async with Stream(own) as stream:
        await asyncio.sleep(SETTLE_S)
        began = time.monotonic()
        await asyncio.sleep(seconds)
        took = quantiles([answer.took for answer in stream.between(began, time.monotonic())], n=100)
    return Floor(took[49] * 1e3, took[98] * 1e3)


async def warm(kafka: LocalKafka, folder: Path, seconds: float) -> None:
    """Warms up the broker with transactions like the later ones, without measuring them."""
    await measure(Contender(OURS, kafka, folder), seconds)


@contextlib.asynccontextmanager
async def _flowing(
    contender: Contender, change: Change | None = None, requests: Path | None = None
) -> AsyncIterator[tuple[Stream, psutil.Process]]:
    """A contender under a steady stream, once it has settled."""
    async with contender.running() as process:
        await contender.swap(change or first_model())
        async with Stream(contender.settings, requests=requests) as stream:
            await asyncio.sleep(SETTLE_S)
            yield stream, process


async def _steady(stream: Stream, contender: Contender, process: psutil.Process, seconds: float) -> Steady:
    began, used, brokers = time.monotonic(), cpu_s(process), contender.broker_cpu_s()
    await asyncio.sleep(seconds)
    ended, spent, brokers = time.monotonic(), cpu_s(process) - used, contender.broker_cpu_s() - brokers
    answers = stream.between(began, ended)
    percentiles = quantiles([answer.took for answer in answers], n=100)
    return Steady(
        per_second=PER_SECOND,
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
        longest_gap_ms=_longest_gap_ms([answer.at for answer in answers]),
        cores=spent / (ended - began),
        broker_cores=brokers / (ended - began),
    )


async def _change(stream: Stream, contender: Contender, to: Change, after_s: float = 0.0) -> Changed:
    """Changes the model: by a swap, or, for a contender without swaps, by a redeploy."""
    begin, seen = time.monotonic(), len(stream.arrived)
    if contender.is_ours:
        generation = await contender.swap(to)
        begin = await _commanded_at(contender.settings)  # before that the command line has started, and uploaded
        back = await stream.first(seen, lambda answer: answer.generation == generation)
    else:
        await contender.redeploy()
        is_back = time.monotonic()
        back = await stream.first(seen, lambda answer: answer.at - answer.took > is_back)
    end = max(begin + AROUND_S / 2, time.monotonic() + 1)
    await asyncio.sleep(end + after_s + _PIPE_S - time.monotonic())
    around = stream.between(begin - AROUND_S / 2, end)
    # A contender that has not returned by then has a gap of at least that long.
    gap = _longest_gap_ms([*(answer.at for answer in around if answer.at >= begin - 0.5), end])
    return Changed(
        longest_gap_ms=gap,
        p99_around_ms=_p99_ms(around),
        p99_after_ms=_p99_ms(stream.between(end, end + after_s)) if after_s else None,
        first_prediction_s=back.at - begin if back and contender.is_ours else None,
    )


async def _commanded_at(settings: Settings) -> float:
    """Returns when the newest command was appended to the control topic."""
    reader = LogReader(settings, settings.topics.control, read_committed=False)
    try:
        await reader.start()
        newest = max(record.timestamp for record in await reader.read_to_end())
    finally:
        await reader.stop()
    return time.monotonic() - (time.time() - newest / 1e3)


def _p99_ms(answers: Sequence[Arrived]) -> float:
    return quantiles([answer.took for answer in answers], n=100)[98] * 1e3


def _longest_gap_ms(times: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(times)), default=0.0) * 1e3
