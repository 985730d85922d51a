"""Reads commands from the control topic; publishes their outcomes and this worker's status."""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import islice
from time import time
from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from hotswap import metrics
from hotswap.agenda.actions import Report
from hotswap.commands import BadCommand
from hotswap.errors import Denied, Doubt, SwapError
from hotswap.failpoints import failpoint
from hotswap.host.process import HostProcess
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader
from hotswap.kafka.topics.watched import KafkaMonitor
from hotswap.kafka.topics.writer import LogWriter
from hotswap.local.machine import Machine, cpu, look
from hotswap.pipeline.states import PartitionState
from hotswap.printable import cut
from hotswap.runtimes.kinds import lacks
from hotswap.settings import Settings
from hotswap.staging import Staging
from hotswap.statuses import SHORTENED, field_paths, shorten
from hotswap.swap.command import Outcome, Verdict
from hotswap.swap.timeline import Timeline
from hotswap.trust.fold import Fold
from hotswap.v1 import control_pb2 as wire

log = logging.getLogger(__name__)

STATUS_S = 3.0
"""Interval between two WorkerStatus records of a worker, seconds."""

_MACHINE_S = 60.0
_YOUNG_MS = 120_000
_LONGEST_MESSAGE = 100_000  # messages quote the publisher's text, and the record must fit into the status topic
_FAREWELL_S = 2.0
_DENIED_S = 1.0
_AT_ONCE = 100
_MOST_PARTITIONS = 20
_FRAMING_BYTES = 512  # upper bound on Kafka's overhead for a record in a batch of its own


class Control:
    """One worker's end of the control plane."""

    def __init__(
        self, *, settings: Settings, timeline: Timeline, reader: LogReader, writer: LogWriter, fold: Fold | None = None
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self.fold = fold or Fold.of(settings, timeline)
        self._reader = reader
        self._writer = writer
        self._outbox: deque[tuple[bytes, bytes, tuple[()]]] = deque()
        self._filled = asyncio.Event()
        self._incarnation = uuid4().hex[:8]
        self._machine = Machine({})
        self._store_fault = ""
        self._reported: list[int] = []  # counts of latencies up to the last report
        self.watched = KafkaMonitor(settings)
        self.oldest_ms: Callable[[int, bool], int] = lambda *_: 0
        """Partition, and whether a batch of it is in hand -> timestamp of its oldest request; the service sets it."""
        self.transactions: Callable[[], str] = lambda: "none"
        """See Brokers.transactions; the service sets it."""
        self.partition_warnings: Mapping[int, str] = {}
        """What is worth knowing about partitions that were owned; the service sets it to what the membership has."""
        self.max_status_bytes = 1_000_000
        """The status topic's `max.message.bytes`; the service sets it to what Kafka reports."""

    async def replay(self) -> None:
        """Fold the control topic up to its current end, before this worker takes any partition (I9)."""
        count = 0
        if self._settings.trust:
            self.fold.guard.cluster = await self._reader.cluster_id()
        async for records in self._reader.to_end():
            for record in records:
                self._receive(record)
            count += len(records)
        log.info("control.replayed", extra={"records": count, "newest": self._timeline.newest})

    async def follow(self, on_command: Callable[[], None]) -> None:
        """Fold further commands as they arrive, until cancelled."""
        while True:
            try:
                records = await self._reader.read(1.0)
            except Denied as denied:  # `watched` says so where it lasts
                log.debug("control.denied", extra={"why": str(denied)})
                await asyncio.sleep(_DENIED_S)
                continue
            for record in records:
                self._receive(record)
            if records:
                on_command()

    async def publish(self) -> None:
        """Write the outbox to the status topic, in order, until cancelled; retry while Kafka does not answer."""
        while True:
            await self._filled.wait()
            await self._flush()

    async def _flush(self) -> None:
        # Many at once: one by one (4 ms each), the verdicts on a burst of commands would delay this worker's own status
        # for so long that it would be presumed dead.
        while self._outbox:
            records = self._next_chunk()
            try:
                await self._writer.append_many(self._settings.topics.status, records)
            except Doubt as doubt:
                # What is denied is told by `watched`, once.
                level = logging.DEBUG if isinstance(doubt, Denied) else logging.WARNING
                log.log(level, "status.not_published", extra={"why": str(doubt)})
                await asyncio.sleep(_DENIED_S)
            else:
                for _ in records:
                    self._outbox.popleft()
        self._filled.clear()

    def _next_chunk(self) -> list[tuple[bytes, bytes, tuple[()]]]:
        """Return as many records from the front of the outbox as fit into one message; Kafka rejects larger ones."""
        records: list[tuple[bytes, bytes, tuple[()]]] = []
        room = self.max_status_bytes
        for record in islice(self._outbox, _AT_ONCE):
            room -= len(record[0]) + len(record[1]) + _FRAMING_BYTES
            if records and room < 0:
                break
            records.append(record)
        return records

    def _enqueue(self, key: str, status: wire.Status) -> None:
        shorten(status, self.max_status_bytes - len(key.encode()) - _FRAMING_BYTES)
        self._outbox.append((key.encode(), status.SerializeToString(), ()))
        self._filled.set()

    def report(self, report: Report) -> None:
        """Publish a swap's outcome on this worker to the status topic."""
        verdict = Verdict(report.swap.command_id, report.swap.number, report.outcome)
        if report.error:
            verdict = replace(verdict, code=report.error.code, message=report.error.message)
        paths = {name: field_paths(read, report.fields.get(name, {})) for name, read in report.reads.items()}
        self._publish_verdict(verdict, report.phases, paths, report.runtime)

    async def status(self, staging: Staging, states: Mapping[int, PartitionState], admin: Admin) -> None:
        """Publish this worker's generation and lag, and set the corresponding gauges."""
        ends: Mapping[int, int] = {}
        with contextlib.suppress(Doubt):
            ends = (
                await admin.end_offsets(self._settings.topics.requests, states, read_committed=True) if states else {}
            )
        status = self._worker_status(staging)
        status.latency_p99_s = self._latency_p99_s()
        self._count_partitions(staging, states)
        for gauge in (metrics.LAG, metrics.LAG_AGE):  # partitions that were revoked are another worker's to report
            gauge.clear()
        for number, state in sorted(states.items()):
            position = state.position.offset if state.position else 0
            lag = max(ends.get(number, position) - position, 0) if state.position else 0
            is_behind = lag or number not in ends  # Kafka is away: then what is known here is what waits
            oldest_ms = self.oldest_ms(number, state.in_hand is not None) if is_behind else 0
            age_s = max(time() - oldest_ms / 1000, 0.0) if oldest_ms else 0.0
            metrics.LAG.labels(self._settings.deployment, str(number)).set(lag)
            metrics.LAG_AGE.labels(self._settings.deployment, str(number)).set(age_s)
            status.partitions.add(
                partition=number,
                position=position,
                generation=state.position.floor if state.position else 0,
                lag=lag,
                held=state.held,
                model_s=state.model_s,
                damaged=bool(state.damage),
                deleted_from=state.deleted[0],
                deleted_to=state.deleted[1],
                oldest_ms=oldest_ms,
            )
        metrics.HELD.labels(self._settings.deployment).set(sum(bool(state.held) for state in states.values()))
        metrics.DAMAGED.labels(self._settings.deployment).set(sum(bool(state.damage) for state in states.values()))
        self._enqueue_worker_status(status)

    def _count_partitions(self, staging: Staging, states: Mapping[int, PartitionState]) -> None:
        """Set the gauges of what scores which partitions: by their floors, or, without one, what would."""
        floors = Counter(state.position.floor for state in states.values() if state.position is not None)
        for gauge in (metrics.GENERATION, metrics.PARTITIONS):
            gauge.clear()
        for number, count in floors.items():
            metrics.PARTITIONS.labels(self._settings.deployment, str(number)).set(count)
        scoring = set(floors).intersection(staging.loaded) or {staging.main}
        for number in staging.loaded:
            state = ("serving" if self._timeline.swaps[number].is_whole else "part") if number in scoring else "ready"
            model = staging.serving(number).generation.model
            metrics.GENERATION.labels(self._settings.deployment, str(number), model.name, model.sha256, state).set(1)

    def _latency_p99_s(self) -> float:
        """Return the 99th percentile of the latency since the last report, seconds."""
        histogram, labels = metrics.LATENCY_SECONDS, (self._settings.deployment,)
        counts = histogram.counts(labels)
        since = [now - before for now, before in zip(counts, self._reported or [0] * len(counts), strict=True)]
        self._reported = counts
        return histogram.quantile(0.99, since)

    async def watch_machine(self, staging: Staging, find: Callable[[str], Awaitable[str]]) -> None:
        """Look now and then at this machine, and for the model that a restart would need, until cancelled.

        `find` returns why an artifact is not where its URI says, or nothing.
        """
        while True:
            self._machine = await asyncio.to_thread(look, self._settings.cache)
            if newest := staging.main:
                why = await find(staging.serving(newest).generation.model.uri)
                restore = f"`hotswap store restore {self._settings.deployment}` puts it back"
                lost = f"a worker without generation {newest} in its cache could not start with it ({restore}): {why}"
                self._store_fault = cut(lost, SHORTENED[1]) if why else ""
            await asyncio.sleep(_MACHINE_S)

    async def farewell(self, staging: Staging) -> None:
        """Publish that this worker has stopped, and flush the outbox."""
        status = self._worker_status(staging)
        status.stopped = True
        self._enqueue_worker_status(status)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._flush()

    def _receive(self, record: Any) -> None:
        verdict = self._fold(record)
        if verdict is None:
            return
        failpoint("control.received")
        facts = {"command": verdict.command_id, "generation": verdict.generation, "offset": record.offset}
        log.info("command.received", extra={**facts, "outcome": verdict.outcome or "ACCEPTED", "why": verdict.message})
        # Old commands that are replayed at start were answered long ago.
        is_young = record.timestamp > time() * 1000 - _YOUNG_MS
        if verdict.outcome is not None and is_young and not self.fold.is_foreign(verdict):
            self._publish_verdict(verdict, {}, {})

    def _fold(self, record: Any) -> Verdict | None:
        """Return the verdict on a record's command; None if it holds no command for this deployment."""
        try:
            folded = self.fold.receive(record)
        except BadCommand as bad:
            return Verdict(bad.command_id, bad.generation, Outcome.REFUSED, bad.code, bad.message)
        except SwapError as error:
            log.warning("command.malformed", extra={"offset": record.offset, "why": error.message})
            return None
        return folded and folded[1]

    def _publish_verdict(
        self, verdict: Verdict, phases: Mapping[str, float], reads: Mapping[str, wire.FieldPaths], runtime: str = ""
    ) -> None:
        assert verdict.outcome is not None
        settings = self._settings
        metrics.SWAPS.labels(settings.deployment, verdict.outcome.lower(), verdict.code).inc()
        swap = wire.SwapStatus(
            command_id=verdict.command_id,
            deployment=settings.deployment,
            generation=verdict.generation,
            worker=settings.worker_id,
            outcome=f"OUTCOME_{verdict.outcome}",
            code=verdict.code,
            message=verdict.message[:_LONGEST_MESSAGE].encode(errors="replace").decode(),  # may hold lone surrogates
            at=_now(),
            phase_seconds=phases,
            reads=reads,
            runtime=runtime,
            cpu=cpu() if runtime else "",
        )
        key = f"{settings.deployment}/{verdict.generation}/{settings.worker_id}/{verdict.command_id}"
        self._enqueue(key, wire.Status(swap=swap))

    def _worker_status(self, staging: Staging) -> wire.WorkerStatus:
        newest = staging.main
        serving = staging.serving(newest).generation if newest else None
        metrics.drop_generations(self._settings.deployment, staging.loaded)
        metrics.TRUST.labels(self._settings.deployment, self.fold.guard.trust_sha256).set(1)
        metrics.TOO_OLD.labels(self._settings.deployment).set(bool(self._timeline.held))
        loaded = max(staging.loaded, default=0)
        numbers = {"accepted": self._timeline.newest, "loaded": loaded, "scored": staging.newest_scored}
        for state, number in numbers.items():
            metrics.NEWEST_GENERATION.labels(self._settings.deployment, state).set(number)
        return wire.WorkerStatus(
            deployment=self._settings.deployment,
            worker=self._settings.worker_id,
            at=_now(),
            generation=newest,
            model_sha256=serving.model.sha256 if serving else "",
            model_name=serving.model.name if serving else "",
            proto_sha256=serving.proto.sha256 if serving else "",
            accepted=self._timeline.newest,
            loaded=staging.loaded,
            paused=self._timeline.is_paused,
            paths=staging.paths(newest) if newest else {},
            warnings=self._warnings(),
            machine={
                **self._machine.facts,
                "cpu": cpu(),
                "compression": self._settings.compression,
                "transactions": self.transactions(),
                "sandbox": f"{self._settings.sandbox} ({HostProcess.layers()})",
            },
            host_restarts=staging.restarts,
            trust_sha256=self.fold.guard.trust_sha256,
            held=self._timeline.held,
            incarnation=self._incarnation,
            kinds=lacks(self._settings.kinds_allowed),
            runtime=staging.runtime(newest) if newest else "",
            contract=self._timeline.version,
        )

    def _warnings(self) -> list[str]:
        unreadable, damaged = self._reader.unreadable, self._reader.damaged
        skipped = f"{unreadable} records of {self._settings.topics.control} cannot be read and were skipped"
        return [
            *([skipped] if unreadable else []),
            *([self.fold.guard.warning] if self.fold.guard.warning else []),
            *([f"{damaged}: no further commands are read"] if damaged else []),
            *self._warned_partitions(),
            *HostProcess.warnings(),
            *self._machine.faults,
            *([self._store_fault] if self._store_fault else []),
        ]

    def _warned_partitions(self) -> list[str]:
        lines = [f"partition {number}: {text}" for number, text in sorted(self.partition_warnings.items())]
        more = len(lines) - _MOST_PARTITIONS
        return lines if more <= 0 else [*lines[:_MOST_PARTITIONS], f"{more} more partitions have warnings: see its log"]

    def _enqueue_worker_status(self, status: wire.WorkerStatus) -> None:
        key = f"{self._settings.deployment}/{self._settings.worker_id}"
        self._enqueue(key, wire.Status(worker=status))


def _now() -> Timestamp:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp
