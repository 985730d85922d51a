"""The commands of one deployment in the order of the control log, each with its verdict.

The fold is the workers' own (`swap.Timeline`), so a publisher knows whether its command was accepted or came too late
as soon as it has read it back, without asking any worker.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hotswap.client.fleet import Fleet
from hotswap.commands import command_for
from hotswap.errors import SwapError, UsageError
from hotswap.swap import Command, Swap, Timeline, Verdict

_KEPT_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in the log: its offset, its timestamp in ms since the epoch, and the verdict on it."""

    offset: int
    at_ms: int
    command: Command
    verdict: Verdict


@dataclass(slots=True)
class History:
    """The accepted generations (`timeline`) and the last commands (`entries`, oldest first)."""

    deployment: str
    timeline: Timeline = field(default_factory=Timeline)
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=_KEPT_ENTRIES))

    def receive(self, records: Iterable[Any]) -> None:
        """Folds records of the control topic; ignores those for other deployments, and those that are not commands."""
        for record in records:
            try:
                command = command_for(self.deployment, record.value)
            except SwapError:
                continue
            if command:
                verdict = self.timeline.receive(command, record.timestamp)
                self.entries.append(Entry(record.offset, record.timestamp, command, verdict))

    def verdict_at(self, offset: int) -> Verdict | None:
        """Returns the verdict on the command at this offset; None if it has not been read yet."""
        return next((entry.verdict for entry in reversed(self.entries) if entry.offset == offset), None)

    def serving(self, fleet: Fleet) -> Swap | None:
        """Returns the newest accepted generation that has not failed: the one that serves, or is about to."""
        intact = (swap for swap in self.timeline.swaps.values() if not fleet.has_failed(swap.command_id))
        return max(intact, key=lambda swap: swap.number, default=None)

    def before(self, fleet: Fleet) -> Swap:
        """Returns the generation to roll back to: the newest one before the serving one that has not failed.

        Raises:
            UsageError: there is none.

        """
        serving = self.serving(fleet)
        older = [
            swap
            for swap in self.timeline.swaps.values()
            if serving and swap.number < serving.number and not fleet.has_failed(swap.command_id)
        ]
        if not older:
            known = ", ".join(map(str, self.timeline.swaps)) or "none"
            raise UsageError(
                f"{self.deployment} has no generation before the serving one to roll back to (accepted: {known})"
            )
        return older[-1]
