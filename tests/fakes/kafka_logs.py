"""A cluster in memory behind the three classes through which a client reaches Kafka: no broker, no waiting."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from worker.errors import StartError
from worker.generated.hotswap.v1 import control_pb2 as wire


@dataclass
class FakeRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple
    timestamp: int


@dataclass
class FakeCluster:
    """Topics by name, each a list of partitions, each a list of records. `on_append` plays the workers."""

    topics: dict = field(default_factory=dict)
    on_append: list = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def create(self, settings, partitions=2):
        for topic in settings.topics:
            single = topic in (settings.topics.control, settings.topics.status)
            self.topics.setdefault(topic, [[] for _ in range(1 if single else partitions)])
        return self

    def append(self, topic, value, *, key=None, headers=(), partition=None):
        partitions = self.topics[topic]
        number = partition if partition is not None else min(range(len(partitions)), key=lambda n: len(partitions[n]))
        offset = len(partitions[number])
        record = FakeRecord(topic, number, offset, key, value, tuple(headers), int(time.time() * 1000))
        partitions[number].append(record)
        for react in self.on_append:
            react(record)
        self.grown.set()
        return number, offset

    def install(self, monkeypatch):
        """Puts the cluster behind every module through which a client reaches Kafka."""
        cluster = self

        class Reader:
            def __init__(self, settings, topic, *, is_isolated):
                self.topic = topic
                self.places = {}

            async def start(self, offsets=None):
                if self.topic not in cluster.topics:
                    raise StartError(f"topic {self.topic} is not there")
                self.places = {n: (offsets or {}).get(n, 0) for n in range(self.partitions)}

            @property
            def partitions(self):
                return len(cluster.topics[self.topic])

            async def end(self):
                return {n: len(records) for n, records in enumerate(cluster.topics[self.topic])}

            async def positions(self):
                return dict(self.places)

            async def read_to_end(self):
                found = []
                for number, records in enumerate(cluster.topics[self.topic]):
                    found += records[self.places[number] :]
                    self.places[number] = len(records)
                return found

            async def read(self, timeout_s):
                found = await self.read_to_end()
                if not found:
                    cluster.grown.clear()
                    try:
                        await asyncio.wait_for(cluster.grown.wait(), min(timeout_s, 0.05))
                    except TimeoutError:
                        return []
                    found = await self.read_to_end()
                return found

            async def stop(self):
                pass

        class Writer:
            def __init__(self, settings):
                pass

            async def start(self):
                pass

            async def append(self, topic, value, *, key=None, headers=(), partition=None):
                return cluster.append(topic, value, key=key, headers=headers, partition=partition)

            async def append_many(self, topic, items):
                return [cluster.append(topic, value, key=key, headers=headers) for key, value, headers in items]

            async def stop(self):
                pass

        class Admin:
            @classmethod
            @asynccontextmanager
            async def connect(cls, settings):
                yield cls()

            async def partitions(self, topic):
                if topic not in cluster.topics:
                    raise StartError(f"topic {topic} is not there")
                return len(cluster.topics[topic])

            async def end_offsets(self, topic, partitions=None, *, is_stable=False):
                return {n: len(records) for n, records in enumerate(cluster.topics[topic])}

        for module, names in {
            "worker.client": {"LogWriter": Writer, "Admin": Admin},
            "worker.overview": {"LogReader": Reader, "Admin": Admin},
            "worker.answers": {"LogReader": Reader, "Admin": Admin},
            "worker.cli_dead_letters": {"LogReader": Reader},
        }.items():
            for name, fake in names.items():
                monkeypatch.setattr(f"{module}.{name}", fake)
        return self


def stamp(seconds):
    made = Timestamp()
    made.FromMilliseconds(int(seconds * 1000))
    return made


class FakeWorker:
    """Speaks on the status topic as a worker does; `outcomes` are what it says of each swap, in order."""

    def __init__(self, cluster, settings, name="w1", outcomes=("STAGING", "READY", "SERVING"), code="", message=""):
        self.cluster, self.settings, self.name = cluster, settings, name
        self.outcomes, self.code, self.message = outcomes, code, message
        cluster.on_append.append(self.react)
        self.speak()

    def speak(self, *, age_s=0.0, stopped=False, generation=0):
        said = wire.WorkerStatus(
            deployment=self.settings.deployment,
            worker=self.name,
            at=stamp(time.time() - age_s),
            generation=generation,
            stopped=stopped,
        )
        self.cluster.append(self.settings.topics.status, wire.Status(worker=said).SerializeToString())

    def say(self, command_id, generation, outcome, code="", message=""):
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
        )
        self.cluster.append(self.settings.topics.status, wire.Status(swap=said).SerializeToString())

    def react(self, record):
        if record.topic != self.settings.topics.control:
            return
        command = wire.Command.FromString(record.value)
        kind = command.WhichOneof("kind")
        if kind in ("pause", "resume"):
            self.say(command.command_id, 0, "APPLIED")
            return
        for outcome in self.outcomes:
            is_bad = outcome in ("FAILED", "REFUSED")
            why = (self.code, self.message) if is_bad else ("", "")
            self.say(command.command_id, getattr(command, kind).generation, outcome, *why)


def answer_requests(cluster, settings, *, generation=1, refuse=lambda value: False):
    """Plays the data path: each request is echoed as a prediction, or refused."""

    def react(record):
        if record.topic != settings.topics.requests:
            return
        source = f"{record.topic}-{record.partition}-{record.offset}".encode()
        headers = (*record.headers, ("source", source), ("generation", str(generation).encode()))
        if refuse(record.value):
            why = (("code", b"UNDECODABLE"), ("message", b"is no message"))
            cluster.append(
                settings.topics.dead_letters, record.value, key=record.key, headers=(*headers, *why),
                partition=record.partition,
            )  # fmt: skip
        else:
            cluster.append(settings.topics.predictions, record.value, headers=headers, partition=record.partition)

    cluster.on_append.append(react)
