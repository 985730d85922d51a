"""Confirmation of SERVING reports by the committed offsets, since anyone with Write on the status topic can forge them.

A worker reports SERVING once it has committed every partition with the generation, so the committed offsets must name
it, or a later one. A partition that is paused or held commits nothing. The control log has the pauses. Only reports
know of a held partition: they count if a member of the group repeats them, without contradiction, for as long as a dead
worker stays a member.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from hotswap.client import overview
from hotswap.client.change import Receipt
from hotswap.client.fleet import Fleet, FleetAnswer, WorkerView
from hotswap.client.offsets import Offsets
from hotswap.errors import Doubt, StartError
from hotswap.kafka.topics.committed import Committed
from hotswap.printable import numbers
from hotswap.settings import Settings

_AGAIN_S = 0.2
_LOG_S = 2.0
_NAMED = 5


class Confirmation:
    """The check that the fleet's answer to a swap counts."""

    def __init__(self, settings: Settings, receipt: Receipt, offsets: Offsets) -> None:
        self._settings = settings
        self._receipt = receipt
        self._offsets = offsets
        self._began = time.monotonic()
        self._held: dict[int, tuple[str, float]] = {}  # partition -> a worker that reports it held, and since when
        self._looked = self._looked_at_log = float("-inf")
        self._is_paused = False
        self._last = ""

    def hear(self, view: WorkerView) -> None:
        """Record a worker's report on its partitions; a contradiction between reports means that none is held."""
        now = time.monotonic()
        for part in view.partitions:
            if part.held:
                _, since = self._held.get(part.partition, ("", now))
                self._held[part.partition] = view.worker, since
            else:
                self._held.pop(part.partition, None)

    async def of(self, answer: FleetAnswer, fleet: Fleet, *, is_last: bool) -> FleetAnswer:
        """Return the answer, marked if it is not confirmed; `is_last`: there is no time for another check.

        Answers to other commands than swaps, and those with a failure, are returned unchanged.
        """
        are_good = bool(answer.told) and all(report.is_good for report in answer.told.values())
        if not self._receipt.generation or self._receipt.rollout or not are_good or (answer.missing and not is_last):
            return answer
        if time.monotonic() - self._looked >= _AGAIN_S or is_last:
            self._last = await self._objection(answer, fleet)
            self._looked = time.monotonic()
        if self._offsets.denied:
            return replace(answer, unverified=self._offsets.denied)
        if answer.missing and not self._last:
            return await self._without_strangers(answer)
        return replace(answer, unconfirmed=self._last)

    async def _objection(self, answer: FleetAnswer, fleet: Fleet) -> str:
        """Return why the reports do not count yet; empty if they do, or if this user may not read the offsets."""
        try:
            committed = await self._offsets.read()
            if committed is None:
                return f"this user may not see {self._settings.topics.requests}, so its committed offsets are unknown"
            behind = {n: at for n, at in committed.items() if self._receipt.awaits(n, at.generation)}
            return self._why(behind, answer, await self._excused(behind, answer, fleet)) if behind else ""
        except (Doubt, StartError) as doubt:
            return f"the committed offsets could not be read: {doubt}"

    async def _excused(self, behind: Collection[int], answer: FleetAnswer, fleet: Fleet) -> set[int]:
        """Return the partitions that cannot commit the generation now because they are paused or held."""
        now, live = time.monotonic(), fleet.live(time.time())
        if now - self._began < self._session_s:
            return set()
        if now - self._looked_at_log > _LOG_S:
            self._is_paused = (await overview.read_history(self._settings)).timeline.is_paused
            self._looked_at_log = now
        held = {n for n, (by, since) in self._held.items() if now - since >= self._session_s and by in live}
        if not self._is_paused and held.isdisjoint(behind):
            return set()
        members = await self._offsets.members()
        if self._is_paused and not members.isdisjoint(answer.told):
            return set(behind)
        return {n for n in held if self._held[n][0] in members}

    @property
    def _session_s(self) -> float:
        """How long a dead worker may stay a member of the group."""
        return max(self._settings.session_timeout_ms / 1000, 0.0)

    def _why(self, behind: Mapping[int, Committed], answer: FleetAnswer, excused: Collection[int]) -> str:
        left = {n: at for n, at in behind.items() if n not in excused}
        if not left:
            return ""
        old = max(at.generation for at in left.values())
        workers = sorted(answer.told)
        more = len(workers) - _NAMED
        names = ", ".join(workers[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        committed = f"name generation {old}" if old else "name none"
        group, plural = self._settings.group_id, "s" * (len(left) > 1)
        claim = f"{names} reported that it serves, but the committed offsets of group {group} {committed}"
        return f"{claim} for partition{plural} {numbers(left)}"

    async def _without_strangers(self, answer: FleetAnswer) -> FleetAnswer:
        """Stop waiting for workers outside the group: every partition is served without them."""
        try:
            members = await self._offsets.members()
        except (Doubt, StartError):
            return answer
        strangers = tuple(worker for worker in answer.missing if worker not in members)
        missing = tuple(worker for worker in answer.missing if worker in members)
        return replace(answer, missing=missing, strangers=strangers)
