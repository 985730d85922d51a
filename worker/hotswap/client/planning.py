"""Makes the plan of a swap or a rollback: every check of the command, with nothing written to Kafka or a store.

The decisions are the command's own (preparing.py, loadable.py); whether the log would accept it says the log's own fold
(trust/fold.py), which folds the record as if it were the next one.
"""

import contextlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hotswap.artifacts.store import Store
from hotswap.client import overview
from hotswap.client.change import Change, Rollout
from hotswap.client.commanding import record_of
from hotswap.client.cut import Cut
from hotswap.client.loadable import lacking_kind
from hotswap.client.local_load import LocalLoad, OwnParts, load_here
from hotswap.client.plan import SwapPlan
from hotswap.client.preparing import CutOver, Known, Preparing, SwapParts, heritage_of
from hotswap.client.rolling_back import rollback_command, target_of
from hotswap.codec.versions import VersionStep, next_step
from hotswap.errors import Doubt, SwapCode, SwapError, UsageError
from hotswap.generation import Generation, Proto
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.settings import Settings
from hotswap.swap.command import Outcome, RollbackCommand, SwapCommand
from hotswap.swap.timeline import Swap
from hotswap.trust.file import Trust
from hotswap.trust.keys import Signer

_PARTS = ("model", "proto", "configuration")


class _Unwritten(NamedTuple):
    """A record of the control topic that nobody writes."""

    offset: int
    timestamp: int
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class _Made:
    """A command, and what it was made from.

    `file` is its model before it is uploaded, `kind` as it is named, `golden` the document of golden answers.
    """

    command: SwapCommand | RollbackCommand
    proto: Proto | None
    cut_over: CutOver
    impossible: str
    file: Path | None = None
    kind: str | None = None
    golden: bytes | None = None


class _Topic(NamedTuple):
    partitions: int
    max_answer_bytes: int | None


class Planner:
    """Makes plans for one deployment; `trust` as for `History.of`. Raises UsageError: the key cannot be read.

    `is_loading`: the generation is loaded here, in a model host; otherwise its caller has done so.
    """

    def __init__(self, settings: Settings, trust: Trust | None = None, *, is_loading: bool = True) -> None:
        self._settings = settings
        self._trust = trust
        self._is_loading = is_loading
        self._signer = Signer.read(settings.sign_with) if settings.sign_with else None
        self._preparing = Preparing(settings, Store(settings, is_dry=True), self._signer)

    async def swap(self, change: Change) -> SwapPlan:
        """Return the plan of `Client.swap`.

        Raises:
            UsageError: a file is missing, or nothing would change; see `Client.swap`.
            StartError: no broker answers, or the deployment's requests topic does not exist.

        """
        known, topic = await self._know()
        try:
            parts: SwapParts = await self._preparing.parts(change)
        except SwapError as error:
            number = known.serving.number if known.serving else 0
            refused = f"{error.code}: {error.message}"
            return SwapPlan(deployment=self._settings.deployment, serving=number, live=len(known.live), refused=refused)
        heritage = heritage_of(known, change, parts)
        proto = heritage.proto
        cut_over, impossible = await self._cut_over(known, proto, change.cut, change.rollout)
        golden = None
        try:
            golden = await self._preparing.golden_document(known, change, heritage)
        except UsageError as error:
            impossible = "; ".join(filter(None, (impossible, str(error))))
        command = await self._preparing.command(known, change, parts, cut_over, golden)
        file = change.model if isinstance(change.model, Path) else None
        return await self._plan(known, topic, _Made(command, proto, cut_over, impossible, file, change.kind, golden))

    async def rollback(self, to: int | None = None, *, cut: Cut = Cut.AUTO, rollout: Rollout | None = None) -> SwapPlan:
        """Return the plan of `Client.rollback`.

        Raises:
            UsageError: no earlier generation is known to have served.
            StartError: as for `swap`.

        """
        known, topic = await self._know()
        target = await target_of(self._settings, known, to)
        cut_over, impossible = await self._cut_over(known, target.proto, cut, rollout)
        command = rollback_command(known, target, cut_over)
        return await self._plan(known, topic, _Made(command, target.proto, cut_over, impossible))

    async def _know(self) -> tuple[Known, _Topic]:
        self._settings = await settled(self._settings)
        async with Admin.connect(self._settings) as admin:
            count, most = await admin.partitions(self._settings.topics.requests), None
            with contextlib.suppress(Doubt):
                most = (await admin.limits()).answer
        known = await self._preparing.know(await overview.read_history(self._settings, self._trust))
        return known, _Topic(count, most)

    async def _cut_over(
        self, known: Known, proto: Proto | None, cut: Cut, rollout: Rollout | None
    ) -> tuple[CutOver, str]:
        """Return where it takes over; or, with an empty one, why that is not possible."""
        try:
            return await self._preparing.cut_over(known, proto, cut, rollout), ""
        except UsageError as error:
            return CutOver({}), str(error)
        except SwapError as error:
            return CutOver({}), f"{error.code}: {error.message}"

    async def _plan(self, known: Known, topic: _Topic, made: _Made) -> SwapPlan:
        command, serving = made.command, known.serving
        notes = [*made.cut_over.notes, *_notes(known)]
        ends = made.cut_over.offsets
        committed = known.committed or {}
        generation, refused = self._fold(known, command)
        step, incompatible = await self._difference(serving, made.proto)
        if incompatible and made.cut_over.rollout is None and not ends and not made.impossible:
            notes.append("the new proto would be at odds with requests that are not answered yet: it is cut at once")
        old = serving.generation if serving else None
        changed = [part for part in _PARTS if _part(generation, part) != _part(old, part)]
        if generation and old and not changed:
            notes.append(f"nothing would change: generation {old.number} serves with the same parts")
        local = await self._load(generation, topic, made)
        if generation and generation.golden and (local.unchecked or not self._is_loading):
            notes.append("its golden answers are compared by the workers, and not here")
        return SwapPlan(
            deployment=self._settings.deployment,
            generation=command.generation,
            serving=old.number if old else 0,
            base=command.to if isinstance(command, RollbackCommand) else command.base,
            inherited=_inherited(command),
            changed=tuple(changed),
            model=generation.model if generation else None,
            proto=made.proto,
            configuration=generation.configuration if generation else None,
            is_uploaded=made.file is not None,
            step=step,
            incompatible=incompatible,
            cut_over=made.cut_over,
            partitions=topic.partitions,
            ahead={one: max(end - max(committed[one].offset, 0), 0) for one, end in ends.items() if one in committed},
            live=len(known.live),
            local=local,
            refused=refused,
            impossible=made.impossible,
            lacking=self._lacking(known, generation),
            notes=tuple(notes),
        )

    def _fold(self, known: Known, command: SwapCommand | RollbackCommand) -> tuple[Generation | None, str]:
        """Return the generation that the command would make, and why the log would refuse it; empty if it would not."""
        fold, now_ms = known.history.fold, int(time.time() * 1000)
        number = known.next_number
        try:
            value, headers = record_of(known.history, command, self._signer)
            folded = fold.receive(_Unwritten(fold.next_offset, now_ms, value, headers))
        except SwapError as error:
            refused = f"{error.code}: {error.message}"
        else:
            assert folded, "the record is of this deployment"
            verdict = folded[1]
            if verdict.outcome is not Outcome.REFUSED:
                return fold.timeline.swaps[command.generation].generation, ""
            refused = f"{verdict.code}: {verdict.message}"
        # As if it were only the number or the signature: what it would be is to be checked all the same.
        fold.timeline.receive(replace(command, command_id=str(uuid.uuid4()), generation=number), now_ms)
        swap = fold.timeline.swaps.get(number)
        return swap.generation if swap else None, refused

    async def _difference(self, serving: Swap | None, new: Proto | None) -> tuple[VersionStep | None, tuple[str, ...]]:
        old = serving.generation.proto if serving else None
        if not old or not new or old.sha256 == new.sha256:
            return None, ()
        from hotswap.codec.compatibility import incompatibilities  # noqa: PLC0415 - another proto alone needs it

        try:
            before, after = await self._preparing.schema(old), await self._preparing.schema(new)
        except SwapError:  # which loading it says, too
            return None, ()
        return next_step(before, after), tuple(incompatibilities(before, after))

    def _lacking(self, known: Known, generation: Generation | None) -> str:
        if generation is None:
            return ""
        lacking = lacking_kind(generation.model.kind, known.fleet.workers.values(), time.time())
        return lacking and f"{SwapCode.KIND_MISSING}: {lacking}"

    async def _load(self, generation: Generation | None, topic: _Topic, made: _Made) -> LocalLoad:
        if generation is None:
            return LocalLoad(unchecked="there is no whole generation to load")
        if not self._is_loading or made.proto is None:
            return LocalLoad()
        return await load_here(
            self._settings,
            generation,
            own=OwnParts(made.proto, made.file, made.kind, made.golden),
            is_inherited="model" in _inherited(made.command),
            max_answer_bytes=topic.max_answer_bytes,
        )


def _inherited(command: SwapCommand | RollbackCommand) -> tuple[str, ...]:
    if isinstance(command, RollbackCommand):
        return _PARTS
    return tuple(part for part in _PARTS if getattr(command, part) is None) if command.base else ()


def _part(generation: Generation | None, part: str) -> object:
    """Return what makes a part of a generation differ from another one's."""
    value = getattr(generation, part, None)
    if part == "model" and generation:
        return generation.model.sha256, generation.model.kind
    return generation.proto.sha256 if part == "proto" and generation else value


def _notes(known: Known) -> list[str]:
    timeline = known.history.timeline
    newest = timeline.swaps.get(timeline.newest)
    notes = []
    if newest and newest.is_staged and not newest.is_abandoned:
        notes.append(f"generation {newest.number}, which is staged, would go no further")
    if timeline.is_paused:
        notes.append(f"{known.history.deployment} is paused")
    if not known.live:
        notes.append("no worker reports: it would be staged once one starts")
    return notes
