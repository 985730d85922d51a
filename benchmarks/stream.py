"""A steady stream of requests at a contender: how soon each is answered, and what a change of the model does to it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple, Self

import psutil
from contender import OURS, Contender, cpu_s, fill, first_model

from hotswap.client.change import Change
from hotswap.kafka.connection import Admin
from hotswap.kafka.log import LogReader, LogWriter
from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

PER_SECOND = 1_000
AROUND_S = 10.0
_TICK_S = 0.005
_SETTLE_S = 15.0
_BACK_WITHIN_S = 60.0


@dataclass(slots=True)
class Steady:
    """A steady stream: from publishing a request to reading its committed answer, and what it costs."""

    per_second: float
    p50_ms: float
    p99_ms: float
    longest_gap_ms: float
    cores: float
    broker_cores: float


@dataclass(slots=True)
class Changed:
    """What a swap, or a redeploy, did to a steady stream: in the ten seconds around it, and in the ten after these."""

    longest_gap_ms: float
    p99_around_ms: float
    p99_after_ms: float
    first_prediction_s: float | None


class Arrived(NamedTuple):
    """An answer: when it was read, how long after its request was published, and its generation (0: it names none)."""

    at: float
    took: float
    generation: int


class Stream:
    """Publishes requests at a steady rate and reads their answers, from when it is entered until it is left.

    A request that is timed has the time of its sending as key: all of them at 1,000 a second, and about a thousand a
    second of more, so that the measuring costs little of what is measured.
    """

    def __init__(self, settings: Settings, values: list[bytes], per_second: float = PER_SECOND) -> None:
        self.arrived: list[Arrived] = []
        self._settings, self._values, self._per_second = settings, values, per_second
        self._timed = max(1, round(per_second / PER_SECOND))

    async def __aenter__(self) -> Self:
        topics = self._settings.topics
        self._writer = LogWriter(self._settings)
        self._reader = LogReader(self._settings, topics.predictions, is_isolated=True)
        async with Admin.connect(self._settings) as admin:
            ends = await admin.end_offsets(topics.predictions)
        await self._writer.start()
        await self._reader.start(ends)
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._read())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._writer.stop()
        await self._reader.stop()

    async def _publish(self) -> None:
        began, sent = time.perf_counter(), 0
        topic, values = self._settings.topics.requests, self._values
        while True:
            due = int((time.perf_counter() - began) * self._per_second) - sent
            now = str(time.perf_counter()).encode()
            batch = [
                (None if number % self._timed else now, values[number % len(values)], ())
                for number in range(sent, sent + due)
            ]
            sent += due
            await self._writer.append_many(topic, batch)
            await asyncio.sleep(_TICK_S)

    async def _read(self) -> None:
        while True:
            records = await self._reader.read(1)
            now = time.perf_counter()
            for record in records:
                if record.key:
                    number = next((value for name, value in record.headers if name == "generation"), 0)
                    self.arrived.append(Arrived(now, now - float(record.key), int(number)))

    def between(self, begin: float, end: float) -> list[Arrived]:
        """The answers that were read in a stretch of time."""
        return [answer for answer in self.arrived if begin <= answer.at < end]

    async def first(self, seen: int, is_wanted: Callable[[Arrived], bool]) -> Arrived | None:
        """The first wanted answer after so many that have been seen; None if none comes within a minute."""
        until = time.perf_counter() + _BACK_WITHIN_S
        while time.perf_counter() < until:
            for answer in self.arrived[seen:]:
                seen += 1
                if is_wanted(answer):
                    return answer
            await asyncio.sleep(_TICK_S)
        return None


async def measure(contender: Contender, values: list[bytes], seconds: float, per_second: float = PER_SECOND) -> Steady:
    """A contender under a steady stream for so many seconds, once it has settled."""
    async with contender.running() as process:
        await contender.swap(first_model())
        async with Stream(contender.settings, values, per_second) as stream:
            await asyncio.sleep(_SETTLE_S)
            return await _steady(stream, contender, process, per_second, seconds)


async def measure_changes(
    contender: Contender, values: list[bytes], seconds: float, changes: Sequence[Change]
) -> tuple[Steady, list[Changed]]:
    """The same, and then one change of the model after the other under the same stream."""
    async with contender.running() as process:
        await contender.swap(first_model())
        async with Stream(contender.settings, values) as stream:
            await asyncio.sleep(_SETTLE_S)
            steady = await _steady(stream, contender, process, PER_SECOND, seconds)
            return steady, [await _change(stream, contender, change) for change in changes]


async def floor(settings: Settings, values: list[bytes], seconds: float) -> tuple[float, float]:
    """p50 and p99 of the measuring itself, ms: the requests are read as if they were their own answers."""
    own = settings.model_copy(update={"predictions_topic": settings.topics.requests})
    async with Stream(own, values) as stream:
        await asyncio.sleep(_SETTLE_S)
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        took = quantiles([answer.took for answer in stream.between(began, time.perf_counter())], n=100)
    return took[49] * 1e3, took[98] * 1e3


async def warm(kafka: LocalKafka, folder: Path, values: list[bytes], seconds: float) -> None:
    """Makes the broker warm: transactions, as they come later, that nobody measures."""
    contender = Contender(OURS, kafka, folder)
    await fill(contender.settings, values, 0)
    await measure(contender, values, seconds)


async def _steady(
    stream: Stream, contender: Contender, process: psutil.Process, per_second: float, seconds: float
) -> Steady:
    assert contender.kafka.pid is not None
    kafka = psutil.Process(contender.kafka.pid)
    began, used, brokers = time.perf_counter(), cpu_s(process), cpu_s(kafka)
    await asyncio.sleep(seconds)
    ended, spent, brokers = time.perf_counter(), cpu_s(process) - used, cpu_s(kafka) - brokers
    answers = stream.between(began, ended)
    percentiles = quantiles([answer.took for answer in answers], n=100)
    return Steady(
        per_second=per_second,
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
        longest_gap_ms=_longest_gap_ms([answer.at for answer in answers]),
        cores=spent / (ended - began),
        broker_cores=brokers / (ended - began),
    )


async def _change(stream: Stream, contender: Contender, to: Change) -> Changed:
    """Changes the model: by a swap, or where there is none by a redeploy."""
    begin, seen = time.perf_counter(), len(stream.arrived)
    if contender.is_ours:
        generation = await contender.swap(to)
        back = await stream.first(seen, lambda answer: answer.generation == generation)
    else:
        await contender.redeploy()
        is_back = time.perf_counter()
        back = await stream.first(seen, lambda answer: answer.at - answer.took > is_back)
    end = max(begin + AROUND_S / 2, time.perf_counter() + 1)
    await asyncio.sleep(end + AROUND_S - time.perf_counter())
    around = stream.between(begin - AROUND_S / 2, end)
    # Who has not come back by then has a gap of at least so long.
    gap = _longest_gap_ms([*(answer.at for answer in around if answer.at >= begin - 0.5), end])
    return Changed(
        longest_gap_ms=gap,
        p99_around_ms=_p99_ms(around),
        p99_after_ms=_p99_ms(stream.between(end, end + AROUND_S)),
        first_prediction_s=back.at - begin if back and contender.is_ours else None,
    )


def _p99_ms(answers: Sequence[Arrived]) -> float:
    return quantiles([answer.took for answer in answers], n=100)[98] * 1e3


def _longest_gap_ms(times: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(times)), default=0.0) * 1e3
