"""The defects in the rules of the agenda, which its own tests have to find."""

from model.defects import Mutant


def _rule(name: str, place: str, old: str, new: str) -> Mutant:
    found_by = tuple(f"tests/unit/test_{name}.py" for name in ("agenda", "agenda_failures", "progress"))
    return Mutant(name, f"hotswap.{place}", old, new, "a rule of the agenda", found_by)


RULES = [
    _rule(
        "a failed generation is not tried again",
        "agenda.agenda:Agenda._rests",
        "count, at = self._failures[number]",
        "return True",
    ),
    _rule(
        "every try of a failed one comes as soon",
        "agenda.agenda:Agenda._rests",
        "_RETRY_S if is_awaited else pause_before(count, first=_RETRY_S, most=_RETRY_AT_MOST_S)",
        "_RETRY_S if True else pause_before(count, first=_RETRY_S, most=_RETRY_AT_MOST_S)",
    ),
    _rule(
        "tries grow rarer without end",
        "agenda.agenda:Agenda._rests",
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
        "self.progress.of(number) is not State.READY and not self._rests(now, number, own)",
        "self.progress.of(number) is not State.READY",
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
        "if swap.takes(partition, position.offset):\n    break",
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
        "agenda.agenda:Agenda._cancel_superseded",
        "now - self._superseded_at >= _FINISH_S",
        "now - self._superseded_at >= 1e9",
    ),
    _rule(
        "what ends a wait is cancelled",
        "agenda.agenda:Agenda._cancel_superseded",
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
        "all(at.floor <= number and may_score(partition, at.offset) for partition, at in waiting.items())",
        "any(at.floor <= number and may_score(partition, at.offset) for partition, at in waiting.items())",
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
        "agenda.agenda:Agenda._cancel_superseded",
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
        "agenda.agenda:Agenda._answer_untouched",
        "Report(swap, Outcome.SUPERSEDED)",
        "swap and Report(swap, Outcome.STAGING)",
    ),
    _rule(
        "what may still be staged is answered",
        "agenda.agenda:Agenda._answer_untouched",
        "(Report(swap, Outcome.SUPERSEDED) for swap in untouched if swap.number not in needed)",
        "(Report(swap, Outcome.SUPERSEDED) for swap in untouched)",
    ),
    _rule(
        "what waits is forgotten",
        "agenda.agenda:Agenda._answer_untouched",
        "[swap for swap in untouched if swap.number in needed]",
        "[]",
    ),
    _rule(
        "old commands are answered again",
        "agenda.agenda:Agenda.replayed",
        "self._answered = self._timeline.newest",
        "pass",
    ),
    _rule(
        "two are staged at a time",
        "agenda.agenda:Agenda._stage_next",
        "self._staged is not None or (number := self._next(now, positions, own)) is None",
        "(number := self._next(now, positions, own)) is None",
    ),
    _rule(
        "a try of a failed one says STAGING",
        "agenda.agenda:Agenda._stage_next",
        "if self.progress.of(number) is not State.FAILED:\n"
        "    self.progress.move(number, State.STAGING)\n"
        "    yield Report(swap, Outcome.STAGING)",
        "if True:\n    yield Report(swap, Outcome.STAGING)",
    ),
    _rule(
        "SERVING is said before the cut",
        "agenda.agenda:Agenda._announce",
        "not swap.takes(partition, at.offset) or (at.floor < newest and may_commit)",
        "at.floor < newest and may_commit",
    ),
    _rule(
        "SERVING is never said while a partition is held",
        "agenda.agenda:Agenda._announce",
        "not state.held and isinstance(self.progress.choose(partition, at), Serve)",
        "isinstance(self.progress.choose(partition, at), Serve)",
    ),
    _rule(
        "SERVING is never said in a pause",
        "agenda.agenda:Agenda._announce",
        "not state.held and isinstance(self.progress.choose(partition, at), Serve)",
        "not state.held",
    ),
    _rule(
        "SERVING is said while the old one has a batch",
        "agenda.agenda:Agenda._announce",
        "state.in_hand not in (None, newest)",
        "not state",
    ),
    _rule(
        "SERVING is said of what is older than the floor",
        "agenda.agenda:Agenda._announce",
        "newest <= self._announced or newest < self.newest_scored(own)",
        "newest <= self._announced",
    ),
    _rule("SERVING is said again and again", "agenda.agenda:Agenda._announce", "self._announced = newest", "pass"),
    _rule(
        "RETIRED is not said",
        "agenda.agenda:Agenda._retire",
        "yield Report(self._timeline.swaps[number], Outcome.RETIRED)",
        "pass",
    ),
    _rule(
        "no worker asks where others stand",
        "agenda.agenda:Agenda.must_look",
        "is_due and (is_behind or not self._is_prepared)",
        "False",
    ),
    _rule(
        "who serves asks for ever",
        "agenda.agenda:Agenda.must_look",
        "is_due and (is_behind or not self._is_prepared)",
        "is_due",
    ),
    _rule(
        "who is behind does not ask",
        "agenda.agenda:Agenda.must_look",
        "is_behind or not self._is_prepared",
        "not self._is_prepared",
    ),
    _rule("a cut ahead is not watched", "agenda.agenda:Agenda.must_look", "return True", "pass"),
    _rule(
        "a cut is watched after it",
        "agenda.agenda:Agenda.must_look",
        "is_cut_ahead and (len(loaded) != 1 or self._next(now, self._positions(own), own) is not None)",
        "is_cut_ahead or (len(loaded) != 1 or self._next(now, self._positions(own), own) is not None)",
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
    _rule(
        "why a worker stays out is said at each turn", "agenda.agenda:Agenda._stay_out", "self._lacks = lacks", "pass"
    ),
    _rule(
        "a worker joins while it may come farther",
        "agenda.agenda:Agenda._join",
        "self.progress.loaded and self._next(now, positions, own) is None",
        "True",
    ),
    _rule("a worker joins with nothing loaded", "agenda.agenda:Agenda._missing", "self.progress.loaded", "True"),
    _rule("a superseded one is not taken up again", "agenda.agenda:Agenda.given_up", "State.ACCEPTED", "State.FAILED"),
    _rule(
        "a failed one that is given up says SUPERSEDED",
        "agenda.agenda:Agenda.given_up",
        "if self.progress.of(number) is State.STAGING:\n"
        "    self.progress.move(number, State.ACCEPTED)\n"
        "    actions.append(Report(self._timeline.swaps[number], Outcome.SUPERSEDED))",
        "if True:\n"
        "    self.progress.of(number)\n"
        "    actions.append(Report(self._timeline.swaps[number], Outcome.SUPERSEDED))",
    ),
    _rule(
        "a standby of another kind is kept",
        "agenda.agenda:Agenda._end_of_staging",
        "[KeepStandby(generation) for generation in loaded if generation.model.kind == kind]",
        "[KeepStandby(generation) for generation in loaded ]",
    ),
    _rule(
        "a standby is prewarmed on the oldest",
        "agenda.agenda:Agenda._end_of_staging",
        "[KeepStandby(generation) for generation in loaded if generation.model.kind == kind][-1:]",
        "[KeepStandby(generation) for generation in loaded if generation.model.kind == kind][:1]",
    ),
]
