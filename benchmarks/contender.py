"""Contenders on a Kafka: process trees that answer one requests topic each, how far they are, and what they cost.

The broker runs as Kafka's own start script runs one, and is warm before anything is measured: a broker whose Java has
just started takes three times as long for a transaction.
"""

import asyncio
import itertools
import multiprocessing
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import by_java
import psutil

from hotswap.client.answers import Outgoing
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.kafka.connection import Admin
from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MODEL = "gbm_50x5"
PARTITIONS = 4
NAIVE = "aiokafka by hand, record by record"
BARE = "bare loop, nothing scored"
OURS, OURS_AT_LEAST = "hotswap, exactly once", "hotswap, at least once"
_BROKER = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:-UsePerfData")
_CHUNK = 10_000


def contenders() -> list[str]:
    """All that can run here: those in Java need a JDK."""
    return [BARE, OURS_AT_LEAST, OURS, *(by_java.PROGRAMS if by_java.can_compile() else ()), NAIVE]


@contextmanager
def broker() -> Iterator[LocalKafka]:
    """A broker with the Java options of Kafka's own start script, and its heap of 1 GiB."""
    with LocalKafka(heap="1g", jvm=(*_BROKER, "-Xms1g")) as kafka:
        yield kafka


def first_model() -> Change:
    """The GBM of 50 trees, and its proto."""
    return Change(model=EXAMPLES / "models" / f"{MODEL}.zip", proto=EXAMPLES / "protos" / f"{MODEL}.proto")


def another_model(folder: Path) -> Change:
    """The same as if it were trained anew, for the same proto: with 40 of its 50 trees it predicts otherwise."""
    made = folder / f"{MODEL}_of_40.zip"
    with zipfile.ZipFile(EXAMPLES / "models" / f"{MODEL}.zip") as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"n_trees = 50", b"n_trees = 40") if name == "model.ini" else content)
    return Change(model=made)


class Contender:
    """One process tree that answers a requests topic into a predictions topic of its own."""

    _numbers = itertools.count()
    # A process of its own, as a control plane is: what it computes must not stop the clock of the stream.
    _control_plane = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def __init__(
        self, name: str, kafka: LocalKafka, folder: Path, requests: str = "", *, root: Path = ROOT, **settings: Any
    ) -> None:
        """`root` is the checkout whose worker runs, where it is ours."""
        self.name = name
        self._root = root
        self.is_ours = name in (OURS, OURS_AT_LEAST)
        self.kafka = kafka
        self.folder = folder
        deployment = f"bench-{next(self._numbers)}"
        self.settings = Settings(
            kafka=kafka.bootstrap,
            deployment=deployment,
            requests_topic=requests,
            control_topic=f"{deployment}.control",
            status_topic=f"{deployment}.status",
            delivery="at_least_once" if name == OURS_AT_LEAST else "exactly_once",
            store=(folder / "store").as_uri(),
            log_level="WARNING",
            **settings,
        )

    @asynccontextmanager
    async def running(self, partitions: int = PARTITIONS) -> AsyncIterator[psutil.Process]:
        """The process, serving the first model; stopped at the end."""
        async with Admin.connect(self.settings) as admin:
            await admin.create_topics(partitions)
        self._start()
        try:
            yield psutil.Process(self._process.pid)
        finally:
            self._stop()

    def _start(self) -> None:
        given = self.settings.model_dump(mode="json", include=self.settings.model_fields_set)
        environment = os.environ | {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()}
        self._process = subprocess.Popen(self._command(), env=environment, cwd=self._root)

    def _command(self) -> Sequence[str]:
        if self.is_ours:
            # Another checkout's worker is known by its command line alone: its modules may be named otherwise.
            program = (
                [sys.executable, "-m", "hotswap"] if self._root == ROOT else [self._root / ".venv" / "bin" / "hotswap"]
            )
            return [*program, "run", self.settings.deployment]
        settings, topics = self.settings, self.settings.topics
        arguments = (settings.kafka, topics.requests, topics.predictions, settings.group_id)
        if self.name in by_java.PROGRAMS:
            return by_java.command(self.name, self.folder, *arguments)
        program = {BARE: "bare_loop.py", NAIVE: "naive_loop.py"}[self.name]
        return [sys.executable, str(Path(__file__).with_name(program)), *arguments]

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    async def redeploy(self) -> None:
        """Ends the process and starts it again."""
        await asyncio.to_thread(self._stop)
        self._start()

    async def swap(self, change: Change) -> int:
        """Sends a swap, awaits that it serves and gives its generation; those that have no swap serve what they are."""
        if not self.is_ours:
            return 0
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._control_plane, _swap, self.settings, change)


def _swap(settings: Settings, change: Change) -> int:
    async def swap() -> int:
        async with Client(settings) as client:
            receipt = await client.swap(change)
            answer = await client.await_swap(receipt)
        if not answer.is_good:
            raise SystemExit(f"{settings.deployment} cannot serve the benchmark's model: {answer}")
        return receipt.generation

    return asyncio.run(swap())


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far, those that have ended too."""
    tree = [process, *process.children(recursive=True)]
    times = [one.cpu_times() for one in tree]
    ended = getattr(times[0], "children_user", 0.0) + getattr(times[0], "children_system", 0.0)
    return float(ended + sum(time.user + time.system for time in times))


def memory_mb(process: psutil.Process) -> float:
    """Resident memory of a process and its children, megabytes."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


class Progress:
    """How far a group has answered a topic."""

    def __init__(self, admin: Admin, settings: Settings, partitions: int = PARTITIONS) -> None:
        self._admin, self._settings, self._partitions = admin, settings, partitions

    async def answered(self, at_least: int) -> int:
        """Waits until so many are answered, and gives how many are."""
        group, topic = self._settings.group_id, self._settings.topics.requests
        while True:
            committed = await self._admin.committed(group, topic, range(self._partitions))
            done = sum(max(at.offset, 0) for at in committed.values())
            if done >= at_least:
                return done
            await asyncio.sleep(0.02)


async def fill(settings: Settings, values: list[bytes], count: int, partitions: int = PARTITIONS) -> None:
    """Publishes `count` requests, spread over the partitions."""
    async with Admin.connect(settings) as admin, Client(settings) as client:
        await admin.create_topics(partitions)
        for start in range(0, count, _CHUNK):
            size = min(_CHUNK, count - start)
            await client.publish(Outgoing(values[n % len(values)]) for n in range(size))
