"""Fold of the status topic: the last report of each worker, and the outcomes of each command.

Workers write most of it outside transactions, so it is read with read_uncommitted; a `CutOverDone`, which only a
read_committed reader may trust, is ignored. Nothing here does I/O: `client/client.py` feeds it the records.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from hotswap.client.kept import Kept
from hotswap.client.trend import Mark, Trend
from hotswap.generation import MOST
from hotswap.swap.command import Outcome
from hotswap.v1 import control_pb2 as wire

FRESH_S = 9.0
"""A worker silent for longer counts as dead: three times `control.STATUS_S`, the interval of its reports."""

_KEPT_BYTES = 64 << 20
"""Limit for workers, and for outcomes, in bytes of their records: the topic may be flooded with new names."""
_OUTCOMES = {wire.Outcome.Value(f"OUTCOME_{outcome}"): outcome for outcome in Outcome}
_FINAL = frozenset(Outcome) - {Outcome.STAGING, Outcome.READY}
_WAS_READY = frozenset({Outcome.READY, Outcome.SERVING, Outcome.RETIRED})
_STAGED = _WAS_READY | {Outcome.STAGING, Outcome.FAILED, Outcome.SUPERSEDED}
_GOOD = frozenset({Outcome.SERVING, Outcome.RETIRED, Outcome.APPLIED, Outcome.DUPLICATE})


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition as its worker reports it; `held` is the reason if the partition is held, else empty."""

    partition: int
    position: int
    generation: int
    lag: int
    held: str
    is_damaged: bool = False
    deleted: tuple[int, int] = (0, 0)
    """First and end offset of the requests that were deleted before they were read; (0, 0): none."""
    model_s: float = 0.0
    """Seconds that the model has spent on the current batch, if that is long; else 0."""
    oldest_ms: int = 0
    """Timestamp of the oldest unanswered request, ms since the epoch; 0: none, or unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker's last report about itself; `at` in seconds since the epoch, by the worker's clock."""

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
    """Operation of `generation` -> the path of its requests to the model."""
    warnings: tuple[str, ...] = ()
    """Problems for the operator that hold no partition."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Its Java, its cache's free space, its memory, its compression and its version of transactions."""
    model_name: str = ""
    latency_p99_s: float = 0.0
    """99th percentile of the seconds from a request's timestamp to its answer; 0: no recent request."""
    host_restarts: int = 0
    """How often it has restarted a model host that had died or was too slow."""
    trust_sha256: str = ""
    """SHA-256 of its trust file; empty: none."""
    held: str = ""
    """Why it answers nothing: it is too old for the control log. Empty: it is not."""

    incarnation: str = ""
    """The id of its last start; empty: its version reports none."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Kind of model -> why it cannot load one, or empty; without any: its version reports none."""
    runtime: str = ""
    """See `Told.runtime`; of `generation`."""
    contract: int = 1
    """The version of the control contract that it knows."""
    heard_at: float = float("inf")
    """Upper bound of the time of the report: the record's timestamp or the time of reading."""
    trend: Trend = field(default_factory=Trend)
    """Its reports of the last minutes."""

    def is_live(self, now: float) -> bool:
        """Return whether it has reported within `FRESH_S`, and not that it stops."""
        return not self.is_stopped and now - min(self.at, self.heard_at) <= FRESH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One worker's outcome of one command; `code` and `message` give the reason if it was refused or failed."""

    command_id: str
    generation: int
    worker: str
    outcome: Outcome
    code: str
    message: str
    at: float
    phase_seconds: Mapping[str, float]
    serving_at: float = 0.0
    """When it began to serve there, in seconds since the epoch; 0: never, or no longer known."""
    reads: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    """Operation -> the fields of its input that the generation reads, if a worker has reported them.

    For a category, with the values that it knows, if they are few; others are scored as missing or unknown.
    """
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Operation -> column -> the path of its field, for columns that are named differently from their fields."""
    runtime: str = ""
    """The versions of what computes its answers there: libraries, the model's format, Java; empty: not reported."""
    cpu: str = ""
    """The CPU that computes them."""

    @property
    def is_final(self) -> bool:
        """Whether this worker has finished the command (except for retiring the generation later)."""
        return self.outcome in _FINAL

    @property
    def is_good(self) -> bool:
        """Whether the worker carried out the command."""
        return self.outcome in _GOOD


@dataclass(frozen=True, slots=True)
class FleetAnswer:
    """The fleet's outcomes of a command, by worker, and the workers whose outcome is not final yet."""

    told: Mapping[str, Told]
    missing: tuple[str, ...]
    unconfirmed: str = ""
    """Why the workers' reports of a swap do not count yet: the committed offsets do not confirm them."""
    unverified: str = ""
    """Why the reports count without confirmation: this user may not read the committed offsets."""
    strangers: tuple[str, ...] = ()
    """Workers without an outcome that report as live and are not members of the group."""
    is_staged: bool = False
    """Whether the command only stages a generation: then READY is good."""

    @property
    def is_complete(self) -> bool:
        """Whether every live worker's outcome is final, and confirmed."""
        return bool(self.told) and not self.missing and not self.unconfirmed

    @property
    def is_good(self) -> bool:
        """Whether every live worker carried out the command."""
        staged = {Outcome.READY} if self.is_staged else set()
        return self.is_complete and all(one.is_good or one.outcome in staged for one in self.told.values())


@dataclass(slots=True)
class Fleet:
    """The workers of one deployment, according to the records of the status topic received so far."""

    deployment: str
    workers: dict[str, WorkerView] = field(default_factory=dict)
    told: dict[str, dict[str, Told]] = field(default_factory=dict)
    """Command -> worker -> its outcome."""
    _kept_workers: Kept[str] = field(default_factory=lambda: Kept(_KEPT_BYTES))
    _kept_outcomes: Kept[tuple[str, str]] = field(default_factory=lambda: Kept(_KEPT_BYTES))

    def receive(self, value: bytes | None, heard_at: float = float("inf")) -> Told | WorkerView | None:
        """Fold the next record, written by `heard_at` (seconds since the epoch), and return its content.

        None: it is about another deployment. Beyond the limit, the oldest is dropped; live workers report again.
        """
        status = decode_status(value)
        kind = status.WhichOneof("kind") if status else None
        if status is None or kind is None or getattr(status, kind).deployment != self.deployment:
            return None
        if kind == "worker":
            view = self._followed(replace(_worker_view(status.worker), heard_at=heard_at))
            self.workers[view.worker] = view
            for worker in self._kept_workers.keep(view.worker, status.ByteSize()):
                del self.workers[worker]
            return view
        outcome = _outcome(status.swap) if kind == "swap" else None
        return self._add_outcome(outcome, status.ByteSize()) if outcome else None

    def _followed(self, view: WorkerView) -> WorkerView:
        before = self.workers.get(view.worker)
        lag = sum(part.lag for part in view.partitions)
        mark = Mark(min(view.at, view.heard_at), lag, view.host_restarts)
        return replace(view, trend=(before.trend if before else Trend()).then(mark, view.incarnation))

    def _add_outcome(self, new: Told, size: int) -> Told | None:
        by_worker = self.told.setdefault(new.command_id, {})
        before = by_worker.get(new.worker)
        if new.outcome is Outcome.DUPLICATE and before and before.outcome is not Outcome.DUPLICATE:
            # "The same command was already received; its outcome stands": keep the first answer.
            return None
        if before and not new.phase_seconds:
            new = replace(new, phase_seconds=before.phase_seconds)
        if before and before.serving_at:
            new = replace(new, serving_at=before.serving_at)
        by_worker[new.worker] = new
        for command_id, worker in self._kept_outcomes.keep((new.command_id, new.worker), size):
            del self.told[command_id][worker]
            if not self.told[command_id]:
                del self.told[command_id]
        return new

    @property
    def newest(self) -> int:
        """The newest generation that a worker has accepted or scored with, even if the control topic was emptied."""
        reported = [(view.accepted, *(part.generation for part in view.partitions)) for view in self.workers.values()]
        return max(map(max, reported), default=0)

    def live(self, now: float) -> set[str]:
        """Return the names of the live workers."""
        return {view.worker for view in self.workers.values() if view.is_live(now)}

    def answer(self, command_id: str, expected: Collection[str], now: float, *, is_staged: bool = False) -> FleetAnswer:
        """Return the outcomes of a command so far; `expected` are the workers that were live when it was sent.

        READY is one of a generation that is only staged. A worker that answered and left is still counted. One that
        left without an answer is not waited for, since others have its partitions now. One that joined later reads the
        command before it takes partitions, and counts once it reports on it.
        """
        outcomes = self.told.get(command_id, {})
        staged = {Outcome.READY} if is_staged else set()
        final = {worker: one for worker, one in outcomes.items() if one.is_final or one.outcome in staged}
        fleet = (set(expected) | set(outcomes)) & self.live(now)
        return FleetAnswer(final, tuple(sorted(fleet - set(final))), is_staged=is_staged)

    def failures(self, now: float) -> dict[str, tuple[Told, ...]]:
        """Return the newest generations that live workers could not stage and run without, newest first, by worker."""
        live = {view.worker: view.generation for view in self.workers.values() if view.is_live(now)}
        staged: dict[str, list[Told]] = {}
        for by_worker in self.told.values():
            for worker, outcome in by_worker.items():
                if outcome.generation > live.get(worker, MOST) and outcome.outcome in _STAGED:
                    staged.setdefault(worker, []).append(outcome)
        failures: dict[str, tuple[Told, ...]] = {}
        for worker, outcomes in staged.items():
            newest_first = sorted(outcomes, key=lambda outcome: outcome.generation, reverse=True)
            if failed := tuple(takewhile(lambda outcome: outcome.outcome is Outcome.FAILED, newest_first)):
                failures[worker] = failed
        return failures

    def has_failed(self, command_id: str) -> bool:
        """Return whether the generation of this command failed on some worker and became ready on none."""
        outcomes = {outcome.outcome for outcome in self.told.get(command_id, {}).values()}
        return Outcome.FAILED in outcomes and not outcomes & _WAS_READY

    def has_never_served(self, command_id: str) -> bool:
        """Return whether the generation of this command failed, and no worker has reported that it served."""
        by_worker = self.told.get(command_id, {})
        return self.has_failed(command_id) and not any(outcome.serving_at for outcome in by_worker.values())


def decode_status(value: bytes | None) -> wire.Status | None:
    """Return the message of a status record; None if it is not one (a deleted key, a foreign record)."""
    try:
        return wire.Status.FromString(value) if value else None
    except DecodeError:
        return None


def deployment_of(value: bytes | None) -> str:
    """Return the deployment that a status record is about; empty if it is not a status record."""
    status = decode_status(value)
    kind = status.WhichOneof("kind") if status else None
    return str(getattr(status, kind).deployment) if kind else ""


def is_forgotten(value: bytes | None) -> bool:
    """Return whether a status record hides its deployment."""
    status = decode_status(value)
    return status is not None and status.HasField("forgotten")


def _seconds(time: Timestamp) -> float:
    # Not Timestamp's own methods: they raise for times out of range, which the wire can carry.
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
            PartitionView(
                part.partition,
                part.position,
                part.generation,
                part.lag,
                part.held,
                part.damaged,
                (part.deleted_from, part.deleted_to),
                part.model_s,
                part.oldest_ms,
            )
            for part in message.partitions
        ),
        is_paused=message.paused,
        is_stopped=message.stopped,
        paths=dict(message.paths),
        warnings=tuple(message.warnings),
        machine=dict(message.machine),
        model_name=message.model_name,
        latency_p99_s=message.latency_p99_s,
        host_restarts=message.host_restarts,
        trust_sha256=message.trust_sha256,
        held=message.held,
        incarnation=message.incarnation,
        kinds=dict(message.kinds),
        runtime=message.runtime,
        contract=message.contract or 1,
    )


def _outcome(message: wire.SwapStatus) -> Told | None:
    outcome = _OUTCOMES.get(message.outcome)
    if outcome is None:  # from a later version of the contract
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
        serving_at=_seconds(message.at) if outcome is Outcome.SERVING else 0.0,
        reads={
            operation: {path: frozenset(fields.known[path].values) for path in fields.paths}
            for operation, fields in message.reads.items()
        },
        fields={operation: dict(fields.columns) for operation, fields in message.reads.items() if fields.columns},
        runtime=message.runtime,
        cpu=message.cpu,
    )
