"""A deployment at a glance, from its topics and the group's committed offsets: what `hotswap status` shows."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hotswap.client.fleet import Fleet, Told, WorkerView, deployment_of
from hotswap.client.history import Entry, History
from hotswap.commands import decode_command
from hotswap.errors import StartError, SwapError
from hotswap.kafka.connection import Admin
from hotswap.kafka.log import LogReader
from hotswap.settings import Settings
from hotswap.swap import out_of_reach

_FORGOTTEN_S = 3_600.0
"""A worker that is gone is shown for this long: the status topic keeps its last word for ever."""


@dataclass(frozen=True, slots=True)
class Lag:
    """A partition by Kafka's own word: next offset to be answered, end of what is decided, generation of the last."""

    partition: int
    committed: int
    end: int
    generation: int

    @property
    def requests(self) -> int:
        """Offsets not yet answered (the markers of transactions count too)."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command, what it was worth, and what each worker says became of it."""

    entry: Entry
    told: Mapping[str, Told]


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
    """Live worker -> the generations that it could not load and goes without, the newest first."""

    @property
    def live(self) -> tuple[WorkerView, ...]:
        """The workers that have spoken lately."""
        return tuple(worker for worker in self.workers if worker.is_live(self.at))

    @property
    def problems(self) -> tuple[str, ...]:
        """What somebody has to see to: generations that cannot be loaded, partitions that nothing can score."""
        lines: dict[str, list[str]] = {}
        for worker, failures in self.failures.items():
            for told in failures:
                line = f"cannot load generation {told.generation}: {told.code} {told.message}"
                lines.setdefault(line, []).append(worker)
        return (*(f"{', '.join(names)} {line}" for line, names in lines.items()), *self._out_of_reach())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing, though nothing stands still for it."""
        told: dict[str, list[str]] = {}
        for worker in self.live:
            for warning in worker.warnings:
                told.setdefault(warning, []).append(worker.worker)
        return tuple(f"{', '.join(workers)}: {warning}" for warning, workers in told.items())

    def _out_of_reach(self) -> Iterator[str]:
        """Partitions whose floor nobody, or not their worker, can come up to."""
        floors = {lag.partition: lag.generation for lag in self.lags}
        if lost := [partition for partition, floor in floors.items() if floor > self.newest]:
            floor = max(floors.values())
            higher = (
                "publish a whole generation with a higher number, "
                f"`hotswap swap {self.deployment} --model … --proto … --generation {floor + 1}`"
            )
            yield (
                f"{_named(lost)}: last scored by generation {floor}, and no accepted command of the "
                f"control topic carries one as new (was it emptied?): {out_of_reach(floor + 1, self.newest) or higher}"
            )
        for worker in self.live:
            for part in worker.partitions:
                if part.is_damaged:
                    yield f"{worker.worker} holds {_named([part.partition])}: {part.held}"
            behind = [part for part in worker.partitions if floors.get(part.partition, 0) > worker.generation]
            if held := [part for part in behind if part.held and part.partition not in lost]:
                yield f"{worker.worker} holds {_named([part.partition for part in held])}: {held[0].held}"


def _named(partitions: list[int]) -> str:
    return f"partition{'s' * (len(partitions) > 1)} {', '.join(map(str, partitions))}"


async def overview(settings: Settings) -> Overview:
    """Read everything once.

    Raises:
        StartError: no broker answers, or a topic is missing.
        Doubt: the broker did not answer in time.

    """
    async with Admin.connect(settings) as admin:
        lags = await _lags(settings, admin)
    history, fleet = await read_history(settings), await read_fleet(settings)
    now, entries = time.time(), list(history.entries)
    workers = sorted(fleet.workers.values(), key=lambda view: view.worker)
    live = [view for view in workers if view.is_live(now)]
    return Overview(
        deployment=settings.deployment,
        at=now,
        newest=history.timeline.newest,
        is_paused=history.timeline.is_paused,
        workers=tuple(view for view in workers if now - view.at < _FORGOTTEN_S),
        commands=tuple(CommandView(entry, fleet.told.get(entry.command.command_id, {})) for entry in entries),
        lags=lags,
        failures={view.worker: tuple(failures) for view in live if (failures := fleet.failures(view))},
    )


async def _lags(settings: Settings, admin: Admin) -> tuple[Lag, ...]:
    topic = settings.topics.requests
    ends = await admin.end_offsets(topic, read_committed=True)
    committed = await admin.committed(settings.group_id, topic)
    lags = []
    for partition, end in sorted(ends.items()):
        at = committed[partition]
        # Never committed: a worker begins at the oldest record that is still there.
        offset = at.offset if at.offset >= 0 else await admin.beginning_offset(topic, partition)
        lags.append(Lag(partition, offset, end, at.generation))
    return tuple(lags)


@asynccontextmanager
async def control_log(settings: Settings) -> AsyncIterator[LogReader]:
    """The control topic from its beginning, isolated as the workers read it."""
    async with _reading(LogReader(settings, settings.topics.control, read_committed=True)) as reader:
        if reader.partitions != 1:
            raise StartError(
                f"topic {settings.topics.control} has {reader.partitions} partitions and must have one: "
                "the order of commands is its order"
            )
        yield reader


@asynccontextmanager
async def status_log(settings: Settings) -> AsyncIterator[LogReader]:
    """The status topic from its beginning; not isolated, so that what workers say never waits for a transaction."""
    async with _reading(LogReader(settings, settings.topics.status, read_committed=False)) as reader:
        yield reader


@asynccontextmanager
async def _reading(reader: LogReader) -> AsyncIterator[LogReader]:
    try:
        await reader.start()
        yield reader
    finally:
        await reader.stop()


async def read_history(settings: Settings) -> History:
    """The control topic's commands for the deployment, from the first to the last."""
    history = History(settings.deployment)
    async with control_log(settings) as reader:
        async for records in reader.to_end():
            history.receive(records)
    return history


async def read_fleet(settings: Settings) -> Fleet:
    """What the workers of the deployment have said, up to now."""
    fleet = Fleet(settings.deployment)
    async with status_log(settings) as reader:
        async for records in reader.to_end():
            for record in records:
                fleet.receive(record.value)
    return fleet


async def deployments(settings: Settings) -> list[str]:
    """Every deployment that was ever commanded or has had a worker, by name."""
    async with control_log(settings) as commands, status_log(settings) as status:
        names = {_commanded(record.value) async for records in commands.to_end() for record in records}
        names |= {deployment_of(record.value) async for records in status.to_end() for record in records}
    return sorted(names - {""})


def _commanded(value: bytes | None) -> str:
    try:
        return decode_command(value)[0]
    except SwapError:
        return ""
