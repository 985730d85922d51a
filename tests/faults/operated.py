"""A fleet on topics that an operator changes, and a verifier that knows what the operator has asked for by that."""

import asyncio
import json
import re
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from types import SimpleNamespace

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from faults.arena import Arena
from faults.evidence import UNJOURNALED
from faults.publisher import iris
from faults.verifier import Verifier
from harness.audit import each

NOTICED_S = 30
_CALL_S = 10
_TOLD = 3_000
"""Characters of a traceback."""


class Excusing(Verifier):
    """A verifier that excuses requests that are gone from their topic, and answers that an operator asked for again."""

    def __init__(self, **given):
        super().__init__(**given)
        self.gone = set()
        """Places of requests that nobody can read any more: they need no answer."""
        self.ordered = set()
        """Places of answered requests that must be answered once more."""
        self.late = set()
        """Places of requests that may be answered after later ones."""

    @property
    def outstanding(self):
        return super().outstanding - len(self.unread)

    @property
    def unread(self):
        """The places of requests that were gone before they were answered."""
        return {place for place in self.gone & self.asked_for if place[1] not in self._part(place[0]).answered}

    @property
    def asked_for(self):
        """The places of all requests that there ever were."""
        # The watcher's thread adds to both meanwhile; a list of either is made in one step.
        parts = list(self._partitions.items())
        return {(number, offset) for number, part in parts for offset in list(part.requests)}

    def finish(self, committed, ends):
        for number, offset in self.unread:
            self._part(number).requests.pop(offset)
            self._part(number).answered.add(offset)  # an answer to it would be one too many
            self._open -= 1
        findings = super().finish(committed, ends)
        for number, offset in self.ordered:
            self._final.say("lost", number, offset, "an operator asked for another answer, and there is none")
        return findings or self.findings

    def _say(self, kind, partition, offset, text):
        if kind == "twice" and (partition, offset) in self.ordered:
            self.ordered.remove((partition, offset))
        elif kind != "reordered" or (partition, offset) not in self.late:
            super()._say(kind, partition, offset, text)


@asynccontextmanager
async def without_proxy(kafka):
    """Provide a Kafka that is there already as an arena's brokers."""
    yield kafka, SimpleNamespace(heal=lambda: None)


class Operated(Arena):
    """An arena with what an operator does to its topics, and what the fleet then says."""

    verifier_of = Excusing

    def __init__(self, kafka, **given):
        super().__init__(brokers=without_proxy(kafka), **given)
        self.gone = 0
        """How many requests were gone before they were answered."""
        self.left_out = set()
        """Places of the requests that an operator's offset has left out."""

    @property
    def topics(self):
        return self.deployment.settings.topics

    # ---- what an operator does

    async def done(self, futures):
        """Wait until the brokers have done what was asked; topic or place -> result."""
        return {key: await asyncio.to_thread(future.result, _CALL_S) for key, future in futures.items()}

    async def alter(self, topic, **settings):
        """Set a topic's settings; None: back to the default."""
        changes = [
            ConfigEntry(
                name.replace("_", "."),
                value,
                incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
            )
            for name, value in settings.items()
        ]
        await self.done(
            self.admin.incremental_alter_configs(
                [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)]
            )
        )

    async def stop_workers(self):
        """Stop all workers cleanly; return their names."""
        names = self.workers
        for name in names:
            assert await self.deployment.stop(name, timeout=30) == 0, f"{name} did not stop cleanly"
        return names

    async def publish(self, count, partitions, keys=(None,), expect=None):
        """Publish requests beside the stream's, which no journal has, and return their places.

        `expect`: the code of their refusal.
        """
        headers = [(UNJOURNALED, b"1"), *([("expect", expect)] if expect else [])]
        values = iris()
        places = []
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 0, "log_level": 0})
        for number in range(count):
            producer.produce(
                self.topics.requests,
                values[number % len(values)],
                keys[number % len(keys)],
                partition=partitions[number % len(partitions)],
                headers=headers,
                on_delivery=lambda _, message: places.append((message.partition(), message.offset())),
            )
        assert await asyncio.to_thread(producer.flush, _CALL_S) == 0, "requests could not be published"
        await self.until(lambda: self.verifier.asked_for.issuperset(places), 30, "the verifier has read them")
        return set(places)

    # ---- what the fleet says

    async def status(self):
        return await self.client.status()

    async def says(self, text, seconds=NOTICED_S):
        """Wait until `hotswap status` has this in a problem, a warning, or the reason of a partition that is held."""
        return await self._await(lambda seen: [line for line in _lines(seen) if re.search(text, line)], seconds, text)

    async def is_well(self, seconds=NOTICED_S):
        """Wait until `hotswap status` has no problem, holds no partition, and each worker is ready."""
        await self._await(lambda seen: not seen.problems and not _held(seen), seconds, "all is well")
        for name in self.workers:
            await self._await(lambda _, name=name: not self._unready(name), seconds, f"{name} is ready")

    async def unready(self, text, seconds=NOTICED_S):
        """Wait until a worker's /readyz has this text."""
        await self._await(lambda _: text in self._unready(self.workers[0]), seconds, f"/readyz says {text}")

    async def _await(self, holds, seconds, what):
        seen = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    seen = await self.status()
                    if found := await asyncio.to_thread(holds, seen):
                        return found
                    await asyncio.sleep(0.2)
        except TimeoutError:
            told = "; ".join(_lines(seen)) if seen else "nothing"
            raise AssertionError(f"not within {seconds} s: {what}; status says: {told}") from None

    def _unready(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.deployment.port(name)}/readyz", timeout=5):
                return ""
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def metric(self, name):
        """Return the sum of a metric over the workers that run, and its labels."""
        total = 0.0
        for worker in self.workers:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.deployment.port(worker)}/metrics", timeout=5
            ) as answer:
                lines = answer.read().decode().splitlines()
            total += sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))
        return total

    def logged(self, event):
        """Return the lines of all workers' logs about an event."""
        lines = [line for path in self.folder.glob("w*.log") for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines if f'"{event}"' in line]

    def tracebacks(self):
        """Return the beginnings of the tracebacks that the workers have logged, a line each."""
        logs = [path.read_text() for path in self.folder.glob("w*.log")]
        return [in_a_line(told[:_TOLD]) for log in logs for told in log.split("Traceback")[1:]]

    # ---- the end

    async def rest(self, seconds=60):
        """Wait until each request that the verifier knows is answered."""
        await self.until(lambda: self.verifier.outstanding == 0, seconds, "all requests are answered")

    async def verdict(self):
        """Excuse what is no longer in the requests topic, then see what else is wrong."""
        await asyncio.to_thread(self.publisher.stop)
        try:
            await self.deployment.drained(90)
            left = await asyncio.to_thread(self._left)
            self.verifier.gone = self.verifier.asked_for - left | self.left_out
            self.gone = len(self.verifier.unread)
        except (TimeoutError, KafkaException) as error:
            self.findings.append(f"the requests are not answered to their end: {error!r}")
        await super().verdict()
        for told in self.tracebacks():
            self.findings.append(f"a worker has logged a traceback: {told}")
            self.say(f"  {self.findings[-1]}")

    def _left(self):
        return {(record.partition(), record.offset()) for record in each(self.kafka.bootstrap, self.topics.requests)}


def in_a_line(traceback):
    """Fold a traceback for a table, and name its files without their folders, which are of the machine."""
    return " ".join(re.sub(r'(?<=File ")/[^"]*/', "", traceback).split())


def _held(seen):
    return [part for worker in seen.live for part in worker.partitions if part.held]


def _lines(seen):
    held = [f"partition {part.partition}: {part.held}" for part in _held(seen)]
    return [*seen.problems, *seen.warnings, *held]
