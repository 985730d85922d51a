"""What the loop of a partition asks of the rest of the worker, and what others may know of it: values and Protocols."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from hotswap.batch import Answer, Ask, Position, Request, Transaction
from hotswap.generation import Generation
from hotswap.pipeline.admission import Rules


class Source(Protocol):
    """One input partition, owned by this worker; every call raises Doubt where its effect is not known."""

    async def open(self) -> Position:
        """Shut out every earlier owner, end what it left open, and say where the partition stands."""

    async def wait(self) -> int | None:
        """Offset of the next request, once it is here, or up to which there is none; None when asked to stop.

        Raises DamagedBatch where the next batch is not what the broker was given.
        """

    def skip(self, why: str) -> None:
        """Put a refusal in the place of each request of the batch that was damaged."""

    def take(self, limit: int, until: int | None) -> Sequence[Request]:
        """The next requests: at most `limit`, none from offset `until` on; empty only where none is here."""

    def begin(self, position: Position) -> None:
        """Say that a batch is taken, and that its commit will lead to `position`; a commit without it is legal."""

    async def commit(self, transaction: Transaction) -> None:
        """Write the transaction and await that it is committed."""

    async def close(self) -> None:
        """Throw away the producer; bounded, never raises."""

    def stop(self) -> None:
        """Make `wait` say None from now on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest messages that the output topics take, bytes."""

    prediction: int
    dead_letter: int


class Scorer(Protocol):
    """The model host of one generation."""

    @property
    def deadline_s(self) -> float:
        """How long it may take for a batch, and then for each request by itself, seconds."""

    @property
    def busy_s(self) -> float:
        """For how long it has been at the batch that is in it, seconds."""

    async def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None) -> list[Answer]:
        """One answer for each value, in order; HostError where no host can be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A generation that is ready: what scores it, and what it admits."""

    generation: Generation
    host: Scorer
    rules: Rules
    max_batch_records: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Score with this generation; from offset `until` on (None: no end in sight) ask again."""

    number: int
    until: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Score nothing yet: `number` must be ready first (None: there is none, or a pause), and `why` for a person."""

    number: int | None
    why: str


class Router(Protocol):
    """Which generation scores what: the agenda decides, and staging has what scores it."""

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        """See agenda.Agenda.choose."""

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        """See agenda.Agenda.is_overtaken."""

    def serving(self, number: int) -> Serving:
        """The generation of a Serve."""

    def skips(self, partition: int, offset: int) -> str:
        """The command that orders to go on behind a damaged batch at this offset; empty where there is none."""

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set once `choose` may answer differently than now."""


@dataclass(slots=True, kw_only=True)
class PartitionState:
    """What others may know of a partition: for the status topic, the metrics and the retiring of generations."""

    position: Position | None = None
    in_hand: int | None = None
    held: str = "being opened"
    damage: str = ""
    """What holds it, where that is a damaged batch; empty else."""
    last_batch_at: float = field(default_factory=perf_counter)
