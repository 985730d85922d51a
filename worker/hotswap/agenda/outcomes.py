"""The outcomes of generations that one worker has reported, and the reports that are due; decided without I/O."""

from collections.abc import Collection, Iterator, Mapping

from hotswap.agenda.actions import Report
from hotswap.agenda.progress import Progress
from hotswap.pipeline.ports import Serve
from hotswap.pipeline.states import PartitionState
from hotswap.swap.command import Outcome
from hotswap.swap.timeline import Swap

Partitions = Mapping[int, PartitionState]
"""The partitions that this worker owns, by number."""


class Outcomes:
    """What this worker has reported of each generation."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._timeline = progress.timeline
        self._announced = 0
        self._last: dict[int, Outcome] = {}  # generation -> its last one that was reported
        self._answered = 0  # all generations up to this one have an outcome, or are `_untouched`
        self._untouched: list[Swap] = []

    def replayed(self) -> None:
        """Treat every command in the timeline as already answered."""
        self._answered = self._timeline.newest

    def record(self, number: int, outcome: Outcome) -> None:
        """Record a generation's outcome; the only place that does."""
        before = self._last.get(number)
        if not outcome.may_follow(before):
            raise AssertionError(f"generation {number}: {before} -> {outcome} is not a legal order of outcomes")
        self._last[number] = outcome
        if outcome is Outcome.SERVING:
            self._announced = number

    def untouched(self, needed: Collection[int]) -> Iterator[Report]:
        """Report SUPERSEDED for swaps that were overtaken before staging began: a client awaits their outcome."""
        for swap in reversed(self._timeline.swaps.values()):
            if swap.number <= self._answered:
                break
            if not swap.replaces:  # an Abandon is answered when it is folded
                self._untouched.append(swap)
        self._answered = self._timeline.newest
        self._untouched = [swap for swap in self._untouched if swap.number not in self._last]
        yield from (Report(swap, Outcome.SUPERSEDED) for swap in self._untouched if swap.number not in needed)

    def serving(self, own: Partitions, scored: int) -> Iterator[Report]:
        """Report SERVING once every owned partition has committed its cut-over to the newest generation that it can.

        One that is held or paused, or awaits a newer generation, cannot: nothing older answers it here meanwhile. What
        is older than a generation that has `scored` a partition does not serve any more.
        """
        for number in reversed(self._progress.loaded):
            if number <= self._announced or number < scored:
                return
            if self._serves(self._timeline.swaps[number], own):
                yield Report(self._timeline.swaps[number], Outcome.SERVING)
                return

    def _serves(self, swap: Swap, own: Partitions) -> bool:
        """Whether every owned partition that a generation is for has committed its cut-over, or cannot now."""
        if swap.is_abandoned:
            return False
        for partition, state in own.items():
            if state.in_hand is not None and state.in_hand < swap.number:
                return False
            if (at := state.position) is None or not swap.is_for(at.floor):
                continue
            may_commit = not state.held and isinstance(self._progress.choose(partition, at), Serve)
            if not swap.takes(partition, at) or (at.floor < swap.number and may_commit):
                return False
        return True
