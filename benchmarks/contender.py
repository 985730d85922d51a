"""Contenders on a Kafka: process trees that answer one requests topic each, their progress, and their cost.

The broker runs as Kafka's own start script runs it, and is warm before anything is measured: a broker whose Java has
just started takes three times as long for a transaction.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import by_java
import by_python
import psutil
from confluent_kafka.admin import AdminClient

from hotswap.client.change import Change
from hotswap.kafka.topics.admin import Admin
from hotswap.local.kafka import LocalKafka, free_ports
from hotswap.local.lifeline import start_watchdog
from hotswap.packages.configuration import document_of
from hotswap.settings import Settings

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
NAIVE = "aiokafka by hand, record by record"
BARE = "bare loop, nothing scored"
OURS, OURS_AT_LEAST = "hotswap, exactly once", "hotswap, at least once"
OURS_AT_BEST = "hotswap, exactly once, lz4"
_GBM = by_java.Task()
_BROKER = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:-UsePerfData")


def contenders() -> list[str]:
    """Return all contenders that can run here: those in Java need a JDK."""
    return [BARE, OURS_AT_LEAST, OURS, OURS_AT_BEST, *(by_java.PROGRAMS if by_java.can_compile() else ()), NAIVE]


@contextmanager
def broker() -> Iterator[LocalKafka]:
    """A broker with the Java options of Kafka's own start script, and its heap of 1 GiB."""
    with LocalKafka(heap="1g", jvm=(*_BROKER, "-Xms1g")) as kafka:
        yield kafka


def command_line(checkout: Path) -> list[str]:
    """Return the `hotswap` command of a checkout: the only interface to its worker, which may be of another commit."""
    if checkout == ROOT:
        return [sys.executable, "-m", "hotswap"]
    program = checkout / ".venv" / "bin" / "hotswap"
    if not program.is_file():
        raise SystemExit(f"{program} is not there: run `make setup` in {checkout}")
    return [str(program)]


class Contender:
    """A process tree that answers a requests topic on its own predictions topic."""

    _numbers = itertools.count()

    def __init__(
        self,
        name: str,
        kafka: LocalKafka,
        folder: Path,
        requests: str = "",
        *,
        root: Path = ROOT,
        task: by_java.Task | by_python.Task = _GBM,
        **settings: Any,
    ) -> None:
        """`root` is the checkout whose worker runs, where it is ours; `task` is what a program by hand scores."""
        self.name = name
        self._task = task
        self._root, self._program = root, command_line(root)
        self.is_ours = name in (OURS, OURS_AT_LEAST, OURS_AT_BEST)
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
            **{"compression": "lz4"} if name == OURS_AT_BEST else {},
            **settings,
        )
        given = self.settings.model_dump(mode="json", include=self.settings.model_fields_set)
        environment = os.environ | {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()}
        self._where: dict[str, Any] = {"env": environment, "cwd": root}

    @asynccontextmanager
    async def running(self, partitions: int = PARTITIONS) -> AsyncIterator[psutil.Process]:
        """The process, serving the first model; stopped at the end."""
        with start_watchdog() as watchdog:
            self._where["process_group"] = watchdog.pid
            await self._hotswap("topics", "create", self.settings.deployment, "--partitions", str(partitions))
            self._start()
            try:
                yield psutil.Process(self._process.pid)
            finally:
                self._stop()
                await asyncio.to_thread(self._delete_topics)

    @contextmanager
    def gateway(self) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """A gateway of the deployment, and its port."""
        port = next(free_ports())
        command = [*self._program, "gateway", self.settings.deployment, "--port", str(port)]
        process = subprocess.Popen(command, **self._where)
        try:
            yield port, process
        finally:
            process.terminate()
            process.wait(60)

    def broker_cpu_s(self) -> float:
        """CPU seconds of the broker so far."""
        assert self.kafka.pid is not None
        return cpu_s(psutil.Process(self.kafka.pid))

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command(), **self._where)

    def _command(self) -> Sequence[str]:
        if self.is_ours:
            return [*self._program, "run", self.settings.deployment]
        settings, topics = self.settings, self.settings.topics
        arguments = (settings.kafka, topics.requests, topics.predictions, settings.group_id)
        if isinstance(self._task, by_python.Task):
            return by_python.command(self._task, *arguments)
        if self.name in by_java.PROGRAMS:
            return by_java.command(self.name, self.folder, self._task, *arguments)
        program = {BARE: "bare_loop.py", NAIVE: "naive_loop.py"}[self.name]
        return [sys.executable, str(Path(__file__).with_name(program)), *arguments]

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _delete_topics(self) -> None:
        """Deletes the topics of this deployment, as a run of all would fill a disk; the ones of others stay."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 3})
        own = f"{self.settings.deployment}."
        for deleted in admin.delete_topics(
            [name for name in admin.list_topics().topics if name.startswith(own)]
        ).values():
            deleted.result()

    async def redeploy(self) -> None:
        """Ends the process and starts it again."""
        await asyncio.to_thread(self._stop)
        self._start()

    async def swap(self, change: Change) -> int:
        """Publishes a swap, waits until it serves and returns its generation; contenders without swaps do nothing."""
        if not self.is_ours:
            return 0
        parts: list[str | Path] = []
        for name in ("model", "kind", "proto"):
            if part := getattr(change, name):
                parts += [f"--{name}", part]
        if change.configuration:
            config = self.folder / f"{self.settings.deployment}.json"
            config.write_text(json.dumps(document_of(change.configuration)))
            parts += ["--config", config]
        return int((await self._hotswap("swap", self.settings.deployment, *parts))["generation"])

    async def _hotswap(self, *words: str | Path) -> dict[str, Any]:
        """Runs a command of the checkout, and returns its JSON."""
        command = [*self._program, *words, "--json"]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, **self._where)
        said, complaint = await process.communicate()
        if process.returncode:
            raise SystemExit(f"hotswap {words[0]} of {self._root} failed: {complaint.decode().strip()}")
        document: dict[str, Any] = json.loads(said)
        return document


def cpu_s(process: psutil.Process) -> float:
    """Returns the CPU seconds so far of a process and its children, including those that have ended."""
    tree = [process, *process.children(recursive=True)]
    times = [one.cpu_times() for one in tree]
    ended = getattr(times[0], "children_user", 0.0) + getattr(times[0], "children_system", 0.0)
    return float(ended + sum(time.user + time.system for time in times))


def memory_mb(process: psutil.Process) -> float:
    """Resident memory of a process and its children, megabytes."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


class Progress:
    """Follows how far a group has answered a topic."""

    def __init__(self, admin: Admin, settings: Settings, partitions: int = PARTITIONS) -> None:
        self._admin, self._settings, self._partitions = admin, settings, partitions

    async def answered(self, at_least: int) -> int:
        """Waits until so many are answered, and returns how many are."""
        group, topic = self._settings.group_id, self._settings.topics.requests
        while True:
            committed = await self._admin.committed(group, topic, range(self._partitions))
            done = sum(max(at.offset, 0) for at in committed.values())
            if done >= at_least:
                return done
            await asyncio.sleep(0.02)
