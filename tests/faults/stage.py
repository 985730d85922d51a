"""Two workers of any checkout under a steady stream, and the effect of an attack on the stream."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from faults.contract import ControlPlane
from faults.raw_batches import RawProducer
from faults.steady import Steady
from faults.storm_commands import MODELS, PROTO, Commands
from harness.audit import source
from harness.command import variables
from harness.fleet import EXAMPLES, ROOT, Deployment
from harness.forging import is_forged

PER_SECOND = 300
WORKERS = ("w1", "w2")
_EVIL = ROOT / "tests" / "fakes" / "evil_child.py"
_SETTLE_S = 20


class Stage:
    """One deployment for one attack; `code` is the checkout whose workers are attacked."""

    def __init__(self, kafka, folder, code, made):
        self.silent_port, self.http_port = random.sample(range(20_000, 32_000), 2)
        """Those of a store that never answers and of one over HTTP, if an attack starts them."""
        stores = folder.as_uri(), EXAMPLES.as_uri(), f"ftp://127.0.0.1:{self.silent_port}", self.http_store
        self.deployment = Deployment(kafka, folder, allowed_stores=",".join(stores))
        self.folder = folder
        self.code = Path(code)
        self.topics = self.deployment.settings.topics
        self.commands = Commands(self.deployment.name, random.Random(1))
        self.made = made
        """The attack's file, if it has one, or its keys."""
        self.sign = None
        """Returns the headers that sign a value, once commands must be signed."""
        self.evil = folder / "evil"
        """The file that evil_child.py reads."""
        self.ports = {name: 20_000 + random.randrange(12_000) for name in WORKERS}
        self.newest = 0
        self.over = 0.0
        """When the attack was over, if that was before its verdict."""
        self._exits = AsyncExitStack()

    async def __aenter__(self):
        self._exits.callback(self.deployment.close)
        await self.deployment.create()
        for name in WORKERS:
            self.start(name)
        self.plane = await self._exits.enter_async_context(ControlPlane(self.deployment))
        port = int(self.deployment.kafka.bootstrap.rpartition(":")[2])
        self.raw = await self._exits.enter_async_context(RawProducer(port))
        self.answers = await self._exits.enter_async_context(Answers(self.deployment))
        assert await self.is_good(proto=PROTO), self.deployment.log("w1")[-2_000:]
        self.stream = await self._exits.enter_async_context(Stream(self.deployment, per_second=PER_SECOND))
        return self

    async def __aexit__(self, *_):
        await self._exits.aclose()

    def start(self, name, **more):
        """Start a worker of the checkout."""
        return self.deployment.start(
            name, code=self.code, child=(sys.executable, str(_EVIL), str(self.evil)),
            HOTSWAP_HTTP_PORT=str(self.ports[name]), HOTSWAP_SANDBOX_READ=str(self.evil),
            **getattr(self.made, "environment", {}), **more,
        )  # fmt: skip

    # ---- what attacks do and see

    @property
    def http_store(self):
        return f"http://127.0.0.1:{self.http_port}/store"

    @property
    def alive(self):
        return [name for name in WORKERS if self.deployment.workers[name].poll() is None]

    def pid(self, name="w1"):
        return self.deployment.workers[name].pid

    async def hosts_come_back(self, name="w1"):
        """Check that a worker replaces killed hosts; the effect of that on the stream is not part of the attack."""
        self.over = time.time()
        started = self.deployment.log(name).count('"host.ready"')
        for pid in below(self.pid(name)):
            with contextlib.suppress(OSError):
                if b"hotswap.artifacts.fetcher" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        return await self.plane.until(lambda: self.deployment.log(name).count('"host.ready"') > started, 20)

    def swap(self, **given):
        """Return a swap to the other model, as a message to send or change; it inherits from what serves."""
        self.newest += 1
        model = MODELS[("iris_gbm", "iris_glm")[self.newest % 2]]
        return self.commands.swap(self.newest, **{"model": model} | given)

    async def send(self, *commands):
        """Write commands as the owner of the deployment does."""
        for command in commands:
            value = command.SerializeToString()
            await self.write(command, self.sign(value) if self.sign else [])

    async def write(self, command, headers):
        """Write a command with these headers."""
        await self.plane.publish([(command.command_id.encode(), command.SerializeToString(), headers)])

    async def verdicts(self, command, seconds=30):
        """Return the outcome on each running worker within that time: worker -> outcome and code."""
        told = {}

        def are_there():
            for name in WORKERS:
                for verdict in self.plane.said[name]:
                    if verdict[0] == command.command_id and verdict.outcome in (
                        "READY",
                        "FAILED",
                        "REFUSED",
                        "SUPERSEDED",
                        "APPLIED",
                        "DUPLICATE",
                    ):
                        told[name] = " ".join(part for part in verdict[2:] if part)
            return len(told) == len(WORKERS)

        await self.plane.until(are_there, seconds)
        return told

    async def is_good(self, seconds=30, **given):
        """Return whether a good swap is ready on every worker within that time."""
        command = self.swap(**given)
        await self.send(command)
        return await self.verdicts(command, seconds) == dict.fromkeys(WORKERS, "READY")

    async def letter(self, partition, offset, seconds=15):
        """Return the headers of a request's dead letter; None if there is none within that time."""
        await self.plane.until(lambda: (partition, offset) in self.answers.letters, seconds)
        return self.answers.letters.get((partition, offset))

    async def command_line(self, *words):
        """Run the checkout's own command line; return the exit code and the output."""
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "hotswap", *words, self.deployment.name],
            env=os.environ | variables(self.deployment), cwd=self.code / "worker",
            capture_output=True, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def peak_mb(self):
        """Return the peak memory of the workers."""
        peaks = [0]
        for name in self.alive:
            status = Path(f"/proc/{self.pid(name)}/status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]) // 1_000)
        return max(peaks)

    # ---- the end

    async def settle(self):
        """Count the stream's requests without an answer, and those with more than one, once it has settled."""
        await self.stream.end()
        places = self.stream.asked
        await self.plane.until(lambda: all(place in self.answers.times for place in places), _SETTLE_S)
        counts = self.answers.counts
        return sum(place not in counts for place in places), sum(counts[place] > 1 for place in places)

    def p99_ms(self, began, ended):
        """Return the p99 of the stream's requests in a time span; one without an answer has waited until now."""
        now, times = time.time(), self.answers.times
        waits = [times.get(place, now) - at for place, at in self.stream.asked.items() if began <= at < ended]
        return float(np.percentile(waits, 99)) * 1_000 if waits else float("nan")


def below(pid):
    """Yield the ids of all descendants of a process."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from below(int(child))


class Stream(Steady):
    """A steady stream that remembers the place and the time of each request."""

    def __init__(self, deployment, *, per_second):
        super().__init__(deployment, per_second=per_second)
        self.asked = {}

    def _acknowledge(self, error, message):
        super()._acknowledge(error, message)
        self.asked[message.partition(), message.offset()] = message.timestamp()[1] / 1_000

    async def end(self):
        """Stop publishing."""
        self._is_over = True
        await self._task


class Answers:
    """Reads predictions and dead letters in a thread, as they arrive."""

    def __init__(self, deployment):
        self.times = {}
        self.counts = Counter()
        self.letters = {}
        self.values = {}
        """Of the predictions."""
        topics = deployment.settings.topics
        self._dead_letters = topics.dead_letters
        self._consumer = Consumer(
            {
                "bootstrap.servers": deployment.kafka.bootstrap, "group.id": uuid.uuid4().hex,
                "isolation.level": "read_committed", "enable.auto.commit": False, "fetch.wait.max.ms": 5,
                "fetch.queue.backoff.ms": 5,
            }
        )  # fmt: skip
        self._consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_BEGINNING)
                for topic in (topics.predictions, topics.dead_letters)
                for partition in range(4)
            ]
        )
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    async def __aenter__(self):
        self._thread.start()
        return self

    async def __aexit__(self, *_):
        self._is_over.set()
        await asyncio.to_thread(self._thread.join)
        self._consumer.close()

    def _run(self):
        while not self._is_over.is_set():
            for message in self._consumer.consume(1_000, 0.05):
                if message.error() or is_forged(message):
                    continue
                place = source(message)
                self.times.setdefault(place, time.time())
                self.counts[place] += 1
                if message.topic() == self._dead_letters:
                    self.letters[place] = dict(message.headers()) | {"value": message.value()}
                else:
                    self.values[place] = message.value()
