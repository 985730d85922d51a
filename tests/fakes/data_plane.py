"""Fakes of the pipeline's ports: a partition that keeps what was committed, a host, a router.

The contract suites in tests/contract/pipeline run over the source and the host, and over the real ones.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hotswap.batch import (
    Answer,
    Ask,
    BatchAnswers,
    Code,
    Declined,
    Given,
    Headers,
    Limits,
    Position,
    RecordBatch,
    Refusal,
    Request,
    Seal,
    Stamp,
    Transaction,
    Unscorable,
    Unsealed,
)
from hotswap.errors import DamagedBatch, Denied, Doubt, TopicMismatch
from hotswap.generation import Generation, Model, Proto
from hotswap.pipeline.admission import Rules
from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.ports import RawRequests, Router, Scorer, Serve, Serving, Source, Wait
from hotswap.swap.sample import Sampling

LIMITS = Limits(66_536, 100_000)


@dataclass
class FakeRequest:
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: Headers = field(default_factory=list)
    timestamp: int = 0


class FakeBatch:
    """A batch of `hotswap.kafka.topics.records` whose requests are already parsed."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.size = self.window_bytes = sum(len(request.value or b"") for request in requests)
        self.next, self.at_ms = requests[-1].offset + 1, requests[0].timestamp
        self._requests = list(requests)

    @property
    def first(self) -> int | None:
        return self._requests[0].offset if self._requests else None

    def take(self, limit: int, until: int | None) -> Sequence[Request]:
        taken = [r for r in self._requests[:limit] if until is None or r.offset < until]
        del self._requests[: len(taken)]
        return taken


@dataclass
class FakePartition:
    """The brokers' state of a partition, whoever owns it."""

    requests: list[Request]
    committed: Position
    end: int = 0
    """End offset: past the last request, and past the transaction markers that follow it."""
    damaged: dict[int, int] = field(default_factory=dict)
    """First offset of each damaged batch -> the offset after it."""
    transactions: list[Transaction] = field(default_factory=list)
    owner: "FakeSource | None" = None

    def publish(self, *requests: Request, markers: int = 0) -> None:
        """Append requests, followed by `markers` transaction markers."""
        self.requests += requests
        self.end = (requests[-1].offset + 1 if requests else self.end) + markers
        if self.owner:
            self.owner._woken.set()


class FakeSource:
    """A `pipeline.Source` in memory; `open` can fail, and `commit` can fail before or after it takes effect."""

    def __init__(
        self, requests: Sequence[Request] = (), *, at: Position | None = None, of: FakePartition | None = None
    ) -> None:
        self.partition = of or FakePartition(list(requests), at or Position(0))
        self.requests, self.transactions = self.partition.requests, self.partition.transactions
        self.opened = self.closed = 0
        self.fail_open = self.fail_before = self.fail_after = 0
        self.deleted = (0, 0)
        self.limits = LIMITS
        self.mismatches: list[str] = []
        """What is wrong with the topics, at each of the next times that it is opened."""
        self.denials: list[str] = []
        """Which right is missing, at each of the next commits."""
        self.drained = asyncio.Event()
        self._next = 0
        self._skipped: dict[int, Unscorable] = {}
        self._is_stopped = False
        self._written: list[BatchAnswers] = []
        self._woken = asyncio.Event()
        self._is_woken = False

    @property
    def committed(self) -> Position:
        return self.partition.committed

    async def open(self) -> Position:
        self.opened += 1
        if self.mismatches:
            raise TopicMismatch(self.mismatches.pop(0))
        if self.fail_open:
            self.fail_open -= 1
            raise Doubt("no answer")
        self.partition.owner = self
        self._written = []
        self._skipped = {}
        self._next = self.committed.offset
        return self.committed

    def _rest(self) -> list[Request]:
        """Return the available requests, up to the next damaged batch that is not skipped."""
        damage = min((at for at in self._damaged() if at >= self._next), default=None)
        there = [self._skipped.get(request.offset, request) for request in self.requests]
        return [r for r in there if r.offset >= self._next and (damage is None or r.offset < damage)]

    def _damaged(self) -> list[int]:
        return [at for at in self.partition.damaged if at not in self._skipped]

    async def wait(self) -> int | None:
        await asyncio.sleep(0)
        while not self._is_stopped:
            if rest := self._rest():
                return rest[0].offset
            if self._next in self._damaged():
                raise DamagedBatch(self._next)
            if self.partition.end > self._next:
                self._next = self.partition.end
                return self._next
            if self._is_woken:
                self._is_woken = False
                return self._next
            self.drained.set()
            self._woken.clear()
            await self._woken.wait()
        return None

    async def pass_over(self) -> int:
        self.drained.set()
        return self.partition.end

    def wake(self) -> None:
        self._is_woken = True
        self._woken.set()

    def skip(self, why: str) -> None:
        refusal = Refusal(Code.UNREADABLE, why)
        for offset in range(self._next, self.partition.damaged[self._next]):
            self._skipped[offset] = Unscorable(offset, 0, None, (), refusal)

    def take(self, limit: int, until: int | None) -> Sequence[Request]:
        taken = [r for r in self._rest()[:limit] if until is None or r.offset < until]
        self._next = taken[-1].offset + 1 if taken else self._next
        return taken

    def take_raw(self, limit: int, until: int | None) -> RawRequests | None:
        return None

    @property
    def stamp(self) -> Stamp:
        return Stamp(1, 0, 0, is_transactional=True, max_bytes=1 << 20)

    def write(self, answers: BatchAnswers) -> None:
        self._written.append(answers)

    async def commit(self, transaction: Transaction) -> None:
        written, self._written = [*self._written, BatchAnswers(transaction.predictions, transaction.dead_letters)], []
        predictions: list[Any] = [one for answers in written for one in answers.predictions]
        dead_letters = [one for answers in written for one in answers.dead_letters]
        transaction = transaction._replace(predictions=predictions, dead_letters=dead_letters)
        await asyncio.sleep(0)
        if self.partition.owner is not self:
            raise Doubt("another owner has the partition")
        if self.denials:
            raise Denied(self.denials.pop(0))
        if self.fail_before:
            self.fail_before -= 1
            raise Doubt("no answer")
        self.transactions.append(transaction)
        self.partition.committed = Position(transaction.next_offset, transaction.generation)
        if self.fail_after:
            self.fail_after -= 1
            raise Doubt("no answer")

    async def close(self) -> None:
        self.closed += 1

    def stop(self) -> None:
        self._is_stopped = True
        self._woken.set()


class FakeHost:
    """Answers `<generation>:<value>`; refuses what starts with `bad`; never answers what starts with `loop`."""

    deadline_s = 600.0
    can_seal = False

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[tuple[list[bytes], Sequence[Ask] | None]] = []
        self.busy_s = 0.0
        self._lock = asyncio.Lock()

    async def seal(self, seal: Seal, given: Given) -> Sequence[RecordBatch] | Declined | Unsealed:
        raise AssertionError("it cannot seal")

    async def score(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None = None, *, is_suspect: bool = False
    ) -> list[Answer]:
        if not values:
            return []
        async with self._lock:
            self.calls.append((list(values), asks))
            await asyncio.sleep(0)
            if any(value.startswith(b"loop") for value in values):
                await self._hang()
            return [self._answer(value) for value in values]

    async def _hang(self) -> None:
        self.busy_s = 12.0
        try:
            await asyncio.Event().wait()
        finally:
            self.busy_s = 0.0

    def _answer(self, value: bytes) -> Answer:
        if value.startswith(b"bad"):
            return Refusal(Code.UNDECODABLE, "bad")
        return b"%d:%s" % (self.number, value)


class FakeRouter:
    """Serves the generation that `choose` returns for an offset; `change` wakes the waiting loops."""

    def __init__(
        self,
        choose: Callable[[int, Position], int | Serve | Wait],
        *,
        operations: tuple[str, ...] = ("score",),
        max_request_bytes: int = 1_000,
        max_batch_records: int = 3,
    ) -> None:
        self.choose_by = choose
        self.hosts: dict[int, FakeHost] = {}
        self.changed = asyncio.Event()
        self.sample = Sampling()
        self.skipped: dict[int, str] = {}
        """Offset of a damaged batch -> id of the command that skips it."""
        self._rules = Rules(proto_sha256="f" * 64, operations=operations, max_request_bytes=max_request_bytes)
        self._limit = max_batch_records

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        choice = self.choose_by(partition, position)
        return Serve(choice, None) if isinstance(choice, int) else choice

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        choice = self.choose(partition, position)
        return isinstance(choice, Wait) or choice.number != number

    def serving(self, number: int) -> Serving:
        generation = Generation(number, Model("file:///m", "a" * 64), Proto.inline("x"))
        host = self.hosts.setdefault(number, FakeHost(number))
        return Serving(generation=generation, host=host, rules=self._rules, max_batch_records=self._limit)

    def skips(self, partition: int, offset: int) -> str:
        return self.skipped.get(offset, "")

    def change(self, choose: Callable[[int, Position], int | Serve | Wait]) -> None:
        self.choose_by = choose
        self.changed.set()
        self.changed = asyncio.Event()


FAKES: tuple[type[Source], type[Scorer], type[Router], type[Request]] = FakeSource, FakeHost, FakeRouter, FakeRequest
"""Lets mypy check each fake against its Protocol."""


def requests(count: int, start: int = 0) -> list[Request]:
    return [FakeRequest(offset, b"r%d" % offset, key=b"k%d" % offset) for offset in range(start, start + count)]


def loop_of(
    source: Source, router: Router, linger_s: float = 0.0, turns: asyncio.Semaphore | None = None
) -> PartitionLoop:
    return PartitionLoop(
        deployment="d",
        topic="d.requests",
        partition=3,
        source=source,
        router=router,
        turns=turns or asyncio.Semaphore(1),
        linger_s=linger_s,
    )


async def drain(source: FakeSource, router: Router, limits: Limits = LIMITS) -> PartitionLoop:
    source.limits = limits
    loop = loop_of(source, router)
    task = asyncio.create_task(loop.run())
    await asyncio.wait_for(source.drained.wait(), 5)
    loop.stop()
    await task
    return loop
