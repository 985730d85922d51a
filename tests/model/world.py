"""The world of the model: a broker, a clock, a control log, and workers that are the worker's own code throughout."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from types import ModuleType
from unittest.mock import patch

from aiokafka.structs import OffsetAndMetadata

from hotswap import service, staging
from hotswap.agenda import agenda, outcomes
from hotswap.agenda.actions import Action
from hotswap.agenda.progress import GenerationState
from hotswap.batch import Position
from hotswap.kafka.group import member
from hotswap.kafka.partition.partition import KafkaPartition
from hotswap.pipeline import loop as loop_module
from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.ports import Serve, Wait
from hotswap.pipeline.states import Step
from hotswap.service import Worker
from hotswap.settings import Settings
from hotswap.swap.timeline import Swap
from model import brokers, clients, surroundings
from model.broker import Broker, Place
from model.group import Group
from model.law import Case, Standing, Verifier, end_of, is_due, may_answer, may_be_wanted
from model.meaning import Accepted, Fold
from model.steps import Call, Clock, Process, here

PARTITIONS = 2
SETTINGS = Settings.model_validate(
    {
        "deployment": "d",
        "max_batch_records": 3,
        "max_queued_bytes": 5,
        "swap_deadline_ms": 60_000,
        "call_timeout_s": 10,
        "worker_id": "w",
        "hosts": 1,  # the law counts them
    }
)
TOPICS = SETTINGS.topics


class WatchedStaging(staging.Staging):
    """The worker's own, with the law looking over its shoulder at every choice."""

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        choice = super().choose(partition, position)
        here().world.check_choice(here(), partition, position, choice)
        return choice


class WatchedAgenda(agenda.Agenda):
    """The worker's own, which has to decide the same when it is asked twice, and when it remembers nothing."""

    def turn(self, now: float, own: outcomes.Partitions) -> list[Action]:
        remembered = super().turn(now, own)
        self._decision = None
        anew = super().turn(now, own)
        here().world.find(remembered != anew, "one turn, two decisions: {} and {}", remembered, anew)
        return anew


class World:
    """Everything outside the workers, and the workers; `broken` collects the promises that were not kept."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.fold = Fold()
        self.verifier = Verifier(
            topics=TOPICS, fold=self.fold, requests=lambda: self.broker.requests, partitions=PARTITIONS
        )
        self.broken = self.verifier.broken
        self.broker = Broker(partitions=PARTITIONS, shared={Place(TOPICS.status, 0)}, on_commit=self.verifier.committed)
        self.group = Group(PARTITIONS)
        self.processes: list[Process] = []
        self.astray: list[Call] = []
        """Requests of processes that are gone, still on their way to the broker."""
        self.read_limit: int | None = None
        self.is_store_away = False
        self.transaction_version = 2
        self.has_answers: set[str] = set()
        """Transactional ids whose open transaction has answers."""
        self.offsets: dict[str, tuple[int, OffsetAndMetadata]] = {}
        """Transactional id -> partition and offset that its open transaction, or its last one, commits."""
        self.copies: list[brokers.Effect] = []
        """Requests of version 2 that were carried out: a network may deliver each once more, however late."""
        self.versions: dict[str, int] = {}
        """Name of a worker -> the version that is installed for it, where it was upgraded."""
        self.version = 1
        """The version that is installed for the others."""

    # ------------------------------------------------------------------ the life of a process

    def start(self, name: str) -> Process:
        settings = SETTINGS.model_copy(update={"worker_id": name})
        process = Process(self.clock, self, settings, _main, self.versions.get(name, self.version))
        self.processes.append(process)
        return process

    def crash(self, process: Process) -> None:
        self.group.leave(process)
        self.astray += process.crash()
        self.processes.remove(process)

    def discard(self, process: Process) -> None:
        """Takes away a process that has ended by itself."""
        self.find(process.main.exception(), "a worker ended by itself: {!r}", process.main.exception())
        hosts = [host.number for host in process.hosts]
        self.find(hosts, "I10 leaves nothing: hosts {} outlive a worker", hosts)
        self.crash(process)

    def find(self, is_wrong: object, text: str, *facts: object) -> None:
        self.verifier.find(is_wrong, text, *facts)

    def watch(self, process: Process, task: asyncio.Task[None]) -> None:
        """A task that only the model has: its failure is told like the breach of a promise."""
        if not task.cancelled() and not process.is_dead:
            self.find(task.exception(), "a listener raised {!r}", task.exception())

    # ------------------------------------------------------------------ the law, at each decision

    def check_choice(self, process: Process, partition: int, position: Position, choice: Serve | Wait) -> None:
        if process.is_dead:
            return
        case = self._case(process, partition, position)
        process.decisions[partition] = choice
        if isinstance(choice, Serve):
            self.find(not is_due(case, choice.number), "I2, I3, I5 who may answer: not {} in {}", choice.number, case)
            wanted = end_of(case, choice.number)
            self.find(choice.until != wanted, "I4 cuts: {} where {} is the end, in {}", choice, wanted, case)
            return
        self.find(not choice.why, "a worker holds partition {} and does not say why", partition)
        due = [number for number in case.meaning.accepted if is_due(case, number)]
        self.find(due, "a worker holds partition {} ({}) where {} may answer, in {}", partition, choice.why, due, case)

    def _case(self, process: Process, partition: int, position: Position) -> Case:
        swaps = process.worker._timeline.swaps
        return Case(
            self.fold.at(process.has_read, process.version),
            partition,
            position.offset,
            position.floor,
            ready=frozenset(host.number for host in process.hosts if host.is_ready),
            failed=frozenset(number for number in swaps if state_of(process, number) is GenerationState.FAILED),
        )

    def check_batch(self, process: Process, partition: int, committed: OffsetAndMetadata) -> None:
        """A batch is about to be committed: it keeps to what was decided when it was taken."""
        decision = process.decisions[partition]
        until = decision.until if isinstance(decision, Serve) else None
        self.find(until is not None and committed.offset > until, "I4 cuts: {} > {}", committed, until)
        state = process.worker._pipeline.states.get(partition)
        before = state.position if state else None
        self.find(before and committed.offset < before.offset, "I1 once: {} is committed after {}", committed, before)

    # ------------------------------------------------------------------ invariants of the workers that run

    def check_worker(self, process: Process) -> None:
        if process.is_paused:
            return
        worker, meaning = process.worker, self.fold.at(process.has_read, process.version)
        swaps = worker._timeline.swaps
        parts = {number: _accepted(swap) for number, swap in swaps.items()}
        self.find(parts != meaning.accepted, "I9 same log, same state: {} is not {}", parts, meaning.accepted)
        self.find(worker._timeline.is_paused != meaning.is_paused, "I9 same log, same state: pause")
        self.find(bool(worker._timeline.held) != meaning.is_held, "I13 too old: {}", worker._timeline.held)
        staged = [number for number in swaps if state_of(process, number) is GenerationState.STAGING]
        self.find(len(staged) > 1, "I6 one at a time: {} are being staged", staged)
        ready = sorted(number for number in swaps if state_of(process, number) is GenerationState.READY)
        hosts = sorted(host.number for host in process.hosts if host.is_ready)
        self.find(ready != hosts, "I5, I10: {} are ready, and there are hosts for {}", ready, hosts)
        if process.revoked_at is not None:
            late = process.loop.time() - process.revoked_at > SETTINGS.stop_timeout_s / 2 + 0.1
            self.find(late, "a revoke is not done within its bound")
        self._check_partitions(process, hosts)

    def _check_partitions(self, process: Process, hosts: list[int]) -> None:
        for number, (loop, task) in process.worker._pipeline._running.items():
            is_at_work = loop.state.in_hand is not None or loop._stopping.is_set() or task.done()
            is_at_work |= loop.state.step in (Step.QUEUED, Step.CUTTING_OVER)
            lost = loop.state.in_hand is not None and loop.state.in_hand not in hosts
            self.find(lost, "I11 whole: the host of {}, which holds a batch, is gone", loop.state.in_hand)
            self._check_asked(process, number, loop)
            assert isinstance(loop._source, KafkaPartition)
            is_silent = loop._source._inbox._batches and not is_at_work and not loop.state.held
            self.find(is_silent, "a worker holds partition {} and does not say why", number)

    def _check_asked(self, process: Process, partition: int, loop: PartitionLoop) -> None:
        """A host that does not answer keeps a partition no longer than a second from whoever may answer there now."""
        heirs: list[int] = []
        has_asked = loop.state.step in (Step.SCORING, Step.OVERTAKEN)
        if has_asked:
            at, number, _ = loop._in_host
            case = self._case(process, partition, at)
            heirs = [other for other in case.ready if other != number and is_due(case, other)]
        if not has_asked or not (heirs or case.meaning.is_paused or case.meaning.is_held):
            process.kept_since.pop(loop, None)
            return
        kept_s = process.loop.time() - process.kept_since.setdefault(loop, process.loop.time())
        self.find(kept_s > 1.0, "generation {} keeps partition {} from {}", number, partition, heirs or "a pause")

    # ------------------------------------------------------------------ at rest

    def must_be_answered(self) -> list[int]:
        """The partitions with open requests that somebody is there to answer."""
        return [
            partition
            for partition, offset in self.verifier.unanswered().items()
            for process in ([self.group.owners[partition]] if self.group.members else self.processes)
            if self._who_could(process, partition, offset)
        ]

    def _who_could(self, process: Process | None, partition: int, offset: int) -> list[int]:
        assert process, f"partition {partition} has no owner, though the group has members"
        case = self._standing_case(process, partition)._replace(offset=offset)
        floor, accepted = case.floor, self.fold.now.accepted
        intact = {number for number in accepted if state_of(process, number) is not GenerationState.FAILED}
        lasting = {number for number in intact if _is_lasting(accepted[number])}
        replayed = self.fold.at(process.has_replayed, process.version).accepted.items()
        missed = {number for number, made in replayed if made.model.uri in process.missed}
        return [
            number
            for number, made in accepted.items()
            if may_answer(case, number) and "broken" not in made.model.uri
            if number in {floor, *intact} or (number in missed and number > max(lasting, default=0))
        ]

    def check_rest(self) -> None:
        """Nothing is left open, and each worker has what it needs and no more (I10)."""
        self.find(self.broker.has_open(), "a transaction hangs")
        for number, standing in enumerate(self.verifier.standing):
            offset, _ = self.broker.offsets.get(number, (0, ""))
            self.find(
                offset != standing.answered, "lag: {} is committed to {}, not {}", number, offset, standing.answered
            )
            self._check_carried(number, standing)
        for process in self.processes:
            loaded = sorted(host.number for host in process.hosts)
            files = sum(process.artifacts.values())
            self.find(files != len(loaded), "I10 leaves nothing: {} artifacts are in use for {}", files, loaded)
            self._check_loaded(process, loaded)
            held = {number: state.held for number, state in process.worker._pipeline.states.items() if state.held}
            for number, why in held.items():  # by a marker alone, too, where each generation has failed on this worker
                could = self._who_could(process, number, self.verifier.standing[number].answered)
                self.find(could, "at rest a worker holds {}, which {} could score: {}", number, could, why)

    def _check_loaded(self, process: Process, loaded: list[int]) -> None:
        """It has loaded what may score a partition, now or later, the newest one for those yet to come, and no more."""
        cases = [self._standing_case(process, number) for number in range(PARTITIONS)]
        newest, accepted = self._newest_intact(process, cases[0]), self.fold.now.accepted
        self.find(newest and newest not in loaded, "I10: {} is not staged, only {} are", newest, loaded)
        if all(any(is_due(case, number) for number in case.ready) for case in cases):
            wanted = {number for number in accepted if any(may_be_wanted(case, number) for case in cases)}
            more = set(loaded) - wanted - {newest}
            self.find(more, "I10 leaves nothing: hosts for {}, where {} and {} are wanted", loaded, wanted, newest)

    def _newest_intact(self, process: Process, case: Case) -> int:
        """The generation for partitions yet to come; 0: none, or one that failed here before a newer one did."""
        lasting = (number for number, made in self.fold.now.accepted.items() if _is_lasting(made))
        return max((number for number in lasting if number not in case.failed), default=0)

    def _standing_case(self, process: Process, partition: int) -> Case:
        standing = self.verifier.standing[partition]
        return self._case(process, partition, Position(standing.answered, standing.floor))

    def _check_carried(self, partition: int, standing: Standing) -> None:
        # Only markers may lie between where the partition stands and the end; a cut there is no reason to keep what
        # serves before it.
        if process := self.group.owners[partition]:
            case = self._standing_case(process, partition)
            ends = [end_of(case, number) for number in case.ready if is_due(case, number)]
            is_behind = any(end is not None and end <= self.broker.end(partition) for end in ends)
            self.find(is_behind, "I10 leaves nothing: partition {} is not carried over a cut at {}", partition, ends)


def _is_lasting(made: Accepted) -> bool:
    """Whether it is for partitions of any generation, those yet to come included."""
    return not made.is_abandoned and not made.instead_of


async def _main(process: Process) -> None:
    process.worker = Worker(process.settings)
    process.worker._timeline.version = process.version
    await process.worker.run(process.stopping)


def _accepted(swap: Swap) -> Accepted:
    """A worker's own words in the law's."""
    parts = swap.generation.model, swap.generation.proto, swap.generation.configuration, dict(swap.cut), swap.command_id
    return Accepted(*parts, swap.is_staged, swap.promote_by_ms, swap.replaces, swap.is_abandoned)


def state_of(process: Process, number: int) -> GenerationState:
    """How far a worker is with a generation."""
    staging = process.worker._staging
    return staging._agenda.progress.of(number) if staging else GenerationState.ACCEPTED


@contextlib.contextmanager
def everything_faked() -> Iterator[None]:
    """The worker's own code on the model's clients."""
    fakes: list[tuple[ModuleType, str, object]] = [
        *((service, name, getattr(clients, name)) for name in ("Admin", "AnswersTail", "LogReader", "LogWriter")),
        *((service, name, getattr(surroundings, name)) for name in ("Fetcher", "Health", "Store")),
        (service, "Brokers", brokers.Brokers),
        (service, "_BATCH_BYTES", 300),  # two records, so that a transaction takes several requests
        (service, "Staging", WatchedStaging),
        (staging, "Agenda", WatchedAgenda),
        (service, "STATUS_S", 1e9),  # what a worker says of itself is no part of the model
        (service, "TURNS", 1),  # a second partition with a backlog waits
        (staging, "ModelHost", surroundings.Host),
        (staging, "monotonic", lambda: here().loop.time()),  # noqa: PLW0108 - of whichever loop runs then
        (loop_module, "perf_counter", lambda: here().loop.time()),  # noqa: PLW0108
        (member, "consumer_of", clients.Consumer),
    ]
    with contextlib.ExitStack() as patches:
        for module, name, fake in fakes:
            patches.enter_context(patch.object(module, name, fake))
        logging.disable(logging.CRITICAL)
        patches.callback(logging.disable, logging.NOTSET)
        yield
