"""A process of the model: an event loop that never waits, and the calls into the world that it waits for.

Each worker has a loop of its own, so a worker that is not run is a process that is stopped: nothing of it moves, its
timers neither, and what it has sent is on its way all the same. All loops share one clock, which only the model moves.
"""

import asyncio
import contextlib
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka.errors import KafkaConnectionError, KafkaError

from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.ports import Serve, Wait
from hotswap.service import Worker
from hotswap.settings import Settings

if TYPE_CHECKING:  # they import this module
    from model.surroundings import Host
    from model.world import World

T = TypeVar("T")


class Clock:
    """Seconds; called like time.monotonic."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class _NeverWaits(selectors.SelectSelector):
    """Where a loop would sleep until its next timer or for ever, it is stopped instead."""

    on_idle: Callable[[], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout != 0:
            self.on_idle()
        return []


class StepLoop(asyncio.SelectorEventLoop):
    """Runs until every task waits for the world or for the clock."""

    def __init__(self, clock: Clock, process: "Process") -> None:
        selector = _NeverWaits()
        selector.on_idle = self.stop
        super().__init__(selector)
        self.process = process
        self.skew = 0.0
        self._model_clock = clock
        self.set_exception_handler(lambda *_: None)  # futures of a process that is gone, which nobody asks any more

    def time(self) -> float:
        return self._model_clock.now + self.skew

    def settle(self) -> None:
        self.run_forever()


@dataclass(eq=False, slots=True)
class Call:
    """Something that a process asked of the world: `effect` happens there, the future is the answer."""

    kind: str
    effect: Callable[[], object]
    future: asyncio.Future[Any]
    is_due: Callable[[], bool]
    lane: object = None
    """The connection that it goes over, where what is sent first arrives first."""

    @property
    def is_awaited(self) -> bool:
        return not self.future.done()

    def take_effect(self) -> None:
        """Happens, and nobody hears of it."""
        with contextlib.suppress(KafkaError):
            self.effect()


WRITES = frozenset({"init", "add", "produce", "offsets", "end"})
"""Calls that may take effect although nobody waits for their answer any more."""

ENDLESS = 2_000
"""So many calls in a row are a worker that has gone mad: the longest example has requests for some hundred."""


def here() -> "Process":
    """The process that is running."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StepLoop)
    return loop.process


class Process:
    """One run of a worker, from its start to its end or its crash."""

    worker: Worker
    artifacts: Counter[Path]
    """How often each file is in use."""

    def __init__(
        self,
        clock: Clock,
        world: "World",
        settings: Settings,
        main: Callable[["Process"], Coroutine[Any, Any, None]],
        version: int,
    ) -> None:
        self.world = world
        self.settings = settings
        self.version = version
        """The version of the control log's contract that its worker knows."""
        self.loop = StepLoop(clock, self)
        self.calls: list[Call] = []
        self.hosts: list[Host] = []
        self.decisions: dict[int, Serve | Wait] = {}
        """Partition -> what its worker decided when it was last asked."""
        self.has_read = 0
        """How many records of the control log its worker knows."""
        self.has_replayed = 0
        """How many of them were there when it started."""
        self.missed: set[str] = set()
        """URIs of the models that it could not fetch."""
        self.kept_since: dict[PartitionLoop, float] = {}
        """Loop of a partition -> since when its host has a batch that is not for it any more."""
        self.revoked_at: float | None = None
        """Since when its partitions are being taken away."""
        self.is_paused = False
        self.is_dead = False
        self.unanswered: frozenset[str] = frozenset()
        """Kinds of calls that the world does not answer for now."""
        self.stopping = asyncio.Event()
        self.main = self.loop.create_task(main(self))
        self.settle()

    @property
    def is_running(self) -> bool:
        return not self.is_dead and not self.main.done()

    def ask(
        self, kind: str, effect: Callable[[], T], is_due: Callable[[], bool] = lambda: True, lane: object = None
    ) -> asyncio.Future[T]:
        """A call into the world; the model decides when it takes effect, and whether the answer arrives."""
        future: asyncio.Future[T] = self.loop.create_future()
        if self.is_dead:
            future.set_exception(KafkaConnectionError("this process is dead"))
        else:
            self.calls.append(Call(kind, effect, future, is_due, lane or future))
        return future

    def due(self) -> list[Call]:
        """The calls that can be answered now."""
        first: dict[object, Call] = {}
        for call in self.calls:
            first.setdefault(call.lane, call)
        return [c for c in first.values() if c.is_awaited and c.kind not in self.unanswered and c.is_due()]

    def held(self) -> list[Call]:
        """What is on its way although its caller has given it up."""
        self.calls = [call for call in self.calls if call.is_awaited or call.kind in WRITES]
        return [call for call in self.calls if not call.is_awaited]

    def serve(self, call: Call) -> None:
        """Lets a call take effect and answers it."""
        self.calls.remove(call)
        try:
            result = call.effect()
        except Exception as error:  # noqa: BLE001 - whatever the world refuses with is the caller's to handle
            self.refuse(call, error)
        else:
            if call.is_awaited:
                call.future.set_result(result)

    def refuse(self, call: Call, error: Exception, *, is_on_its_way: bool = False) -> None:
        """Answers a call with an error; it may have taken effect before, or not, or may yet."""
        if is_on_its_way:
            call.lane = call  # that connection is gone: what is sent after it does not wait for it
        elif call in self.calls:
            self.calls.remove(call)
        if call.is_awaited:
            call.future.set_exception(error)
            call.future.exception()  # seen: a call that was given up would otherwise complain

    def flow(self, calls: int = ENDLESS) -> None:
        """Answers so many calls in order, or all there are."""
        for _ in range(calls):
            due = [] if self.is_paused else self.due()
            if not due:
                return
            self.serve(due[0])
            self.settle()
        assert calls < ENDLESS, f"a worker asks without end, now for {[call.kind for call in due]}"

    def reach(self, kind: str) -> Call | None:
        """Answers calls in order until one of this kind waits, which is returned; None where none comes."""
        for _ in range(20):
            due = [] if self.is_paused else self.due()
            if found := [call for call in due if call.kind == kind]:
                return found[0]
            if due:
                self.serve(due[0])
                self.settle()
        return None

    def settle(self) -> None:
        """Runs this process until it waits."""
        if not self.is_paused and not self.is_dead:
            self.loop.settle()

    def terminate(self) -> None:
        """What SIGTERM does."""
        self.stopping.set()
        self.settle()

    def crash(self) -> list[Call]:
        """The process is gone at once; returns what it had sent and is still on its way."""
        self.is_dead = True
        sent = [call for call in self.calls if call.kind in WRITES]
        for call in self.calls:
            if call.is_awaited:
                call.future.set_exception(KafkaConnectionError("this process is dead"))
        self.calls = []
        # Its coroutines are ended in order, in a time of their own, and nothing that they still do reaches the world.
        self.main.cancel()
        while not self.main.done():
            self.loop.settle()
            self.loop.skew += 1
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.settle()
        self.loop.close()
        return sent
