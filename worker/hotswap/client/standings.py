"""Which generation scores each partition, and the standing of each that scores one or may be promoted; no I/O.

The committed offsets decide which generation scored a partition last; reports do where the offsets name none. What a
worker serves, and its SERVING of a swap, are about its own partitions alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from hotswap.client.fleet import WorkerView
from hotswap.printable import counted, numbers
from hotswap.swap.command import highest
from hotswap.swap.timeline import Swap

if TYPE_CHECKING:
    from hotswap.client.overview import Overview


class Standing(StrEnum):
    """What a generation is to the deployment, according to the control log."""

    SERVES = "serves"
    """For every partition, or for those of an abandoned one."""
    STAGED = "staged"
    """Loaded beside the serving one: no command has cut a partition to it."""
    PROMOTED = "promoted"
    """A canary: some partitions are cut to it, and the others are not."""
    ABANDONED = "abandoned"
    """Its partitions go to another one."""
    UNKNOWN = "unknown"
    """The control topic does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationView:
    """A generation that scores partitions, or may be promoted."""

    number: int
    standing: Standing
    model: str
    """Its name, or the start of its digest."""
    partitions: tuple[int, ...]
    """Those that it scored last."""
    promoted: tuple[int, ...] = ()
    """Those that a command has cut to it, at any offset, while others are not."""
    of: int
    """The number of the deployment's partitions."""
    loaded: tuple[str, ...]
    """The live workers that have loaded it."""
    workers: int
    """The number of the live workers."""
    share: float | None = None
    """Of the requests, from 0 to 1; None: it is not known, or there was no request."""
    replaces: int = 0
    """The abandoned one whose partitions it has."""
    is_open: bool = False
    """Whether its stage has not ended: that of a generation that another one followed has."""
    promote_by_ms: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether what it is for is not a part of the deployment, as a canary's, and does not end."""
        return self.standing in (Standing.SERVES, Standing.UNKNOWN)

    def may_be_promoted(self, at: float) -> bool:
        """Whether a Promote that is written now (seconds since the epoch) may take further partitions."""
        return self.is_open and (self.promote_by_ms is None or at * 1000 <= self.promote_by_ms)

    @property
    def scores(self) -> str:
        """The partitions that it scored last, as text."""
        return numbers(self.partitions) or "none"

    @property
    def percent(self) -> str:
        """Its share as text; empty: it is not known."""
        return "" if self.share is None else f"{100 * self.share:.3g} %"

    @property
    def words(self) -> str:
        """Its standing as text."""
        end = "" if self.is_open else ", and goes no further"
        match self.standing:
            case Standing.SERVES:
                return f"serves in place of {self.replaces}" if self.replaces else "serves"
            case Standing.STAGED:
                return f"staged on {len(self.loaded)} of {counted(self.workers, 'worker')}{end}"
            case Standing.PROMOTED:
                some = f"partition{'s' * (len(self.promoted) != 1)} {numbers(self.promoted) or 'none'}"
                return f"promoted on {some} of {self.of}{end}"
            case Standing.ABANDONED:
                return "abandoned"
            case Standing.UNKNOWN:
                return "unknown to the control topic"


def generations_of(worker: WorkerView) -> tuple[int, ...]:
    """Return the generations that score a worker's partitions, oldest first, or the one that would; empty: none."""
    return tuple(sorted({part.generation for part in worker.partitions} - {0} or {worker.generation} - {0}))


def scorers(view: "Overview") -> Mapping[int, int]:
    """Return partition -> the generation that scored it last; one that none has scored is left out."""
    reported = {part.partition: part.generation for worker in view.live for part in worker.partitions}
    # Workers ignore floors that no command can have created, too (kafka/partition/position.py).
    committed = {lag.partition: lag.generation for lag in view.lags if lag.generation <= highest(view.newest)}
    scored = {number: committed.get(number) or reported.get(number, 0) for number in {*reported, *committed}}
    return {number: generation for number, generation in sorted(scored.items()) if generation}


def standings(view: "Overview") -> tuple[GenerationView, ...]:
    """Return the generations that score partitions, and the newest one if it may be promoted; oldest first."""
    scored, swaps = scorers(view), {swap.number: swap for swap in view.swaps}
    newest = swaps.get(view.newest)
    shown = {*scored.values(), *([newest.number] if newest and newest.is_staged else [])}
    return tuple(_standing(view, number, swaps.get(number), scored) for number in sorted(shown))


def _standing(view: "Overview", number: int, swap: Swap | None, scored: Mapping[int, int]) -> GenerationView:
    partitions = tuple(partition for partition, generation in scored.items() if generation == number)
    every = [lag.partition for lag in view.lags]
    model = swap.generation.model if swap else None
    facts = GenerationView(
        number=number,
        standing=_standing_of(swap, every, scored),
        model=(model.name or model.sha256[:8]) if model else "",
        partitions=partitions,
        of=len(every),
        loaded=tuple(worker.worker for worker in view.live if number in (worker.generation, *worker.loaded)),
        workers=len(view.live),
        share=view.window.share(partitions) if view.window else None,
        replaces=swap.replaces if swap else 0,
    )
    if swap is None or not swap.is_staged or swap.is_abandoned:
        return facts
    promoted = tuple(one for one in every if swap.cut_at(one) is not None)
    is_open = number == view.newest
    return replace(facts, promoted=promoted, is_open=is_open, promote_by_ms=swap.promote_by_ms)


def _standing_of(swap: Swap | None, every: Collection[int], scored: Mapping[int, int]) -> Standing:
    if swap is None:
        return Standing.UNKNOWN
    if swap.is_abandoned:
        return Standing.ABANDONED
    # Without an end of the stage, it is for these partitions alone, and not for those that are added.
    if not swap.is_staged or (every and all(scored.get(one) == swap.number for one in every)):
        return Standing.SERVES
    return Standing.PROMOTED if swap.cut else Standing.STAGED
