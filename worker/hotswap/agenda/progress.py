"""The state of each accepted generation on this worker, and from it: which generation scores which offset.

The timeline (swap/timeline.py) is the same on every worker. Only these states differ, and only the agenda changes them:

    ACCEPTED ──▶ STAGING ──▶ READY ──▶ RETIRED
       ▲          │    │                  │
       └──────────┘    ▼                  │  needed again (an offset was reset)
      superseded     FAILED ──▶ STAGING ◀─┘
                            retried, where no older generation may score a partition,
                            or where it was out of reach when this worker started

`Progress.choose` is the law of the data path. It depends on the log, the partition, the offset and the generation that
scored the partition last, so exactly one generation may answer each request, whichever worker owns it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice

from hotswap.batch import Position
from hotswap.errors import SwapCode, SwapError
from hotswap.pipeline.ports import Serve, Wait
from hotswap.swap.command import out_of_reach
from hotswap.swap.timeline import Swap, Timeline


class GenerationState(StrEnum):
    """State of a generation on this worker; the module's docstring draws the legal transitions."""

    ACCEPTED = "accepted"
    STAGING = "staging"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


_LEGAL = {
    GenerationState.ACCEPTED: {GenerationState.STAGING},
    GenerationState.STAGING: {GenerationState.READY, GenerationState.FAILED, GenerationState.ACCEPTED},
    GenerationState.READY: {GenerationState.RETIRED},
    GenerationState.FAILED: {GenerationState.STAGING},
    GenerationState.RETIRED: {GenerationState.STAGING},
}


class Progress:
    """The state of each generation on one worker."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._states: dict[int, GenerationState] = {}
        self._unable: dict[int, str] = {}  # those whose kind this worker's installation cannot load, and why

    def of(self, number: int) -> GenerationState:
        """Return the state of an accepted generation."""
        return self._states.get(number, GenerationState.ACCEPTED)

    def move(self, number: int, state: GenerationState) -> None:
        """Change a generation's state; the only place that does."""
        if state not in _LEGAL[self.of(number)]:
            raise AssertionError(f"generation {number}: {self.of(number)} -> {state} is not a legal transition")
        self._states[number] = state

    def fail(self, number: int, error: SwapError) -> None:
        """Record that the staging of a generation failed, for the first time or again."""
        if self.of(number) is GenerationState.STAGING:
            self.move(number, GenerationState.FAILED)
        self._unable.pop(number, None)
        if error.code is SwapCode.KIND_MISSING:
            self._unable[number] = error.message

    @property
    def loaded(self) -> list[int]:
        """The generations whose host is up, oldest first."""
        return sorted(number for number, state in self._states.items() if state is GenerationState.READY)

    @property
    def newest_intact(self) -> set[int]:
        """The newest generation that has not failed, of those for any partition; empty if there is none."""
        swaps = reversed(self.timeline.swaps.values())
        lasting = (swap.number for swap in swaps if not swap.is_abandoned and not swap.replaces)
        return set(islice((number for number in lasting if self.of(number) is not GenerationState.FAILED), 1))

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        """Return the generation that scores this partition from this offset on, never one below its floor."""
        if self.timeline.held:
            return Wait(None, self.timeline.held)
        if self.timeline.is_paused:
            return Wait(None, "paused by command")
        until = None
        candidate: int | None = None
        for swap in self.course(partition, position):
            if not swap.takes(partition, position):
                if (cut := swap.cut_at(partition)) is not None:
                    until = cut if until is None else min(until, cut)
            elif self.of(swap.number) is GenerationState.READY:
                return Serve(swap.number, until)
            else:
                candidate = candidate or swap.number
        if candidate is not None:
            return Wait(candidate, f"waits for generation {candidate}, which is not ready on this worker")
        if not position.floor:
            return Wait(None, "no generation has been accepted: send the first one with `hotswap swap`")
        higher = (
            "publish a whole generation (model and proto) with a higher number, `hotswap swap --generation "
            f"{position.floor + 1}`"
        )
        return Wait(
            position.floor,
            f"was last scored by generation {position.floor}, and the control topic has no accepted command for one "
            f"that may follow it: {out_of_reach(position.floor + 1, self.timeline.newest) or higher}",
        )

    def waits(self, partition: int, position: Position) -> str:
        """Return the generation that a partition waits for, as text for a person; empty if it waits for none.

        A pause does not count as a wait.
        """
        choice = self.choose(partition, position)
        return choice.why if isinstance(choice, Wait) and choice.number is not None else ""

    def unable(self, positions: Mapping[int, Position]) -> str:
        """Return which partition this worker's installation cannot score, and why; empty: it lacks no kind for any.

        A pause does not count.
        """
        for partition, at in positions.items():
            course = (swap for swap in self.course(partition, at) if swap.takes(partition, at))
            if at.floor in self._unable and not any(self.of(swap.number) is GenerationState.READY for swap in course):
                why = self._unable[at.floor]
                return f"partition {partition} was last scored by generation {at.floor}, which it cannot load: {why}"
        return ""

    def would_end(self, waiting: Mapping[int, Position], number: int) -> bool:
        """Whether all these partitions could be scored once generation `number` is ready, at least one of them again.

        Partitions that nothing has ever scored do not count: a first model may be corrected before it answers.
        """
        may_score = self.timeline.swaps[number].takes
        could = all(at.floor <= number and may_score(partition, at) for partition, at in waiting.items())
        return could and any(at.floor for at in waiting.values())

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        """Whether to give up a batch that generation `number` has long had in hand.

        True if another generation may score it now, or if a pause, or a command of a later version, lets none do so. A
        cut by offsets that lies ahead is no reason: requests before it belong to the old generation alone, however long
        they take.
        """
        if self.timeline.held:
            return True
        choice = self.choose(partition, position)
        return self.timeline.is_paused or (isinstance(choice, Serve) and choice.number != number)

    def course(self, partition: int, position: Position) -> Iterator[Swap]:
        """Yield the generations that may score a partition from here on, newest first.

        Those whose cut lies ahead, then the newest one that takes this offset. Until that one is ready, older ones
        follow it if it cuts over at once; one that cuts over at offsets is waited for, because decoding its requests
        with the old proto would produce garbage. None is below the floor, and none has failed except the floor itself.
        The newest of all may be cut later, if it is staged; an earlier one never, nor one that was abandoned.
        """
        newest = self.timeline.newest
        for swap in reversed(self.timeline.swaps.values()):
            if swap.number < position.floor:
                return
            state = self.of(swap.number)
            if state is GenerationState.FAILED and swap.number != position.floor:
                continue
            takes = swap.takes(partition, position)
            if not takes and not self._may_take(swap, partition, position.floor, newest):
                continue
            yield swap
            # A partition that was empty when the command was sent has its cut at offset 0.
            if takes and (state is GenerationState.READY or partition in swap.cut):
                return

    @staticmethod
    def _may_take(swap: Swap, partition: int, floor: int, newest: int) -> bool:
        """Whether a partition may come to a generation later: its cut lies ahead, or may yet be made."""
        return swap.is_for(floor) and (swap.cut_at(partition) is not None or swap.number == newest)
