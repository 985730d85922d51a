"""Does what swap.py decides: fetches, loads and warms generations beside the serving one, and retires the old ones."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Protocol

from hotswap import metrics
from hotswap.artifacts.store import Store
from hotswap.batch import Position
from hotswap.errors import Doubt, SwapError
from hotswap.failpoints import failpoint
from hotswap.generation import Generation
from hotswap.host.group import HostGroup
from hotswap.host.parent import Load, ModelHost
from hotswap.host.standby import Spares
from hotswap.local.cores import cores_at_hand
from hotswap.pipeline.admission import Rules
from hotswap.pipeline.loop import PartitionState, Serving
from hotswap.runtimes.kinds import runtime_of
from hotswap.settings import Settings
from hotswap.swap import Outcome, Serve, State, Swap, Timeline, Wait

log = logging.getLogger(__name__)

_TICK_S = 0.2
_LOOK_S = 2.0
_RETRY_S = 5.0
_RETRY_AT_MOST_S = 60.0
_HOSTS_AT_MOST = 4


class Report(Protocol):
    """Tells the status topic what became of a swap on this worker; never blocks."""

    def __call__(
        self, swap: Swap, outcome: Outcome, *, error: SwapError | None = None, phases: Mapping[str, float] | None = None
    ) -> None:
        """`error` says why, `phases` how many seconds each phase of staging took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What staging asks of the rest of the worker."""

    partitions: int
    states: Callable[[], Mapping[int, PartitionState]]
    """The partitions that this worker owns."""
    committed: Callable[[], Awaitable[Mapping[int, Position]]]
    """Where every partition of the deployment stands, as committed; Doubt where Kafka does not say."""
    report: Report


@dataclass(slots=True)
class _Loaded:
    serving: Serving
    host: HostGroup
    load: Load
    paths: Mapping[str, str]


class Staging:
    """The hosts of this worker, one for each generation that may still score something: a `pipeline.Plan`."""

    def __init__(
        self, *, settings: Settings, timeline: Timeline, store: Store, child: Sequence[str], around: Surroundings
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self._store = store
        self._child = child
        self._around = around
        self._spares = Spares(heap_mb=settings.host_heap_mb, child=child)
        self._spare_kinds = set(filter(None, map(str.strip, settings.spare_kinds.split(","))))
        self._loaded: dict[int, _Loaded] = {}
        self._task: tuple[Swap, asyncio.Task[None]] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._failures: dict[int, tuple[int, float]] = {}  # generation -> how often, and when last
        self._has_superseded = False
        self._announced = 0
        self._seen = 0
        self._untouched: list[Swap] = []
        self._elsewhere: Mapping[int, Position] = {}
        self._looked_at: float | None = None
        self._lacks = ""
        self._wake = asyncio.Event()
        self.prepared = asyncio.Event()
        """Set once this worker can score every partition, or has come as far as it can for now: time to join."""
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set once `choose` may answer differently than now."""
        return self._changed

    @property
    def loaded(self) -> list[int]:
        """The generations whose host is up, oldest first."""
        return sorted(self._loaded)

    @property
    def newest_scored(self) -> int:
        """The newest generation that a partition was scored with, as far as is known here."""
        return max((position.floor for position in self._positions().values()), default=0)

    @property
    def lacks(self) -> str:
        """Why this worker does not join the group yet, for a person; empty where it may."""
        return self._lacks

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        """See swap.Timeline.choose."""
        return self._timeline.choose(partition, position)

    def skips(self, partition: int, offset: int) -> str:
        """See swap.Timeline.skips."""
        return self._timeline.skips.get((partition, offset), "")

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        """See swap.Timeline.is_overtaken."""
        return self._timeline.is_overtaken(partition, position, number)

    def serving(self, number: int) -> Serving:
        """What scores a generation that `choose` has named."""
        return self._loaded[number].serving

    def paths(self, number: int) -> Mapping[str, str]:
        """Operation of a loaded generation -> the way of its requests to the model, for a person."""
        return self._loaded[number].paths

    def poke(self) -> None:
        """The timeline has changed: look again at what to stage, and let waiting partitions ask again."""
        self._notify()
        self._wake.set()

    async def run(self) -> None:
        """Stages and retires until cancelled."""
        self._seen = self._timeline.newest  # what was replayed was answered long ago
        while True:
            await self._turn()
            if not self.prepared.is_set():
                self._prepare()

    async def stop(self) -> None:
        """Ends every host."""
        if self._task:
            self._task[1].cancel()
            await asyncio.gather(self._task[1], return_exceptions=True)
        await self._spares.stop()
        await asyncio.gather(*(loaded.host.stop() for loaded in self._loaded.values()), return_exceptions=True)
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def kill(self) -> None:
        """Ends every host at once, for when a clean stop takes too long."""
        for loaded in self._loaded.values():
            loaded.host.kill()
        self._spares.kill()

    async def _turn(self) -> None:
        # Not wait_for: in Python 3.11 it swallows a cancellation that meets a wake-up, and this loop would never end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await self._wake.wait()
        self._wake.clear()
        await self._look_elsewhere()
        self._cancel_superseded()
        self._answer_untouched()
        self._stage_next()
        self._announce_serving()
        self._retire()

    def _prepare(self) -> None:
        """Lets this worker join once it can score every partition, or has come as far as it can for now.

        Whoever joins takes partitions from others. But it must not wait until nothing is left to stage: swaps may come
        faster than that.
        """
        lacks = self._missing()
        is_at_its_end = self._loaded and self._task is None and self._next() is None
        if not lacks or (is_at_its_end and self._looked_at is not None):
            self._lacks = ""
            self.prepared.set()
        elif lacks != self._lacks:
            self._lacks = lacks
            log.warning("worker.does_not_join", extra={"why": lacks})

    def _missing(self) -> str:
        if self._looked_at is None:
            return "does not know yet where the partitions stand: Kafka has not told the committed offsets"
        for partition, position in sorted(self._positions().items()):
            choice = self._timeline.choose(partition, position)
            if isinstance(choice, Wait) and choice.number is not None:
                return f"partition {partition} {choice.why}"
        return "" if self._loaded else "no generation is ready on this worker"

    async def _look_elsewhere(self) -> None:
        """Learns where the partitions of other workers stand, as long as that matters.

        It does before this worker joins, while a cut by offsets is ahead, and while a generation is failed that is
        newer than what is loaded: once one partition was scored with it, it is needed by all.
        """
        swaps, loaded = self._timeline.swaps.values(), self.loaded or [0]
        is_cut_ahead = any(swap.cut for swap in swaps if swap.number >= loaded[0])
        is_behind = any(swap.state is State.FAILED for swap in swaps if swap.number > loaded[-1])
        if is_cut_ahead and (len(self._loaded) != 1 or self._next() is not None):
            pause = 0.0
        elif is_behind or not self.prepared.is_set():
            pause = _LOOK_S
        else:
            return
        if self._looked_at is None or monotonic() - self._looked_at >= pause:
            with contextlib.suppress(Doubt):
                self._elsewhere = await self._around.committed()
                self._looked_at = monotonic()

    def _positions(self) -> dict[int, Position]:
        known = {partition: Position(0) for partition in range(self._around.partitions)} | dict(self._elsewhere)
        own = self._around.states()
        return known | {partition: state.position for partition, state in own.items() if state.position is not None}

    def _next(self) -> int | None:
        now = monotonic()
        resting = [number for number, (count, at) in self._failures.items() if now - at < self._rest_s(number, count)]
        return self._timeline.to_stage(self._positions(), resting)

    def _rest_s(self, number: int, count: int) -> float:
        """Seconds from a failure to the next try: few while a partition of ours waits for it, else ever more."""
        own = self._around.states().values()
        if any(state.position is not None and state.position.floor >= number for state in own):
            return _RETRY_S
        return min(_RETRY_S * 2.0 ** (count - 1), _RETRY_AT_MOST_S)

    def _cancel_superseded(self) -> None:
        """Gives up what a newer swap has made needless, once; the next one is let finish.

        Swaps that come faster than a generation can be staged would else be given up one after the other: nothing new
        would ever serve, and a worker that starts would never have anything to join with.
        """
        if self._task is None or self._has_superseded:
            return
        if self._task[0].number not in self._timeline.needed(self._positions()):
            self._has_superseded = True
            self._task[1].cancel()

    def _answer_untouched(self) -> None:
        """Says SUPERSEDED of swaps that a newer one followed before they were begun: somebody awaits their outcome."""
        for swap in reversed(self._timeline.swaps.values()):
            if swap.number <= self._seen:
                break
            self._untouched.append(swap)
        self._seen = self._timeline.newest
        needed = self._timeline.needed(self._positions())
        untouched = [swap for swap in self._untouched if swap.state is State.ACCEPTED]
        for swap in untouched:
            if swap.number not in needed:
                self._around.report(swap, Outcome.SUPERSEDED)
        self._untouched = [swap for swap in untouched if swap.number in needed]

    def _stage_next(self) -> None:
        if self._task is None and (number := self._next()) is not None:
            swap = self._timeline.swaps[number]
            # Once failed it stays so while it is tried again: what can be scored by an older generation goes on, and
            # whoever awaits this worker's answer has it.
            if swap.state is not State.FAILED:
                swap.move(State.STAGING)
                self._around.report(swap, Outcome.STAGING)
            self._task = swap, asyncio.create_task(self._stage(swap), name=f"stage-{number}")

    async def _stage(self, swap: Swap) -> None:
        failpoint("stage.begun")
        log.info("swap.staging", extra={"generation": swap.number})
        phases: dict[str, float] = {}
        deadline_s = self._settings.staging_ms(swap.deadline_ms) / 1000
        try:
            async with asyncio.timeout(deadline_s):
                self._loaded[swap.number] = await self._load(swap.generation, phases)
        except SwapError as error:
            self._failed(swap, error)
        except TimeoutError:
            late = f"not ready within {deadline_s:g} s (got as far as: {', '.join(phases) or 'fetch'})"
            if (swap.deadline_ms or 0) > deadline_s * 1000:
                late += f": the command asks for {swap.deadline_ms} ms, and HOTSWAP_MAX_DEADLINE_MS allows no more"
            self._failed(swap, SwapError("DEADLINE_EXCEEDED", late))
        except asyncio.CancelledError:
            if swap.state is State.STAGING:
                swap.move(State.ACCEPTED)
                self._around.report(swap, Outcome.SUPERSEDED)
            raise
        else:
            failpoint("stage.ready")
            if swap.state is State.FAILED:
                swap.move(State.STAGING)
            swap.move(State.READY)
            self._failures.pop(swap.number, None)
            self._has_superseded = False
            self._around.report(swap, Outcome.READY, phases=phases)
            log.info("swap.ready", extra={"generation": swap.number, "phases": phases})
        finally:
            self._task = None
            self._keep_spare(swap.generation.model.kind)
            self.poke()

    def _keep_spare(self, kind: str) -> None:
        """Has a spare prepared for the next swap, once a generation of this kind is here: it costs memory."""
        loads = [one.load for _, one in sorted(self._loaded.items()) if one.load.kind == kind]
        if loads and kind in self._spare_kinds:
            self._spares.keep(kind, loads[-1] if runtime_of(kind).is_stateless else None)

    async def _load(self, generation: Generation, phases: dict[str, float]) -> _Loaded:
        settings, configuration = self._settings, generation.configuration
        started = monotonic()
        folder = await self._store.fetch(generation.model)
        try:
            proto = await self._store.fetch_proto(generation.proto)
            phases["fetch"] = monotonic() - started
            failpoint("stage.fetched")
            load = Load(
                generation=generation.number,
                kind=generation.model.kind,
                model=folder,
                proto=proto,
                is_descriptor_set=generation.proto.is_descriptor_set,
                configuration=configuration,
                samples=generation.samples,
                heap_mb=settings.host_heap_mb,
                verify=partial(self._store.verify, generation.model),
            )
            host = HostGroup([self._new_host(load) for _ in range(self._count_hosts(load.kind))])
            description = await host.start(gives_way=bool(self._loaded))
        except BaseException:
            self._store.release(folder)
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
        return _Loaded(serving, host, load, description.paths)

    def _new_host(self, load: Load) -> ModelHost:
        deployment = self._settings.deployment
        restarts = {reason: metrics.HOST_RESTARTS.labels(deployment, reason) for reason in ("crashed", "too_slow")}
        return ModelHost(
            load=load,
            deadline_s=self._settings.batch_ms(load.configuration.deadline_ms) / 1000,
            on_restart=lambda reason: restarts[reason].inc(),
            on_unknown=lambda column, count: metrics.bounded(metrics.UNKNOWN_CATEGORIES, deployment, column).inc(count),
            child=self._child,
            take_spare=self._spares.take,
        )

    def _count_hosts(self, kind: str) -> int:
        # Several of one that keeps a state would each have a part of it: not unless an operator says so.
        by_cores = min(cores_at_hand() - 1, _HOSTS_AT_MOST) if runtime_of(kind).is_stateless else 1
        return max(1, min(self._settings.hosts or by_cores, self._around.partitions))

    def _failed(self, swap: Swap, error: SwapError) -> None:
        if swap.state is State.STAGING:
            swap.move(State.FAILED)
        self._has_superseded = False
        self._failures[swap.number] = self._failures.get(swap.number, (0, 0.0))[0] + 1, monotonic()
        self._around.report(swap, Outcome.FAILED, error=error)
        log.error("swap.failed", extra={"generation": swap.number, "code": error.code, "why": error.message})

    def _announce_serving(self) -> None:
        """Says SERVING once every partition that this worker owns is past the cut of the newest ready generation."""
        newest = max(self._loaded, default=0)
        if newest <= self._announced or newest < self.newest_scored:
            return
        for partition, state in self._around.states().items():
            if state.in_hand not in (None, newest):
                return
            if state.position is not None and not self._timeline.swaps[newest].takes(partition, state.position.offset):
                return
        self._announced = newest
        self._around.report(self._timeline.swaps[newest], Outcome.SERVING)

    def _retire(self) -> None:
        in_hand = [state.in_hand for state in self._around.states().values() if state.in_hand is not None]
        for number in self._timeline.to_retire(self._positions(), in_hand):
            swap, loaded = self._timeline.swaps[number], self._loaded.pop(number)
            failpoint("retire.begun")
            swap.move(State.RETIRED)
            task = asyncio.create_task(self._end(loaded), name=f"retire-{number}")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            self._around.report(swap, Outcome.RETIRED)
            log.info("swap.retired", extra={"generation": number})

    async def _end(self, loaded: _Loaded) -> None:
        await loaded.host.stop()
        self._store.release(loaded.load.model)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
