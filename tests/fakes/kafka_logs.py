"""An in-memory cluster behind the three classes through which a client reaches Kafka: no broker, no waiting."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from fakes.kafka_admin import FakeAdmin
from hotswap.batch import Headers
from hotswap.errors import StartError
from hotswap.kafka.topics.committed import Lag
from hotswap.kafka.topics.unparsed import Sought
from hotswap.kafka.topics.writer import Written
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

CLUSTER = "fake-cluster"


@dataclass
class FakeRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


@dataclass
class FakeCluster:
    """Topics by name, each a list of partitions, each a list of records; `on_append` simulates the workers."""

    topics: dict[str, list[list[FakeRecord]]] = field(default_factory=dict)
    on_append: list[Callable[[FakeRecord], None]] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    begins: dict[str, int] = field(default_factory=dict)
    """The first offset of a topic's partitions that retention has left."""
    committed: dict[int, int] = field(default_factory=dict)
    """The group's offsets of the requests."""
    scored: dict[int, int] = field(default_factory=dict)
    """Partition of the requests -> the generation that its committed offset names."""
    members: set[str] = field(default_factory=set)
    """The workers that are members of the group."""
    is_group_hidden: bool = False
    """Whether the client may not describe the group."""
    at_once: int = 5_000
    timestamps: str = "LogAppendTime"
    offset_reads: int = 0
    """How often the committed offsets were asked for."""
    log_reads: int = 0
    looks: int = 0
    """How often a reader was sent to an offset."""

    def create(self, settings: Settings, partitions: int = 2) -> Self:
        for topic in settings.topics:
            single = topic in (settings.topics.control, settings.topics.status)
            self.topics.setdefault(topic, [[] for _ in range(1 if single else partitions)])
        return self

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        partitions = self.topics[topic]
        number = partition if partition is not None else min(range(len(partitions)), key=lambda n: len(partitions[n]))
        offset = len(partitions[number])
        record = FakeRecord(topic, number, offset, key, value, tuple(headers), int(time.time() * 1000))
        partitions[number].append(record)
        for react in self.on_append:
            react(record)
        self.grown.set()
        return number, offset

    def ends(self, topic: str) -> dict[int, int]:
        return {number: len(records) for number, records in enumerate(self.topics[topic])}

    async def oldest_ms(self, settings: Settings, lags: Iterable[Lag]) -> dict[int, int]:
        records = self.topics[settings.topics.requests]
        return {
            lag.partition: records[lag.partition][lag.committed].timestamp
            for lag in lags
            if lag.committed < len(records[lag.partition])
        }

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Patch the cluster into every module through which a client reaches Kafka."""
        reader, writer = partial(FakeReader, self), partial(FakeWriter, self)
        admin = type("Admin", (FakeAdmin,), {"cluster": self})
        fakes: dict[str, dict[str, object]] = {
            "hotswap.client.client": {"LogWriter": writer, "Admin": admin},
            "hotswap.client.commanding": {"Admin": admin},
            "hotswap.client.preparing": {"Admin": admin},
            "hotswap.client.planning": {"Admin": admin},
            "hotswap.client.promoting": {"Admin": admin},
            "hotswap.client.deployments": {"Admin": admin},
            "hotswap.client.offsets": {"Admin": admin},
            "hotswap.client.forget": {"LogWriter": writer, "Admin": admin},
            "hotswap.client.overview": {"LogReader": reader, "Admin": admin, "oldest_ms": self.oldest_ms},
            "hotswap.renewing": {"LogReader": reader},
            "hotswap.client.answers": {"LogReader": reader, "Admin": admin},
            "hotswap.client.finding": {"LogReader": reader, "Admin": admin},
            "hotswap.client.refusals": {"LogReader": reader, "Admin": admin},
            "hotswap.gateway.desk": {"LogWriter": writer, "Admin": admin},
            "hotswap.cli.dead_letters": {"LogReader": reader},
            "hotswap.kafka.topics.control_topic": {"LogReader": reader, "Admin": admin},
            "hotswap.console.watch": {"LogReader": reader, "Admin": admin},
            "hotswap.cli.top": {"LogReader": reader, "Admin": admin},
        }
        for module, names in fakes.items():
            for name, fake in names.items():
                monkeypatch.setattr(f"{module}.{name}", fake)
        return self


class FakeReader:
    """A `LogReader`; a read waits until the cluster grows, for at most 50 ms."""

    def __init__(self, cluster: FakeCluster, settings: Settings, topic: str, *, read_committed: bool) -> None:
        self.cluster, self.topic = cluster, topic
        self.places: dict[int, int] = {}

    async def start(self, offsets: Mapping[int, int] | None = None, *, only: int | None = None) -> None:
        if self.topic not in self.cluster.topics:
            raise StartError(f"topic {self.topic} does not exist")
        read = range(self.partitions) if only is None else [only]
        self.places = {number: (offsets or {}).get(number, self.cluster.begins.get(self.topic, 0)) for number in read}

    @property
    def partitions(self) -> int:
        return len(self.cluster.topics[self.topic])

    async def cluster_id(self) -> str:
        return CLUSTER

    async def end(self) -> dict[int, int]:
        return self.cluster.ends(self.topic)

    async def positions(self) -> dict[int, int]:
        return dict(self.places)

    async def read_to_end(self) -> list[FakeRecord]:
        found: list[FakeRecord] = []
        for number in self.places:
            found += (records := self.cluster.topics[self.topic][number])[self.places[number] :]
            self.places[number] = len(records)
        return found

    async def read_from(self, partition: int, offset: int) -> list[FakeRecord]:
        self.cluster.looks += 1
        return self.cluster.topics[self.topic][partition][offset : offset + self.cluster.at_once]

    async def to_end(self) -> AsyncIterator[list[FakeRecord]]:
        found = await self.read_to_end()
        for at in range(0, len(found), self.cluster.at_once):
            yield found[at : at + self.cluster.at_once]

    async def read(self, timeout_s: float) -> list[FakeRecord]:
        self.cluster.log_reads += 1
        found = self._one_partition()
        if not found:
            self.cluster.grown.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.cluster.grown.wait(), min(timeout_s, 0.05))
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError  # before Python 3.12, wait_for loses one that comes with the event
            found = self._one_partition()
        return found

    async def read_unparsed(self, timeout_s: float) -> list["FakeUnparsed"]:
        return [FakeUnparsed(found)] if (found := await self.read(timeout_s)) else []

    def _one_partition(self) -> list[FakeRecord]:
        # One at a time, as a fetch may return them: no caller may rely on partitions advancing together.
        for number in self.places:
            if found := (records := self.cluster.topics[self.topic][number])[self.places[number] :]:
                self.places[number] = len(records)
                return found
        return []

    async def stop(self) -> None:
        pass


class FakeUnparsed(list[FakeRecord]):
    """An `Unparsed`."""

    def where(self, sought: Sought) -> list[FakeRecord]:
        return [one for one in self if dict(one.headers).get("source") in sought.values]


class FakeWriter:
    """A `LogWriter`."""

    def __init__(self, cluster: FakeCluster, settings: Settings) -> None:
        self.cluster = cluster

    async def start(self) -> None:
        pass

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        return self.cluster.append(topic, value, key=key, headers=headers, partition=partition)

    async def send_many(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers],
        *,
        partition: int | None = None,
    ) -> list[Written]:
        appended = [
            self.cluster.append(topic, value, key=key, headers=parts, partition=partition)
            for key, value, parts in zip(keys, values, headers, strict=True)
        ]
        return [Written(*place, range(at, at + 1)) for at, place in enumerate(appended)]

    async def acknowledged(self, topic: str, sent: list[Written]) -> list[Written]:
        return sent

    async def stop(self) -> None:
        pass


def stamp(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromMilliseconds(int(seconds * 1000))
    return made


class FakeWorker:
    """Writes to the status topic as a worker does; `outcomes` are its reports on each swap, in order."""

    def __init__(
        self,
        cluster: FakeCluster,
        settings: Settings,
        name: str = "w1",
        outcomes: Sequence[str] = ("STAGING", "READY", "SERVING"),
        code: str = "",
        message: str = "",
    ) -> None:
        self.cluster, self.settings, self.name = cluster, settings, name
        self.outcomes, self.code, self.message = outcomes, code, message
        self.reads: dict[str, wire.FieldPaths] = {}
        """What it tells of each generation that it loads."""
        self.staged: dict[int, str] = {}
        """Generation -> id of the command that staged it."""
        self.commits = True
        """Whether it commits every partition with a generation before it reports that it serves."""
        cluster.members.add(name)
        cluster.on_append.append(self.react)
        self.speak()

    def speak(
        self, *, age_s: float = 0.0, partitions: Mapping[int, str] | None = None, model_s: float = 0.0, **told: Any
    ) -> None:
        """Report; `partitions` maps a partition's number to why it is held, `told` are other fields of WorkerStatus."""
        parts = [
            wire.PartitionStatus(
                partition=number, generation=told.get("generation", 0), held=held, model_s=model_s if held else 0.0
            )
            for number, held in (partitions or {}).items()
        ]
        said = wire.WorkerStatus(
            deployment=self.settings.deployment,
            worker=self.name,
            at=stamp(time.time() - age_s),
            partitions=parts,
            **told,
        )
        self.cluster.append(self.settings.topics.status, wire.Status(worker=said).SerializeToString())

    def say(self, command_id: str, generation: int, outcome: str, code: str = "", message: str = "") -> None:
        if outcome == "SERVING" and self.commits:
            partitions = range(len(self.cluster.topics[self.settings.topics.requests]))
            newer = [number for number in partitions if self.cluster.scored.get(number, 0) < generation]
            self.cluster.scored |= dict.fromkeys(newer, generation)
            for number in newer:
                done = wire.CutOverDone(deployment=self.settings.deployment, generation=generation, partition=number)
                self.cluster.append(self.settings.topics.status, wire.Status(cut_over=done).SerializeToString())
        said = wire.SwapStatus(
            command_id=command_id,
            deployment=self.settings.deployment,
            generation=generation,
            worker=self.name,
            outcome=f"OUTCOME_{outcome}",
            code=code,
            message=message,
            at=stamp(time.time()),
            phase_seconds={"load": 0.5} if outcome == "READY" else {},
            reads=self.reads,
            **({"runtime": "x 1, Java 21", "cpu": "a CPU"} if outcome in ("READY", "SERVING", "RETIRED") else {}),
        )
        self.cluster.append(self.settings.topics.status, wire.Status(swap=said).SerializeToString())

    def react(self, record: FakeRecord) -> None:
        if record.topic != self.settings.topics.control:
            return
        assert record.value is not None, "a command has a value"
        command = wire.Command.FromString(record.value)
        kind = command.WhichOneof("kind")
        if kind is None:  # later.of_unknown_kind
            self.say(command.command_id, 0, "HELD")
            return
        number = getattr(getattr(command, kind), "generation", 0)
        if kind in ("pause", "resume", "trust", "promote", "abandon"):
            self.say(command.command_id, number, "APPLIED")
            self._go_on(command)
            return
        if getattr(command, kind).cut_over.staged:
            self.staged[number] = command.command_id
        for outcome in self.outcomes:
            if outcome == "SERVING" and number in self.staged:
                return
            is_bad = outcome in ("FAILED", "REFUSED")
            why = (self.code, self.message) if is_bad else ("", "")
            self.say(command.command_id, number, outcome, *why)

    def _go_on(self, command: wire.Command) -> None:
        """Commit what a promote or an abandon has given to a generation."""
        scored, promote = self.cluster.scored, command.promote
        if command.HasField("abandon"):
            gone = [number for number, by in scored.items() if by == command.abandon.abandoned]
            scored |= dict.fromkeys(gone, command.abandon.generation)
        elif promote.complete:
            self.say(self.staged[promote.generation], promote.generation, "SERVING")
        else:
            scored |= dict.fromkeys(promote.offsets, promote.generation)
