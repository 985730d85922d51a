"""Performs the agenda: fetches, loads and warms generations beside the serving one, and retires old ones."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from hotswap import metrics
from hotswap.agenda.actions import Action, Cancel, Join, KeepStandby, Report, Retire, Stage, StayOut
from hotswap.agenda.agenda import Agenda
from hotswap.artifacts.places import without_secrets
from hotswap.artifacts.store import Store
from hotswap.batch import Position
from hotswap.errors import Doubt, SwapCode, SwapError
from hotswap.failpoints import failpoint
from hotswap.gathering import GatheredParts, Gathering, Underway
from hotswap.generation import Generation
from hotswap.host.facts import Description
from hotswap.host.group import HostGroup
from hotswap.host.load import Load, sandbox_of
from hotswap.host.parent import START_SECONDS, ModelHost
from hotswap.host.standby import Standbys
from hotswap.local.cores import cores_at_hand
from hotswap.pipeline.admission import Rules
from hotswap.pipeline.ports import Serve, Serving, Wait
from hotswap.pipeline.states import PartitionState
from hotswap.runtimes.kinds import runtime_of
from hotswap.settings import Settings
from hotswap.swap.sample import Sampling
from hotswap.swap.timeline import Swap, Timeline

log = logging.getLogger(__name__)

_TICK_S = 0.2
_ALL = Sampling()
_HOSTS_AT_MOST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The parts of the worker that staging needs."""

    partitions: int
    states: Callable[[], Mapping[int, PartitionState]]
    """The partitions that this worker owns."""
    committed: Callable[[], Awaitable[Mapping[int, Position]]]
    """Returns the committed position of every partition of the deployment; raises Doubt if Kafka does not answer."""
    max_answer_bytes: Callable[[], Awaitable[int | None]]
    """Returns the largest answer that the predictions topic allows now; None: not known."""
    report: Callable[[Report], None]
    """Publishes a swap's outcome on this worker to the status topic; never blocks."""


@dataclass(slots=True)
class _Loaded:
    serving: Serving
    host: HostGroup
    parts: GatheredParts
    description: Description


def most_hosts(settings: Settings) -> int:
    """Return how many hosts a generation of any kind may have on this worker, if there are partitions enough."""
    return settings.hosts or max(1, min(cores_at_hand() - 1, _HOSTS_AT_MOST))


class Staging:
    """Owner of this worker's hosts, one group for each generation that may still score; a `pipeline.Router`."""

    def __init__(
        self, *, settings: Settings, timeline: Timeline, store: Store, child: Sequence[str], around: Surroundings
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self._child = child
        self._around = around
        self._agenda = Agenda(timeline, partitions=around.partitions)
        self._gathering = Gathering(settings, store, around.max_answer_bytes)
        self._standbys = Standbys(heap_mb=settings.host_heap_mb, child=child, sandbox=sandbox_of(settings))
        self._spare_kinds = set(filter(None, map(str.strip, settings.spare_kinds.split(","))))
        self._loaded: dict[int, _Loaded] = {}
        self._runtimes: dict[int, str] = {}  # of those that were reported while loaded, until they are as retired
        self._task: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.prepared = asyncio.Event()
        """Set once this worker can score every partition, or has staged all it can for now: time to join the group."""
        self._changed = asyncio.Event()
        self.restarts = 0
        """How often a host has been started again, because it had died or was too slow."""

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set as soon as `choose` may return something else than now."""
        return self._changed

    @property
    def loaded(self) -> list[int]:
        """The generations whose host is up, oldest first."""
        return self._agenda.progress.loaded

    @property
    def main(self) -> int:
        """See agenda.Agenda.main."""
        return self._agenda.main(self._around.states())

    @property
    def newest_scored(self) -> int:
        """See agenda.Agenda.newest_scored."""
        return self._agenda.newest_scored(self._around.states())

    @property
    def lacks(self) -> str:
        """See agenda.Agenda.lacks."""
        return self._agenda.lacks

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        """See progress.Progress.choose."""
        return self._agenda.progress.choose(partition, position)

    @property
    def sample(self) -> Sampling:
        """Which requests are answered: those of a shadow's sample, else all."""
        shadowed = self._timeline.shadowed
        return shadowed.sample if shadowed else _ALL

    def skips(self, partition: int, offset: int) -> str:
        """See timeline.Timeline.skips."""
        return self._timeline.skips.get((partition, offset), "")

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        """See progress.Progress.is_overtaken."""
        return self._agenda.progress.is_overtaken(partition, position, number)

    def serving(self, number: int) -> Serving:
        """Return the hosts of a generation that `choose` returned."""
        return self._loaded[number].serving

    def paths(self, number: int) -> Mapping[str, str]:
        """Return, for each operation of a loaded generation, how its requests reach the model, as text for a person."""
        return self._loaded[number].description.paths

    def runtime(self, number: int) -> str:
        """Return the versions of what a loaded generation is scored by, as text for a person."""
        return self._loaded[number].description.runtime

    def poke(self) -> None:
        """Wake the staging loop and the waiting partitions, after the timeline has changed."""
        self._changed.set()
        self._changed = asyncio.Event()
        self._wake.set()

    async def run(self) -> None:
        """Stage and retire generations until cancelled."""
        self._agenda.replayed()
        while True:
            # Not wait_for: in Python 3.11 it swallows a cancellation that races a wake-up, and this loop would not end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._task and self._task.done() and not self._task.cancelled():
                self._task.result()  # raises: a bug ends the worker
            if self._agenda.must_look(monotonic(), self._around.states()):
                with contextlib.suppress(Doubt):
                    self._agenda.looked(await self._around.committed(), monotonic())
            self._perform(self._agenda.turn(monotonic(), self._around.states()))

    async def stop(self) -> None:
        """Stop every host."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._standbys.stop()
        await self._gathering.stop()
        await asyncio.gather(*(loaded.host.stop() for loaded in self._loaded.values()), return_exceptions=True)
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def kill(self) -> None:
        """Kill every host, when a clean stop takes too long."""
        for loaded in self._loaded.values():
            loaded.host.kill()
        self._standbys.kill()

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._agenda.did(action)
            match action:
                case Report():
                    self._around.report(self._described(action))
                case Stage(swap):
                    self._task = asyncio.create_task(self._stage(swap), name=f"stage-{swap.number}")
                case Cancel():
                    assert self._task is not None
                    self._task.cancel()
                case Retire(number):
                    self._retire(number)
                case KeepStandby(generation):
                    self._keep_standby(generation)
                case StayOut(why):
                    log.warning("worker.join_deferred", extra={"why": why})
                case Join():
                    self.prepared.set()

    def _described(self, report: Report) -> Report:
        number = report.swap.number
        if number not in self._loaded:
            return replace(report, runtime=self._runtimes.pop(number, ""))
        known = self._loaded[number].description
        self._runtimes[number] = known.runtime
        return replace(report, reads=known.reads, fields=known.fields, runtime=known.runtime)

    async def _stage(self, swap: Swap) -> None:
        failpoint("stage.begun")
        log.info("swap.staging", extra={"generation": swap.number, "model": swap.generation.model.name})
        deadline_s = self._settings.staging_ms(swap.deadline_ms) / 1000
        model = without_secrets(swap.generation.model.uri)
        underway = Underway(deadline_s, lambda: f"fetching the model from {model}")
        actions: Sequence[Action] = ()
        try:
            async with asyncio.timeout(deadline_s):
                self._loaded[swap.number] = await self._load(swap.generation, underway)
            failpoint("stage.ready")
            actions = self._agenda.ready(swap.number, underway.phases)
            log.info("swap.ready", extra={"generation": swap.number, "phases": underway.phases})
        except SwapError as error:
            actions = self._failed(swap, error, is_out_of_reach=error.code is SwapCode.ARTIFACT_UNREACHABLE)
        except TimeoutError:
            late = f"not ready within {deadline_s:g} s: it was {underway.doing()}"
            if (swap.deadline_ms or 0) > deadline_s * 1000:
                late += f"; the command's deadline_ms is {swap.deadline_ms}, but HOTSWAP_MAX_DEADLINE_MS allows no more"
            exceeded = SwapError(SwapCode.DEADLINE_EXCEEDED, late)
            actions = self._failed(swap, exceeded, is_out_of_reach="fetch" not in underway.phases)
        except asyncio.CancelledError:
            actions = self._agenda.given_up(swap.number)
            raise
        finally:
            self._perform(actions)
            self.poke()

    def _failed(self, swap: Swap, error: SwapError, *, is_out_of_reach: bool) -> Sequence[Action]:
        actions = self._agenda.failed(swap.number, error, monotonic(), is_out_of_reach=is_out_of_reach)
        facts = {"generation": swap.number, "code": error.code, "why": error.message}
        log.error("swap.failed", extra={**facts, "is_tried_again": self._agenda.is_tried_again(swap.number)})
        return actions

    def _keep_standby(self, generation: Generation) -> None:
        """Keep a warm standby for the next swap; its Java and libraries are up before the swap arrives."""
        kind = generation.model.kind
        if kind in self._spare_kinds:
            self._standbys.keep(
                kind, self._loaded[generation.number].parts.load if runtime_of(kind).is_stateless else None
            )

    async def _load(self, generation: Generation, underway: Underway) -> _Loaded:
        settings, configuration, phases = self._settings, generation.configuration, underway.phases
        parts = await self._gathering.gather(generation, underway, self._kept)
        try:
            start_s = max(underway.deadline_s, START_SECONDS)
            host = HostGroup([self._new_host(parts.load, start_s) for _ in range(self._count_hosts(parts.load.kind))])
            underway.doing = lambda: host.doing
            golden, parts.golden = parts.golden, b""
            description = await host.start(is_low_priority=bool(self._loaded), golden=golden)
        except BaseException:
            parts.held.close()
            raise
        phases |= description.phase_seconds
        for phase, seconds in phases.items():
            metrics.SWAP_PHASE_SECONDS.labels(settings.deployment, phase).observe(seconds)
        rules = Rules(
            proto_sha256=generation.proto.sha256,
            operations=description.operations,
            max_request_bytes=configuration.max_request_bytes or settings.max_request_bytes,
        )
        limit = min(configuration.max_batch_records or settings.max_batch_records, settings.max_batch_records)
        serving = Serving(generation=generation, host=host, rules=rules, max_batch_records=limit)
        return _Loaded(serving, host, parts, description)

    @property
    def _kept(self) -> list[str]:
        return [loaded.parts.environment for loaded in self._loaded.values() if loaded.parts.environment]

    def _new_host(self, load: Load, start_s: float) -> ModelHost:
        deployment = self._settings.deployment
        restarts = {reason: metrics.HOST_RESTARTS.labels(deployment, reason) for reason in ("crashed", "too_slow")}

        def on_restart(reason: str) -> None:
            self.restarts += 1
            restarts[reason].inc()

        return ModelHost(
            load=load,
            deadline_s=self._settings.batch_ms(load.configuration.deadline_ms) / 1000,
            start_s=start_s,
            on_restart=on_restart,
            on_unknown=lambda column, count: metrics.bounded(metrics.UNKNOWN_CATEGORIES, deployment, column).inc(count),
            child=self._child,
            take_standby=self._standbys.take,
        )

    def _count_hosts(self, kind: str) -> int:
        # Hosts of a stateful model would each hold a part of its state: one only, unless an operator sets `hosts`.
        count = most_hosts(self._settings) if runtime_of(kind).is_stateless else self._settings.hosts or 1
        return max(1, min(count, self._around.partitions))

    def _retire(self, number: int) -> None:
        loaded = self._loaded.pop(number)
        failpoint("retire.begun")
        task = asyncio.create_task(self._end(loaded), name=f"retire-{number}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        log.info("swap.retired", extra={"generation": number})

    async def _end(self, loaded: _Loaded) -> None:
        await loaded.host.stop()
        loaded.parts.held.close()
