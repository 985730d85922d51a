"""Fakes of the pipeline's surroundings: a partition that keeps what was committed, a host, a plan."""

import asyncio
from dataclasses import dataclass, field

from hotswap.batch import Code, Position, Refusal
from hotswap.errors import Doubt
from hotswap.generation import Generation, Model, Proto
from hotswap.pipeline.admission import Rules
from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.ports import Limits, Serve, Serving, Wait

LIMITS = Limits(66_536, 100_000)


@dataclass
class FakeRequest:
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: list = field(default_factory=list)
    timestamp: int = 0


class FakeBatch:
    """A batch of `hotswap.kafka.records`: its requests are read already."""

    def __init__(self, requests):
        self.size = self.window_bytes = sum(len(request.value or b"") for request in requests)
        self.next = requests[-1].offset + 1
        self._requests = list(requests)

    @property
    def first(self):
        return self._requests[0].offset if self._requests else None

    def take(self, limit, until):
        taken = [r for r in self._requests[:limit] if until is None or r.offset < until]
        del self._requests[: len(taken)]
        return taken


class FakeSource:
    """A `pipeline.Source`: a log in memory; commits can be made to fail before or after they take effect."""

    def __init__(self, requests, *, at=None):
        self.requests = list(requests)
        self.committed = at or Position(0)
        self.transactions = []
        self.opened = self.closed = 0
        self.fail_before = self.fail_after = 0
        self.reached = self.begun = None
        self.drained = asyncio.Event()
        self._next = None
        self._stopped = asyncio.Event()

    async def open(self):
        self.opened += 1
        self._next = self.committed.offset
        return self.committed

    def _rest(self):
        return [request for request in self.requests if request.offset >= self._next]

    async def wait(self):
        await asyncio.sleep(0)
        if self._stopped.is_set():
            return None
        if rest := self._rest():
            return rest[0].offset
        if self.reached is not None:
            reached, self.reached = self.reached, None
            return reached
        self.drained.set()
        await self._stopped.wait()
        return None

    def take(self, limit, until):
        taken = [r for r in self._rest()[:limit] if until is None or r.offset < until]
        self._next = taken[-1].offset + 1 if taken else self._next
        return taken

    def begin(self, position):
        self.begun = position

    async def commit(self, transaction):
        begun, self.begun = self.begun, None
        assert begun in (None, Position(transaction.next_offset, transaction.generation))
        await asyncio.sleep(0)
        if self.fail_before:
            self.fail_before -= 1
            raise Doubt("no answer")
        self.transactions.append(transaction)
        self.committed = Position(transaction.next_offset, transaction.generation)
        if self.fail_after:
            self.fail_after -= 1
            raise Doubt("no answer")

    async def close(self):
        self.closed += 1

    def stop(self):
        self._stopped.set()


class FakeHost:
    """Answers `<generation>:<value>`; refuses what starts with `bad`; never answers what starts with `loop`."""

    deadline_s = 600.0

    def __init__(self, number):
        self.number = number
        self.calls = []
        self.busy_s = 0.0

    async def score(self, values, asks=None):
        self.calls.append((list(values), asks))
        await asyncio.sleep(0)
        if any(value.startswith(b"loop") for value in values):
            self.busy_s = 12.0
            await asyncio.Event().wait()
        return [
            Refusal(Code.UNDECODABLE, "bad") if value.startswith(b"bad") else b"%d:%s" % (self.number, value)
            for value in values
        ]


class FakePlan:
    """Serves what `choices` says for an offset; `change` lets waiting loops ask again."""

    def __init__(self, choose, *, operations=("score",), max_request_bytes=1_000, max_batch_records=3):
        self.choose_by = choose
        self.hosts = {}
        self.changed = asyncio.Event()
        self._rules = Rules(proto_sha256="f" * 64, operations=operations, max_request_bytes=max_request_bytes)
        self._limit = max_batch_records

    def choose(self, partition, position):
        choice = self.choose_by(partition, position)
        return Serve(choice, None) if isinstance(choice, int) else choice

    def is_overtaken(self, partition, position, number):
        choice = self.choose(partition, position)
        return isinstance(choice, Wait) or choice.number != number

    def serving(self, number):
        generation = Generation(number, Model("file:///m", "a" * 64), Proto.inline("x"))
        host = self.hosts.setdefault(number, FakeHost(number))
        return Serving(generation=generation, host=host, rules=self._rules, max_batch_records=self._limit)

    def change(self, choose):
        self.choose_by = choose
        self.changed.set()
        self.changed = asyncio.Event()


__all__ = ["FakeHost", "FakePlan", "FakeRequest", "FakeSource", "Serve", "Wait"]


def requests(count, start=0):
    return [FakeRequest(offset, b"r%d" % offset, key=b"k%d" % offset) for offset in range(start, start + count)]


def loop_of(source, plan, limits=LIMITS, linger_s=0.0):
    return PartitionLoop(
        deployment="d",
        topic="d.requests",
        partition=3,
        source=source,
        plan=plan,
        limits=limits,
        linger_s=linger_s,
    )


async def drain(source, plan, **options):
    loop = loop_of(source, plan, **options)
    task = asyncio.create_task(loop.run())
    await asyncio.wait_for(source.drained.wait(), 5)
    loop.stop()
    await task
    return loop
