"""The commands of a control log, the verdicts on them, and their outcomes on a worker; timeline.py folds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from hotswap.errors import SwapCode
from hotswap.generation import MOST, Configuration, Golden, Model, Proto
from hotswap.swap.sample import Shadowed


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
    is_staged: bool = False
    promote_by_ms: int | None = None
    not_after_ms: int | None = None
    deadline_ms: int | None = None
    golden: Golden | None = None
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackCommand:
    """Create a new, higher generation with the parts of generation `to`."""

    command_id: str
    generation: int
    to: int
    cut: Mapping[int, int] = field(default_factory=dict)
    is_staged: bool = False
    promote_by_ms: int | None = None
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteCommand:
    """Lower the cuts of the newest generation to `cut`; `is_complete`: partitions without one are cut at once."""

    command_id: str
    generation: int
    cut: Mapping[int, int] = field(default_factory=dict)
    is_complete: bool = False
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonCommand:
    """Let the newest generation, `abandoned`, take no further partition; those that it has go to a new one.

    That has the parts of generation `to`; 0: of the newest one before that was not abandoned.
    """

    command_id: str
    generation: int
    abandoned: int
    to: int = 0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowCommand:
    """Make the deployment, which has no generation yet, a shadow of another one."""

    command_id: str
    shadowed: Shadowed
    rules: int = 0


@dataclass(frozen=True, slots=True)
class LaterCommand:
    """A command that needs a later version of the contract than this one: only the common fields are known."""

    command_id: str
    least_version: int


Command = (
    SwapCommand
    | RollbackCommand
    | PromoteCommand
    | AbandonCommand
    | PauseCommand
    | SkipCommand
    | TrustCommand
    | ShadowCommand
)

STAGED = 2
"""The version of the contract that brought staged cut-overs, the commands for them, and golden answers."""

SHADOWS = 3
"""The version of the contract that brought shadows."""

RULES = 1
"""Version of the rules that apply to a log from a command of this client version on; see control.proto."""

VERSION = 3
"""The version of the contract that is known here: `least_version` in control.proto."""

MOST_VERSION = 1_000
"""No version is ever greater, so no number can hold every worker there will ever be."""

_STEP = 1 << 53
_MOVE = "continue the deployment under another name, with `hotswap move`"


def version_of(command: Command) -> int:
    """Return the least version of the contract that a reader of this command must know."""
    match command:
        case ShadowCommand():
            return SHADOWS
        case PromoteCommand() | AbandonCommand():
            is_later = True
        case SwapCommand():
            is_later = command.is_staged or command.golden is not None
        case RollbackCommand():
            is_later = command.is_staged
        case _:
            is_later = False
    return STAGED if is_later else 1


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
