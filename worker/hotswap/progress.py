"""How far this worker is with each generation that was commanded, and by that: who scores which offset.

The timeline (swap.py) is the same on every worker. What differs is only this, and nobody but the agenda writes it:

    ACCEPTED ──▶ STAGING ──▶ READY ──▶ RETIRED
       ▲          │    │                  │
       └──────────┘    ▼                  │  needed again (an offset was reset)
      superseded     FAILED ──▶ STAGING ◀─┘
                            asked for again, where a partition may be scored by nothing older

`Progress.choose` is the law of the data path. It depends on the log, the partition, the offset and the generation that
scored the partition last; so each request has one generation that may answer it, whichever worker asks.
"""

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

from hotswap.batch import Position
from hotswap.pipeline.ports import Serve, Wait
from hotswap.swap import Swap, Timeline, out_of_reach


class State(StrEnum):
    """How far a generation is on this worker; the module's text draws the legal transitions."""

    ACCEPTED = "accepted"
    STAGING = "staging"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


_LEGAL = {
    State.ACCEPTED: {State.STAGING},
    State.STAGING: {State.READY, State.FAILED, State.ACCEPTED},
    State.READY: {State.RETIRED},
    State.FAILED: {State.STAGING},
    State.RETIRED: {State.STAGING},
}


class Progress:
    """The state of each generation on one worker."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._states: dict[int, State] = {}

    def of(self, number: int) -> State:
        """How far an accepted generation is."""
        return self._states.get(number, State.ACCEPTED)

    def move(self, number: int, state: State) -> None:
        """The one place where a state changes."""
        if state not in _LEGAL[self.of(number)]:
            raise AssertionError(f"generation {number}: {self.of(number)} -> {state} is no legal transition")
        self._states[number] = state

    @property
    def loaded(self) -> list[int]:
        """The generations whose host is up, oldest first."""
        return sorted(number for number, state in self._states.items() if state is State.READY)

    @property
    def newest_intact(self) -> set[int]:
        """The newest generation that has not failed; none where all have, or there is none."""
        numbers = reversed(self.timeline.swaps)
        return set(islice((number for number in numbers if self.of(number) is not State.FAILED), 1))

    def choose(self, partition: int, position: Position) -> Serve | Wait:
        """The generation that scores this partition from this offset on; none below the partition's floor."""
        if self.timeline.is_paused:
            return Wait(None, "paused by command")
        until = None
        candidate: int | None = None
        for swap in self.course(partition, position):
            if not swap.takes(partition, position.offset):
                cut = swap.cut[partition]
                until = cut if until is None else min(until, cut)
            elif self.of(swap.number) is State.READY:
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
            f"was last scored by generation {position.floor}, and no accepted command of the control topic carries "
            f"one as new: {out_of_reach(position.floor + 1, self.timeline.newest) or higher}",
        )

    def is_overtaken(self, partition: int, position: Position, number: int) -> bool:
        """Whether a batch that generation `number` has had for long is to be given up: another one may score it now.

        Or none may, after a pause. A cut by offsets that lies ahead is no reason: what comes before it is for the old
        generation alone, however long that takes.
        """
        choice = self.choose(partition, position)
        return self.timeline.is_paused or (isinstance(choice, Serve) and choice.number != number)

    def course(self, partition: int, position: Position) -> Iterator[Swap]:
        """The generations that may score a partition from here on, newest first.

        Those whose cut lies ahead, and the newest one that takes this offset. While that is not ready it leaves the
        field to the ones before it, if it is cut at once; one that is cut by offsets is waited for, since decoding its
        requests with the old proto would answer garbage. None below the floor, and none that failed but the floor.
        """
        for swap in reversed(self.timeline.swaps.values()):
            if swap.number < position.floor:
                return
            state = self.of(swap.number)
            if state is State.FAILED and swap.number != position.floor:
                continue
            yield swap
            # A partition that was empty when the command was given is cut at 0.
            if swap.takes(partition, position.offset) and (state is State.READY or partition in swap.cut):
                return
