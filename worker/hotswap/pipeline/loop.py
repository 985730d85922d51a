"""THE HOT PATH: open → wait → cut over → take → score → commit, one loop for each partition that this worker owns."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from time import perf_counter, time

from hotswap import metrics
from hotswap.batch import HEADROOM_BYTES, Answer, Ask, Code, Headers, Position, Record, Refusal, Request, Transaction
from hotswap.errors import DamagedBatch, Doubt, HostError, TopicMismatch
from hotswap.failpoints import failpoint
from hotswap.pipeline.admission import admit, answered, copied, needs_a_look
from hotswap.pipeline.dead_letters import dead_letter, record_bytes
from hotswap.pipeline.ports import PartitionState, Router, Serve, Serving, Source, Wait

log = logging.getLogger(__name__)

_TIMESTAMP = attrgetter("timestamp")
_MEASURED = 500
_LOOK_AT_DAMAGE_S = 60.0
_LOOK_AT_TOPICS_S = 5.0
RETRY_S = 0.5
"""Pause before a partition in doubt is opened again, seconds."""

_GRACE_S = 0.5
_LONG_S = 2.0


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
        linger_s: float = 0.0,
    ) -> None:
        self.state = PartitionState()
        self._deployment = deployment
        self._topic = topic
        self._partition = partition
        self._source = source
        self._router = router
        self._linger_s = linger_s
        self._next_at = 0.0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._asked: tuple[Position, int, float] | None = None  # position, generation and start of the batch in hand
        self._is_overtaken = False
        self._score_seconds = metrics.STAGE_SECONDS.labels(deployment, "score")
        self._commit_seconds = metrics.STAGE_SECONDS.labels(deployment, "commit")
        self._in_flight = metrics.IN_FLIGHT.labels(deployment)
        self._batch_records = metrics.BATCH_RECORDS.labels(deployment)
        for outcome in ("answered", *Code):
            metrics.REQUESTS.labels(deployment, outcome)  # create every series up front

    async def run(self) -> None:
        """Serve the partition; return after `stop`, with the batch in hand committed or never begun."""
        self._task = asyncio.current_task()
        while not self._stopping.is_set():
            try:
                self.state.position = await self._source.open()
                self.state.held, self.state.deleted = self.state.damage, self._source.deleted
                while (offset := await self._wait()) is not None:
                    self.state.damage = ""
                    await self._advance(Position(offset, self.state.position.floor))
                    if (pause := self._next_at - perf_counter()) > 0:
                        await self._sleep(pause)
            except (Doubt, HostError) as doubt:
                self._recycled(doubt)
            except TopicMismatch as mismatch:
                await self._hold(str(mismatch), _LOOK_AT_TOPICS_S)
            except asyncio.CancelledError:
                self._give_up()
                continue
            finally:
                self.state.in_hand = self._asked = None
                await self._source.close()
            await self._sleep(RETRY_S)

    def stop(self) -> None:
        """Finish the batch in hand and take no further one."""
        self._stopping.set()
        self._source.stop()

    async def _wait(self) -> int | None:
        """Wait as Source.wait does; hold the partition at a damaged batch until a command skips it."""
        while True:
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
        if self._asked is None or self._is_overtaken:
            return
        at, number, since = self._asked
        taken = perf_counter() - since
        if taken < _GRACE_S:
            return
        host = self._router.serving(number).host
        if host.busy_s > _GRACE_S and self._router.is_overtaken(self._partition, at, number):
            assert self._task is not None
            self._is_overtaken = True
            self._task.cancel()
        elif taken > _LONG_S:
            self.state.model_s = taken
            self.state.held = (
                f"waits for the model of generation {number}, {taken:.0f} s so far; it may take {host.deadline_s:g} s "
                f"for a batch, and then as long for each of its requests alone. To continue without it: `hotswap "
                f"rollback {self._deployment} --at-once`, or another swap `--at-once`"
            )

    def _give_up(self) -> None:
        """Undo the cancellation by which `reconsider` ends a batch; re-raise any other cancellation."""
        assert self._task is not None
        if not self._is_overtaken or self._task.uncancel():
            raise asyncio.CancelledError
        self._is_overtaken = False
        self._recycled(f"the model of generation {self.state.in_hand} took too long, and its batch was given up")

    async def _advance(self, at: Position) -> None:
        """Process one batch: cut over, take, score, commit; or hold, if no generation may score it yet."""
        choice = self._router.choose(self._partition, at)
        if isinstance(choice, Wait):
            await self._hold(choice.why)
            return
        self.state.held = ""
        # The generation may change only here. A batch split between two generations could not be replayed to the same
        # answers: after a crash, the replay would score its first half with the new one.
        serving = self._router.serving(choice.number)
        if batch := self._source.take(serving.max_batch_records, choice.until):
            await self._answer(at, serving, batch)
        else:
            await self._pass(at)

    async def _answer(self, at: Position, serving: Serving, batch: Sequence[Request]) -> None:
        """Score a batch with one generation and commit its answers, whole or not at all."""
        failpoint("batch.taken")
        number = serving.generation.number
        is_cut_over = at.floor != number
        self.state.in_hand = number
        started = perf_counter()
        # Behind a full batch there is a backlog: do not linger.
        self._next_at = started + self._linger_s if len(batch) < serving.max_batch_records else 0.0
        if is_cut_over:
            self._cut_over(at, number, started)
        self._in_flight.inc(len(batch))
        position = Position(batch[-1].offset + 1, number)
        self._source.begin(position)
        self._asked = at, number, started
        try:
            answers = await self._score(serving, batch)
            self._asked = None
            scored = perf_counter()
            failpoint("batch.scored")
            predictions, dead_letters = self._address(batch, answers, serving)
            first = at.offset if is_cut_over else None
            await self._source.commit(Transaction(predictions, dead_letters, position.offset, number, first))
        finally:
            self._in_flight.dec(len(batch))
            self.state.model_s = 0.0
        # Only after the commit: if that is in doubt, the partition is opened again at the position that Kafka has.
        self.state.position, self.state.in_hand, self.state.last_batch_at = position, None, perf_counter()
        self.state.held = ""  # `reconsider` may have set it
        self._score_seconds.observe(scored - started)
        self._commit_seconds.observe(self.state.last_batch_at - scored)
        self._count(batch, len(predictions), dead_letters)

    async def _pass(self, at: Position) -> None:
        """Commit `at` without a request, if a cut lies between the partition's position and `at`.

        Transaction markers occupy offsets too. After a backlog that ends in one, no request would carry the partition
        over the cut, and the old generation could never be retired.
        """
        assert self.state.position is not None
        choice = self._router.choose(self._partition, self.state.position)
        if isinstance(choice, Serve) and choice.until is not None and choice.until <= at.offset:
            await self._source.commit(Transaction((), (), at.offset, at.floor, None))
            self.state.position = at

    async def _score(self, serving: Serving, batch: Sequence[Request]) -> list[Answer]:
        """Return one answer per request; requests refused for their headers or size never reach the host."""
        slow = needs_a_look(batch, serving.rules)
        if not slow:
            return await serving.host.score([request.value or b"" for request in batch])
        now_ms = int(time() * 1000)
        looked = {index: admit(batch[index], serving.rules, now_ms) for index in slow}
        default = Ask(serving.rules.default_operation)
        asks = [looked.get(index, default) for index in range(len(batch))]
        admitted = [(batch[index].value or b"", ask) for index, ask in enumerate(asks) if isinstance(ask, Ask)]
        rest = iter(await serving.host.score([value for value, _ in admitted], [ask for _, ask in admitted]))
        return [ask if isinstance(ask, Refusal) else next(rest) for ask in asks]

    def _address(
        self, batch: Sequence[Request], answers: Sequence[Answer], serving: Serving
    ) -> tuple[list[Record], list[Record]]:
        """Build the records of the two output topics, in the order of the requests."""
        generation = serving.generation
        number = ("generation", str(generation.number).encode())
        digest = ("model-digest", generation.model.sha256.encode())
        default = ("operation", serving.rules.default_operation.encode())
        place = f"{self._topic}-{self._partition}-%d".encode()
        limits, largest = self._source.limits, self._source.limits.answer
        # Under a low limit, which leaves nothing beside the headroom, each record is measured.
        is_roomy = limits.prediction > HEADROOM_BYTES
        predictions: list[Record] = []
        dead_letters: list[Record] = []
        for request, answer in zip(batch, answers, strict=True):
            source = ("source", place % request.offset)
            key, given = request.key, request.headers
            if isinstance(answer, bytes):
                if is_roomy and not given and len(answer) + len(key or b"") <= largest:
                    predictions.append((key, answer, [number, digest, default, source]))
                    continue
                headers = [*answered(given), *(_asked(given) or [default]), number, digest, source]
                size = record_bytes(key, answer, headers)
                if len(answer) <= largest and size <= limits.prediction:
                    predictions.append((key, answer, headers))
                    continue
                refusal = _too_large(answer, largest, size - len(answer))
            else:
                refusal = answer
            own, ours = [*copied(given), *_asked(given)], [number, digest, source]
            dead_letters.append(dead_letter(request, refusal, own, ours, limits.dead_letter))
        return predictions, dead_letters

    def _cut_over(self, at: Position, number: int, now: float) -> None:
        failpoint("cut_over.begun")
        facts = {"deployment": self._deployment, "partition": self._partition, "offset": at.offset}
        log.info("partition.cut_over", extra={**facts, "generation": number, "before": at.floor})
        if at.floor:
            metrics.CUT_OVER_SECONDS.labels(self._deployment).observe(now - self.state.last_batch_at)

    async def _hold(self, why: str, seconds: float | None = None) -> bool:
        """Hold the partition until something changes; return whether it did within `seconds`."""
        if self.state.held != why:
            log.warning("partition.held", extra={"partition": self._partition, "why": why})
        self.state.held = why
        changed = asyncio.ensure_future(self._router.changed.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({changed, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            changed.cancel()
            stopping.cancel()

    def _recycled(self, doubt: Exception | str) -> None:
        metrics.TRANSACTIONS.labels(self._deployment, "recycled").inc()
        why = f"is being opened again after: {doubt}"
        # Log a broker that is down once, not twice a second for each partition.
        if why != self.state.held:
            log.warning("partition.recycled", extra={"partition": self._partition, "why": str(doubt)})
        self.state.held = why

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _count(self, batch: Sequence[Request], answered: int, dead_letters: Sequence[Record]) -> None:
        now_ms = time() * 1000
        every = len(batch) // _MEASURED + 1  # looking at each of 5,000 would take 2 % of a worker's CPU
        sent = Counter(map(_TIMESTAMP, batch[::every]))  # a request may have none: aiokafka then says None
        latencies = (
            (max(now_ms - at_ms, 0.0) / 1000, count * every) for at_ms, count in sent.items() if (at_ms or 0) > 0
        )
        metrics.LATENCY_SECONDS.observe((self._deployment,), latencies)
        metrics.TRANSACTIONS.labels(self._deployment, "committed").inc()
        self._batch_records.observe(answered + len(dead_letters))
        metrics.REQUESTS.labels(self._deployment, "answered").inc(answered)
        for code, count in Counter(dict(headers)["code"].decode() for _, _, headers in dead_letters).items():
            metrics.REQUESTS.labels(self._deployment, code).inc(count)


def _too_large(answer: bytes, largest: int, beside: int) -> Refusal:
    more = f", with key and headers of {beside} bytes" if beside > HEADROOM_BYTES else ""
    return Refusal(Code.ANSWER_TOO_LARGE, f"{len(answer)} bytes{more}, but the predictions topic allows {largest}")


def _asked(headers: Headers) -> list[tuple[str, bytes]]:
    return [header for header in headers if header[0] == "operation"][:1]
