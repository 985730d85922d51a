"""THE HOT PATH: open → wait → cut over → take → score → commit, one loop for each partition that this worker owns."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import perf_counter

from hotswap.batch import BatchAnswers, Position, Transaction
from hotswap.errors import DamagedBatch, Denied, Doubt, HostError, TopicMismatch
from hotswap.failpoints import failpoint
from hotswap.pipeline.answering import Answering, Batch, take, take_some
from hotswap.pipeline.ports import Router, Serve, Serving, Source, Wait
from hotswap.pipeline.states import PartitionState, Step
from hotswap.pipeline.tally import Tally

log = logging.getLogger(__name__)

_LOOK_AT_DAMAGE_S = 60.0
_LOOK_AT_TOPICS_S = 5.0
RETRY_S = 0.5
"""Pause before a partition in doubt is opened again, seconds."""

_GRACE_S = 0.5
_LONG_S = 2.0
_TRANSACTION_S = 0.2
_PATIENCE_S = 0.5
_IDLE_S = 0.25
_PASS_S = 2.0
_IDLE = frozenset({Step.WAITING, Step.HELD})
_EMPTY_HANDED = frozenset({Step.QUEUED, Step.CUTTING_OVER})
"""Nothing is in hand that is worth waiting for when the loop is to stop."""


@dataclass(slots=True)
class _Work:
    """The transaction in hand: its generation, its batches and their answers, and where it cuts over, if it does."""

    number: int
    cut_over_at: int | None
    done: list[tuple[Batch, BatchAnswers]] = field(default_factory=list)


class PartitionLoop:
    """Scores one partition until stopped; anything in doubt discards the producer and opens the partition again."""

    def __init__(
        self,
        *,
        deployment: str,
        topic: str,
        partition: int,
        source: Source,
        router: Router,
        turns: asyncio.Semaphore,
        linger_s: float = 0.0,
    ) -> None:
        """`turns` are the worker's, shared by all loops: see `_turn`."""
        self.state = PartitionState()
        self._deployment = deployment
        self._partition = partition
        self._source = source
        self._router = router
        self._answering = Answering(f"{topic}-{partition}", source)
        self._turns = turns
        self._linger_s = linger_s
        self._next_at = 0.0
        self._stopping = asyncio.Event()
        self._may_open = asyncio.Event()
        self._may_open.set()
        self._task: asyncio.Task[None]  # set by `run`
        self._in_host: tuple[Position, int, float]  # position, generation and start of the batch, in SCORING
        self._is_behind = False  # there was more than the last batch took
        self._looked: asyncio.Event | None = None  # as of which change `cut_over_idle` has looked
        self._logged = ""  # why it is held, as last logged, until something is committed
        self._tally = Tally(deployment)

    async def run(self) -> None:
        """Serve the partition; return after `stop`, with the batch in hand committed or never begun."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        while await self._is_ours():
            try:
                self.state.position, self._looked = await self._source.open(), None
                self.state.deleted = self._source.deleted
                self.state.move(Step.HELD if self.state.damage else Step.WAITING, held=self.state.damage)
                while (offset := await self._wait()) is not None:
                    self.state.damage = ""
                    async with self._turn():
                        wait = await self._advance(Position(offset, self.state.position.floor))
                    if wait:
                        await self._hold(wait.why)
                        self._source.wake()  # to look again, though nothing but markers may be there
                    if (pause := self._next_at - perf_counter()) > 0:
                        await self._sleep(pause)
            except (TopicMismatch, Denied) as mismatch:
                await self._hold(str(mismatch), _LOOK_AT_TOPICS_S)
            except (Doubt, HostError) as doubt:
                self._recycled(doubt)
            except asyncio.CancelledError:
                self._give_up()
                continue
            finally:
                self.state.move(Step.CLOSED, held=self.state.held)
                await self._source.close()
            await self._sleep(RETRY_S)

    def stop(self) -> None:
        """Finish the batch in hand and take no further one; wait for no cut-over without a batch, and for no turn."""
        self._stopping.set()
        if self.state.step in _EMPTY_HANDED:
            self._task.cancel()
        self._may_open.set()
        self._source.stop()

    def hold_back(self) -> None:
        """Go on as long as the partition is open, but do not open it until `go_on`."""
        self._may_open.clear()

    def go_on(self) -> None:
        """Open the partition again whenever that is necessary."""
        self._may_open.set()

    async def _is_ours(self) -> bool:
        """Wait until the partition may be opened; return False once stopped."""
        await self._may_open.wait()
        return not self._stopping.is_set()

    async def _wait(self) -> int | None:
        """Wait as Source.wait does; hold the partition at a damaged batch until a command skips it."""
        while True:
            if not self._router.sample.has(self._partition):
                self._next_at = perf_counter() + _PASS_S
                return None if self._stopping.is_set() else await self._source.pass_over()
            try:
                return await self._source.wait()
            except DamagedBatch as damage:
                if command := self._router.skips(self._partition, damage.offset):
                    self._source.skip(f"{damage}; command {command} skipped it")
                    continue
                self.state.damage = (
                    f"{damage}. If no replica has a sound copy, `hotswap skip {self._deployment} --partition "
                    f"{self._partition} --offset {damage.offset}` refuses its requests and continues after it"
                )
            # A replica with a sound copy may have become the leader: fetch the batch again now and then.
            if not await self._hold(self.state.damage, _LOOK_AT_DAMAGE_S):
                raise Doubt(self.state.damage)

    def reconsider(self) -> None:
        """Check on a batch that the host takes long to answer: report it, and give it up once it has been overtaken.

        Only a batch that is in the host can be given up, and only if the host itself is stuck in one for long: a batch
        that merely queues behind others is soon done.
        """
        if self.state.step is not Step.SCORING:
            return
        at, number, since = self._in_host
        waited = perf_counter() - since
        if waited < _GRACE_S:
            return
        host = self._router.serving(number).host
        if host.busy_s > _GRACE_S and self._router.is_overtaken(self._partition, at, number):
            self.state.move(Step.OVERTAKEN, in_hand=number)
            self._task.cancel()
        elif waited > _LONG_S:
            why = (
                f"waits for the model of generation {number}, {waited:.0f} s so far; it may take {host.deadline_s:g} s "
                f"for a batch, and then as long for each of its requests alone. To continue without it: `hotswap "
                f"rollback {self._deployment} --at-once`, or another swap `--at-once`"
            )
            self.state.move(Step.SCORING, in_hand=number, held=why)
            self.state.model_s = waited

    def cut_over_idle(self) -> bool:
        """Have a partition that waits for requests cut over without one; return whether it is about to.

        Its next request may be answered on another worker, and long after the fleet has told that it serves.
        """
        position, changed = self.state.position, self._router.changed
        is_idle = self.state.step in _IDLE and perf_counter() - self.state.last_batch_at > _IDLE_S
        if position is None or changed is self._looked or not is_idle:
            return False
        self._looked = changed
        choice = self._router.choose(self._partition, position)
        if not isinstance(choice, Serve) or choice.number == position.floor:
            return False
        self._source.wake()
        return True

    def _give_up(self) -> None:
        """Undo the cancellation by which `reconsider` ends a batch; re-raise any other cancellation."""
        if self.state.step is not Step.OVERTAKEN or self._task.uncancel():
            raise asyncio.CancelledError
        self._recycled(f"the model of generation {self.state.in_hand} took too long, and its batch was given up")

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Behind a backlog, wait for one of the worker's turns, which lasts one transaction.

        Of 64 partitions at once, each batch would wait for the host so long that its transaction ended with it.
        """
        if not self._is_behind:
            yield
            return
        self.state.move(Step.QUEUED, held=self.state.held)
        async with self._turns:
            yield

    async def _advance(self, at: Position) -> Wait | None:
        """Process the next batches: cut over, take, score, commit; or return why no generation may score them yet."""
        choice = self._router.choose(self._partition, at)
        if isinstance(choice, Wait):
            return choice
        # The generation may change only here. A batch split between two generations could not be replayed to the same
        # answers: after a crash, the replay would score its first half with the new one.
        serving = self._router.serving(choice.number)
        if batch := self._take(serving, choice.until):
            await self._answer(at, serving, batch)
        else:
            await self._pass(at, choice.number)
        self.state.move(Step.WAITING)
        self._logged = ""
        return None

    async def _answer(self, at: Position, serving: Serving, batch: Batch) -> None:
        """Score and commit a batch with one generation, whole or not at all; from a backlog, the next ones with it."""
        number = serving.generation.number
        started = perf_counter()
        work = _Work(number, at.offset if at.floor != number else None)
        if work.cut_over_at is not None:
            self._cut_over(at, number)
            if at.floor:
                self._tally.cut_over(started - self.state.last_batch_at)
        try:
            answers = await self._score(serving, batch, at, work)
            while following := self._following(serving, batch, started):
                self._source.write(answers)
                answers = await self._score(serving, following, Position(following.first, number), work)
                batch = following
            self._is_behind = batch.is_full  # so do not linger
            self._next_at = 0.0 if self._is_behind else started + self._linger_s
            await self._commit(work, answers)
        finally:
            self._tally.let_go()

    async def _commit(self, work: _Work, answers: BatchAnswers) -> None:
        """Write the last answers of a transaction, and commit all of it."""
        started = perf_counter()
        position = Position(work.done[-1][0].next, work.number)
        await self._source.commit(Transaction(*answers, position.offset, work.number, work.cut_over_at))
        # Only after the commit: if that is in doubt, the partition is opened again at the position that Kafka has.
        self.state.position, self.state.last_batch_at = position, perf_counter()
        self._tally.committed(work.number, work.done, self.state.last_batch_at - started)

    async def _pass(self, at: Position, number: int) -> None:
        """Commit `at` without a request: one to cut over, where there are only markers, or to pass over requests."""
        is_cut_over = number != at.floor
        if is_cut_over:
            self._cut_over(at, number)
        if is_cut_over or not self._router.sample.has(self._partition):
            self.state.move(Step.CUTTING_OVER)
            await self._source.commit(Transaction((), (), at.offset, number, at.offset if is_cut_over else None))
        self.state.position = Position(at.offset, number)

    def _take(self, serving: Serving, until: int | None) -> Batch | None:
        sample = self._router.sample
        if sample.has_all(self._partition):
            return take(self._source, serving, until)
        return take_some(self._source, sample, self._partition, serving.max_batch_records, until)

    def _following(self, serving: Serving, batch: Batch, started: float) -> Batch | None:
        """Take another batch for the transaction in hand; None: it ends here."""
        if not batch.is_full or self._stopping.is_set() or perf_counter() - started > _TRANSACTION_S:
            return None
        number = serving.generation.number
        choice = self._router.choose(self._partition, Position(batch.next, number))
        return self._take(serving, choice.until) if isinstance(choice, Serve) and choice.number == number else None

    async def _score(self, serving: Serving, batch: Batch, at: Position, work: _Work) -> BatchAnswers:
        """Score the transaction's next batch, which begins at `at`, and return its answers."""
        number = serving.generation.number
        self._in_host = at, number, perf_counter()
        self.state.move(Step.SCORING, in_hand=number)
        answers = await (self._ask_in_time(serving, batch, work) if work.done else self._ask(serving, batch))
        self.state.move(Step.COMMITTING, in_hand=number)
        work.done.append((batch, answers))
        return answers

    async def _ask_in_time(self, serving: Serving, batch: Batch, work: _Work) -> BatchAnswers:
        """Score a further batch of a transaction; answers already written do not wait for a slow one."""
        asking = asyncio.create_task(self._ask(serving, batch))
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            if not (await asyncio.wait({asking}, timeout=_PATIENCE_S))[0]:
                await self._commit(work, BatchAnswers((), ()))
                work.done.clear()
                work.cut_over_at = None
            return await asking
        finally:
            asking.cancel()

    async def _ask(self, serving: Serving, batch: Batch) -> BatchAnswers:
        """Have the host answer a batch."""
        failpoint("batch.taken")
        started = perf_counter()
        self._tally.taken(batch)
        answers = await self._answering.answer(serving, batch)
        self._tally.scored(perf_counter() - started)
        failpoint("batch.scored")
        return answers

    def _cut_over(self, at: Position, number: int) -> None:
        failpoint("cut_over.begun")
        facts = {"deployment": self._deployment, "partition": self._partition, "offset": at.offset}
        log.info("partition.cut_over", extra={**facts, "generation": number, "before": at.floor})

    async def _hold(self, why: str, seconds: float | None = None) -> bool:
        """Hold the partition until something changes; return whether it did within `seconds`."""
        if self._logged != why:
            log.warning("partition.held", extra={"partition": self._partition, "why": why})
        self._logged = why
        self.state.move(Step.HELD, held=why)
        changed = asyncio.ensure_future(self._router.changed.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({changed, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            changed.cancel()
            stopping.cancel()

    def _recycled(self, doubt: Exception | str) -> None:
        self._tally.recycled()
        why = f"is being opened again after: {doubt}"
        # Log a broker that is down once, not twice a second for each partition.
        if why != self.state.held:
            log.warning("partition.recycled", extra={"partition": self._partition, "why": str(doubt)})
        self.state.move(Step.CLOSED, held=why)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
