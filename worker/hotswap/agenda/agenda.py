"""A worker's next actions for its generations, decided without I/O.

`Agenda.turn` derives them from the accepted commands (swap/timeline.py), this worker's progress (progress.py), the
positions of the partitions and the time of each failure; asked twice, it returns the same. staging.py performs them,
records each with `did`, and reports back through `ready`, `failed`, `given_up` and `looked`. No clock is read here:
callers pass the time, in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from hotswap.agenda.actions import Action, Cancel, Join, KeepStandby, Report, Retire, Stage, StayOut
from hotswap.agenda.outcomes import Outcomes, Partitions
from hotswap.agenda.progress import GenerationState, Progress
from hotswap.batch import Position
from hotswap.errors import SwapError, pause_before
from hotswap.pipeline.ports import Serve
from hotswap.swap.command import Outcome
from hotswap.swap.timeline import Timeline

_LOOK_S = 2.0
_RETRY_S = 5.0
_RETRY_AT_MOST_S = 60.0
_FINISH_S = 10.0
"""How long a superseded staging may go on if it ends a wait: what is half loaded serves sooner than what comes next."""
_TRIES_AGAIN = "this worker tries again until it can be fetched, or a newer generation takes its place"


class _Decision(NamedTuple):
    """A decision from some inputs: the actions, and the generation to stage next."""

    inputs: tuple[object, ...]
    actions: Sequence[Action]
    next: int | None


class Agenda:
    """The state of each generation on one worker, and the actions that follow from it."""

    def __init__(self, timeline: Timeline, *, partitions: int) -> None:
        """Start with nothing staged; `partitions` is the deployment's number of partitions."""
        self._timeline = timeline
        self._partitions = partitions
        self.progress = Progress(timeline)
        self._staged: int | None = None  # being staged now
        self._superseded_at: float | None = None  # since then, it is not needed any more
        self._has_superseded = False
        self._failures: dict[int, tuple[int, float]] = {}  # generation -> number of failures, time of the last one
        self._replayed = 0  # the newest generation in the log when this worker started
        self._out_of_reach: set[int] = set()  # those of the log whose artifacts could not be fetched
        self._outcomes = Outcomes(self.progress)
        self._elsewhere: Mapping[int, Position] = {}
        self._looked_at: float | None = None
        self._is_prepared = False
        self._lacks = ""
        self._decision: _Decision | None = None  # the last one, until the agenda changes

    @property
    def lacks(self) -> str:
        """Why this worker does not join the group yet, as text for a person; empty once it may."""
        return self._lacks

    def newest_scored(self, own: Partitions) -> int:
        """Return the newest generation known here to have scored a partition; 0 if none has."""
        return max((position.floor for position in self._positions(own).values()), default=0)

    def main(self, own: Partitions) -> int:
        """Return the newest loaded generation that is not only staged, or that scores an owned partition; 0: none."""
        scoring = {state.position.floor for state in own.values() if state.position is not None}
        swaps = (self._timeline.swaps[number] for number in reversed(self.progress.loaded))
        whole = (swap.number for swap in swaps if swap.is_whole or swap.number in scoring)
        return next(whole, 0)

    # ---- which generations are needed

    def _needed(self, positions: Mapping[int, Position]) -> list[int]:
        """Return the generations that must be ready for partitions at these positions, oldest first.

        From each partition's course, those up to the one that takes its offset; plus the newest of all, for partitions
        yet to be assigned, and the newer ones that were out of reach when this worker started.
        """
        needed = self.progress.newest_intact
        needed |= {number for number in self._out_of_reach if number > max(needed, default=0)}
        for partition, position in positions.items():
            for swap in self.progress.course(partition, position):
                needed.add(swap.number)
                if swap.takes(partition, position):
                    break
        return sorted(needed)

    def _unneeded(self, positions: Mapping[int, Position], own: Partitions) -> list[int]:
        """Return the ready generations that are on no partition's course and hold no batch in hand."""
        if not all(isinstance(self.progress.choose(partition, at), Serve) for partition, at in positions.items()):
            # Some partition has no generation to serve it yet, or a pause hides which one would: retire nothing.
            return []
        kept = {swap.number for partition, at in positions.items() for swap in self.progress.course(partition, at)}
        kept |= {state.in_hand for state in own.values() if state.in_hand is not None} | self.progress.newest_intact
        return [number for number in self.progress.loaded if number not in kept]

    def _next(self, needed: Sequence[int], resting: AbstractSet[int]) -> int | None:
        """Return the generation to stage next; one that backs off after a failure does not block the others."""
        # What was out of reach comes last, the newest first: it is not to pass through all that came before it.
        again = [number for number in reversed(needed) if number in self._out_of_reach]
        for number in [*(number for number in needed if number not in again), *again]:
            if self.progress.of(number) is not GenerationState.READY and number not in resting:
                return number
        return None

    def _resting(self, now: float, own: Partitions) -> frozenset[int]:
        """Return the generations in back-off after a failure: short if an owned partition waits, else ever longer."""
        floor = max((state.position.floor for state in own.values() if state.position is not None), default=0)
        return frozenset(
            number
            for number, (count, at) in self._failures.items()
            if now - at < (_RETRY_S if number <= floor else pause_before(count, first=_RETRY_S, most=_RETRY_AT_MOST_S))
        )

    def _positions(self, own: Partitions) -> dict[int, Position]:
        known = {partition: Position(0) for partition in range(self._partitions)} | dict(self._elsewhere)
        return known | {partition: state.position for partition, state in own.items() if state.position is not None}

    # ---- the next actions

    def replayed(self) -> None:
        """Treat every command in the timeline as already answered."""
        self._replayed = self._timeline.newest
        self._outcomes.replayed()
        self._decision = None

    def must_look(self, now: float, own: Partitions) -> bool:
        """Whether to fetch the committed positions of other workers' partitions and pass them to `looked`.

        They matter before this worker joins, while a cut by offsets lies ahead, and while a generation newer than the
        loaded ones has failed here: once any partition was scored with it, every worker needs it.
        """
        swaps, loaded = self._timeline.swaps.values(), self.progress.loaded
        oldest, newest = (loaded[0], loaded[-1]) if loaded else (0, 0)
        is_cut_ahead = any(swap.cut for swap in swaps if swap.number >= oldest)
        # A canary may last for days: its end is no matter of a second.
        is_partial = any(swap.is_staged or swap.replaces for swap in swaps if swap.number >= oldest)
        later = (swap.number for swap in swaps if swap.number > newest)
        is_behind = any(self.progress.of(number) is GenerationState.FAILED for number in later)
        is_due = self._looked_at is None or now - self._looked_at >= _LOOK_S
        if (
            is_cut_ahead
            and (is_due or not is_partial)
            and (len(loaded) != 1 or self._decide(now, own).next is not None)
        ):
            return True
        return is_due and (is_behind or is_partial or not self._is_prepared)

    def turn(self, now: float, own: Partitions) -> list[Action]:
        """Return the actions that are due now, in order; `did` records each.

        None but to say why it stays out, where a command needs a later version: what is due then, only that knows. What
        is being staged is brought to its end.
        """
        return list(self._decide(now, own).actions)

    def _decide(self, now: float, own: Partitions) -> _Decision:
        """Return the decision for now: the last one if its inputs have not changed."""
        inputs = self._inputs(now, own)
        if self._decision is None or self._decision.inputs != inputs:
            positions = self._positions(own)
            needed = self._needed(positions)
            following = self._next(needed, self._resting(now, own))
            if self._timeline.held:
                actions = [*self._stay_out(self._timeline.held)]
            else:
                actions = [
                    *self._cancel_superseded(now, needed, positions, own),
                    *self._outcomes.untouched(needed),
                    *self._stage_next(following),
                    *self._outcomes.serving(own, self.newest_scored(own)),
                    *self._retire(positions, own),
                    *self._join(following, positions),
                ]
            self._decision = _Decision(inputs, actions, following)
        return self._decision

    def _inputs(self, now: float, own: Partitions) -> tuple[object, ...]:
        """Return the inputs of a turn, except those whose changes discard the last decision.

        A timeline's revision tells which generations and cuts it has. The time matters for what backs off, and for what
        is late.
        """
        states = [(number, state.position, state.in_hand, bool(state.held)) for number, state in own.items()]
        held, is_paused = self._timeline.held, self._timeline.is_paused
        return self._timeline.revision, held, is_paused, self._resting(now, own), self._is_late(now), states

    def _is_late(self, now: float) -> bool:
        return self._superseded_at is not None and now - self._superseded_at >= _FINISH_S

    def did(self, action: Action) -> None:
        """Record that an action was performed."""
        self._decision = None
        match action:
            case Report(swap, outcome):
                self._outcomes.record(swap.number, outcome)
            case Stage(swap):
                self._staged = swap.number
                # A failed generation stays FAILED while it is retried: older generations keep scoring what they may,
                # and the client already has this worker's outcome.
                if self.progress.of(swap.number) is not GenerationState.FAILED:
                    self.progress.move(swap.number, GenerationState.STAGING)
            case Cancel():
                self._has_superseded = True
            case Retire(number):
                self.progress.move(number, GenerationState.RETIRED)
            case Join():
                self._is_prepared, self._lacks = True, ""
            case StayOut(why):
                self._lacks = why

    def _cancel_superseded(
        self, now: float, needed: Sequence[int], positions: Mapping[int, Position], own: Partitions
    ) -> Iterator[Action]:
        """Cancel a staging that a newer swap has superseded, but only once in a row: the next one may finish.

        Otherwise swaps that arrive faster than a generation can be staged would cancel each other for ever: nothing new
        would serve, and a starting worker would never be able to join. One that ends a wait gets time to finish.
        """
        if self._staged is None or self._has_superseded or self._staged in needed:
            return
        if self._superseded_at is None:
            self._superseded_at = now
        here = own if self._is_prepared else positions  # before it joins, any partition may become its own
        waiting = {one: at for one, at in positions.items() if one in here and self.progress.waits(one, at)}
        if self._is_late(now) or not self.progress.would_end(waiting, self._staged):
            yield Cancel()

    def _stage_next(self, following: int | None) -> Iterator[Action]:
        if self._staged is not None or following is None:
            return
        swap = self._timeline.swaps[following]
        if self.progress.of(following) is not GenerationState.FAILED:
            yield Report(swap, Outcome.STAGING)
        yield Stage(swap)

    def _retire(self, positions: Mapping[int, Position], own: Partitions) -> Iterator[Action]:
        for number in self._unneeded(positions, own):
            yield Retire(number)
            yield Report(self._timeline.swaps[number], Outcome.RETIRED)

    def _join(self, following: int | None, positions: Mapping[int, Position]) -> Iterator[Action]:
        """Join once every partition can be scored here, because joining takes partitions from other workers.

        Do not wait until nothing is left to stage, as swaps may arrive faster than that, but for a kind that it lacks.
        """
        if self._is_prepared:
            return
        unable = self.progress.unable(positions)
        lacks = unable or self._missing(positions)
        is_at_its_end = self.progress.loaded and following is None
        if not unable and (not lacks or (is_at_its_end and self._looked_at is not None)):
            yield Join()
        else:
            yield from self._stay_out(lacks)

    def _stay_out(self, lacks: str) -> Iterator[Action]:
        if not self._is_prepared and lacks != self._lacks:
            yield StayOut(lacks)

    def _missing(self, positions: Mapping[int, Position]) -> str:
        if self._looked_at is None:
            return "does not know the partitions' positions yet: Kafka has not returned the committed offsets"
        for partition, position in sorted(positions.items()):
            if why := self.progress.waits(partition, position):
                return f"partition {partition} {why}"
        return "" if self.progress.loaded else "no generation is ready on this worker"

    def looked(self, committed: Mapping[int, Position], now: float) -> None:
        """Record the committed position of every partition of the deployment."""
        self._elsewhere, self._looked_at, self._decision = committed, now, None

    def ready(self, number: int, phases: Mapping[str, float]) -> list[Action]:
        """Record that the staged generation is loaded and warm; return the actions that follow."""
        if self.progress.of(number) is GenerationState.FAILED:
            self.progress.move(number, GenerationState.STAGING)
        self.progress.move(number, GenerationState.READY)
        self._out_of_reach.discard(number)
        self._failures.pop(number, None)
        self._has_superseded = False
        return [Report(self._timeline.swaps[number], Outcome.READY, phases=phases), *self._end_of_staging(number)]

    def is_tried_again(self, number: int) -> bool:
        """Whether a generation that failed was out of reach at this worker's start, and is therefore tried again."""
        return number in self._out_of_reach

    def failed(self, number: int, error: SwapError, now: float, *, is_out_of_reach: bool = False) -> list[Action]:
        """Record that staging failed; return the actions that follow. `is_out_of_reach`: it could not be fetched.

        That fails a new swap. A generation that was accepted before this worker started is tried again: others may have
        it, though it has not answered anything yet. Such tries report nothing new, unless they fail for another reason.
        """
        self.progress.fail(number, error)
        self._failures[number] = self._failures.get(number, (0, 0.0))[0] + 1, now
        self._has_superseded = False
        is_told = number in self._out_of_reach and is_out_of_reach
        self._out_of_reach.discard(number)
        if is_out_of_reach and number <= self._replayed:
            self._out_of_reach.add(number)
            error = SwapError(error.code, f"{error.message}; {_TRIES_AGAIN}")
        report = Report(self._timeline.swaps[number], Outcome.FAILED, error)
        return [*([] if is_told else [report]), *self._end_of_staging(number)]

    def given_up(self, number: int) -> list[Action]:
        """Record that staging was cancelled; return the actions that follow."""
        actions: list[Action] = []
        if self.progress.of(number) is GenerationState.STAGING:
            self.progress.move(number, GenerationState.ACCEPTED)
            actions.append(Report(self._timeline.swaps[number], Outcome.SUPERSEDED))
        return [*actions, *self._end_of_staging(number)]

    def _end_of_staging(self, number: int) -> Sequence[KeepStandby]:
        """Allow the next staging; keep a standby only if a generation of that kind is loaded, as it costs memory."""
        self._staged = self._superseded_at = None
        self._decision = None
        kind = self._timeline.swaps[number].generation.model.kind
        loaded = [self._timeline.swaps[one].generation for one in self.progress.loaded]
        return [KeepStandby(generation) for generation in loaded if generation.model.kind == kind][-1:]
