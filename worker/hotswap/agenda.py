"""What a worker has to do next about its generations, decided without I/O.

From what was commanded (swap.py), how far this worker is (progress.py), where the partitions stand and what failed
when, `Agenda.turn` says what comes next. staging.py does it, and tells what became of it: `ready`, `failed`,
`given_up`, `looked`. No clock is read here: the time is given, in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hotswap.batch import Position
from hotswap.errors import SwapError, pause_before
from hotswap.generation import Generation
from hotswap.pipeline.ports import PartitionState, Serve, Wait
from hotswap.progress import Progress, State
from hotswap.swap import Outcome, Swap, Timeline

_LOOK_S = 2.0
_RETRY_S = 5.0
_RETRY_AT_MOST_S = 60.0

Partitions = Mapping[int, PartitionState]
"""The partitions that this worker owns."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Fetch and load this generation beside what serves."""

    swap: Swap


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up what is being staged."""


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the status topic what became of a swap: why it failed, how many seconds each phase of its staging took."""

    swap: Swap
    outcome: Outcome
    error: SwapError | None = None
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retire:
    """End the host of a generation."""

    number: int


@dataclass(frozen=True, slots=True)
class KeepStandby:
    """Keep a warm standby for the next swap to this generation's kind of model; it is the newest of the kind here."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Join:
    """Join the group: this worker can score every partition, or has come as far as it can for now."""


@dataclass(frozen=True, slots=True)
class StayOut:
    """Do not join the group yet, and say why."""

    why: str


Action = Stage | Cancel | Report | Retire | KeepStandby | Join | StayOut


class Agenda:
    """The generations of one worker: how far each one is, and what comes next."""

    def __init__(self, timeline: Timeline, *, partitions: int) -> None:
        """`partitions` is how many the deployment has."""
        self._timeline = timeline
        self._partitions = partitions
        self.progress = Progress(timeline)
        self._staged: int | None = None  # the one that is being staged
        self._has_superseded = False
        self._failures: dict[int, tuple[int, float]] = {}  # generation -> how often, and when last
        self._announced = 0
        self._answered = 0
        self._untouched: list[Swap] = []
        self._elsewhere: Mapping[int, Position] = {}
        self._looked_at: float | None = None
        self._is_prepared = False
        self._lacks = ""

    @property
    def lacks(self) -> str:
        """Why this worker does not join the group yet, for a person; empty where it may."""
        return self._lacks

    def newest_scored(self, own: Partitions) -> int:
        """The newest generation that a partition was scored with, as far as is known here."""
        return max((position.floor for position in self._positions(own).values()), default=0)

    # ---- what is needed, and what is not

    def _needed(self, positions: Mapping[int, Position]) -> list[int]:
        """The generations to have ready for partitions that stand at these positions, oldest first.

        Of each partition's course those up to the one that takes its offset; and the newest of all, for partitions to
        come.
        """
        needed = self.progress.newest_intact
        for partition, position in positions.items():
            for swap in self.progress.course(partition, position):
                needed.add(swap.number)
                if swap.takes(partition, position.offset):
                    break
        return sorted(needed)

    def _unneeded(self, positions: Mapping[int, Position], own: Partitions) -> list[int]:
        """The ready generations that are on no partition's course any more, and hold no batch."""
        if not all(isinstance(self.progress.choose(partition, at), Serve) for partition, at in positions.items()):
            # Nobody can serve there yet (or a pause hides who would): let nothing go.
            return []
        kept = {swap.number for partition, at in positions.items() for swap in self.progress.course(partition, at)}
        kept |= {state.in_hand for state in own.values() if state.in_hand is not None}
        return [number for number in self.progress.loaded if number not in kept]

    def _next(self, now: float, positions: Mapping[int, Position], own: Partitions) -> int | None:
        """The generation to stage next; one that rests after a failure holds up no other."""
        for number in self._needed(positions):
            if self.progress.of(number) is not State.READY and not self._rests(now, number, own):
                return number
        return None

    def _rests(self, now: float, number: int, own: Partitions) -> bool:
        """Whether it has failed just now; the pause is short while a partition of ours waits for it, else it grows."""
        if number not in self._failures:
            return False
        count, at = self._failures[number]
        is_awaited = any(state.position is not None and state.position.floor >= number for state in own.values())
        return now - at < (_RETRY_S if is_awaited else pause_before(count, first=_RETRY_S, most=_RETRY_AT_MOST_S))

    def _positions(self, own: Partitions) -> dict[int, Position]:
        known = {partition: Position(0) for partition in range(self._partitions)} | dict(self._elsewhere)
        return known | {partition: state.position for partition, state in own.items() if state.position is not None}

    # ---- what comes next

    def replayed(self) -> None:
        """What the timeline has by now was answered long ago."""
        self._answered = self._timeline.newest

    def must_look(self, now: float, own: Partitions) -> bool:
        """Whether to ask Kafka where the partitions of other workers stand, and tell it with `looked`.

        That matters before this worker joins, while a cut by offsets is ahead, and while a generation is failed that is
        newer than what is loaded: once one partition was scored with it, it is needed by all.
        """
        swaps, loaded = self._timeline.swaps.values(), self.progress.loaded
        oldest, newest = (loaded[0], loaded[-1]) if loaded else (0, 0)
        is_cut_ahead = any(swap.cut for swap in swaps if swap.number >= oldest)
        is_behind = any(self.progress.of(swap.number) is State.FAILED for swap in swaps if swap.number > newest)
        if is_cut_ahead and (len(loaded) != 1 or self._next(now, self._positions(own), own) is not None):
            return True
        is_due = self._looked_at is None or now - self._looked_at >= _LOOK_S
        return is_due and (is_behind or not self._is_prepared)

    def turn(self, now: float, own: Partitions) -> list[Action]:
        """What is to be done now."""
        positions = self._positions(own)
        return [
            *self._cancel_superseded(positions),
            *self._answer_untouched(positions),
            *self._stage_next(now, positions, own),
            *self._announce(own),
            *self._retire(positions, own),
            *self._join(now, positions, own),
        ]

    def _cancel_superseded(self, positions: Mapping[int, Position]) -> Iterator[Action]:
        """Gives up what a newer swap has made needless, once; the next one is let finish.

        Swaps that come faster than a generation can be staged would else be given up one after the other: nothing new
        would ever serve, and a worker that starts would never have anything to join with.
        """
        if self._staged is not None and not self._has_superseded and self._staged not in self._needed(positions):
            self._has_superseded = True
            yield Cancel()

    def _answer_untouched(self, positions: Mapping[int, Position]) -> Iterator[Action]:
        """Says SUPERSEDED of swaps that a newer one followed before they were begun: somebody awaits their outcome."""
        for swap in reversed(self._timeline.swaps.values()):
            if swap.number <= self._answered:
                break
            self._untouched.append(swap)
        self._answered = self._timeline.newest
        needed = self._needed(positions)
        untouched = [swap for swap in self._untouched if self.progress.of(swap.number) is State.ACCEPTED]
        self._untouched = [swap for swap in untouched if swap.number in needed]
        yield from (Report(swap, Outcome.SUPERSEDED) for swap in untouched if swap.number not in needed)

    def _stage_next(self, now: float, positions: Mapping[int, Position], own: Partitions) -> Iterator[Action]:
        if self._staged is not None or (number := self._next(now, positions, own)) is None:
            return
        self._staged, swap = number, self._timeline.swaps[number]
        # Once failed it stays so while it is tried again: what can be scored by an older generation goes on, and
        # whoever awaits this worker's answer has it.
        if self.progress.of(number) is not State.FAILED:
            self.progress.move(number, State.STAGING)
            yield Report(swap, Outcome.STAGING)
        yield Stage(swap)

    def _announce(self, own: Partitions) -> Iterator[Action]:
        """Says SERVING once every partition that this worker owns is past the cut of the newest ready generation."""
        newest = max(self.progress.loaded, default=0)
        if newest <= self._announced or newest < self.newest_scored(own):
            return
        swap = self._timeline.swaps[newest]
        for partition, state in own.items():
            is_before = state.position is not None and not swap.takes(partition, state.position.offset)
            if is_before or state.in_hand not in (None, newest):
                return
        self._announced = newest
        yield Report(swap, Outcome.SERVING)

    def _retire(self, positions: Mapping[int, Position], own: Partitions) -> Iterator[Action]:
        for number in self._unneeded(positions, own):
            self.progress.move(number, State.RETIRED)
            yield Retire(number)
            yield Report(self._timeline.swaps[number], Outcome.RETIRED)

    def _join(self, now: float, positions: Mapping[int, Position], own: Partitions) -> Iterator[Action]:
        """Whoever joins takes partitions from others: not before this worker can score every one.

        But it must not wait until nothing is left to stage: swaps may come faster than that.
        """
        if self._is_prepared:
            return
        lacks = self._missing(positions)
        is_at_its_end = self.progress.loaded and self._next(now, positions, own) is None
        if not lacks or (is_at_its_end and self._looked_at is not None):
            self._is_prepared, self._lacks = True, ""
            yield Join()
        elif lacks != self._lacks:
            self._lacks = lacks
            yield StayOut(lacks)

    def _missing(self, positions: Mapping[int, Position]) -> str:
        if self._looked_at is None:
            return "does not know yet where the partitions stand: Kafka has not told the committed offsets"
        for partition, position in sorted(positions.items()):
            choice = self.progress.choose(partition, position)
            if isinstance(choice, Wait) and choice.number is not None:
                return f"partition {partition} {choice.why}"
        return "" if self.progress.loaded else "no generation is ready on this worker"

    # ---- what became of it

    def looked(self, committed: Mapping[int, Position], now: float) -> None:
        """Kafka has told where every partition of the deployment stands."""
        self._elsewhere, self._looked_at = committed, now

    def ready(self, number: int, phases: Mapping[str, float]) -> list[Action]:
        """What was staged is loaded and warm."""
        if self.progress.of(number) is State.FAILED:
            self.progress.move(number, State.STAGING)
        self.progress.move(number, State.READY)
        self._failures.pop(number, None)
        self._has_superseded = False
        return [Report(self._timeline.swaps[number], Outcome.READY, phases=phases), *self._end_of_staging(number)]

    def failed(self, number: int, error: SwapError, now: float) -> list[Action]:
        """What was staged cannot be loaded."""
        if self.progress.of(number) is State.STAGING:
            self.progress.move(number, State.FAILED)
        self._failures[number] = self._failures.get(number, (0, 0.0))[0] + 1, now
        self._has_superseded = False
        return [Report(self._timeline.swaps[number], Outcome.FAILED, error), *self._end_of_staging(number)]

    def given_up(self, number: int) -> list[Action]:
        """What was staged was cancelled."""
        told: list[Action] = []
        if self.progress.of(number) is State.STAGING:
            self.progress.move(number, State.ACCEPTED)
            told.append(Report(self._timeline.swaps[number], Outcome.SUPERSEDED))
        return [*told, *self._end_of_staging(number)]

    def _end_of_staging(self, number: int) -> Sequence[KeepStandby]:
        """A standby costs memory: it is kept once a generation of the kind is here."""
        self._staged = None
        kind = self._timeline.swaps[number].generation.model.kind
        loaded = [self._timeline.swaps[one].generation for one in self.progress.loaded]
        return [KeepStandby(generation) for generation in loaded if generation.model.kind == kind][-1:]
