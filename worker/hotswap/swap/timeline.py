"""The fold of a deployment's control log, decided without I/O.

Every worker folds the same log with `Timeline.receive`, reaches the same verdict on each command, and so has the same
list of accepted generations. In agenda/, progress.py tracks the state of each of them on one worker, and agenda.py
decides what the worker does next.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hotswap.batch import Position
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration, Generation
from hotswap.swap.command import (
    VERSION,
    AbandonCommand,
    Command,
    LaterCommand,
    Outcome,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    ShadowCommand,
    SkipCommand,
    SwapCommand,
    TrustCommand,
    Verdict,
    highest,
    out_of_reach,
    version_of,
)
from hotswap.swap.sample import Shadowed

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Swap:
    """An accepted generation, and the offsets at which it takes over."""

    command_id: str
    generation: Generation
    cut: Mapping[int, int]
    deadline_ms: int | None
    is_staged: bool = False
    """Whether partitions without an offset in `cut` are not cut, rather than at once."""
    promote_by_ms: int | None = None
    replaces: int = 0
    """The abandoned generation whose partitions it takes, and no others; 0: it is no such one."""
    is_abandoned: bool = False

    @property
    def number(self) -> int:
        """The generation's number."""
        return self.generation.number

    @property
    def is_whole(self) -> bool:
        """Whether it is for every partition: not only staged or half promoted, abandoned, or for an abandoned one's."""
        return not (self.is_staged or self.is_abandoned or self.replaces)

    def cut_at(self, partition: int) -> int | None:
        """Return the first offset that it answers; None: no command has cut the partition to it."""
        return self.cut.get(partition, None if self.is_staged else 0)

    def is_for(self, floor: int) -> bool:
        """Whether a partition that generation `floor` scored last may ever come to this one."""
        return floor >= self.number or (not self.is_abandoned and floor >= self.replaces)

    def takes(self, partition: int, position: Position) -> bool:
        """Whether the generation may score this partition from this offset on."""
        cut = self.cut_at(partition)
        if cut is None:  # it was promoted in a part of the log that is lost
            return position.floor >= self.number
        return position.offset >= cut and self.is_for(position.floor)


class Timeline:
    """The accepted generations of one deployment, oldest first."""

    version = VERSION
    """The version of the contract by which it is folded."""

    def __init__(self) -> None:
        self.swaps: dict[int, Swap] = {}
        self.is_paused = False
        self.held = ""
        """Why nothing may be answered, nor folded, from here on: a command needs a later version. Empty: none does."""
        self.revision = 0
        """Changes with every generation, and every cut of one."""
        self.needs = 1
        """The least version of the contract that a reader of the log so far must know."""
        self.shadowed: Shadowed | None = None
        """What it answers, if it is a shadow; None: requests of its own."""
        self.skips: dict[tuple[int, int], str] = {}
        """(partition, offset) of a damaged batch -> id of the command to skip it."""
        self._rules = 0
        # Command id -> digest and verdict. Digests tell duplicates from equivocations; whole commands are not kept, as
        # a refused one may be as large as a message, and there may be any number of them.
        self._seen: dict[str, tuple[bytes, Verdict]] = {}

    @property
    def newest(self) -> int:
        """Number of the newest accepted generation; 0: none."""
        return next(reversed(self.swaps), 0)

    @property
    def highest(self) -> int:
        """The highest number that the next generation can have."""
        return highest(self.newest)

    def has_seen(self, command_id: str) -> bool:
        """Return whether a command with this id has been folded, accepted or not."""
        return command_id in self._seen

    def receive(self, command: Command, timestamp_ms: int) -> Verdict:
        """Fold the next command of the control log; `timestamp_ms` is its record's timestamp, so all workers agree.

        A repeated command is a DUPLICATE; a repeated id with different content is refused (EQUIVOCATION).
        """
        command_id = command.command_id
        number = getattr(command, "generation", 0)
        if not command_id:
            return Verdict(
                command_id, number, Outcome.REFUSED, SwapCode.MALFORMED, "a command needs a command_id (a UUID)"
            )
        self._rules = max(self._rules, command.rules)
        self.needs = max(self.needs, version_of(command))
        content = _digest(command)
        if command_id in self._seen:
            first, verdict = self._seen[command_id]
            if first == content:
                return replace(verdict, outcome=Outcome.DUPLICATE)
            why = f"command id {command_id} was used before with other content: ids are used once"
            return Verdict(command_id, number, Outcome.REFUSED, SwapCode.EQUIVOCATION, why)
        try:
            verdict = self._accept(command, timestamp_ms)
        except SwapError as refused:
            verdict = Verdict(command_id, number, Outcome.REFUSED, refused.code, refused.message)
        self._seen[command_id] = content, verdict
        return verdict

    def hold(self, command: LaterCommand, offset: int) -> Verdict:
        """Fold nothing from this command on, which is at `offset` of the control topic.

        There is no way back for this version, as any later command may rest on one that only newer versions know.
        """
        self.held = (
            f"offset {offset} of the control topic has a command that needs version {command.least_version} of its "
            f"contract, and version {self.version} is known here: upgrade it"
        )
        return Verdict(command.command_id, 0, Outcome.HELD, "", self.held)

    def _accept(self, command: Command, timestamp_ms: int) -> Verdict:
        number = 0
        match command:
            case TrustCommand():
                pass  # the guard's
            case PauseCommand():
                self.is_paused = command.is_paused
            case SkipCommand():
                self.skips[command.partition, command.offset] = command.command_id
            case ShadowCommand():
                self._shadow(command)
            case PromoteCommand():
                self._promote(command, timestamp_ms)
                number = command.generation
            case _:
                return self._accept_generation(command, timestamp_ms)
        return Verdict(command.command_id, number, Outcome.APPLIED)

    def _accept_generation(self, command: SwapCommand | RollbackCommand | AbandonCommand, timestamp_ms: int) -> Verdict:
        if command.generation <= self.newest:
            raise SwapError(
                SwapCode.STALE,
                f"generation {command.generation} is not greater than {self.newest}, the newest one accepted: another "
                f"swap came first; look at `hotswap status`, then try again with {self.newest + 1}",
            )
        # Only after a command that carries the mark: what the log accepted before stays accepted.
        if self._rules and (why := out_of_reach(command.generation, self.newest)):
            raise SwapError(SwapCode.OUT_OF_RANGE, why)
        if isinstance(command, AbandonCommand):
            self._abandon(command)
            return Verdict(command.command_id, command.generation, Outcome.APPLIED)
        if isinstance(command, RollbackCommand):
            old = self._base(command.to).generation
            self._append(command, replace(old, number=command.generation), None)
        else:
            if command.not_after_ms is not None and timestamp_ms > command.not_after_ms:
                # In ms, however many: verdicts are what every version makes of a log, word for word.
                late = timestamp_ms - command.not_after_ms
                raise SwapError(
                    SwapCode.EXPIRED, f"the command reached the control topic {late} ms after its not_after"
                )
            self._append(command, self._inherit(command), command.deadline_ms)
        return Verdict(command.command_id, command.generation, None)

    def _append(self, command: SwapCommand | RollbackCommand, generation: Generation, deadline_ms: int | None) -> None:
        swap = Swap(command.command_id, generation, command.cut, deadline_ms, command.is_staged, command.promote_by_ms)
        self._put(swap)

    def _put(self, swap: Swap) -> None:
        self.swaps[swap.number] = swap
        self.revision += 1

    def _promote(self, command: PromoteCommand, timestamp_ms: int) -> None:
        swap = self._newest_one(command.generation)
        if swap.promote_by_ms is not None and timestamp_ms > swap.promote_by_ms:
            late = timestamp_ms - swap.promote_by_ms
            raise SwapError(SwapCode.EXPIRED, f"the command reached the control topic {late} ms after its promote_by")
        cuts = {partition: swap.cut_at(partition) for partition in command.cut}
        lower = {one: to for one, to in command.cut.items() if (at := cuts[one]) is None or to < at}
        is_staged = swap.is_staged and not command.is_complete
        self._put(replace(swap, cut={**swap.cut, **lower}, is_staged=is_staged))

    def _abandon(self, command: AbandonCommand) -> None:
        swap = self._newest_one(command.abandoned)
        earlier = (one for one in reversed(self.swaps.values()) if one is not swap and not one.is_abandoned)
        old = self._base(command.to) if command.to else next(earlier, None)
        if old is None or old is swap:
            why = f"there is no generation before {swap.number} that its partitions could go back to"
            raise SwapError(SwapCode.UNKNOWN_BASE, why)
        self._put(replace(swap, is_abandoned=True))
        new = replace(old.generation, number=command.generation)
        self._put(Swap(command.command_id, new, command.cut, None, replaces=swap.number))

    def _shadow(self, command: ShadowCommand) -> None:
        if self.shadowed:
            raise SwapError(SwapCode.STALE, f"it is a shadow of {self.shadowed.of} already")
        if self.newest:
            raise SwapError(
                SwapCode.STALE,
                f"generation {self.newest} was accepted before: only a deployment without a generation can become a "
                "shadow; choose another name",
            )
        self.shadowed = command.shadowed

    def _newest_one(self, number: int) -> Swap:
        swap = self._base(number)
        if number != self.newest:
            raise SwapError(
                SwapCode.STALE,
                f"generation {number} goes no further, since {self.newest} was accepted after it; look at `hotswap "
                "status`",
            )
        return swap

    def _base(self, number: int) -> Swap:
        if number not in self.swaps:
            known = ", ".join(map(str, list(self.swaps)[-_SHOWN:])) or "none"
            more = "…, " if len(self.swaps) > _SHOWN else ""
            raise SwapError(
                SwapCode.UNKNOWN_BASE, f"generation {number} was never accepted here (accepted: {more}{known})"
            )
        return self.swaps[number]

    def _inherit(self, command: SwapCommand) -> Generation:
        # From `base` or the newest in the log, never from the serving one: that differs between workers while they
        # stage, and two workers that have read the same log must reach the same generation.
        base = self._base(command.base or self.newest).generation if command.base or self.swaps else None
        model = command.model or (base.model if base else None)
        proto = command.proto or (base.proto if base else None)
        if model is None or proto is None:
            missing = "a model" if model is None else "a proto"
            raise SwapError(
                SwapCode.INCOMPLETE, f"a deployment's first generation must name {missing}: nothing to inherit"
            )
        configuration = command.configuration or (base.configuration if base else Configuration())
        golden = command.golden or (base.golden if base else None)
        return Generation(
            command.generation, model, proto, configuration, command.samples, golden if golden and golden.uri else None
        )


def _digest(command: Command) -> bytes:
    """Return the SHA-256 of a command's content: equal for equal commands only."""
    return hashlib.sha256(repr(_content(command)).encode("utf-8", "surrogatepass")).digest()


def _content(value: Any) -> Any:
    """Normalize a value so that its repr depends on no iteration order, with bytes replaced by their digest."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, bytes):
        return hashlib.sha256(value).digest()
    if isinstance(value, tuple):
        return [_content(part) for part in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        keys = sorted(value)
        return keys, [value[key] for key in keys]
    return type(value).__name__, [_content(getattr(value, part.name)) for part in fields(value)]
