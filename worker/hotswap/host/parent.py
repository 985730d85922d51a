"""The worker's side of a model host: batches in, answers out, even if the model ends its process.

If the host dies while it scores a batch, or does not answer within the deadline:

    1. The host is killed and another one is started (`on_restart`).
    2. The batch is sent again for a *one-by-one retry*: the child announces the index of each request, then scores it
       alone, and each request has the whole deadline. So a request that is fine by itself is never refused because of
       its batch, and a batch that is merely too large for its deadline is answered, slowly.
    3. If the host dies again, the request announced last is refused (HOST_CRASHED, HOST_TOO_SLOW), and a new host
       continues with the request after it. If the model may keep state, HOST_CRASHED is said only of one that was the
       first in its host: another may have left behind what ended it. So it is scored once more, as the first.

The states of the process:

    GONE ──▶ LOADING ──▶ READY
     ▲          │          │
     └──────────┴──────────┘     it died, was killed, or could not load
    each ──▶ STOPPED             final: the batch in progress may finish, and no process is started again

k bad requests in a batch of n cost k + 1 starts of a host, 2k + 1 at most with state. Bisection would cost up to
k * log2(n), more than a second each, to save scoring the other requests once more, which is cheap.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from hotswap.batch import Answer, Ask, Declined, Given, RecordBatch, Refusal, Seal, Unsealed
from hotswap.errors import HostError, SwapCode, SwapError
from hotswap.host import frames
from hotswap.host.exchange import Exchange
from hotswap.host.facts import Description, read_ready
from hotswap.host.frames import Frame, FrameError, Kind, StartStep
from hotswap.host.load import Load, make_order
from hotswap.host.order import Ground, Order
from hotswap.host.process import HostGone, HostProcess, ended
from hotswap.host.sealing import pack_order, parse_result
from hotswap.host.spawn import BEHIND_SECONDS
from hotswap.runtimes.kinds import runtime_of

log = logging.getLogger(__name__)

START_SECONDS: Final = 120.0
"""How long a host may take to start if nobody says how long, and to start again at least, seconds."""

_STOP_SECONDS: Final = 2.0
_DYING_SECONDS: Final = 0.5
_CANCEL_GRACE_SECONDS: Final = 0.5
_MAX_FUTILE_STARTS: Final = 3
_STOPPED_EARLY: Final = "the model host was stopped before it was loaded"


class _Failed(SwapError):
    """Retry in a fresh host if this was a standby: the process failed without blaming the model."""


class HostState(StrEnum):
    """State of a host's process; the module's docstring draws the legal transitions."""

    GONE = "gone"
    LOADING = "loading"
    READY = "ready"
    STOPPED = "stopped"


_LEGAL: Final = {
    HostState.GONE: {HostState.LOADING, HostState.STOPPED},
    HostState.LOADING: {HostState.READY, HostState.GONE, HostState.STOPPED},
    HostState.READY: {HostState.GONE, HostState.STOPPED},
    HostState.STOPPED: {HostState.STOPPED},
}


class ModelHost:
    """A generation in its own process, which is restarted when it dies.

    It scores one batch at a time; others wait, unaffected by how it ends. One that dies idle is replaced at the next.
    """

    def __init__(
        self,
        *,
        load: Load,
        deadline_s: float,
        start_s: float = START_SECONDS,
        on_restart: Callable[[str], None],
        on_unknown: Callable[[str, int], None],
        child: Sequence[str] = (sys.executable, "-m", "hotswap.host.child"),
        take_standby: Callable[[Ground], Awaitable[HostProcess | None]] | None = None,
    ) -> None:
        """Start nothing yet: start() does. `on_restart` gets "crashed" or "too_slow", `on_unknown` column and count.

        A start, and each restart, may take `start_s`. `take_standby` returns a warm standby, to be used once, or None.
        """
        self._load = load
        self.deadline_s = deadline_s
        """The deadline for a batch, and for each request of a one-by-one retry, seconds."""
        self._exchange = Exchange(deadline_s, on_unknown)
        self.doing = ""
        """What it does on its way to READY, or did last before it failed, to complete "it was …"; empty once ready."""
        self._start_s = start_s
        self._on_restart = on_restart
        self._child = child
        self._take_standby = take_standby
        self._process: HostProcess | None = None
        self._why_gone = "crashed"
        self._state = HostState.GONE
        self._one_batch = asyncio.Lock()
        self._since: float | None = None
        self.can_seal = False
        """Whether `seal` may be called: the started host says that it can, and runs nobody else's code."""

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if no child is running."""
        return self._process.pid if self._process else None

    @property
    def busy_s(self) -> float:
        """How long the current batch has been in the host, seconds; 0 when it is idle."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since

    async def start(self, *, is_low_priority: bool = False, golden: bytes = b"") -> Description:
        """Start the child, then load, check and warm the generation; at low priority while another one is serving.

        Raises SwapError if its parts do not fit, or answer otherwise than `golden`, which no restart compares again.
        """
        async with self._one_batch:
            return await self._start(is_low_priority=is_low_priority, golden=golden)

    async def score(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None = None, *, is_suspect: bool = False
    ) -> Sequence[Answer]:
        """Answer each request, in order. `asks[i]` has the options of request i; None: the only operation.

        With `is_suspect`, begins with the one-by-one retry. If the caller is cancelled when the batch has run for over
        half a second, kills the child; the next call starts another. Raises HostError if the host died and cannot be
        restarted; the next call tries again.
        """
        if not values:
            return []
        async with self._one_batch:
            with self._timed():
                return await (self._score_one_by_one if is_suspect else self._score)(values, asks)

    async def seal(self, seal: Seal, given: Given) -> Sequence[RecordBatch] | Declined | Unsealed:
        """Return the answers as record batches, or the requests that the host has left; `given` then has them.

        Cancelled, it does as `score` does. Raises HostError if the host had died before and cannot be restarted.
        """
        async with self._one_batch:
            with self._timed():
                await self._ensure_started()
                try:
                    self._exchange.send(self._process, lambda ticket: frames.pack_seal(ticket, pack_order(seal, given)))
                    frame = await self._exchange.next(self._process, Kind.SEALED)
                    return parse_result(memoryview(frame.payload), seal, given)
                except (HostGone, FrameError, TimeoutError) as error:
                    await self._discard(error)
                    return Unsealed.FAILED

    async def stop(self) -> None:
        """Finish the batch in progress and end the child; kill it if that takes longer than 2 seconds."""
        self._move(HostState.STOPPED)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._one_batch.acquire()
        except TimeoutError:
            self.kill()
        else:
            self._one_batch.release()
        if process := self._release():
            await process.close(_STOP_SECONDS)

    def kill(self) -> None:
        """Kill the child; a batch in progress raises HostError."""
        self._move(HostState.STOPPED)
        self._drop()

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Keep the time of a batch; kill the child if the caller is cancelled late in it."""
        self._since = asyncio.get_running_loop().time()
        try:
            yield
        except asyncio.CancelledError:
            # The next batch would wait for answers that nobody needs; a batch that has just begun may finish.
            if self.busy_s > _CANCEL_GRACE_SECONDS:
                self._why_gone = "too_slow"
                self._drop()
            raise
        finally:
            self._since = None

    async def _score(self, values: Sequence[bytes], asks: Sequence[Ask] | None) -> Sequence[Answer]:
        await self._ensure_started()
        try:
            self._exchange.send(self._process, lambda ticket: frames.pack_batch("score", ticket, values, asks))
            return await self._exchange.answers(self._process, len(values))
        except (HostGone, FrameError, TimeoutError) as error:
            await self._discard(error)
        return await self._score_one_by_one(values, asks)

    async def _score_one_by_one(self, values: Sequence[bytes], asks: Sequence[Ask] | None) -> list[Answer]:
        answers: list[Answer] = []
        futile = 0
        while len(answers) < len(values):
            if futile == _MAX_FUTILE_STARTS:
                raise HostError(
                    f"the model host of generation {self._load.generation} dies before it scores any request"
                )
            before, begun = self._process, len(answers)
            await self._ensure_started()
            if culprit := await self._score_rest(values, asks, answers, is_new=self._process is not before):
                answers.append(culprit)
            futile = 0 if len(answers) > begun else futile + 1
        return answers

    async def _score_rest(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None, answers: list[Answer], *, is_new: bool
    ) -> Refusal | None:
        """Answer the requests after `answers`, one at a time; return the refusal of the one that killed the host.

        `is_new`: the host has scored nothing yet.
        """
        done, is_announced = len(answers), False
        try:
            rest = values[done:], asks and asks[done:]
            self._exchange.send(self._process, lambda ticket: frames.pack_batch("one_by_one", ticket, *rest))
            for index in range(len(values) - done):
                is_announced = False
                frame = await self._exchange.next(self._process, Kind.ANNOUNCE)
                frames.check_announcement(frame.payload, index)
                is_announced = True
                answers += await self._exchange.answers(self._process, 1)
        except (HostGone, FrameError, TimeoutError) as error:
            how = await self._discard(error)
            is_first = is_new and len(answers) == done
            is_sure = is_first or isinstance(error, TimeoutError) or runtime_of(self._load.kind).is_stateless
            return self._exchange.refusal(error, how) if is_announced and is_sure else None
        return None

    # ---- the process

    async def _ensure_started(self) -> None:
        if self._process and not self._process.is_alive:
            await self._discard(HostGone("it died while it was idle"))
        if self._state is HostState.STOPPED:
            raise HostError(f"the model host of generation {self._load.generation} is stopped")
        if self._state is HostState.GONE:
            try:
                await self._start(is_low_priority=False)
            except SwapError as error:
                text = f"the model host of generation {self._load.generation} cannot be restarted: {error.message}"
                raise HostError(text) from error
            self._on_restart(self._why_gone)

    async def _start(self, *, is_low_priority: bool, golden: bytes = b"") -> Description:
        self.doing = "looking up Java's libraries and verifying the model"
        order = replace(await make_order(self._load), is_low_priority=is_low_priority, golden=golden)
        if self._state is HostState.STOPPED:
            raise SwapError(SwapCode.HOST_FAILED, _STOPPED_EARLY)
        if self._take_standby and (standby := await self._take_standby(order.ground)):
            self.doing = StartStep.LOADING
            try:
                return await self._load_into(standby, order)
            except _Failed as error:
                # The standby or the model may be at fault: retry the model in a fresh host.
                log.warning("standby.failed", extra={"generation": self._load.generation, "why": error.message})
        self.doing = StartStep.STARTING
        try:
            process = await HostProcess.start(self._child, behind_s=BEHIND_SECONDS if is_low_priority else 0.0)
        except HostGone as error:
            raise SwapError(SwapCode.HOST_FAILED, f"the model host could not be started: {error}") from error
        return await self._load_into(process, order)

    async def _load_into(self, process: HostProcess, order: Order) -> Description:
        begun = asyncio.get_running_loop().time()
        self._process = process
        process.printed.belongs_to(self._load.generation)
        try:
            self._move(HostState.LOADING)
            process.send(frames.pack_load(order))
            async with asyncio.timeout(self._start_s):
                frame = await self._await_ready(process)
            description = await asyncio.to_thread(read_ready, frame, asyncio.get_running_loop().time() - begun)
            runtime = runtime_of(self._load.kind)
            self.can_seal = description.seals and runtime.is_ours
            if not runtime.needs_folder:
                process.remove_folder()
            self._move(HostState.READY)
            self.doing = ""
        except (HostGone, FrameError) as error:
            how = await self._discard(error)
            raise _Failed(SwapCode.HOST_FAILED, f"the model host failed while it was {self.doing}: {how}") from error
        except TimeoutError as error:
            await self._discard(error)
            late = f"the model host was not ready within {self._start_s:g} s: it was {self.doing}"
            raise SwapError(SwapCode.HOST_TOO_SLOW, late) from error
        except BaseException:
            self._drop()
            raise
        log.info("host.ready", extra={"generation": self._load.generation, "pid": process.pid})
        return description

    async def _await_ready(self, process: HostProcess) -> Frame:
        step = StartStep.STARTING
        while (frame := await process.receive()).kind is Kind.STEP:
            self.doing = step = frames.parse_step(frame.payload, step)
        return frame

    async def _discard(self, error: Exception) -> str:
        """Kill the process if it is still there; return how it ended, for people to read."""
        self._why_gone = "too_slow" if isinstance(error, TimeoutError) else "crashed"
        process = self._release()
        if process is None:
            return str(error)
        try:
            # A process that closed its connection is exiting: its own exit code tells more than our SIGKILL.
            code = await process.close(_DYING_SECONDS if isinstance(error, HostGone) else 0.0)
        finally:
            process.dispose()
        how = ended(code) if isinstance(error, HostGone) else str(error)
        facts = {"reason": self._why_gone, "how": how, "stderr": process.tail}
        log.warning("host.died", extra={"generation": self._load.generation, **facts})
        return f"{how}{process.last_output}"

    def _drop(self) -> None:
        if process := self._release():
            process.dispose()

    def _release(self) -> HostProcess | None:
        """Return the process, if any, and pass its ownership to the caller."""
        process, self._process = self._process, None
        if process and self._state is not HostState.STOPPED:
            self._move(HostState.GONE)
        return process

    def _move(self, state: HostState) -> None:
        """Change the state, which nothing else does. Raises SwapError if the host has been stopped."""
        if self._state is HostState.STOPPED and state is not HostState.STOPPED:
            raise SwapError(SwapCode.HOST_FAILED, _STOPPED_EARLY)
        if state not in _LEGAL[self._state]:
            raise AssertionError(f"a model host: {self._state} -> {state} is not a legal transition")
        self._state = state
