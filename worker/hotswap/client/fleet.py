"""What a deployment's workers say on the status topic, folded: what each one serves, what became of each command.

Written outside transactions for the most part, so it is read without isolation; a `CutOverDone`, which only an isolated
reader may trust, is passed over. Nothing here does I/O: `client/client.py` feeds it the records.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from hotswap.swap import Outcome
from hotswap.v1 import control_pb2 as wire

FRESH_S = 9.0
"""A worker that has said nothing for longer is taken for dead: three times `control.STATUS_S`, at which it speaks."""

_KEPT_COMMANDS = 1_000
_OUTCOMES = {wire.Outcome.Value(f"OUTCOME_{outcome}"): outcome for outcome in Outcome}
_FINAL = frozenset(Outcome) - {Outcome.STAGING, Outcome.READY}
_WAS_READY = frozenset({Outcome.READY, Outcome.SERVING, Outcome.RETIRED})
_STAGED = _WAS_READY | {Outcome.STAGING, Outcome.FAILED, Outcome.SUPERSEDED}
_GOOD = frozenset({Outcome.SERVING, Outcome.RETIRED, Outcome.APPLIED, Outcome.DUPLICATE})


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as its worker sees it; `held` says why it stands still, where it does."""

    partition: int
    position: int
    generation: int
    lag: int
    held: str
    is_damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """The last word of a worker about itself; `at` in seconds since the epoch, by the worker's clock."""

    worker: str
    at: float
    generation: int
    accepted: int
    loaded: tuple[int, ...]
    model_sha256: str
    proto_sha256: str
    partitions: tuple[PartitionView, ...]
    is_paused: bool
    is_stopped: bool
    paths: Mapping[str, str]
    """Operation of `generation` -> the way of its requests to the model."""
    warnings: tuple[str, ...] = ()
    """What an operator ought to know of it, though nothing stands still."""

    def is_live(self, now: float) -> bool:
        """Whether it has spoken within `FRESH_S` and has not said that it stops."""
        return not self.is_stopped and now - self.at <= FRESH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one worker says became of one command; `code` and `message` say why, where it was refused or failed."""

    command_id: str
    generation: int
    worker: str
    outcome: Outcome
    code: str
    message: str
    at: float
    phase_seconds: Mapping[str, float]

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to come from this worker (but that it lets the generation go, one day)."""
        return self.outcome in _FINAL

    @property
    def is_good(self) -> bool:
        """Whether the worker did what the command asks."""
        return self.outcome in _GOOD


@dataclass(frozen=True, slots=True)
class FleetAnswer:
    """What the whole fleet made of a command: by worker, and the workers that have not come to an end with it."""

    told: Mapping[str, Told]
    missing: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every live worker has come to an end with the command."""
        return bool(self.told) and not self.missing

    @property
    def is_good(self) -> bool:
        """Whether every live worker did what the command asks."""
        return self.is_complete and all(told.is_good for told in self.told.values())


@dataclass(slots=True)
class Fleet:
    """The workers of one deployment, by the records of the status topic received so far."""

    deployment: str
    workers: dict[str, WorkerView] = field(default_factory=dict)
    told: dict[str, dict[str, Told]] = field(default_factory=dict)

    def receive(self, value: bytes | None) -> Told | WorkerView | None:
        """Folds the next record; returns what it says, or None where it is not about this deployment."""
        status = decode_status(value)
        kind = status.WhichOneof("kind") if status else None
        if status is None or kind is None or getattr(status, kind).deployment != self.deployment:
            return None
        if kind == "worker":
            view = _worker_view(status.worker)
            self.workers[view.worker] = view
            return view
        told = _told(status.swap) if kind == "swap" else None
        return self._tell(told) if told else None

    def _tell(self, told: Told) -> Told | None:
        by_worker = self.told.setdefault(told.command_id, {})
        before = by_worker.get(told.worker)
        if told.outcome is Outcome.DUPLICATE and before and before.outcome is not Outcome.DUPLICATE:
            # "The same command was already received; its outcome stands": the first answer is the one to keep.
            return None
        if before and not told.phase_seconds:
            told = replace(told, phase_seconds=before.phase_seconds)
        by_worker[told.worker] = told
        if len(self.told) > _KEPT_COMMANDS:
            del self.told[next(iter(self.told))]
        return told

    @property
    def newest(self) -> int:
        """The newest generation that a worker has accepted or scored with: a control topic that was emptied forgets."""
        said = [(view.accepted, *(part.generation for part in view.partitions)) for view in self.workers.values()]
        return max(map(max, said), default=0)

    def live(self, now: float) -> set[str]:
        """The workers that are there."""
        return {view.worker for view in self.workers.values() if view.is_live(now)}

    def answer(self, command_id: str, expected: Collection[str], now: float) -> FleetAnswer:
        """What the fleet has made of a command so far; `expected` are the workers that were there when it was sent.

        A worker that answered and went stays counted; one that went without an answer is not waited for, since its
        partitions are with others now. One that came later reads the command before it takes partitions, and counts
        once it says something about it.
        """
        told = self.told.get(command_id, {})
        final = {worker: said for worker, said in told.items() if said.is_final}
        asked = (set(expected) | set(told)) & self.live(now)
        return FleetAnswer(final, tuple(sorted(asked - set(final))))

    def failures(self, worker: WorkerView) -> list[Told]:
        """The newest generations that a worker could not stage and goes without, the newest first."""
        said = [by_worker[worker.worker] for by_worker in self.told.values() if worker.worker in by_worker]
        staged = [told for told in said if told.generation > worker.generation and told.outcome in _STAGED]
        newest_first = sorted(staged, key=lambda told: told.generation, reverse=True)
        return list(takewhile(lambda told: told.outcome is Outcome.FAILED, newest_first))

    def has_failed(self, command_id: str) -> bool:
        """Whether the generation of this command could not be staged anywhere: failed somewhere, and ready nowhere."""
        outcomes = {told.outcome for told in self.told.get(command_id, {}).values()}
        return Outcome.FAILED in outcomes and not outcomes & _WAS_READY


def decode_status(value: bytes | None) -> wire.Status | None:
    """The message of a status record; None where it is none (a deleted key, somebody else's record)."""
    try:
        return wire.Status.FromString(value) if value else None
    except DecodeError:
        return None


def deployment_of(value: bytes | None) -> str:
    """The deployment that a status record is about; empty where it is none."""
    status = decode_status(value)
    kind = status.WhichOneof("kind") if status else None
    return str(getattr(status, kind).deployment) if kind else ""


def _seconds(time: Timestamp) -> float:
    # Not Timestamp's own methods: the wire carries times that are none, and they raise.
    return time.seconds + time.nanos / 1e9


def _worker_view(message: wire.WorkerStatus) -> WorkerView:
    return WorkerView(
        worker=message.worker,
        at=_seconds(message.at),
        generation=message.generation,
        accepted=message.accepted,
        loaded=tuple(message.loaded),
        model_sha256=message.model_sha256,
        proto_sha256=message.proto_sha256,
        partitions=tuple(
            PartitionView(part.partition, part.position, part.generation, part.lag, part.held, part.damaged)
            for part in message.partitions
        ),
        is_paused=message.paused,
        is_stopped=message.stopped,
        paths=dict(message.paths),
        warnings=tuple(message.warnings),
    )


def _told(message: wire.SwapStatus) -> Told | None:
    outcome = _OUTCOMES.get(message.outcome)
    if outcome is None:  # a word of a later version of the contract
        return None
    return Told(
        command_id=message.command_id,
        generation=message.generation,
        worker=message.worker,
        outcome=outcome,
        code=message.code,
        message=message.message,
        at=_seconds(message.at),
        phase_seconds=dict(message.phase_seconds),
    )
