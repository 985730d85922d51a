"""An overview of a deployment from its topics and its group's committed offsets: what `hotswap status` shows."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from hotswap.client.fleet import Fleet, Told, WorkerView
from hotswap.client.history import Entry, History
from hotswap.errors import StartError
from hotswap.kafka.admin import Admin
from hotswap.kafka.committed import Lag
from hotswap.kafka.control_topic import settled
from hotswap.kafka.log import LogReader, LogRecord
from hotswap.settings import Settings
from hotswap.swap import (
    LaterCommand,
    PauseCommand,
    RollbackCommand,
    SkipCommand,
    Swap,
    TrustCommand,
    highest,
    out_of_reach,
)

_TURN_S = 1.0
_FORGOTTEN_S = 3_600.0
"""How long a worker that is gone is shown: the status topic keeps its last report for ever."""


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command, the verdict on it, and each worker's outcome."""

    entry: Entry
    told: Mapping[str, Told]

    @property
    def title(self) -> str:
        """What to call it."""
        order = self.entry.command
        if isinstance(order, LaterCommand):
            return f"needs version {order.least_version}"
        if isinstance(order, PauseCommand):
            return "pause" if order.is_paused else "resume"
        if isinstance(order, SkipCommand):
            return f"skip {order.offset} of partition {order.partition}"
        if isinstance(order, TrustCommand):
            return f"trust: commands are signed{''.join(f', {key} is revoked' for key in order.revoked)}"
        if isinstance(order, RollbackCommand):
            return f"rollback to {order.to} as {order.generation}"
        named = {"model": f"model {order.model.name}".strip() if order.model else "model"}
        parts = ", ".join(named.get(part, part) for part in ("model", "proto", "configuration") if getattr(order, part))
        return f"swap to {order.generation}: {parts or f'as {order.base}'}"

    @property
    def served_at(self) -> float:
        """When the first worker served it, in seconds since the epoch; 0: none did, or nobody knows any more."""
        return min((told.serving_at for told in self.told.values() if told.serving_at), default=0.0)

    def document(self) -> dict[str, Any]:
        """Return what it is, and the verdict on it, as a JSON document."""
        entry, verdict = self.entry, self.entry.verdict
        return {
            "command_id": entry.command.command_id,
            "title": self.title,
            "at_ms": entry.at_ms,
            "generation": verdict.generation,
            "verdict": verdict.outcome or "ACCEPTED",
            "code": verdict.code,
            "message": verdict.message,
        }


class Seen(NamedTuple):
    """What is known of a deployment from its control log and its workers' reports; it goes on while they are read."""

    history: History
    fleet: Fleet

    @classmethod
    def nothing(cls, settings: Settings) -> Self:
        """Return what is known before anything is read. Raises UsageError: the trust file is wrong."""
        return cls(History.of(settings), Fleet(settings.deployment))

    def receive(self, commands: list[LogRecord], reports: Iterable[LogRecord]) -> None:
        """Add what has been read of the control topic and the status topic."""
        self.history.receive(commands)
        for report in reports:
            self.fleet.receive(report.value, heard_at(report))

    def commands(self) -> list[CommandView]:
        """Return the last commands, oldest first."""
        return [CommandView(entry, self.fleet.told.get(entry.command.command_id, {})) for entry in self.history.entries]


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
    signed_since: int | None = None
    """Offset of the control topic from which on commands must be signed; None: they need not be."""
    unverified: str = ""
    """Why signatures that the log requires are not verified here; empty: they are, or it requires none."""
    held: str = ""
    """Why commands of the log cannot be read here, as workers of this version cannot either; empty: all can."""

    @property
    def live(self) -> tuple[WorkerView, ...]:
        """The workers that have reported recently."""
        return tuple(worker for worker in self.workers if worker.is_live(self.at))

    @property
    def serving(self) -> tuple[int, ...]:
        """The generations that live workers serve, oldest first."""
        return tuple(sorted({worker.generation for worker in self.live} - {0}))

    @property
    def lacking(self) -> Mapping[str, tuple[Told, ...]]:
        """The `failures` of generations that are needed; one that failed and changed nothing is history.

        Needed is what a live worker has loaded or a partition was scored with, and what came before that; where there
        is no such generation, whatever failed is why.
        """
        needed = [number for worker in self.live for number in (worker.generation, *worker.loaded)]
        # What no command can have created is no floor to the workers either (kafka/position.py).
        needed += [lag.generation for lag in self.lags if lag.generation <= highest(self.newest)]
        upto = max(needed, default=0)
        return {
            worker: lacks
            for worker, failures in self.failures.items()
            if (lacks := tuple(told for told in failures if told.generation <= upto or not upto))
        }

    @property
    def problems(self) -> tuple[str, ...]:
        """What needs an operator: generations that cannot be loaded, partitions that nothing can score."""
        lines: dict[str, list[str]] = {}
        for worker, failures in self.lacking.items():
            for told in failures:
                line = f"cannot load generation {told.generation}: {told.code} {told.message}"
                lines.setdefault(line, []).append(worker)
        failed = (f"{', '.join(names)} {line}" for line, names in lines.items())
        return (*self.topic_faults, *self._held(), *self._unserved(), *failed, *self._out_of_reach())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing, though no partition is held for it."""
        told: dict[str, list[str]] = {}
        if len(files := {worker.trust_sha256 for worker in self.live}) > 1:
            some = ", ".join(sorted(file[:12] or "none" for file in files))
            told[f"they have different trust files, and may decide differently on commands: {some}"] = ["workers"]
        if self.unverified:
            told[self.unverified] = ["this reader"]
        for worker in self.live:
            for warning in worker.warnings:
                told.setdefault(warning, []).append(worker.worker)
        deleted = (
            f"partition {part.partition}: the requests from offset {part.deleted[0]} to {part.deleted[1] - 1} were "
            "deleted before they were read"
            for worker in self.live
            for part in worker.partitions
            if part.deleted[1]
        )
        return (*deleted, *(f"{', '.join(workers)}: {warning}" for warning, workers in told.items()))

    def _held(self) -> Iterator[str]:
        """Yields who is too old for the control log."""
        if self.held:
            yield f"what follows is not known to this reader: {self.held}"
        holding: dict[str, list[str]] = {}
        for worker in self.live:
            holding.setdefault(worker.held, []).append(worker.worker)
        for why, workers in holding.items():
            if why:
                yield f"{', '.join(workers)} {'answers' if len(workers) == 1 else 'answer'} nothing: {why}"

    def _unserved(self) -> Iterator[str]:
        """Yields why requests wait, if no worker has a generation to score them with."""
        waiting = sum(lag.requests for lag in self.lags)
        if not waiting or any(worker.generation for worker in self.live):
            return
        why = "no live worker has loaded a generation"
        if not self.newest:
            why = f"no generation has been accepted: `hotswap swap {self.deployment} --model … --proto …` publishes one"
        elif not self.live:
            why = f"no worker lives: `hotswap run {self.deployment}` starts one"
        yield f"{waiting} requests wait, and {why}"

    def _out_of_reach(self) -> Iterator[str]:
        """Yields the partitions whose floor no worker, or not their own worker, can reach."""
        # What no command can have created is no floor to the workers either (kafka/position.py).
        floors = {lag.partition: lag.generation for lag in self.lags if lag.generation <= highest(self.newest)}
        if lost := [partition for partition, floor in floors.items() if floor > self.newest]:
            floor = max(floors.values())
            higher = (
                "publish a whole generation with a higher number, "
                f"`hotswap swap {self.deployment} --model … --proto … --generation {floor + 1}`"
            )
            yield (
                f"{_named(lost)}: last scored by generation {floor}, but the control topic has no accepted command "
                f"that new (was it emptied?): {out_of_reach(floor + 1, self.newest) or higher}"
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
    """Reads the topics and the committed offsets once.

    Raises:
        StartError: no broker answers, or a topic is missing.
        Doubt: the broker did not answer in time.

    """
    settings = await settled(settings)
    async with Admin.connect(settings) as admin:
        lags = await admin.lags(settings.group_id, settings.topics.requests)
        topic_faults = tuple(await admin.topic_faults())
    return _view(Seen(await read_history(settings), await read_fleet(settings)), lags, topic_faults)


async def follow_overview(settings: Settings) -> AsyncGenerator[Overview, None]:
    """Yields the overview again and again, once a second, over connections that stay open.

    Raises:
        StartError: no broker answers, or a topic is missing.
        Doubt: the broker did not answer in time.

    """
    settings = await settled(settings)
    seen = Seen.nothing(settings)
    async with (
        control_log(settings, seen.history) as commands,
        status_log(settings) as status,
        Admin.connect(settings) as admin,
    ):
        seen.receive(await commands.read_to_end(), await status.read_to_end())
        while True:
            lags = await admin.lags(settings.group_id, settings.topics.requests)
            yield _view(seen, lags, tuple(await admin.topic_faults()))
            await asyncio.sleep(_TURN_S)
            while any(records := (await commands.read(0), await status.read(0))):
                seen.receive(*records)


def _view(seen: Seen, lags: tuple[Lag, ...], topic_faults: tuple[str, ...]) -> Overview:
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
        swaps=tuple(history.timeline.swaps.values()),
        signed_since=history.fold.guard.since,
        unverified=history.fold.guard.warning,
        held=history.timeline.held,
    )


@asynccontextmanager
async def control_log(settings: Settings, history: History | None) -> AsyncIterator[LogReader]:
    """Yields a read_committed reader of the control topic from its beginning, as the workers read it.

    `history`, which is to receive what is read, is told of which topic and which cluster it is.
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


def heard_at(report: LogRecord) -> float:
    """Return by when a report was there, in seconds since the epoch: what it says of its time may lie ahead."""
    return min((report.timestamp or 0) / 1000, time.time())


@asynccontextmanager
async def status_log(settings: Settings) -> AsyncIterator[LogReader]:
    """Yields a read_uncommitted reader of the status topic, so that reports never wait for a transaction."""
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
    """Reads all of the deployment's commands from the control topic."""
    history = History.of(settings)
    async with control_log(settings, history) as reader:
        async for records in reader.to_end():
            history.receive(records)
    return history


async def read_fleet(settings: Settings) -> Fleet:
    """Reads what the deployment's workers have reported up to now."""
    fleet = Fleet(settings.deployment)
    async with status_log(settings) as reader:
        async for records in reader.to_end():
            for record in records:
                fleet.receive(record.value, heard_at(record))
    return fleet
