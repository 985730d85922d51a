"""The serving generation by control log and reports: its proto, compiled, and the fields that the model reads."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from hotswap.artifacts.store import Store
from hotswap.client import overview, protos
from hotswap.client.fleet import Fleet, Told
from hotswap.client.history import History
from hotswap.client.offsets import Offsets, generations
from hotswap.client.seen import Seen
from hotswap.codec.proto import Operation, Schema
from hotswap.errors import Doubt, StartError, UsageError
from hotswap.generation import Configuration, Generation, TextOptions
from hotswap.kafka.topics.committed import Committed
from hotswap.settings import Settings
from hotswap.swap.command import Outcome
from hotswap.swap.timeline import Swap, Timeline

_POLL_S = 1.0
_SCORES = frozenset({Outcome.SERVING, Outcome.RETIRED})
_NOT_YET = object()


def find_operation(schema: Schema, name: str | None, how: str = "with --operation") -> Operation:
    """Return the operation of that name; None: the only one.

    Raises:
        UsageError: there is none; the message lists the operations, and says `how` to name one.

    """
    wanted = name or schema.default or ""
    if wanted in schema.operations:
        return schema.operations[wanted]
    known = ", ".join(schema.operations)
    if name:
        raise UsageError(f"there is no operation {name!r}: the proto has {known}")
    raise UsageError(f"name one of the proto's operations {how}: {known}")


class Served(NamedTuple):
    """The serving generation's proto, compiled, its digest, and the fields that the model reads, if reported."""

    schema: Schema
    proto_sha256: str
    reads: Mapping[str, Mapping[str, Collection[str]]]
    fields: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """Operation -> column -> the path of its field, for columns that are named differently from their fields."""
    generation: Generation | None = None
    """None: the caller named a proto instead of a deployment."""
    source: bytes = b""
    """The proto, as text or as a descriptor set."""
    unverified: str = ""
    """Why only the workers' reports name this generation; empty: the committed offsets confirm it."""
    is_paused: bool = False
    """Whether the deployment was paused then."""

    def table(self, operation: Operation) -> TextOptions:
        """Return how the tables of an operation are read."""
        configuration = self.generation.configuration if self.generation else Configuration()
        return configuration.table(self.fields.get(operation.name))

    @property
    def proto_text(self) -> str | None:
        """The text of the proto; None: it is a descriptor set, or no deployment's."""
        is_text = self.generation is not None and not self.generation.proto.is_descriptor_set
        return self.source.decode(errors="replace") if is_text else None


async def serving_schema(settings: Settings) -> Served:
    """Return the serving generation, according to the control topic and the workers' reports.

    Raises:
        UsageError: no generation serves.
        TooOld: only a later version can read the serving generation.

    """
    history, fleet = await overview.read_history(settings), await overview.read_fleet(settings)
    async with Offsets(settings) as offsets:
        swap = history.serving(fleet, generations(await offsets.read()))
    if swap is None:
        raise UsageError(
            f"deployment {settings.deployment!r} has no generation, so its proto is unknown: publish one with "
            "`hotswap swap`, or name the proto with --proto"
        )
    served = await _served(Store(settings), swap, fleet)
    return served._replace(unverified=offsets.denied, is_paused=history.timeline.is_paused)


async def follow_serving(settings: Settings, seen: Seen | None = None) -> AsyncIterator[Served | None]:
    """Yield the serving generation (None: there is none), and again whenever it or its workers' reports change.

    And again when there is another command that is not a swap, or workers report on it.

    The serving generation is the newest one that the committed offsets name, since anybody who may write to the status
    topic may report another one (see `_scoring` for the exceptions); None if only a later version can read it
    (`Timeline.held`). The records are added to `seen`, which must be empty. The generator ends when the log has to be
    folded anew under another trust file (`Seen.anew`).

    Raises:
        StartError: no broker answers, or a topic is missing.
        Doubt: the broker did not answer in time.
        SwapError: the serving generation's proto cannot be fetched.

    """
    seen, store = seen or Seen.nothing(settings), Store(settings)
    history, fleet = seen
    async with (
        overview.control_log(settings, history) as commands,
        overview.status_log(settings) as status,
        Offsets(settings) as offsets,
    ):
        committed = await offsets.read()
        seen.receive(await commands.read_to_end(), await status.read_to_end())
        served: Served | None = None
        facts: object = None
        known: object = _NOT_YET
        while history.fold.guard.pending is None:
            swap = _scoring(history, fleet, committed)
            outcomes = fleet.told.get(swap.command_id, {}) if swap else {}
            before, facts = facts, swap and (swap.command_id, any(outcome.reads for outcome in outcomes.values()))
            if facts != before:
                served = await _served(store, swap, fleet) if swap else None
            other = history.last_other()
            now = facts, _by_worker(outcomes), other, _by_worker(fleet.told.get(other, {}))
            if now != known:
                known = now
                yield served
            seen.receive(*await asyncio.gather(commands.read(_POLL_S), status.read(_POLL_S)))
            if _may_change(history.timeline, committed):
                with contextlib.suppress(Doubt, StartError):  # Kafka is out of reach: keep the last ones
                    committed = await offsets.read()


def _by_worker(outcomes: Mapping[str, Told]) -> Mapping[str, str]:
    return {worker: outcome.outcome for worker, outcome in outcomes.items()}


def _may_change(timeline: Timeline, committed: Mapping[int, Committed] | None) -> bool:
    """Return whether the committed offsets may name another generation by now.

    Only the newest one can come, and they only increase: while it is staged, on partitions that were promoted.
    """
    newest = timeline.swaps.get(timeline.newest)
    if newest is None or committed is None:
        return newest is not None
    if newest.is_staged:
        return any(newest.cut_at(n) is not None and at.generation < newest.number for n, at in committed.items())
    return newest.number not in generations(committed)


def _scoring(history: History, fleet: Fleet, committed: Mapping[int, Committed] | None) -> Swap | None:
    """Return the newest generation that scores, and may be the serving one, according to the committed offsets.

    Beside a canary that is the one before it, until the canary is promoted: rows for either are compatible. Reports
    decide if the offsets name none or may not be read, and about a newer one that is cut by offsets: it answers all
    requests from its cut on, long before it has committed anything.
    """
    if history.timeline.held:
        return None
    now = time.time()
    swaps, live = history.timeline.swaps, [view for view in fleet.workers.values() if view.is_live(now)]
    loaded = {view.generation for view in live}
    reported = {number for number, swap in swaps.items() if number in loaded or _has_served(fleet, swap)}
    named = generations(committed) & set(swaps)
    scored = named or {part.generation for view in live for part in view.partitions} & set(swaps)
    serving = {number for number, swap in swaps.items() if history.is_for_all(swap, scored)}
    if not named:
        return swaps.get(max(reported & serving, default=0))
    # While a generation that was abandoned has all partitions, it is what reads their requests.
    last = max(named & serving, default=max(named))
    due = [number for number in reported if number > last and _is_due(swaps[number], committed or {})]
    return swaps[max(due, default=last)]


def _is_due(swap: Swap, committed: Mapping[int, Committed]) -> bool:
    """Return whether every partition is cut to it, some by offsets, and none has passed its cut with an older one."""
    if not swap.cut or swap.is_abandoned or swap.replaces:
        return False
    cuts = {number: swap.cut_at(number) for number in committed}
    return all(
        (cut := cuts[number]) is not None and (at.generation >= swap.number or at.offset <= cut)
        for number, at in committed.items()
    )


def _has_served(fleet: Fleet, swap: Swap) -> bool:
    return any(outcome.outcome in _SCORES for outcome in fleet.told.get(swap.command_id, {}).values())


async def _served(store: Store, swap: Swap, fleet: Fleet) -> Served:
    generation = swap.generation
    source = await store.fetch_proto(generation.proto)
    outcomes = fleet.told.get(swap.command_id, {}).values()
    reads, fields = next(((outcome.reads, outcome.fields) for outcome in outcomes if outcome.reads), ({}, {}))
    schema = await protos.compile(source, generation.proto.is_descriptor_set)
    return Served(schema, generation.proto.sha256, reads, fields, generation, source)
