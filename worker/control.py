"""Reads the commands of the control topic, and publishes what became of them and what this worker serves."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from worker import metrics
from worker.commands import decode_command
from worker.errors import Doubt, SwapError
from worker.failpoints import failpoint
from worker.generated.hotswap.v1 import control_pb2 as wire
from worker.kafka.connection import Admin
from worker.kafka.log import LogReader, LogWriter
from worker.pipeline import PartitionState
from worker.settings import Settings
from worker.staging import Staging
from worker.swap import Outcome, Swap, Timeline, Verdict

log = logging.getLogger(__name__)

STATUS_S = 3.0
"""Seconds between two WorkerStatus records of a worker."""

_YOUNG_MS = 120_000
_FAREWELL_S = 2.0


class Control:
    """One worker's end of the control plane."""

    def __init__(self, *, settings: Settings, timeline: Timeline, reader: LogReader, writer: LogWriter) -> None:
        self._settings = settings
        self._timeline = timeline
        self._reader = reader
        self._writer = writer
        self._outbox: asyncio.Queue[tuple[str, wire.Status]] = asyncio.Queue()

    async def replay(self) -> None:
        """Folds the whole control topic as it is now: before this worker takes any partition (I9)."""
        records = await self._reader.read_to_end()
        for record in records:
            self._receive(record)
        log.info("control.replayed", extra={"records": len(records), "newest": self._timeline.newest})

    async def follow(self, on_command: Callable[[], None]) -> None:
        """Folds each further command as it arrives, until cancelled."""
        while True:
            records = await self._reader.read(1.0)
            for record in records:
                self._receive(record)
            if records:
                on_command()

    async def publish(self) -> None:
        """Writes what is in the outbox, in order, until cancelled; tries again for as long as Kafka does not answer."""
        while True:
            key, status = await self._outbox.get()
            while True:
                try:
                    value = status.SerializeToString()
                    await self._writer.append(self._settings.topics.status, value, key=key.encode(), partition=0)
                    break
                except Doubt as doubt:
                    log.warning("status.not_published", extra={"why": str(doubt)})
                    await asyncio.sleep(1)
            self._outbox.task_done()

    def report(
        self, swap: Swap, outcome: Outcome, *, error: SwapError | None = None, phases: Mapping[str, float] | None = None
    ) -> None:
        """A `staging.Report`."""
        verdict = Verdict(
            swap.command_id, swap.number, outcome, error.code if error else "", error.message if error else ""
        )
        self._say(verdict, phases or {})

    async def status(self, staging: Staging, states: Mapping[int, PartitionState], admin: Admin) -> None:
        """Publishes what this worker serves and how far behind it is, and sets the gauges of the same facts."""
        ends: Mapping[int, int] = {}
        with contextlib.suppress(Doubt):
            ends = await admin.end_offsets(self._settings.topics.requests, states, is_stable=True) if states else {}
        status = self._worker_status(staging)
        metrics.LAG.clear()  # a partition that was handed over is another worker's to report
        for number, state in sorted(states.items()):
            position = state.position.offset if state.position else 0
            lag = max(ends.get(number, position) - position, 0) if state.position else 0
            metrics.LAG.labels(self._settings.deployment, str(number)).set(lag)
            status.partitions.add(
                partition=number,
                position=position,
                generation=state.position.floor if state.position else 0,
                lag=lag,
                held=state.held,
            )
        held = sum(1 for state in states.values() if state.held)
        metrics.HELD.labels(self._settings.deployment).set(held)
        self._put_worker(status)

    async def farewell(self, staging: Staging) -> None:
        """Says that this worker has stopped, and writes what is still in the outbox."""
        status = self._worker_status(staging)
        status.stopped = True
        self._put_worker(status)
        publishing = asyncio.ensure_future(self.publish())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._outbox.join()
        publishing.cancel()

    def _receive(self, record: Any) -> None:
        try:
            deployment, command = decode_command(record.value)
        except SwapError as error:
            log.warning("command.malformed", extra={"offset": record.offset, "why": error.message})
            return
        if deployment != self._settings.deployment:
            return
        verdict = self._timeline.receive(command, record.timestamp)
        failpoint("control.received")
        facts = {"command": verdict.command_id, "generation": verdict.generation, "offset": record.offset}
        log.info("command.received", extra={**facts, "outcome": verdict.outcome or "ACCEPTED", "why": verdict.message})
        # Old commands that are read again at a start were answered long ago.
        if verdict.outcome is not None and record.timestamp > time() * 1000 - _YOUNG_MS:
            self._say(verdict, {})

    def _say(self, verdict: Verdict, phases: Mapping[str, float]) -> None:
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
            message=verdict.message,
            at=_now(),
            phase_seconds=phases,
        )
        key = f"{settings.deployment}/{verdict.generation}/{settings.worker_id}/{verdict.command_id}"
        self._outbox.put_nowait((key, wire.Status(swap=swap)))

    def _worker_status(self, staging: Staging) -> wire.WorkerStatus:
        newest = max(staging.loaded, default=0)
        serving = staging.serving(newest).generation if newest else None
        metrics.GENERATION.clear()
        for number in staging.loaded:
            state = "serving" if number == newest else "ready"
            model = staging.serving(number).generation.model.sha256
            metrics.GENERATION.labels(self._settings.deployment, str(number), model, state).set(1)
        return wire.WorkerStatus(
            deployment=self._settings.deployment,
            worker=self._settings.worker_id,
            at=_now(),
            generation=newest,
            model_sha256=serving.model.sha256 if serving else "",
            proto_sha256=serving.proto.sha256 if serving else "",
            accepted=self._timeline.newest,
            loaded=staging.loaded,
            paused=self._timeline.is_paused,
        )

    def _put_worker(self, status: wire.WorkerStatus) -> None:
        key = f"{self._settings.deployment}/{self._settings.worker_id}"
        self._outbox.put_nowait((key, wire.Status(worker=status)))


def _now() -> Timestamp:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp
