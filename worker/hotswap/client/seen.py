"""The state of a deployment by its control log and its workers' reports; no I/O."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from hotswap.client.fleet import Fleet, Told
from hotswap.client.history import Entry, History
from hotswap.kafka.topics.log import LogRecord
from hotswap.printable import numbers
from hotswap.settings import Settings
from hotswap.swap.command import (
    AbandonCommand,
    Command,
    LaterCommand,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    ShadowCommand,
    SkipCommand,
    SwapCommand,
    TrustCommand,
)
from hotswap.trust.fold import Fold

_PARTS = ("model", "proto", "configuration")


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command, the verdict on it, and each worker's outcome."""

    entry: Entry
    told: Mapping[str, Told]

    @property
    def title(self) -> str:
        """The command in a few words."""
        return _title(self.entry.command)

    @property
    def served_at(self) -> float:
        """When the first worker served it, in seconds since the epoch; 0: none did, or no longer known."""
        return min((outcome.serving_at for outcome in self.told.values() if outcome.serving_at), default=0.0)

    def document(self) -> dict[str, Any]:
        """Return the command and its verdict as a JSON document."""
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
        """Return each worker's outcome as a JSON document."""
        return {
            worker: {
                "outcome": outcome.outcome,
                "code": outcome.code,
                "message": outcome.message,
                "runtime": outcome.runtime,
                "cpu": outcome.cpu,
            }
            for worker, outcome in self.told.items()
        }


class Seen(NamedTuple):
    """The folds of a deployment's control log and of its workers' reports, up to the last records read."""

    history: History
    fleet: Fleet

    @classmethod
    def nothing(cls, settings: Settings) -> Self:
        """Return the state before the first record. Raises UsageError if the trust file is wrong."""
        return cls(History.of(settings), Fleet(settings.deployment))

    def anew(self) -> Self:
        """Return the state before the first record, under the pending trust file or the one in use."""
        guard = self.history.fold.guard
        fold = Fold(guard.deployment, guard=guard.anew(guard.pending))
        return type(self)(History(fold), Fleet(guard.deployment))

    def receive(self, commands: list[LogRecord], reports: Iterable[LogRecord]) -> None:
        """Fold records of the control topic and the status topic."""
        self.history.receive(commands)
        for report in reports:
            self.fleet.receive(report.value, heard_at(report))

    def commands(self) -> list[CommandView]:
        """Return the last commands, oldest first."""
        return [CommandView(entry, self.fleet.told.get(entry.command.command_id, {})) for entry in self.history.entries]


def heard_at(report: LogRecord) -> float:
    """Return an upper bound of a report's time, in seconds since the epoch: its timestamp may lie in the future."""
    return min((report.timestamp or 0) / 1000, time.time())


def _title(command: Command | LaterCommand) -> str:
    match command:
        case LaterCommand():
            title = f"needs version {command.least_version}"
        case PauseCommand():
            title = "pause" if command.is_paused else "resume"
        case SkipCommand():
            title = f"skip {command.offset} of partition {command.partition}"
        case ShadowCommand():
            title = f"shadow of {command.shadowed.of}"
        case TrustCommand():
            title = f"trust: commands are signed{''.join(f', {key} is revoked' for key in command.revoked)}"
        case RollbackCommand():
            title = f"rollback to {command.to} as {command.generation}"
        case PromoteCommand():
            where = "" if command.is_complete else f": partitions {numbers(command.cut)}"
            title = f"promote {command.generation}{where}"
        case AbandonCommand():
            title = f"abandon {command.abandoned} for {command.generation}"
        case SwapCommand():
            named = {"model": f"model {command.model.name}".strip() if command.model else "model"}
            parts = [named.get(part, part) for part in _PARTS if getattr(command, part)]
            what = ", ".join(parts) or f"as {command.base}"
            title = f"{'stage' if command.is_staged else 'swap to'} {command.generation}: {what}"
    return title
