"""The worker's side of a model host: batches in, answers out, whatever the model does to the process that runs it.

What becomes of a batch whose host dies, or does not answer within the deadline:

    1. The host is killed and another one started (`on_restart`).
    2. The batch is sent again for a *one-by-one retry*: the child says the index of each request before it scores it
       alone, and each has the batch's whole deadline for itself. So a request that is fine by itself is never refused,
       whatever company it was in; and a batch that is only too large for its deadline is answered, slowly.
    3. Where the host dies again, the request that was announced last is refused (HOST_CRASHED, HOST_TOO_SLOW); again a
       new host, which goes on behind it.

The states of the process:

    GONE ──▶ LOADING ──▶ READY
     ▲          │          │
     └──────────┴──────────┘     it died, was killed, or could not load
    each ──▶ STOPPED             for good: a batch in hand may end, and no process is started any more

k bad requests in a batch of n cost k + 1 starts of a host. Bisection would cost up to k * log2(n) of them, each a
second and more, and saves only what is cheap: scoring the batch's own requests once more.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from hotswap.batch import Answer, Ask, Code, Refusal
from hotswap.errors import HostError, SwapCode, SwapError
from hotswap.host import frames
from hotswap.host.facts import Description, read_ready
from hotswap.host.frames import OUT_OF_MEMORY, Frame, FrameError, Ground, Kind, Order
from hotswap.host.load import Load, make_order
from hotswap.host.process import HostGone, HostProcess
from hotswap.runtimes.kinds import runtime_of

log = logging.getLogger(__name__)

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 2.0
_DYING_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 0.5
_FUTILE_STARTS: Final = 3
_LAST_WORDS: Final = 500
_STOPPED_EARLY: Final = "the model host was stopped before it was loaded"
_JAVA_OUT_OF_MEMORY: Final = 3  # the exit code of -XX:+ExitOnOutOfMemoryError


class _Failed(SwapError):
    """Try once more if it was a standby: the process failed, and did not say that the model is at fault."""


class State(StrEnum):
    """What there is of a host's process; the module's text draws the legal transitions."""

    GONE = "gone"
    LOADING = "loading"
    READY = "ready"
    STOPPED = "stopped"


_LEGAL: Final = {
    State.GONE: {State.LOADING, State.STOPPED},
    State.LOADING: {State.READY, State.GONE, State.STOPPED},
    State.READY: {State.GONE, State.STOPPED},
    State.STOPPED: {State.STOPPED},
}


class ModelHost:
    """A generation in a process of its own, which is started again when it dies.

    One batch is in the host at a time; others wait their turn, untouched by what happens to it. A host that dies while
    idle is replaced at the next batch.
    """

    def __init__(
        self,
        *,
        load: Load,
        deadline_s: float,
        on_restart: Callable[[str], None],
        on_unknown: Callable[[str, int], None],
        child: Sequence[str] = (sys.executable, "-m", "hotswap.host.child"),
        take_standby: Callable[[Ground], Awaitable[HostProcess | None]] | None = None,
    ) -> None:
        """Prepare; start() does the work. `on_restart` gets "crashed" or "too_slow", `on_unknown` column and count.

        `take_standby` may give a child that is prepared already, to be used once.
        """
        self._load = load
        self.deadline_s = deadline_s
        """How long it may take for a batch, and then for each request by itself."""
        self._on_restart = on_restart
        self._on_unknown = on_unknown
        self._child = child
        self._take_standby = take_standby
        self._process: HostProcess | None = None
        self._why_gone = "crashed"
        self._state = State.GONE
        self._one_batch = asyncio.Lock()
        self._since: float | None = None
        self._ticket = 0

    @property
    def pid(self) -> int | None:
        """The child's process id, where there is a child."""
        return self._process.pid if self._process else None

    @property
    def busy_s(self) -> float:
        """For how long it has been at the batch that is in it, seconds; 0: there is none."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since

    async def start(self, *, is_low_priority: bool = False) -> Description:
        """Start the child, load, check and warm the generation; `is_low_priority` where another one serves meanwhile.

        Raises SwapError when the three parts do not fit each other or cannot be loaded; nothing is left running then.
        """
        async with self._one_batch:
            return await self._start(is_low_priority=is_low_priority)

    async def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None) -> list[Answer]:
        """Answer each request, in order. `asks[i]` is what it asks for; None: the only operation.

        Where the caller is cancelled and the child has been at it for long, it is ended: the next call starts another.
        Raises HostError when the host is gone and cannot be started again; the next call tries again.
        """
        if not values:
            return []
        async with self._one_batch:
            self._since = asyncio.get_running_loop().time()
            try:
                return await self._score(values, asks)
            except asyncio.CancelledError:
                # The next one would wait for what nobody wants any more; what is soon done may be done.
                if self.busy_s > _PATIENCE_SECONDS:
                    self._why_gone = "too_slow"
                    self._drop()
                raise
            finally:
                self._since = None

    async def stop(self) -> None:
        """Finish the batch in hand and end the child, within 2 seconds; then it is killed."""
        self._move(State.STOPPED)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._one_batch.acquire()
        except TimeoutError:
            self.kill()
        else:
            self._one_batch.release()
        if process := self._give_up():
            await process.close(_STOP_SECONDS)

    def kill(self) -> None:
        """End the child at once; a batch that is in it gets HostError."""
        self._move(State.STOPPED)
        self._drop()

    # ---- a batch

    async def _score(self, values: Sequence[bytes], asks: Sequence[Ask] | None) -> list[Answer]:
        await self._ensure_started()
        try:
            self._send("score", values, asks)
            return await self._answers(len(values))
        except (HostGone, FrameError, TimeoutError) as error:
            await self._discard(error)
        return await self._score_one_by_one(values, asks)

    async def _answers(self, count: int) -> list[Answer]:
        frame = await self._next(Kind.ANSWER)
        answers, unknown = frames.parse_answers(frame.payload, count)
        for column, times in unknown.items():
            self._on_unknown(column, times)
        return list(answers)

    async def _score_one_by_one(self, values: Sequence[bytes], asks: Sequence[Ask] | None) -> list[Answer]:
        answers: list[Answer] = []
        futile = 0
        while len(answers) < len(values):
            if futile == _FUTILE_STARTS:
                raise HostError(f"the model host of generation {self._load.generation} dies before it scores anything")
            await self._ensure_started()
            begun = len(answers)
            culprit = await self._go_on(values, asks, answers)
            if culprit:
                answers.append(culprit)
            futile = 0 if len(answers) > begun else futile + 1
        return answers

    async def _go_on(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None, answers: list[Answer]
    ) -> Refusal | None:
        """Answer the requests behind `answers`, one at a time; gives the refusal of the one that ended the host."""
        done = len(answers)
        is_announced = False
        try:
            self._send("one_by_one", values[done:], asks and asks[done:])
            for index in range(len(values) - done):
                is_announced = False
                frame = await self._next(Kind.ANNOUNCE)
                frames.check_announcement(frame.payload, index)
                is_announced = True
                answers += await self._answers(1)
        except (HostGone, FrameError, TimeoutError) as error:
            how = await self._discard(error)
            return self._blame(error, how) if is_announced else None
        return None

    def _blame(self, error: Exception, how: str) -> Refusal:
        if isinstance(error, TimeoutError):
            message = f"the model did not answer this request by itself within {self.deadline_s * 1e3:.0f} ms"
            return Refusal(Code.HOST_TOO_SLOW, message)
        return Refusal(Code.HOST_CRASHED, f"the model host died while it scored this request by itself: {how}")

    def _send(self, verb: str, values: Sequence[bytes], asks: Sequence[Ask] | None) -> None:
        if self._process is None:
            raise HostGone("it was killed")
        self._ticket = (self._ticket + 1) & 0xFFFFFFFF
        self._process.send(frames.pack_batch(verb, self._ticket, values, asks))

    async def _next(self, kind: Kind) -> Frame:
        if self._process is None:
            raise HostGone("it was killed")
        async with asyncio.timeout(self.deadline_s):
            while True:
                frame = await self._process.receive()
                if frame.ticket == self._ticket:
                    break
                # Else it answers a batch whose caller was cancelled.
        if frame.kind is not kind:
            raise FrameError(f"{frame.kind.name} came where {kind.name} was due")
        return frame

    # ---- the process

    async def _ensure_started(self) -> None:
        if self._process and not self._process.is_alive:
            await self._discard(HostGone("it died while it was idle"))
        if self._state is State.STOPPED:
            raise HostError(f"the model host of generation {self._load.generation} is stopped")
        if self._state is State.GONE:
            try:
                await self._start(is_low_priority=False)
            except SwapError as error:
                text = f"the model host of generation {self._load.generation} cannot be started again: {error.message}"
                raise HostError(text) from error
            self._on_restart(self._why_gone)

    async def _start(self, *, is_low_priority: bool) -> Description:
        order = replace(await make_order(self._load), is_low_priority=is_low_priority)
        if self._state is State.STOPPED:
            raise SwapError(SwapCode.HOST_FAILED, _STOPPED_EARLY)
        if self._take_standby and (standby := await self._take_standby(order.ground)):
            try:
                return await self._load_into(standby, order)
            except _Failed as error:
                # Whose fault it was is not known: the model gets its chance in a host without a past.
                log.warning("spare.failed", extra={"generation": self._load.generation, "why": error.message})
        try:
            process = await HostProcess.start(self._child)
        except HostGone as error:
            raise SwapError(SwapCode.HOST_FAILED, f"the model host did not start: {error}") from error
        return await self._load_into(process, order)

    async def _load_into(self, process: HostProcess, order: Order) -> Description:
        begun = asyncio.get_running_loop().time()
        self._process = process
        try:
            self._move(State.LOADING)
            process.send(frames.pack_load(order))
            async with asyncio.timeout(_START_SECONDS):
                frame = await process.receive()
            total_s = asyncio.get_running_loop().time() - begun
            description = await asyncio.to_thread(read_ready, frame, total_s)
            if not runtime_of(self._load.kind).needs_folder:
                process.remove_folder()
            self._move(State.READY)
        except (HostGone, FrameError) as error:
            how = await self._discard(error)
            raise _Failed(SwapCode.HOST_FAILED, f"the model host failed while it loaded the model: {how}") from error
        except TimeoutError as error:
            await self._discard(error)
            raise SwapError(
                SwapCode.HOST_TOO_SLOW, f"the model was not loaded within {_START_SECONDS:.0f} s"
            ) from error
        except BaseException:
            self._drop()
            raise
        log.info("host.ready", extra={"generation": self._load.generation, "pid": process.pid})
        return description

    async def _discard(self, error: Exception) -> str:
        """Kill what is left of the process; gives how it ended, for a person."""
        self._why_gone = "too_slow" if isinstance(error, TimeoutError) else "crashed"
        process = self._give_up()
        if process is None:
            return str(error)
        try:
            # A process that has closed its connection is on its way out: its own exit code tells more than our SIGKILL.
            code = await process.close(_DYING_SECONDS if isinstance(error, HostGone) else 0.0)
        finally:
            process.dispose()
        how = _ended(code) if isinstance(error, HostGone) else str(error)
        facts = {"generation": self._load.generation, "reason": self._why_gone, "how": how, "stderr": process.tail}
        log.warning("host.died", extra=facts)
        return f"{how}{_last_words(process.tail)}"

    def _drop(self) -> None:
        if process := self._give_up():
            process.dispose()

    def _give_up(self) -> HostProcess | None:
        """The process, if there is one, which is no longer ours."""
        process, self._process = self._process, None
        if process and self._state is not State.STOPPED:
            self._move(State.GONE)
        return process

    def _move(self, state: State) -> None:
        """The one place where the state changes; SwapError where the host was stopped meanwhile."""
        if self._state is State.STOPPED and state is not State.STOPPED:
            raise SwapError(SwapCode.HOST_FAILED, _STOPPED_EARLY)
        if state not in _LEGAL[self._state]:
            raise AssertionError(f"a model host: {self._state} -> {state} is no legal transition")
        self._state = state


def _ended(code: int) -> str:
    if code == _JAVA_OUT_OF_MEMORY:
        return "out of memory (the Java heap)"
    if code == OUT_OF_MEMORY:
        return "out of memory"
    if code < 0:
        return f"ended by signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _last_words(tail: str) -> str:
    return f"; the last that it printed: {tail[-_LAST_WORDS:]}" if tail else ""
