"""The watch of deployments while pages are open: overviews, last minutes, last refusals."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import NamedTuple

from hotswap.client.answers import Refused, refused
from hotswap.client.overview import Overview, follow_overview
from hotswap.errors import HotswapError, pause_before
from hotswap.gateway.deployment import Deployment
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader, LogRecord

log = logging.getLogger(__name__)

MINUTES_S = 300.0
"""The time span of the charts."""

_SEEN_S = 3.0
_SAMPLES = 300
_REFUSALS = 8
_PAUSE_S = 15.0
_UNSEEN_S = 600.0
"""How long it continues without viewers."""


class WatchSample(NamedTuple):
    """A deployment at a moment (seconds since the epoch); `p99_s` is the slowest worker's, 0: nothing was answered."""

    at: float
    answers_per_s: float
    lag: int
    p99_s: float
    refusals_per_s: float


class LatestRefusal(NamedTuple):
    """A request that was refused while the watch went on; `at_ms` is its dead letter's timestamp."""

    at_ms: int
    partition: int
    offset: int
    why: Refused


class Watched:
    """One deployment: its last overview, or why there is none, and its last minutes."""

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.settings = deployment.settings
        self.deployment = deployment
        self.view: Overview | None = None
        self.fault = ""
        self.samples: deque[WatchSample] = deque(maxlen=_SAMPLES)
        self.refusals: deque[LatestRefusal] = deque(maxlen=_REFUSALS)
        self.refused = Counter[str]()
        """Code -> how many requests were refused with it since the watch began."""
        self._new = 0

    def forget(self) -> None:
        """Reset: earlier overviews are too old."""
        self.view, self.fault = None, ""
        self.samples.clear()

    def take(self, view: Overview) -> None:
        """Take the next overview, and a sample with the rates since the one before."""
        before, last = self.view, self.samples[-1] if self.samples else None
        passed = view.at - before.at if before else 0.0
        answers = refusals = 0.0
        if before and passed > 0:
            then = {lag.partition: lag.committed for lag in before.lags}
            done = sum(max(lag.committed - then.get(lag.partition, lag.committed), 0) for lag in view.lags)
            answers, refusals = done / passed, self._new / passed
        self._new = 0
        p99_s = max((worker.latency_p99_s for worker in view.live), default=0.0)
        if last is None or view.at > last.at:
            self.samples.append(WatchSample(view.at, answers, sum(lag.requests for lag in view.lags), p99_s, refusals))
        self.view, self.fault = view, ""

    def refuse(self, records: Iterable[LogRecord]) -> None:
        """Record dead letters as committed."""
        for record in records:
            why = refused(record)
            self.refused[why.code] += 1
            self._new += 1
            self.refusals.appendleft(LatestRefusal(record.timestamp, record.partition, record.offset, why))


class Watch:
    """Follows deployments until ten minutes after the last view."""

    def __init__(self, deployments: Mapping[str, Deployment]) -> None:
        self.deployments = {name: Watched(one) for name, one in deployments.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Condition()
        self._looked = 0.0
        self._is_closed = False

    def look(self) -> None:
        """Note a viewer; start to follow if not following."""
        self._looked = time.monotonic()
        for name, watched in self.deployments.items():
            task = self._tasks.get(name)
            if not self._is_closed and (task is None or task.done()):
                watched.forget()
                self._tasks[name] = asyncio.create_task(self._follow(watched))

    async def first(self, name: str) -> Watched:
        """Return the deployment when its state is known, or after a time-out."""
        self.look()
        watched = self.deployments[name]
        async with self._turn:
            try:
                async with asyncio.timeout(5.0):
                    await self._turn.wait_for(lambda: watched.view or watched.fault or self._is_closed)
            except TimeoutError:
                watched.fault = "Kafka has not answered yet"
        return watched

    async def sees(self, name: str, command_id: str) -> None:
        """Return when the deployment's overview has the command, or after a time-out."""
        self.look()
        watched = self.deployments[name]
        async with self._turn:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SEEN_S):
                    await self._turn.wait_for(lambda: self._is_closed or _has(watched.view, command_id))

    async def turns(self) -> AsyncIterator[None]:
        """Yield at each possible change, until the watch is closed."""
        while not self._is_closed:
            self.look()
            yield
            async with self._turn:
                await self._turn.wait()

    async def close(self) -> None:
        """End every stream, and stop following."""
        is_first, self._is_closed = not self._is_closed, True
        await self._notify()
        for task in self._tasks.values():
            if is_first:  # a second cancellation would interrupt the end of the first: connections would stay open
                task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _notify(self) -> None:
        async with self._turn:
            self._turn.notify_all()

    def _is_idle(self) -> bool:
        return time.monotonic() - self._looked > _UNSEEN_S

    async def _follow(self, watched: Watched) -> None:
        refusals = asyncio.create_task(_follow_refusals(watched))
        try:
            await self._follow_overview(watched)
        finally:
            refusals.cancel()
            await asyncio.gather(refusals, return_exceptions=True)

    async def _follow_overview(self, watched: Watched) -> None:
        attempt = 0
        while not self._is_idle():
            try:
                seen = watched.deployment.seen.anew()
                async with aclosing(follow_overview(watched.settings, seen)) as views:
                    async for view in views:
                        mine, in_use = seen.history.fold.guard, watched.deployment.guard
                        if mine.trust_sha256 != in_use.trust_sha256:
                            break  # the gateway has taken another trust file: the log is folded anew under it
                        mine.kept = in_use.kept
                        watched.take(view)
                        await self._notify()
                        attempt = 0
                        if self._is_idle():
                            return
            except HotswapError as error:
                attempt += 1
                watched.fault = str(error)
                log.warning("console.watch_failed", extra={"deployment": watched.name, "why": str(error)})
                await self._notify()
                await asyncio.sleep(pause_before(attempt, first=1.0, most=_PAUSE_S))


def _has(view: Overview | None, command_id: str) -> bool:
    return view is not None and any(one.entry.command.command_id == command_id for one in view.commands)


async def _follow_refusals(watched: Watched) -> None:
    settings = watched.settings
    topic = settings.topics.dead_letters
    while True:
        reader = LogReader(settings, topic, read_committed=True)
        try:
            async with Admin.connect(settings) as admin:
                ends = await admin.end_offsets(topic, read_committed=True)
            await reader.start(ends)
            while True:
                watched.refuse(await reader.read(1.0))
        except HotswapError:  # the overview says what is wrong
            await asyncio.sleep(_PAUSE_S)
        finally:
            await reader.stop()
