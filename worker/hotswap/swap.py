"""The fold of a deployment's control log, decided without I/O.

Every worker folds the same log with `Timeline.receive`, reaches the same verdict on each command, and so has the same
list of accepted generations. In agenda/, progress.py tracks the state of each of them on one worker, and agenda.py
decides what the worker does next.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import MOST, Configuration, Generation, Model, Proto


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapCommand:
    """Replace the serving generation with a new one; parts that are None are inherited from `base` (0: the newest)."""

    command_id: str
    generation: int
    base: int = 0
    model: Model | None = None
    proto: Proto | None = None
    configuration: Configuration | None = None
    samples: tuple[bytes, ...] = ()
    cut: Mapping[int, int] = field(default_factory=dict)
    not_after_ms: int | None = None
    deadline_ms: int | None = None
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackCommand:
    """Create a new, higher generation with the parts of generation `to`."""

    command_id: str
    generation: int
    to: int
    cut: Mapping[int, int] = field(default_factory=dict)
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseCommand:
    """Pause every partition before its next batch (`is_paused`), or resume them."""

    command_id: str
    is_paused: bool
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipCommand:
    """Refuse the requests of the damaged batch at this offset, so that the partition continues past it."""

    command_id: str
    partition: int
    offset: int
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustCommand:
    """From here on, each command must be signed, and keys with the ids `revoked` sign no more (trust/guard.py)."""

    command_id: str
    revoked: tuple[str, ...] = ()
    rules: int = 0


@dataclass(frozen=True, slots=True)
class LaterCommand:
    """A command that needs a later version of the contract than this one: only the common fields are known."""

    command_id: str
    least_version: int


Command = SwapCommand | RollbackCommand | PauseCommand | SkipCommand | TrustCommand

RULES = 1
"""Version of the rules that apply to a log from a command of this client version on; see control.proto."""

VERSION = 1
"""The version of the contract that is known here: `least_version` in control.proto."""

MOST_VERSION = 1_000
"""No version is ever greater, so no number can hold every worker there will ever be."""

_STEP = 1 << 53
_MOVE = "continue the deployment under another name, with `hotswap move`"
_SHOWN = 10


def highest(newest: int) -> int:
    """Return the highest number that the generation after `newest` can have."""
    return min(newest + _STEP, MOST)


def out_of_reach(number: int, newest: int) -> str:
    """Return why a generation cannot have this number after `newest`, with advice; empty if it can."""
    if number <= highest(newest):
        return ""
    if newest >= MOST:
        return f"generation {newest} has the last possible number: {_MOVE}"
    return (
        f"generation {number} is more than 2^53 above {newest}, the newest one accepted: choose a number closer to it, "
        f"or, if a partition was scored by a higher one, {_MOVE}"
    )


class Outcome(StrEnum):
    """Outcome of a command, as the status topic names it.

    Of a swap, a worker reports, from its start on, in this order:

        STAGING ──▶ READY ──▶ SERVING ──▶ RETIRED ──▶ STAGING     needed again (an offset was reset)
         ▲  │ │       └────────────────────▲                      a newer one serves instead
         │  │ └──▶ FAILED ──▶ FAILED, READY                       tried again, which is no news of its own
         │  ▼
        SUPERSEDED                                                or at first, before its staging has begun

    REFUSED, APPLIED, DUPLICATE and HELD are verdicts on a command by itself, in no order.
    """

    STAGING = "STAGING"
    READY = "READY"
    SERVING = "SERVING"
    RETIRED = "RETIRED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"
    APPLIED = "APPLIED"
    DUPLICATE = "DUPLICATE"
    HELD = "HELD"

    def may_follow(self, before: "Outcome | None") -> bool:
        """Whether a worker may report this of a swap next; None: it has reported nothing."""
        return self in _MAY_FOLLOW[before]


_MAY_FOLLOW = {
    None: {Outcome.STAGING, Outcome.SUPERSEDED},
    Outcome.STAGING: {Outcome.READY, Outcome.FAILED, Outcome.SUPERSEDED},
    Outcome.READY: {Outcome.SERVING, Outcome.RETIRED},
    Outcome.SERVING: {Outcome.RETIRED},
    Outcome.RETIRED: {Outcome.STAGING},
    Outcome.FAILED: {Outcome.FAILED, Outcome.READY},
    Outcome.SUPERSEDED: {Outcome.STAGING},
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a command, the same on every worker; `outcome` None: accepted, and staging will report more."""

    command_id: str
    generation: int
    outcome: Outcome | None
    code: SwapCode | Literal[""] = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Swap:
    """An accepted generation, and the offsets at which it takes over."""

    command_id: str
    generation: Generation
    cut: Mapping[int, int]
    deadline_ms: int | None

    @property
    def number(self) -> int:
        """The generation's number."""
        return self.generation.number

    def takes(self, partition: int, offset: int) -> bool:
        """Whether this offset is at or past the generation's own cut."""
        return offset >= self.cut.get(partition, 0)


class Timeline:
    """The accepted generations of one deployment, oldest first."""

    version = VERSION
    """The version of the contract by which it is folded."""

    def __init__(self) -> None:
        self.swaps: dict[int, Swap] = {}
        self.is_paused = False
        self.held = ""
        """Why nothing may be answered, nor folded, from here on: a command needs a later version. Empty: none does."""
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
        if isinstance(command, TrustCommand):
            return Verdict(command.command_id, 0, Outcome.APPLIED)
        if isinstance(command, PauseCommand):
            self.is_paused = command.is_paused
            return Verdict(command.command_id, 0, Outcome.APPLIED)
        if isinstance(command, SkipCommand):
            self.skips[command.partition, command.offset] = command.command_id
            return Verdict(command.command_id, 0, Outcome.APPLIED)
        if command.generation <= self.newest:
            raise SwapError(
                SwapCode.STALE,
                f"generation {command.generation} is not greater than {self.newest}, the newest one accepted: another "
                f"swap came first; look at `hotswap status`, then try again with {self.newest + 1}",
            )
        # Only after a command that carries the mark: what the log accepted before stays accepted.
        if self._rules and (why := out_of_reach(command.generation, self.newest)):
            raise SwapError(SwapCode.OUT_OF_RANGE, why)
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
        self.swaps[generation.number] = Swap(command.command_id, generation, command.cut, deadline_ms)

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
        return Generation(command.generation, model, proto, configuration, command.samples)


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
