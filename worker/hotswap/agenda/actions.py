"""The actions that the agenda requests of a worker; staging.py performs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hotswap.errors import SwapError
from hotswap.generation import Generation
from hotswap.swap.command import Outcome
from hotswap.swap.timeline import Swap


@dataclass(frozen=True, slots=True)
class Stage:
    """Fetch and load this generation beside the serving one."""

    swap: Swap


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the current staging."""


@dataclass(frozen=True, slots=True)
class Report:
    """Publish a swap's outcome to the status topic, with its error or the seconds that each phase of staging took.

    Staging adds what the generation `reads`, if it is loaded: operation -> field -> the values that it knows; the
    `fields` of the model's columns: operation -> column -> field; and the versions of its `runtime`, also once retired.
    """

    swap: Swap
    outcome: Outcome
    error: SwapError | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    reads: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Retire:
    """Stop the host of a generation."""

    number: int


@dataclass(frozen=True, slots=True)
class KeepStandby:
    """Keep a warm standby for the next swap to this kind of model; `generation` is the newest of that kind here."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Join:
    """Join the group: this worker can score every partition, or has staged all it can for now."""


@dataclass(frozen=True, slots=True)
class StayOut:
    """Do not join the group yet, and say why."""

    why: str


Action = Stage | Cancel | Report | Retire | KeepStandby | Join | StayOut
