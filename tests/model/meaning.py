"""What a control log means, by control.proto: a second implementation, independent of worker/hotswap/swap/."""

from typing import NamedTuple, TypeAlias

from hotswap.generation import Configuration, Model, Proto
from hotswap.swap.command import AbandonCommand, PauseCommand, PromoteCommand, RollbackCommand, SwapCommand
from hotswap.v1 import control_pb2 as wire

Command: TypeAlias = SwapCommand | RollbackCommand | PauseCommand | PromoteCommand | AbandonCommand
"""What the model commands; no batch of it is damaged, so there is none to skip."""


class Accepted(NamedTuple):
    """An accepted generation: its three parts, where it takes over, and the command that made it."""

    model: Model
    proto: Proto
    configuration: Configuration
    cut: dict[int, int]
    command_id: str
    is_staged: bool = False
    """Whether a partition without a cut is not its own, rather than from its first request on."""
    promote_by_ms: int | None = None
    instead_of: int = 0
    """The generation whose partitions alone it takes; 0: it takes those of any."""
    is_abandoned: bool = False

    def begins(self, partition: int) -> int | None:
        """The first offset that is its own; None: there is none."""
        if partition in self.cut:
            return self.cut[partition]
        return None if self.is_staged else 0


class Meaning(NamedTuple):
    """The meaning of a prefix of the control log: the accepted generations by number, and whether there is a pause.

    `is_held`: to whom it means no more, being of an older version than one of its commands needs.
    """

    accepted: dict[int, Accepted]
    is_paused: bool
    is_held: bool = False

    @property
    def newest(self) -> int:
        return max(self.accepted, default=0)


class Fold:
    """The control log, and the meaning of each prefix of it."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        """(timestamp in ms, value) of each record, in the order of the topic."""
        self.commands: list[Command | None] = []
        """The command in each record; None if there is none for this deployment."""
        self._meanings = [Meaning({}, is_paused=False)]
        self._ids: dict[str, Command] = {}
        self.later: int | None = None
        """Place of the first command that needs version 2; None: there is none."""
        self.lost: set[int] = set()
        """Generations that were promoted in a part of the log that is lost."""

    @property
    def now(self) -> Meaning:
        return self._meanings[-1]

    def at(self, length: int, version: int) -> Meaning:
        """What the first `length` records mean to a worker of this version, 1 or 2."""
        if version == 1 and self.later is not None and length > self.later:
            return self._meanings[self.later]._replace(is_held=True)
        return self._meanings[length]

    def append(self, timestamp_ms: int, value: bytes, command: Command | None) -> None:
        said = wire.Command.FromString(value)
        if self.later is None and (said.deployment, said.least_version) == ("d", 2):
            self.later = len(self.records)
        self.records.append((timestamp_ms, value))
        self.commands.append(command)
        self._meanings.append(self._next(command, timestamp_ms))

    def lose_promote(self) -> bool:
        """The last record is lost, if it is a promote; whether it was."""
        last = self.commands[-1] if self.commands else None
        if not isinstance(last, PromoteCommand) or self.commands.index(last) != len(self.commands) - 1:
            return False
        self._ids.pop(last.command_id)
        self.lost.add(last.generation)
        for log in (self.records, self.commands, self._meanings):
            log.pop()
        if self.later == len(self.records):
            self.later = None
        return True

    def _next(self, command: Command | None, timestamp_ms: int) -> Meaning:
        before = self.now
        if command is None or not command.command_id or command.command_id in self._ids:
            return before
        self._ids[command.command_id] = command
        if isinstance(command, PauseCommand):
            return before._replace(is_paused=command.is_paused)
        if isinstance(command, PromoteCommand):
            return before._replace(accepted=before.accepted | _promoted(command, before, timestamp_ms))
        if command.generation <= before.newest:
            return before
        if isinstance(command, AbandonCommand):
            return before._replace(accepted=before.accepted | _abandoned(command, before))
        made = _made(command, before.accepted, before.newest, timestamp_ms)
        return before if made is None else before._replace(accepted={**before.accepted, command.generation: made})


def _made(
    command: SwapCommand | RollbackCommand, accepted: dict[int, Accepted], newest: int, timestamp_ms: int
) -> Accepted | None:
    if isinstance(command, RollbackCommand):
        old = accepted.get(command.to)
        return old and _cut_over(old, command)
    if command.not_after_ms is not None and command.not_after_ms < timestamp_ms:
        return None
    base = accepted.get(command.base or newest)
    if base is None:
        if command.base or command.model is None or command.proto is None:
            return None
        base = Accepted(command.model, command.proto, Configuration(), {}, "")
    parts = Accepted(
        command.model or base.model,
        command.proto or base.proto,
        command.configuration or base.configuration,
        {},
        "",
    )
    return _cut_over(parts, command)


def _cut_over(parts: Accepted, command: SwapCommand | RollbackCommand) -> Accepted:
    """These parts as the new generation that the command cuts over to."""
    until = command.promote_by_ms if command.is_staged else None
    return Accepted(*parts[:3], dict(command.cut), command.command_id, command.is_staged, until)


def _promoted(command: PromoteCommand, before: Meaning, timestamp_ms: int) -> dict[int, Accepted]:
    """What a promote changes: its generation, if that is the newest, and it is not too late."""
    made = before.accepted.get(command.generation)
    if made is None or command.generation < before.newest:
        return {}
    if made.promote_by_ms is not None and made.promote_by_ms < timestamp_ms:
        return {}
    cut = dict(made.cut)
    for partition, offset in command.cut.items():
        begins = made.begins(partition)
        if begins is None or begins > offset:
            cut[partition] = offset
    return {command.generation: made._replace(cut=cut, is_staged=made.is_staged and not command.is_complete)}


def _abandoned(command: AbandonCommand, before: Meaning) -> dict[int, Accepted]:
    """What an abandon changes: it ends the newest generation, and brings one for what that has scored."""
    accepted, ended = before.accepted, before.newest
    intact = [number for number, made in accepted.items() if number != ended and not made.is_abandoned]
    source = command.to or max(intact, default=0)
    if command.abandoned != ended or source not in accepted or source == ended:
        return {}
    heir = Accepted(*accepted[source][:3], dict(command.cut), command.command_id, instead_of=ended)
    return {ended: accepted[ended]._replace(is_abandoned=True), command.generation: heir}
