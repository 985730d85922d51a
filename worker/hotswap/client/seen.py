"""What is known of a deployment from its control log and its workers' reports; no I/O."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from hotswap.client.fleet import Fleet, Told
from hotswap.client.history import Entry, History
from hotswap.kafka.topics.log import LogRecord
from hotswap.settings import Settings
from hotswap.swap import LaterCommand, PauseCommand, RollbackCommand, SkipCommand, TrustCommand
from hotswap.trust.fold import Fold


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command, the verdict on it, and each worker's outcome."""

    entry: Entry
    told: Mapping[str, Told]

    @property
    def title(self) -> str:
        """What to call it."""
        order = self.entry.command
        if isinstance(order, LaterCommand):
            return f"needs version {order.least_version}"
        if isinstance(order, PauseCommand):
            return "pause" if order.is_paused else "resume"
        if isinstance(order, SkipCommand):
            return f"skip {order.offset} of partition {order.partition}"
        if isinstance(order, TrustCommand):
            return f"trust: commands are signed{''.join(f', {key} is revoked' for key in order.revoked)}"
        if isinstance(order, RollbackCommand):
            return f"rollback to {order.to} as {order.generation}"
        named = {"model": f"model {order.model.name}".strip() if order.model else "model"}
        parts = ", ".join(named.get(part, part) for part in ("model", "proto", "configuration") if getattr(order, part))
        return f"swap to {order.generation}: {parts or f'as {order.base}'}"

    @property
    def served_at(self) -> float:
        """When the first worker served it, in seconds since the epoch; 0: none did, or nobody knows any more."""
        return min((told.serving_at for told in self.told.values() if told.serving_at), default=0.0)

    def document(self) -> dict[str, Any]:
        """Return what it is, and the verdict on it, as a JSON document."""
        entry, verdict = self.entry, self.entry.verdict
        return {
            "command_id": entry.command.command_id,
            "title": self.title,
            "at_ms": entry.at_ms,
            "generation": verdict.generation,
            "verdict": verdict.outcome or "ACCEPTED",
            "code": verdict.code,
            "message": verdict.message,
        }

    def outcomes(self) -> dict[str, Any]:
        """Return what each worker told of it, as a JSON document."""
        return {
            worker: {"outcome": told.outcome, "code": told.code, "message": told.message}
            for worker, told in self.told.items()
        }


class Seen(NamedTuple):
    """What is known of a deployment from its control log and its workers' reports; it goes on while they are read."""

    history: History
    fleet: Fleet

    @classmethod
    def nothing(cls, settings: Settings) -> Self:
        """Return what is known before anything is read. Raises UsageError: the trust file is wrong."""
        return cls(History.of(settings), Fleet(settings.deployment))

    def anew(self) -> Self:
        """Return what is known before anything is read, under the trust file that is in use, or is to be."""
        guard = self.history.fold.guard
        fold = Fold(guard.deployment, guard=guard.anew(guard.pending))
        return type(self)(History(fold), Fleet(guard.deployment))

    def receive(self, commands: list[LogRecord], reports: Iterable[LogRecord]) -> None:
        """Add what has been read of the control topic and the status topic."""
        self.history.receive(commands)
        for report in reports:
            self.fleet.receive(report.value, heard_at(report))

    def commands(self) -> list[CommandView]:
        """Return the last commands, oldest first."""
        return [CommandView(entry, self.fleet.told.get(entry.command.command_id, {})) for entry in self.history.entries]


def heard_at(report: LogRecord) -> float:
    """Return by when a report was there, in seconds since the epoch: what it says of its time may lie ahead."""
    return min((report.timestamp or 0) / 1000, time.time())
