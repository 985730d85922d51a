"""The commands of one deployment in the order of the control log, each with its verdict.

The fold is the workers' own (`trust/fold.py`), so a publisher knows whether its command was accepted or came too late
as soon as it has read it back, without asking any worker.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from hotswap.client.fleet import Fleet
from hotswap.errors import SwapError, TooOld, UsageError
from hotswap.settings import Settings
from hotswap.swap.command import Command, LaterCommand, SwapCommand, Verdict
from hotswap.swap.timeline import Swap, Timeline
from hotswap.trust.file import Trust
from hotswap.trust.fold import Fold
from hotswap.trust.guard import Record

_KEPT_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in the log: its offset, its timestamp in ms since the epoch, the verdict on it, and its record."""

    offset: int
    at_ms: int
    command: Command | LaterCommand
    verdict: Verdict
    record: Record


@dataclass(slots=True)
class History:
    """The accepted generations (`timeline`) and the last commands (`entries`, oldest first)."""

    fold: Fold
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=_KEPT_ENTRIES))

    @classmethod
    def of(cls, settings: Settings, trust: Trust | None = None) -> Self:
        """Return an empty history that verifies by `trust`, or else by the file that the settings name.

        Raises:
            UsageError: the trust file cannot be read, or is wrong.

        """
        return cls(Fold.of(settings, trust=trust))

    @property
    def deployment(self) -> str:
        """The deployment's name."""
        return self.fold.deployment

    @property
    def timeline(self) -> Timeline:
        """The accepted generations."""
        return self.fold.timeline

    def receive(self, records: Iterable[Any]) -> None:
        """Fold records of the control topic, except those that are no commands or for other deployments."""
        for record in records:
            try:
                folded = self.fold.receive(record)
            except SwapError:
                continue
            if folded:
                self.entries.append(Entry(record.offset, record.timestamp, *folded, record))

    def verdict_at(self, offset: int) -> Verdict | None:
        """Return the verdict on the command at this offset; None if it has not been read yet."""
        return next((entry.verdict for entry in reversed(self.entries) if entry.offset == offset), None)

    def last_other(self) -> str:
        """Return the id of the last command that is no swap; empty: there is none."""
        others = (entry.command for entry in reversed(self.entries) if not isinstance(entry.command, SwapCommand))
        return next((command.command_id for command in others), "")

    def check(self) -> None:
        """Raise TooOld if only a later version can read some command: the serving generation is then unknown."""
        if self.timeline.held:
            raise TooOld(f"{self.deployment} cannot be used from here: {self.timeline.held}")

    def serving(self, fleet: Fleet, scored: Collection[int] = ()) -> Swap | None:
        """Return the newest accepted generation that has not failed: the one that serves, or is about to.

        Those that have `scored` a partition last, according to the committed offsets, have not, even if reported so.

        Raises:
            TooOld: see `check`.

        """
        self.check()
        serving = (swap for swap in self._intact(fleet, scored) if self.is_for_all(swap, scored))
        return max(serving, key=lambda swap: swap.number, default=None)

    def is_for_all(self, swap: Swap, scored: Collection[int] = ()) -> bool:
        """Return whether a generation may be the serving one, as far as commands and the committed offsets tell.

        One that is staged or half promoted may not, unless no older one has `scored` a partition last; nor one that is
        abandoned. One in the place of that has its parts for few partitions, or all: it may if it has scored any.
        """
        if swap.is_abandoned:
            return False
        if swap.is_staged:
            return swap.number == min(scored, default=0)
        return swap.is_whole or swap.number in scored

    def _intact(self, fleet: Fleet, scored: Collection[int]) -> list[Swap]:
        swaps = self.timeline.swaps.values()
        return [swap for swap in swaps if swap.number in scored or not fleet.has_failed(swap.command_id)]

    def before(self, fleet: Fleet, scored: Collection[int] = (), served: Collection[int] = ()) -> Swap:
        """Return the generation to roll back to: the newest one that served before the serving one, and is intact.

        `served` are the generations that a partition has ever cut over to.

        Raises:
            UsageError: there is none.

        """
        serving = self.serving(fleet, scored)
        newest = self.timeline.swaps.get(self.timeline.newest)
        if serving and newest and newest is not serving and newest.is_staged and newest.number in scored:
            return serving  # a canary goes back to the one beside it
        older = [
            swap
            for swap in self._intact(fleet, scored)
            if serving and swap.number < serving.number and swap.is_whole and not _continues(serving, swap)
        ]
        for swap in reversed(older):
            if swap.number in served:
                return swap
        known = ", ".join(map(str, self.timeline.swaps)) or "none"
        hint = f"none before {serving.number} is known to have served; --to names any of them" if serving else ""
        raise UsageError(
            f"{self.deployment} has no generation before the serving one to roll back to "
            f"(accepted: {known}){': ' * bool(older)}{hint * bool(older)}"
        )


def _continues(swap: Swap, older: Swap) -> bool:
    """Return whether a generation is in the place of an abandoned one with the parts of this older one."""
    return bool(swap.replaces) and replace(older.generation, number=swap.number) == swap.generation
