"""A fleet under fire: a real Kafka behind a proxy, workers as processes, a journaling publisher, and a verifier.

A scenario gets an `Arena` that is already under load, breaks what it wants to break, and returns; `verdict` then lets
the fleet settle and reports the verifier's findings.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient

from faults.oracle import Oracle
from faults.publisher import Publisher
from faults.verifier import Names, Verifier
from faults.watcher import Watcher
from harness.fleet import EXAMPLES, Deployment
from hotswap.client.change import Change
from hotswap.errors import Doubt, NoAnswer

MODELS = ("iris_gbm", "iris_glm")
OPENED_S = 180
_STARTED_S = 120
_SETTLE_S = 180
_SETTLE_UNGUARDED_S = 30
_UNGUARDED = ("lost", "torn", "twice", "stale_offset", "lagging")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The parameters of a scenario; `verified_as` is the delivery that the verifier holds the fleet to.

    `is_static`: each worker has a group instance id, which its replacement inherits (KIP-345).
    """

    partitions: int = 4
    copies: int = 1
    per_second: int = 300
    workers: int = 3
    bad_share: float = 0.02
    is_mixed: bool = False
    """Whether workers of an earlier version answer requests, too."""
    keys: int = 0
    """How many the requests have, each with a partition of its own; 0: each request has another, and goes anywhere."""
    settings: dict = field(default_factory=dict)
    verified_as: str = "exactly_once"
    prelude: str = ""
    is_proxied: bool = False
    is_static: bool = False
    sought: str | None = None
    """The kind of finding that a run is to have: once it is there, nobody waits until the broken fleet is at rest."""
    python: Path | None = None
    """That of the environment whose workers the fleet begins with; None: this checkout's."""


class Arena:
    """One run of one scenario; all randomness comes from `random`.

    `brokers` is a context manager that gives a Kafka and the proxy, or proxies, before it.
    """

    verifier_of = Verifier

    def __init__(self, *, terms, seed, folder, say=print, brokers):
        self.terms = terms
        self._brokers = brokers
        self.random = random.Random(seed)
        self.seed = seed
        self.folder = folder
        self.temporary = folder / "tmp"
        self.figures = {"partitions": terms.partitions}
        self.findings = []
        self.unguarded = ""
        """Why Kafka itself may have lost or doubled answers, if a scenario has made it: they are figures then."""
        self._say = say
        self._began = time.monotonic()
        self._names = (f"w{number}" for number in itertools.count(1))
        self._instances = {}
        self._exits = AsyncExitStack()
        self._swaps = 0
        self._newest = 1

    def say(self, text):
        self._say(f"{time.monotonic() - self._began:7.1f} s  {text}")

    async def __aenter__(self):
        try:
            await self._build()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def _build(self):
        self.kafka, self.proxy = await self._exits.enter_async_context(self._brokers)
        self.admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        self.temporary.mkdir(exist_ok=True)
        self.deployment = Deployment(self.kafka, self.folder, **self.terms.settings)
        self._exits.callback(self._close)
        await self.deployment.create(self.terms.partitions, self.terms.copies)
        self.client = await self._exits.enter_async_context(self.deployment.client())
        for _ in range(self.terms.workers):
            self.join()
        await self._topics_are_there()
        receipt = await self.client.swap(
            Change(model=EXAMPLES / "models" / "iris_gbm.zip", proto=EXAMPLES / "protos" / "iris.proto")
        )
        answer = await self._first_answer(receipt)
        assert answer.is_good, answer
        self._watch()
        await self.publisher.reach(self.terms.per_second)
        self.say(f"{self.terms.workers} workers answer {self.terms.per_second} requests/s on {self.terms.partitions}")

    def _watch(self):
        """Start the publisher and the verifier."""
        topics, journal = self.deployment.settings.topics, self.folder / "journal"
        self.publisher = Publisher(
            bootstrap=self.kafka.bootstrap,
            topic=topics.requests,
            partitions=self.terms.partitions,
            per_second=self.terms.per_second,
            journal=journal,
            seed=self.seed,
            bad_share=self.terms.bad_share,
            is_mixed=self.terms.is_mixed,
            keys=self.terms.keys,
        )
        self.verifier = self.verifier_of(
            topics=Names(*topics),
            deployment=self.deployment.name,
            oracle=Oracle(EXAMPLES),
            delivery=self.terms.verified_as,
        )
        self.watcher = Watcher(
            bootstrap=self.kafka.bootstrap,
            names=Names(*topics),
            group=self.deployment.settings.group_id,
            verifier=self.verifier,
            journal=journal,
        )
        self.publisher.start()
        self._exits.callback(self.publisher.kill)
        self.watcher.start()
        self._exits.callback(self.watcher.stop)

    async def _topics_are_there(self):
        """Wait until the topics can be read: a thousand partitions have leaders before they have logs."""
        async with asyncio.timeout(_STARTED_S):
            while True:
                with contextlib.suppress(Doubt):
                    return await self.client.status()

    async def _first_answer(self, receipt):
        """Return the fleet's answer to a swap; on a busy machine the workers may take long until they report at all."""
        async with asyncio.timeout(_STARTED_S):
            while True:
                with contextlib.suppress(NoAnswer, Doubt):
                    return await self.client.await_swap(receipt)

    async def __aexit__(self, *_):
        await self._exits.aclose()

    def _close(self):
        for process in self.deployment.workers.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
        self.deployment.close()

    # ---- the fleet

    @property
    def workers(self):
        """The names of the running workers."""
        return [name for name, process in self.deployment.workers.items() if process.poll() is None]

    def join(self, failpoints="", prelude="", in_place_of=None, python=None, **environment):
        """Start one more worker, behind the proxy if the terms say so; return its name."""
        name = next(self._names)
        if self.terms.is_static:
            self._instances[name] = self._instances.get(in_place_of, name)
            environment["HOTSWAP_GROUP_INSTANCE_ID"] = self._instances[name]
        self.deployment.start(
            name,
            prelude=self.terms.prelude + prelude,
            python=python or self.terms.python,
            HOTSWAP_KAFKA=(self.proxy if self.terms.is_proxied else self.kafka).bootstrap,
            TMPDIR=str(self.temporary),
            HOTSWAP_FAILPOINTS=failpoints,
            **environment,
        )
        return name

    def signal(self, name, number):
        self.deployment.workers[name].send_signal(number)

    def is_stopped(self, name):
        """Whether the worker's process is stopped."""
        stat = Path(f"/proc/{self.deployment.workers[name].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def hosts(self, name):
        """Return the process ids of a worker's model hosts: each has a supervisor in between, which starts it last."""
        supervisors = _children(self.deployment.workers[name].pid)
        return [children[-1] for supervisor in supervisors if (children := _children(supervisor))]

    async def until(self, holds, seconds, what):
        """Wait until `holds()` is true; on time-out, raise an error that names `what`."""
        give_up = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > give_up:
                raise AssertionError(f"not within {seconds} s: {what}")
            await asyncio.sleep(0.05)

    def events(self, name, event):
        """Return the worker's log records of this event so far."""
        return [json.loads(line) for line in self.deployment.log(name).splitlines() if f'"{event}"' in line]

    def events_of_all(self, event):
        """Return the log records of this event so far, of every worker that there was, each with its worker's name."""
        names = sorted(path.stem for path in self.folder.glob("w*.log"))
        return [(name, record) for name in names for record in self.events(name, event)]

    def opened(self):
        """Return every opening of a partition so far, by its worker and partition."""
        return [(name, event["partition"]) for name, event in self.events_of_all("partition.opened")]

    def are_opened(self):
        """Whether the running workers are all members of the group, and have opened all partitions."""
        given = [(name, self.events(name, "membership.assigned")) for name in self.workers]
        owned = {(name, partition) for name, seen in given if seen for partition in seen[-1]["partitions"]}
        is_shared = all(seen for _, seen in given) and len(owned) == self.terms.partitions
        return is_shared and owned <= set(self.opened())

    async def is_serving(self, name, seconds=60):
        """Wait until a worker has opened a partition."""
        await self.until(lambda: "partition.opened" in self.deployment.log(name), seconds, f"{name} takes partitions")

    # ---- swaps

    async def swap(self, **change):
        """Publish a swap to the other model, and return the receipt."""
        self._swaps += 1
        model = EXAMPLES / "models" / f"{MODELS[self._swaps % 2]}.zip"
        return await self.command(Change(model=model, **change))

    async def command(self, change):
        """Publish any swap, and return the receipt."""
        return self._number(await self.client.swap(change))

    async def abandon(self, generation=None):
        """Abandon the newest generation, staged or promoted in part; return the receipt."""
        return self._number(await self.client.abandon(generation))

    def _number(self, receipt):
        self._newest = max(self._newest, receipt.generation)
        return receipt

    async def swap_whole(self):
        """Publish a swap that inherits nothing, above every generation so far: the remedy for a lost control log."""
        return await self.swap(proto=EXAMPLES / "protos" / "iris.proto", generation=self._newest + 1)

    async def swap_for_ever(self, every_s):
        """Publish a swap every `every_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.swap()
            except Exception as error:  # noqa: BLE001 - the broker may be down at the moment
                self.say(f"a swap could not be published: {error}")

    # ---- the end

    async def verdict(self):
        """Stop the publisher, let the fleet settle, and print the findings."""
        self.proxy.heal()
        if not self.workers:
            self.join()
        await asyncio.to_thread(self.publisher.stop)
        began = time.monotonic()
        settle_s = _SETTLE_UNGUARDED_S if self.unguarded else _SETTLE_S
        found = await self.watcher.settle(settle_s, self.terms.sought)
        self.findings += [str(one) for one in found if not (self.unguarded and one.kind in _UNGUARDED)]
        self.figures["at rest after, s"] = round(time.monotonic() - began, 1)
        verifier = self.verifier
        self.figures |= {
            "acknowledged": self.publisher.acknowledged,
            "written twice by the publisher's client": verifier.written_twice,
            "answered": verifier.answered,
            "refused": verifier.refused,
            "answered behind the cut of a generation that a worker could not load": verifier.behind.excused,
            "transactions": verifier.transactions,
            "generations": len(verifier.generations),
        }
        if self.unguarded:
            counts = {kind: verifier.counts[kind] for kind in _UNGUARDED if verifier.counts[kind]}
            self.figures |= {f"{kind}, for {self.unguarded}": count for kind, count in counts.items()}
        gaps = verifier.longest_gaps
        self.figures["longest gap of a partition, s"] = round(max(gaps.values(), default=0), 2)
        for name, value in self.figures.items():
            self.say(f"{name}: {value}")
        self.say(f"found: {dict(verifier.counts) or 'nothing: 0 lost, 0 twice'}")
        for finding in self.findings[:20]:
            self.say(f"  {finding}")


async def run(scenario, *, seed, seconds, folder, say=print):
    """Run one scenario to its verdict; return the arena, which has the figures and findings."""
    say(f"{scenario.name}: seed {seed}, {seconds} s, on {os.cpu_count()} cores; {scenario.promise}")
    brokers = scenario.brokers(seed=seed)
    async with scenario.arena(terms=scenario.terms, seed=seed, folder=folder, say=say, brokers=brokers) as arena:
        try:
            await scenario.play(arena, seconds)
        except AssertionError as broken:
            arena.findings.append(f"{scenario.name}: {broken}")
        await arena.verdict()
    return arena


def _children(pid):
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
