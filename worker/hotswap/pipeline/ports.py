"""The Protocols that a partition's loop needs from the rest of the worker, and the values it shares with it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotswap.batch import (
    Answer,
    Ask,
    BatchAnswers,
    Declined,
    DeclinedRequest,
    Given,
    Limits,
    Position,
    RecordBatch,
    Request,
    Seal,
    Stamp,
    Transaction,
    Unsealed,
)
from hotswap.generation import Generation
from hotswap.pipeline.admission import Rules
from hotswap.swap.sample import Sampling


class RawRequests(Protocol):
    """Requests in the record batches that they arrived in: for a host that reads these itself, or to be parsed."""

    @property
    def pieces(self) -> Sequence[memoryview]:
        """The record batches, uncompressed."""

    @property
    def first(self) -> int:
        """Offset of the first request."""

    @property
    def next(self) -> int:
        """Offset after the last one."""

    @property
    def size(self) -> int:
        """The number of requests: not each offset between them has one."""

    @property
    def is_full(self) -> bool:
        """Whether another batch might have arrived: these are as many as may be taken at a time."""

    @property
    def max_record_bytes(self) -> int:
        """The largest record that is a request, bytes; larger ones are refused when they are parsed."""

    def parsed(self) -> Sequence[Request]:
        """Parse the requests."""

    def some(self, requests: Sequence[DeclinedRequest]) -> Sequence[Request]:
        """Parse some of the requests."""

    def times(self) -> Iterable[tuple[int, int]]:
        """Yield times of requests, milliseconds since the epoch, and how many requests each stands for."""


class Source(Protocol):
    """One input partition, owned by this worker.

    One loop makes these calls, in this order:

        open ──▶ wait ──▶ take or take_raw ──▶ commit ──▶ wait
                               ▲         │
                               └─ write ─┘       a further batch of the same transaction
        any ──▶ close ──▶ open                   an error, a cancellation, or the end

    * A further batch is taken before the answers to the one before it are written: `write` is for those of all batches
      but the last, whose answers `commit` gets.
    * A `commit` without a `take` cuts over where no request is.
    * `pass_over` takes the place of `wait` where a partition's requests are not answered.
    * `skip` follows a DamagedBatch of `wait`; without it, `wait` raises the same one again.
    * `wake` and `stop` may be called at any time, by others than the loop.
    * After an error of `open`, `write` or `commit`, only `close` may follow. What was not committed then never is:
      the next `open` returns the position from which its requests are taken again.

    Every call raises Doubt if its effect is in doubt.
    """

    @property
    def deleted(self) -> tuple[int, int]:
        """First offset of the requests that were deleted before they were read, and the one after; (0, 0): none."""

    @property
    def limits(self) -> Limits:
        """The limits of the output topics, as of the last `open`."""

    async def open(self) -> Position:
        """Fence every earlier owner, end its open transactions, and return the partition's position.

        Raises:
            TopicMismatch: its answers have nowhere to go, or the topics reject them.
            Doubt: a call is in doubt.

        """

    async def wait(self) -> int | None:
        """Wait for the next request; return its offset, or an offset before which there is none; None after `stop`.

        Raises:
            DamagedBatch: the next batch is corrupt.

        """

    def wake(self) -> None:
        """Make `wait` return, though no request may have arrived."""

    async def pass_over(self) -> int:
        """Return the end of the requests, before which none is wanted; fetch none until the next `open`."""

    def skip(self, why: str) -> None:
        """Replace each request of the damaged batch with a refusal."""

    def take(self, limit: int, until: int | None) -> Sequence[Request]:
        """Return the next requests, at most `limit`, none from offset `until` on; empty only if none has arrived."""

    def take_raw(self, limit: int, until: int | None) -> RawRequests | None:
        """Take as `take` does, unparsed; None: none has arrived, or the next ones must be parsed."""

    @property
    def stamp(self) -> Stamp:
        """The stamp of the next record batch of predictions; valid until the next `write` or `commit`."""

    def write(self, answers: BatchAnswers) -> None:
        """Write answers in a transaction, which goes on; `commit` waits for them."""

    async def commit(self, transaction: Transaction) -> None:
        """Write the last answers of a transaction, and return once all are committed."""

    async def close(self) -> None:
        """Discard the producer; bounded, never raises."""

    def stop(self) -> None:
        """Make `wait` return None from now on."""


class Scorer(Protocol):
    """The model host of one generation."""

    @property
    def deadline_s(self) -> float:
        """Time limit for a batch, and then for each request in a one-by-one retry, seconds."""

    @property
    def busy_s(self) -> float:
        """How long the host has been scoring its current batch, seconds."""

    async def score(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None = None, *, is_suspect: bool = False
    ) -> Sequence[Answer]:
        """Return one answer per value, in order.

        With `is_suspect`, each is scored alone at once, since the host has died or taken too long with them.

        Raises:
            HostError: no host could be started.

        """

    @property
    def can_seal(self) -> bool:
        """Whether `seal` may be called: the host is trusted to write answers itself, and can."""

    async def seal(self, seal: Seal, replacements: Given) -> Sequence[RecordBatch] | Declined | Unsealed:
        """Return the answers as finished record batches, or the declined requests, to be answered in `replacements`.

        Raises:
            HostError: no host could be started.

        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A ready generation: its host, and the requests that it admits."""

    generation: Generation
    host: Scorer
    rules: Rules
    max_batch_records: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Score with this generation up to offset `until` (exclusive; None: no limit), then choose again."""

    number: int
    until: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Score nothing yet: `number` must be ready first (None: no such generation, or a pause); `why` is for a person."""

    number: int | None
    why: str


class Router(Protocol):
    """Decides which generation scores a request: the agenda chooses, and staging has the hosts.

    * `choose` comes first, between two batches; a Serve holds for the requests from this position to its `until`, and
      another batch needs another choice.
    * `serving` follows a Serve at once, without an `await` in between. What it returns stays loaded as long as
      `PartitionState.in_hand` names its generation, which is set before the next `await`, too.
    * A Wait holds until `changed` is set. Read `changed` before `choose`, or without an `await` after it: each change
      has its own event.
    * `is_overtaken` is asked about a batch in hand alone. No call waits, and all are made on the worker's event loop.
    """

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        """See progress.Progress.choose."""

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        """See progress.Progress.is_overtaken."""

    def serving(self, number: int) -> Serving:
        """Return the generation that a Serve names; KeyError: it is not loaded, or not any more."""

    @property
    def sample(self) -> Sampling:
        """Which requests are answered; no generation is chosen before it is known."""

    def skips(self, partition: int, offset: int) -> str:
        """Return the id of the command that skips the damaged batch at this offset; empty if there is none."""

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set as soon as `choose` may return something else than now."""
