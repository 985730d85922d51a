"""Commands as a publisher's wish becomes them: what the log, the reports and the protos decide. Nothing is written."""

import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from hotswap.artifacts.detect import as_file, find_model
from hotswap.artifacts.places import without_secrets
from hotswap.artifacts.store import Store
from hotswap.client import overview, protos
from hotswap.client.change import MAX_INLINE_PROTO_BYTES, MAX_SAMPLES_BYTES, Change, Rollout, compile_file, read_proto
from hotswap.client.cut import Cut
from hotswap.client.fleet import Fleet, WorkerView
from hotswap.client.history import History
from hotswap.client.loadable import check_kind, named
from hotswap.client.offsets import generations, read_offsets
from hotswap.errors import NotReady, UsageError
from hotswap.generation import Golden, Model, Proto
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import Committed
from hotswap.settings import Settings
from hotswap.swap.command import STAGED, AbandonCommand, Outcome, PromoteCommand, SwapCommand, out_of_reach
from hotswap.swap.timeline import Swap
from hotswap.trust.keys import Signer
from hotswap.trust.roles import SigningRole

if TYPE_CHECKING:
    from hotswap.codec.proto import Schema

_FAR = 1_000_000
_PROMOTE_WITHIN_S = 24 * 3_600.0
_READY = frozenset({Outcome.READY, Outcome.SERVING})


class Known(NamedTuple):
    """What a command is made from: the control log, the workers' reports, and the committed offsets."""

    history: History
    fleet: Fleet
    committed: Mapping[int, Committed] | None

    @property
    def scored(self) -> frozenset[int]:
        """The generations that scored a partition last."""
        return generations(self.committed)

    @property
    def serving(self) -> Swap | None:
        """See `History.serving`."""
        return self.history.serving(self.fleet, self.scored)

    @property
    def live(self) -> list[WorkerView]:
        """The live workers."""
        now = time.time()
        return [view for view in self.fleet.workers.values() if view.is_live(now)]

    @property
    def next_number(self) -> int:
        """The number for a new generation."""
        # Above what the offsets and the workers name, too: a control topic that was emptied does not know which numbers
        # were used. But anybody may report one: a number far ahead, or without room above it, does not count.
        newest = self.history.timeline.newest
        used = max({newest, *self.scored})
        if self.fleet.newest <= used + _FAR:
            used = max(used, self.fleet.newest)
        return newest + 1 if out_of_reach(used + 1, newest) else used + 1


class SwapParts(NamedTuple):
    """The parts that a swap names: a model in a store, and a proto, in full and as the command carries it."""

    model: Model | None
    proto: Proto | None
    stored: Proto | None


class Heritage(NamedTuple):
    """A change together with what it inherits from its base (0: there is none); None: it has no such part at all."""

    base: int
    model: Model | None
    proto: Proto | None


@dataclass(frozen=True, slots=True)
class CutOver:
    """Where a new generation takes over; `why`: the reasons for a cut after the backlog, if the protos caused it."""

    offsets: Mapping[int, int]
    why: tuple[str, ...] = ()
    rollout: Rollout | None = None
    """It is only staged; None: it is cut in one step."""
    steps: tuple[frozenset[int] | None, ...] = (None,)
    """The partitions of each promotion then; None: all that are left."""
    promote_by_ms: int | None = None
    notes: tuple[str, ...] = ()


class Preparing:
    """Makes commands for one deployment."""

    def __init__(self, settings: Settings, store: Store, signer: Signer | None) -> None:
        self._settings = settings
        self._store = store
        self._signer = signer

    async def know(self, history: History) -> Known:
        """Return what is known now; `history` is the control log."""
        fleet = await overview.read_fleet(self._settings)
        return Known(history, fleet, await read_offsets(self._settings))

    async def parts(self, change: Change) -> SwapParts:
        """Check a change, and upload its local files; see `Client.swap` for the errors."""
        if not (change.model or change.proto or change.configuration or change.base or change.golden):
            raise UsageError("nothing would change: name a model, a proto, a configuration or a base")
        proto = change.proto
        if isinstance(proto, Path):
            await protos.in_thread(compile_file, proto)
            proto = await protos.in_thread(read_proto, proto)
        if (size := sum(map(len, change.samples))) > MAX_SAMPLES_BYTES:
            most = f"a command holds {MAX_SAMPLES_BYTES >> 10} KiB"
            raise UsageError(f"the samples take {size:,} bytes, and {most}: take fewer rows")
        stored = await self._stored(proto) if proto else None
        model = await self._upload(change.model, change.kind) if isinstance(change.model, Path) else change.model
        model = model and replace(model, name=change.name or model.name or PurePath(without_secrets(model.uri)).stem)
        return SwapParts(model, proto, stored)

    async def swap(self, known: Known, change: Change, parts: SwapParts) -> tuple[SwapCommand, CutOver]:
        """Return the command for a change, and where it cuts over; see `Client.swap` for the errors."""
        heritage = heritage_of(known, change, parts)
        if heritage.model:
            check_kind(heritage.model.kind, known.fleet.workers.values(), time.time())
        cut_over = await self.cut_over(known, heritage.proto, change.cut, change.rollout)
        document = await self.golden_document(known, change, heritage)
        return await self.command(known, change, parts, cut_over, document), cut_over

    async def command(
        self, known: Known, change: Change, parts: SwapParts, cut_over: CutOver, golden: bytes | None
    ) -> SwapCommand:
        """Return the command for a change that cuts over there; upload its golden answers, a `golden_document`."""
        return SwapCommand(
            command_id=str(uuid.uuid4()),
            generation=change.generation or known.next_number,
            base=heritage_of(known, change, parts).base,
            model=parts.model,
            proto=parts.stored,
            configuration=change.configuration,
            samples=change.samples,
            golden=await self._store.upload_golden(golden) if golden else None if golden is None else Golden(),
            cut=cut_over.offsets,
            is_staged=cut_over.rollout is not None,
            promote_by_ms=cut_over.promote_by_ms,
            deadline_ms=change.deadline_ms,
        )

    async def golden_document(self, known: Known, change: Change, heritage: Heritage) -> bytes | None:
        """Return the golden answers of a change; see `golden.golden_document`."""
        base = known.history.timeline.swaps.get(heritage.base)
        if not (change.golden or change.golden_tolerances or (base and base.generation.golden)):
            return None
        from hotswap.client.golden import golden_document  # noqa: PLC0415 - few swaps have golden answers

        return await golden_document(change, base, heritage.proto, known.fleet, self._store)

    async def _upload(self, path: Path, kind: str | None) -> Model:
        model, kind = find_model(path, kind)
        with as_file(model) as file:
            uri, sha256 = await self._store.upload(file)
        return Model(uri, sha256, kind, path.stem.encode(errors="replace").decode())

    async def _stored(self, proto: Proto) -> Proto:
        """Return the proto as a command carries it: inline if it is small, otherwise by its place in the store."""
        is_small = proto.source is None or len(proto.source) <= MAX_INLINE_PROTO_BYTES
        return proto if is_small else await self._store.upload_proto(proto)

    async def cut_over(self, known: Known, new: Proto | None, cut: Cut, rollout: Rollout | None) -> CutOver:
        """Return where a generation with this proto takes over from the one that serves.

        Raises:
            UsageError: it is to come to its partitions in a way that is not possible here.

        """
        serving = known.serving
        old = serving.generation.proto if serving else None
        why = tuple(await self.incompatible(old, new)) if cut is Cut.AUTO else ()
        is_by_offsets = cut is Cut.AFTER_BACKLOG or bool(why)
        if rollout and rollout.is_by_parts and why:
            raise UsageError(
                f"the new proto cannot read requests of the serving one ({'; '.join(why)}), so both cannot score at a "
                "time: leave out what asks for parts, and all partitions are promoted at once"
            )
        notes: tuple[str, ...] = ()
        if rollout and (is_by_offsets or rollout.is_asked_for):
            lacks = self._lacks_steps(known)
            if not lacks:
                until_s = time.time() + _PROMOTE_WITHIN_S
                until_s = max(until_s, (rollout.at_s or 0.0) + _PROMOTE_WITHIN_S)
                first = _first_of_its_version(known.history)
                steps, said = await self._steps(rollout)
                return CutOver({}, why, rollout, steps, int(until_s * 1000), (*first, *said))
            if rollout.is_asked_for:
                raise UsageError(f"a generation cannot be staged here: {lacks}")
            notes = (f"in one step, since {lacks}",)
        offsets = await self._ends() if is_by_offsets else {}
        return CutOver(offsets, why, notes=notes)

    async def promotion(
        self, known: Known, number: int | None, partitions: Collection[int] | None
    ) -> tuple[PromoteCommand, frozenset[int]]:
        """Return the command that promotes the staged generation on these partitions; None: on all that are left.

        Beside it are those partitions that it still has to cut at the end of their requests, which is left to the last
        moment; the others are cut at once.

        Raises:
            UsageError: none is staged. NotReady: a live worker does not have it yet.

        """
        swap = self._staged(known, number)
        if late := sorted(view.worker for view in known.live if not _is_ready(known.fleet, swap, view)):
            raise NotReady(
                f"generation {swap.number} is not ready on {named(late)}: wait, or see `hotswap status`; one that "
                "stops does not count"
            )
        if partitions is not None and (unknown := set(partitions) - set(await self._ends())):
            raise UsageError(f"there is no partition {min(unknown)}")
        old = known.serving.generation.proto if known.serving else None
        why = await self.incompatible(old, swap.generation.proto)
        if partitions is not None and why:
            raise UsageError(f"all partitions must be promoted at once, since its proto differs: {'; '.join(why)}")
        left = set(partitions or ()) - swap.cut.keys()
        if partitions is not None and not left:
            raise UsageError(f"these partitions have been promoted to generation {swap.number} already")
        command = PromoteCommand(
            command_id=str(uuid.uuid4()),
            generation=swap.number,
            cut=dict.fromkeys(sorted(left), 0),
            is_complete=partitions is None,
        )
        return command, frozenset(await self._ends()) - swap.cut.keys() if why else frozenset()

    async def abandonment(self, known: Known, number: int | None) -> AbandonCommand:
        """Return the command that ends the staged or half promoted generation.

        Raises:
            UsageError: there is none, or nothing serves beside it.

        """
        swap, serving = self._staged(known, number), known.serving
        if serving is None:
            raise UsageError(f"nothing serves beside generation {swap.number}: swap to another one instead")
        back = await self.incompatible(swap.generation.proto, serving.generation.proto)
        reached = [one for one, at in (known.committed or {}).items() if at.generation == swap.number]
        ends = await self._ends() if back and reached else {}
        return AbandonCommand(
            command_id=str(uuid.uuid4()),
            generation=known.next_number,
            abandoned=swap.number,
            to=serving.number,
            cut={one: ends[one] for one in reached if one in ends},
        )

    def _staged(self, known: Known, number: int | None) -> Swap:
        timeline = known.history.timeline
        swap = timeline.swaps.get(timeline.newest)
        if swap is None or not swap.is_staged or number not in (None, swap.number):
            name = self._settings.deployment
            which = "no generation" if number is None else f"no generation {number}"
            newest = f"the newest one, {swap.number}, is cut everywhere" if swap and not swap.is_staged else ""
            newest = newest or (f"{swap.number} is the one that is staged" if swap else "none was accepted")
            raise UsageError(f"{name} has {which} that is staged: {newest}")
        return swap

    def _lacks_steps(self, known: Known) -> str:
        """Return why a generation cannot be staged first; empty if it can."""
        old = sorted(view.worker for view in known.live if view.contract < STAGED)
        if old:
            return f"{named(old)} would not understand it: upgrade the workers first (docs/upgrades.md)"
        if not known.live:
            return "no worker reports"
        if known.serving is None:
            return "nothing serves yet"
        guard = known.history.fold.guard
        if guard.since is not None and self._signer and guard.trust:
            key = guard.trust.keys.get(self._signer.id)
            if key and SigningRole.PROMOTE not in key.roles:
                return f"key {key.title} lacks the role {SigningRole.PROMOTE}"
        return ""

    async def _steps(self, rollout: Rollout) -> tuple[tuple[frozenset[int] | None, ...], tuple[str, ...]]:
        """Return the partitions of each promotion, and what there is to say of them."""
        if rollout.canary is None and rollout.stagger is None:
            return (None,), ()
        from hotswap.client.shares import read_window  # noqa: PLC0415 - few swaps go by parts
        from hotswap.client.stepping import forecast, steps_of  # noqa: PLC0415 - the same

        async with Admin.connect(self._settings) as admin:
            window = await read_window(admin, self._settings.topics.requests)
        steps = steps_of(rollout, window)
        return steps, () if rollout.canary is None else (forecast(steps[0] or (), window),)

    async def incompatible(self, old: Proto | None, new: Proto | None) -> list[str]:
        """Return why one proto misreads requests of the other."""
        if not old or not new or old.sha256 == new.sha256:
            return []
        from hotswap.codec.compatibility import incompatibilities  # noqa: PLC0415 - another proto alone needs it

        return incompatibilities(await self.schema(old), await self.schema(new))

    async def schema(self, proto: Proto) -> "Schema":
        """Compile a proto of a command. Raises SwapError: it cannot be fetched, or does not compile."""
        return await protos.compile(await self._store.fetch_proto(proto), proto.is_descriptor_set)

    async def _ends(self) -> Mapping[int, int]:
        async with Admin.connect(self._settings) as admin:
            # The high watermark, not the last stable offset: a request in an open transaction precedes the swap.
            return await admin.end_offsets(self._settings.topics.requests)


def heritage_of(known: Known, change: Change, parts: SwapParts) -> Heritage:
    """Return the model and the proto that a change comes to."""
    serving = known.serving
    base = change.base or (serving.number if serving else 0)
    inherited = known.history.timeline.swaps.get(base)
    model = parts.model or (inherited.generation.model if inherited else None)
    return Heritage(base, model, parts.proto or (inherited.generation.proto if inherited else None))


def _first_of_its_version(history: History) -> tuple[str, ...]:
    if history.timeline.needs >= STAGED:
        return ()
    note = (
        f"this is the first command of {history.deployment} for version {STAGED} of the control contract: workers, "
        "gateways and clients of Hotswap before 0.3 cannot follow its log from here on (docs/upgrades.md); --one-step "
        "avoids that"
    )
    return (note,)


def _is_ready(fleet: Fleet, swap: Swap, view: WorkerView) -> bool:
    told = fleet.told.get(swap.command_id, {}).get(view.worker)
    return swap.number in view.loaded or (told is not None and told.outcome in _READY)
