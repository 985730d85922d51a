"""The defects in the rules of the agenda, which its own tests have to find."""

from model.defects import Mutant

_FOUND_BY = tuple(
    f"tests/unit/test_{name}.py"
    for name in ("agenda", "agenda_decisions", "agenda_failures", "agenda_promotions", "progress")
)


def _rule(name: str, place: str, old: str, new: str) -> Mutant:
    return Mutant(name, f"hotswap.{place}", old, new, "a rule of the agenda", _FOUND_BY)


RULES = [
    _rule(
        "a failed generation is not tried again",
        "agenda.agenda:Agenda._resting",
        "now - at < (_RETRY_S if number <= floor else pause_before(count, first=_RETRY_S, most=_RETRY_AT_MOST_S))",
        "True",
    ),
    _rule("every try of a failed one comes as soon", "agenda.agenda:Agenda._resting", "number <= floor", "True"),
    _rule(
        "tries grow rarer without end",
        "agenda.agenda:Agenda._resting",
        "pause_before(count, first=_RETRY_S, most=_RETRY_AT_MOST_S)",
        "pause_before(count, first=_RETRY_S, most=1e9)",
    ),
    _rule(
        "what is out of reach at a start is not tried again",
        "agenda.agenda:Agenda.failed",
        "is_out_of_reach and number <= self._replayed",
        "not number <= self._replayed",
    ),
    _rule(
        "a new swap that is out of reach is tried again",
        "agenda.agenda:Agenda.failed",
        "is_out_of_reach and number <= self._replayed",
        "is_out_of_reach",
    ),
    _rule(
        "what fails for another reason is tried again",
        "agenda.agenda:Agenda.failed",
        "is_out_of_reach and number <= self._replayed",
        "number <= self._replayed",
    ),
    _rule("of what is out of reach the oldest comes first", "agenda.agenda:Agenda._next", "reversed(needed)", "needed"),
    _rule(
        "what is out of reach comes before what can be had",
        "agenda.agenda:Agenda._next",
        "[*(number for number in needed if number not in again), *again]",
        "[*again, *(number for number in needed if number not in again)]",
    ),
    _rule(
        "what is older than the newest is tried again",
        "agenda.agenda:Agenda._needed",
        "number > max(needed, default=0)",
        "number",
    ),
    _rule(
        "each try of what is out of reach is reported",
        "agenda.agenda:Agenda.failed",
        "[] if is_told else [report]",
        "report",
    ),
    _rule(
        "one that rests holds up the others",
        "agenda.agenda:Agenda._next",
        "self.progress.of(number) is not GenerationState.READY and number not in resting",
        "self.progress.of(number) is not GenerationState.READY",
    ),
    _rule(
        "a success does not end a row of failures",
        "agenda.agenda:Agenda.ready",
        "self._failures.pop(number, None)",
        "pass",
    ),
    _rule("the newest is not kept ready", "agenda.agenda:Agenda._needed", "self.progress.newest_intact", "set()"),
    _rule(
        "more is staged than the cuts ask for",
        "agenda.agenda:Agenda._needed",
        "if swap.takes(partition, position):\n    break",
        "pass",
    ),
    _rule(
        "what may be needed is let go", "agenda.agenda:Agenda._unneeded", "self.progress.course(partition, at)", "()"
    ),
    _rule("something is let go where nobody serves", "agenda.agenda:Agenda._unneeded", "return []", "pass"),
    _rule(
        "what is superseded is let finish", "agenda.agenda:Agenda._cancel_superseded", "yield Cancel()", "yield from ()"
    ),
    _rule(
        "what ends a wait may take for ever",
        "agenda.agenda:Agenda._is_late",
        "now - self._superseded_at >= _FINISH_S",
        "now - self._superseded_at >= 1e9",
    ),
    _rule(
        "what ends a wait is cancelled",
        "agenda.agenda:Agenda._is_late",
        "now - self._superseded_at >= _FINISH_S",
        "now - self._superseded_at >= 0",
    ),
    _rule(
        "each newer swap gives what ends a wait more time",
        "agenda.agenda:Agenda._cancel_superseded",
        "self._superseded_at is None",
        "True",
    ),
    _rule(
        "the next one has no time of its own",
        "agenda.agenda:Agenda._end_of_staging",
        "self._staged = self._superseded_at = None",
        "self._staged = None",
    ),
    _rule(
        "others' partitions wait here",
        "agenda.agenda:Agenda._cancel_superseded",
        "own if self._is_prepared else positions",
        "positions",
    ),
    _rule(
        "a starting worker waits for nothing",
        "agenda.agenda:Agenda._cancel_superseded",
        "own if self._is_prepared else positions",
        "own",
    ),
    _rule(
        "what leaves a partition waiting is let finish",
        "agenda.progress:Progress.would_end",
        "all(at.floor <= number and may_score(partition, at) for partition, at in waiting.items())",
        "any(at.floor <= number and may_score(partition, at) for partition, at in waiting.items())",
    ),
    _rule(
        "what ends no wait is let finish",
        "agenda.progress:Progress.would_end",
        "could and any(at.floor for at in waiting.values())",
        "could or any(at for at in waiting.values())",
    ),
    _rule(
        "a first model that is corrected is let finish",
        "agenda.progress:Progress.would_end",
        "(at.floor for at in waiting.values())",
        "(True for at in waiting.values())",
    ),
    _rule(
        "each newer swap supersedes the one before",
        "agenda.agenda:Agenda.did",
        "self._has_superseded = True",
        "pass",
    ),
    _rule(
        "after a success nothing is superseded", "agenda.agenda:Agenda.ready", "self._has_superseded = False", "pass"
    ),
    _rule(
        "after a failure nothing is superseded", "agenda.agenda:Agenda.failed", "self._has_superseded = False", "pass"
    ),
    _rule(
        "what was never begun is not answered",
        "agenda.outcomes:Outcomes.untouched",
        "Report(swap, Outcome.SUPERSEDED)",
        "swap and Report(swap, Outcome.STAGING)",
    ),
    _rule(
        "what may still be staged is answered",
        "agenda.outcomes:Outcomes.untouched",
        "(Report(swap, Outcome.SUPERSEDED) for swap in self._untouched if swap.number not in needed)",
        "(Report(swap, Outcome.SUPERSEDED) for swap in self._untouched)",
    ),
    _rule(
        "what waits is forgotten",
        "agenda.outcomes:Outcomes.untouched",
        "[swap for swap in self._untouched if swap.number not in self._last]",
        "[]",
    ),
    _rule(
        "what has an outcome gets another",
        "agenda.outcomes:Outcomes.untouched",
        "[swap for swap in self._untouched if swap.number not in self._last]",
        "[swap for swap in self._untouched]",
    ),
    _rule(
        "old commands are answered again",
        "agenda.outcomes:Outcomes.replayed",
        "self._answered = self._timeline.newest",
        "pass",
    ),
    _rule(
        "two are staged at a time",
        "agenda.agenda:Agenda._stage_next",
        "self._staged is not None or following is None",
        "following is None",
    ),
    _rule(
        "a try of a failed one says STAGING",
        "agenda.agenda:Agenda._stage_next",
        "self.progress.of(following) is not GenerationState.FAILED",
        "True",
    ),
    _rule(
        "SERVING is said before the cut",
        "agenda.outcomes:Outcomes._serves",
        "not swap.takes(partition, at) or (at.floor < swap.number and may_commit)",
        "at.floor < swap.number and may_commit",
    ),
    _rule(
        "SERVING is never said while a partition is held",
        "agenda.outcomes:Outcomes._serves",
        "not state.held and isinstance(self._progress.choose(partition, at), Serve)",
        "isinstance(self._progress.choose(partition, at), Serve)",
    ),
    _rule(
        "SERVING is never said in a pause",
        "agenda.outcomes:Outcomes._serves",
        "not state.held and isinstance(self._progress.choose(partition, at), Serve)",
        "not state.held",
    ),
    _rule(
        "SERVING is said while the old one has a batch",
        "agenda.outcomes:Outcomes._serves",
        "state.in_hand is not None and state.in_hand < swap.number",
        "not state",
    ),
    _rule(
        "SERVING is said of what is older than the floor",
        "agenda.outcomes:Outcomes.serving",
        "number <= self._announced or number < scored",
        "number <= self._announced",
    ),
    _rule("SERVING is said again and again", "agenda.outcomes:Outcomes.record", "self._announced = number", "pass"),
    _rule(
        "RETIRED is not said",
        "agenda.agenda:Agenda._retire",
        "yield Report(self._timeline.swaps[number], Outcome.RETIRED)",
        "pass",
    ),
    _rule(
        "no worker asks where others stand",
        "agenda.agenda:Agenda.must_look",
        "is_due and (is_behind or is_partial or not self._is_prepared)",
        "False",
    ),
    _rule(
        "who serves asks for ever",
        "agenda.agenda:Agenda.must_look",
        "is_due and (is_behind or is_partial or not self._is_prepared)",
        "is_due",
    ),
    _rule(
        "who is behind does not ask",
        "agenda.agenda:Agenda.must_look",
        "is_behind or is_partial or not self._is_prepared",
        "is_partial or not self._is_prepared",
    ),
    _rule("a cut ahead is not watched", "agenda.agenda:Agenda.must_look", "return True", "pass"),
    _rule(
        "a cut is watched after it",
        "agenda.agenda:Agenda.must_look",
        "len(loaded) != 1 or self._decide(now, own).next is not None",
        "True",
    ),
    _rule(
        "a worker joins without knowing where it stands",
        "agenda.agenda:Agenda._join",
        "is_at_its_end and self._looked_at is not None",
        "is_at_its_end",
    ),
    _rule("a worker joins before it can score", "agenda.agenda:Agenda._join", "not lacks", "lacks"),
    _rule(
        "a worker that lacks something never joins",
        "agenda.agenda:Agenda._join",
        "is_at_its_end and self._looked_at is not None",
        "False",
    ),
    _rule("why a worker stays out is said at each turn", "agenda.agenda:Agenda.did", "self._lacks = why", "pass"),
    _rule(
        "a worker joins while it may come farther",
        "agenda.agenda:Agenda._join",
        "self.progress.loaded and following is None",
        "True",
    ),
    _rule("a worker that lacks the kind joins", "agenda.agenda:Agenda._join", "not unable", "True"),
    _rule("a worker joins with nothing loaded", "agenda.agenda:Agenda._missing", "self.progress.loaded", "True"),
    _rule(
        "a superseded one is not taken up again",
        "agenda.agenda:Agenda.given_up",
        "GenerationState.ACCEPTED",
        "GenerationState.FAILED",
    ),
    _rule(
        "a failed one that is given up says SUPERSEDED",
        "agenda.agenda:Agenda.given_up",
        "if self.progress.of(number) is GenerationState.STAGING:\n"
        "    self.progress.move(number, GenerationState.ACCEPTED)\n"
        "    actions.append(Report(self._timeline.swaps[number], Outcome.SUPERSEDED))",
        "if True:\n"
        "    self.progress.of(number)\n"
        "    actions.append(Report(self._timeline.swaps[number], Outcome.SUPERSEDED))",
    ),
    _rule(
        "a standby of another kind is kept",
        "agenda.agenda:Agenda._end_of_staging",
        "[KeepStandby(generation) for generation in loaded if generation.model.kind == kind]",
        "[KeepStandby(generation) for generation in loaded]",
    ),
    _rule(
        "a standby is prewarmed on the oldest",
        "agenda.agenda:Agenda._end_of_staging",
        "[KeepStandby(generation) for generation in loaded if generation.model.kind == kind][-1:]",
        "[KeepStandby(generation) for generation in loaded if generation.model.kind == kind][:1]",
    ),
    _rule("a decision outlives what was done", "agenda.agenda:Agenda.did", "self._decision = None", "pass"),
    _rule(
        "a decision outlives what came of it", "agenda.agenda:Agenda._end_of_staging", "self._decision = None", "pass"
    ),
    _rule("a decision outlives a batch", "agenda.agenda:Agenda._inputs", "state.in_hand", "None"),
    _rule("a decision outlives a hold", "agenda.agenda:Agenda._inputs", "bool(state.held)", "False"),
    _rule("a decision outlives a position", "agenda.agenda:Agenda._inputs", "state.position", "None"),
    _rule("a decision outlives a pause", "agenda.agenda:Agenda._inputs", "self._timeline.is_paused", "False"),
    _rule("a decision outlives a rest", "agenda.agenda:Agenda._inputs", "self._resting(now, own)", "None"),
    _rule("a decision outlives the time of a staging", "agenda.agenda:Agenda._inputs", "self._is_late(now)", "None"),
    _rule("a decision outlives a swap", "agenda.agenda:Agenda._inputs", "self._timeline.revision", "None"),
]
