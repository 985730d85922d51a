"""An overview of a deployment from its topics and its group's committed offsets, for `hotswap status`."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hotswap.client.findings import Finding, Level, findings_of, worst
from hotswap.client.fleet import Fleet, Told, WorkerView
from hotswap.client.history import History
from hotswap.client.needed import Needed, needed_artifacts
from hotswap.client.seen import CommandView, Seen, heard_at
from hotswap.errors import StartError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import Lag
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.topics.log import LogReader
from hotswap.kafka.topics.oldest import oldest_ms
from hotswap.settings import Settings
from hotswap.swap.command import highest
from hotswap.swap.sample import Shadowed
from hotswap.swap.timeline import Swap
from hotswap.trust.file import Trust

if TYPE_CHECKING:
    from hotswap.client.shares import Window
    from hotswap.client.standings import GenerationView

_TURN_S = 1.0
_WINDOW_S = 10.0
"""How often shares are asked for, which change slowly."""
_FORGOTTEN_S = 3_600.0
"""How long a dead worker stays listed (the status topic retains its last report)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A deployment as it was at `at` (seconds since the epoch); `commands` oldest first."""

    deployment: str
    at: float
    newest: int
    is_paused: bool
    workers: tuple[WorkerView, ...]
    commands: tuple[CommandView, ...]
    lags: tuple[Lag, ...]
    failures: Mapping[str, tuple[Told, ...]]
    """Live worker -> the generations that it could not load and runs without, newest first."""
    topic_faults: tuple[str, ...] = ()
    """What is wrong with the deployment's topics."""
    swaps: tuple[Swap, ...] = ()
    """The accepted generations, oldest first."""
    never_served: frozenset[int] = frozenset()
    """Those of them that could not be staged, and never served."""
    signed_since: int | None = None
    """Offset of the control topic from which on commands must be signed; None: they need not be."""
    unverified: str = ""
    """Why signatures that the log requires are not verified here; empty: they are, or it requires none."""
    held: str = ""
    """Why commands of the log cannot be read here, as workers of this version cannot either; empty: all can."""
    ages: Mapping[int, float] = field(default_factory=dict)
    """Partition -> age of its oldest request that is not answered, seconds, where there is one and its age is known."""
    control: str = ""
    """The control topic."""
    shadowed: Shadowed | None = None
    """What it answers as a shadow; None: requests of its own."""
    window: "Window | None" = None
    """The requests of which generations have shares; None: it was not asked for."""

    @property
    def live(self) -> tuple[WorkerView, ...]:
        """The workers that have reported recently."""
        return tuple(worker for worker in self.workers if worker.is_live(self.at))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, worst first; see `findings.findings_of`."""
        return findings_of(self)

    @property
    def level(self) -> Level:
        """How the deployment is: the level of its worst finding."""
        return worst(self.findings)

    @property
    def needed(self) -> list[Needed]:
        """The artifacts that stores must hold: of serving or next generations first, then for rollbacks."""
        newest = (swap.number for swap in reversed(self.swaps) if swap.number not in self.never_served)
        serving = {next(newest, 0), *(lag.generation for lag in self.lags)}
        serving |= {worker.generation for worker in self.live}
        return needed_artifacts(self.swaps, serving, self.never_served)

    @property
    def problems(self) -> tuple[str, ...]:
        """The findings that need an operator now (faults), one line each."""
        return tuple(one.line for one in self.findings if one.level is Level.FAULT)

    @property
    def generations(self) -> "tuple[GenerationView, ...]":
        """The generations that score partitions, and the newest one if it may be promoted, oldest first."""
        from hotswap.client.standings import standings  # noqa: PLC0415 - no command needs it before Kafka has answered

        return standings(self)

    @property
    def is_divided(self) -> bool:
        """Whether more than one generation scores it, or may."""
        generations = self.generations
        return len(generations) > 1 or not all(one.is_whole for one in generations)

    @property
    def serving(self) -> tuple[int, ...]:
        """The generations that serve, oldest first: they score a partition, and some live worker has them.

        Where no partition is known to be scored by one, those that workers are ready to score with.
        """
        serving = {one.number for one in self.generations if one.loaded and one.is_whole}
        return tuple(sorted(serving or {worker.generation for worker in self.live} - {0}))

    @property
    def lacking(self) -> Mapping[str, tuple[Told, ...]]:
        """The `failures` of generations that are needed; one that failed and changed nothing is history.

        Needed is what a live worker has loaded or a partition was scored with, and what came before that; where there
        is no such generation, whatever failed is why.
        """
        needed = [number for worker in self.live for number in (worker.generation, *worker.loaded)]
        # Workers ignore floors that no command can have created, too (kafka/partition/position.py).
        needed += [lag.generation for lag in self.lags if lag.generation <= highest(self.newest)]
        upto = max(needed, default=0)
        return {
            worker: lacks
            for worker, failures in self.failures.items()
            if (lacks := tuple(failure for failure in failures if failure.generation <= upto or not upto))
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings that may need an operator later, one line each."""
        return tuple(one.line for one in self.findings if one.level is Level.WARNING)

    @property
    def oldest_s(self) -> float:
        """Age of the oldest request that is not answered, seconds; 0: there is none, or it is not known."""
        return max(self.ages.values(), default=0.0)


async def overview(settings: Settings) -> Overview:
    """Read the topics and the committed offsets once.

    Raises:
        StartError: no broker answers, or a topic is missing.
        Doubt: the broker did not answer in time.

    """
    settings = await settled(settings)
    async with Admin.connect(settings) as admin:
        lags = await admin.lags(settings.group_id, settings.topics.requests)
        topic_faults = tuple(await admin.topic_faults())
        window = await _window(admin, settings, lags)
    seen = Seen(await read_history(settings), await read_fleet(settings))
    unowned = await oldest_ms(settings, _unowned(seen.fleet, lags))
    return _view(seen, lags, topic_faults, unowned, window)


async def _window(admin: Admin, settings: Settings, lags: Iterable[Lag]) -> "Window":
    from hotswap.client.shares import read_window  # noqa: PLC0415 - no command needs it before Kafka has answered

    return await read_window(admin, settings.topics.requests, {lag.partition: lag.end for lag in lags})


def _unowned(fleet: Fleet, lags: Iterable[Lag]) -> list[Lag]:
    """Return the partitions that no live worker reports."""
    now = time.time()
    owned = {part.partition for view in fleet.workers.values() if view.is_live(now) for part in view.partitions}
    return [lag for lag in lags if lag.partition not in owned]


async def follow_overview(settings: Settings, seen: Seen | None = None) -> AsyncGenerator[Overview, None]:
    """Yield the overview every second, reusing connections.

    Records are added to `seen`, which must be empty at first.

    Raises:
        StartError: no broker answers, or a topic is missing.
        Doubt: the broker did not answer in time.

    """
    settings = await settled(settings)
    seen = seen or Seen.nothing(settings)
    async with (
        control_log(settings, seen.history) as commands,
        status_log(settings) as status,
        Admin.connect(settings) as admin,
    ):
        seen.receive(await commands.read_to_end(), await status.read_to_end())
        looked_at: set[tuple[int, int, bool]] = set()
        oldest: Mapping[int, int] = {}
        window_until = 0.0
        while True:
            lags = await admin.lags(settings.group_id, settings.topics.requests)
            if (now := time.monotonic()) >= window_until:
                window, window_until = await _window(admin, settings, lags), now + _WINDOW_S
            unowned = _unowned(seen.fleet, lags)
            if (at := {(lag.partition, lag.committed, lag.requests > 0) for lag in unowned}) != looked_at:
                looked_at, oldest = at, await oldest_ms(settings, unowned)
            yield _view(seen, lags, tuple(await admin.topic_faults()), oldest, window)
            await asyncio.sleep(_TURN_S)
            while any(records := (await commands.read(0), await status.read(0))):
                seen.receive(*records)


def _view(
    seen: Seen, lags: tuple[Lag, ...], topic_faults: tuple[str, ...], unowned: Mapping[int, int], window: "Window"
) -> Overview:
    """`unowned` are the partitions that no live worker has, each with the timestamp of its oldest request, ms."""
    (history, fleet), now = seen, time.time()
    workers = sorted(fleet.workers.values(), key=lambda view: view.worker)
    return Overview(
        deployment=history.deployment,
        at=now,
        newest=history.timeline.newest,
        is_paused=history.timeline.is_paused,
        workers=tuple(view for view in workers if now - view.at < _FORGOTTEN_S),
        commands=tuple(seen.commands()),
        lags=lags,
        failures=fleet.failures(now),
        topic_faults=topic_faults,
        swaps=(swaps := tuple(history.timeline.swaps.values())),
        never_served=frozenset(swap.number for swap in swaps if fleet.has_never_served(swap.command_id)),
        signed_since=history.fold.guard.since,
        unverified=history.fold.guard.warning,
        held=history.timeline.held,
        ages=_ages(fleet, lags, now) | {number: max(now - at_ms / 1000, 0.0) for number, at_ms in unowned.items()},
        control=history.fold.guard.topic,
        shadowed=history.timeline.shadowed,
        window=window,
    )


def _ages(fleet: Fleet, lags: Iterable[Lag], now: float) -> dict[int, float]:
    """Return the age of the oldest request of each partition, as reported by live workers."""
    behind = {lag.partition: lag.committed for lag in lags if lag.requests}
    ages = {}
    for view in fleet.workers.values():
        for part in view.partitions if view.is_live(now) else ():
            if part.oldest_ms and part.partition in behind:
                # Behind a position that has moved since the report there is another one now: count up to the report.
                until = now if behind[part.partition] <= part.position else view.at
                ages[part.partition] = max(until - part.oldest_ms / 1000, 0.0)
    return ages


@asynccontextmanager
async def control_log(settings: Settings, history: History | None) -> AsyncIterator[LogReader]:
    """Yield a read_committed reader of the control topic from its beginning, as the workers read it.

    Sets the topic and the cluster in `history`, which is to receive the records.
    """
    settings = await settled(settings)
    async with _reading(LogReader(settings, settings.topics.control, read_committed=True)) as reader:
        if reader.partitions != 1:
            raise StartError(
                f"topic {settings.topics.control} has {reader.partitions} partitions and must have one: "
                "its order is the order of the commands"
            )
        if history:
            history.fold.guard.topic = settings.topics.control
            if settings.trust or settings.sign_with:
                history.fold.guard.cluster = await reader.cluster_id()
        yield reader


@asynccontextmanager
async def status_log(settings: Settings, *, read_committed: bool = False) -> AsyncIterator[LogReader]:
    """Yield a reader of the status topic; by default read_uncommitted, so that reports wait for no transaction."""
    async with _reading(LogReader(settings, settings.topics.status, read_committed=read_committed)) as reader:
        yield reader


@asynccontextmanager
async def _reading(reader: LogReader) -> AsyncIterator[LogReader]:
    try:
        await reader.start()
        yield reader
    finally:
        await reader.stop()


async def read_history(settings: Settings, trust: Trust | None = None) -> History:
    """Read all commands of the deployment from the control topic; `trust` as for `History.of`."""
    history = History.of(settings, trust)
    async with control_log(settings, history) as reader:
        async for records in reader.to_end():
            history.receive(records)
    return history


async def read_fleet(settings: Settings) -> Fleet:
    """Read the reports of the deployment's workers so far."""
    fleet = Fleet(settings.deployment)
    async with status_log(settings) as reader:
        async for records in reader.to_end():
            for record in records:
                fleet.receive(record.value, heard_at(record))
    return fleet
