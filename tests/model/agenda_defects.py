"""The defects in the rules of the agenda, which its own tests have to find."""

from model.defects import AGENDA, PROGRESS, Mutant


def _rule(name: str, old: str, new: str, file: str = AGENDA) -> Mutant:
    found_by = tuple(
        f"tests/unit/test_{name}.py" for name in ("agenda", "agenda_decisions", "agenda_failures", "progress")
    )
    return Mutant(name, file, old, new, "a rule of the agenda", found_by)


RULES = [
    _rule("a failed generation is not tried again", "if now - at < (", "if True or ("),
    _rule("every try of a failed one comes as soon", "_RETRY_S if number <= floor else", "_RETRY_S if True else"),
    _rule(
        "tries grow rarer without end",
        "first=_RETRY_S, most=_RETRY_AT_MOST_S)",
        "first=_RETRY_S, most=1e9)",
    ),
    _rule("what is out of reach at a start is not tried again", "if is_out_of_reach and number <=", "if not number <="),
    _rule(
        "a new swap that is out of reach is tried again",
        "if is_out_of_reach and number <= self._replayed:",
        "if is_out_of_reach:",
    ),
    _rule(
        "what fails for another reason is tried again",
        "if is_out_of_reach and number <= self._replayed:",
        "if number <= self._replayed:",
    ),
    _rule(
        "of what is out of reach the oldest comes first",
        "in reversed(needed) if number in",
        "in needed if number in",
    ),
    _rule(
        "what is out of reach comes before what can be had",
        "[*(number for number in needed if number not in again), *again]",
        "[*again, *(number for number in needed if number not in again)]",
    ),
    _rule(
        "what is older than the newest is tried again",
        "if number > max(needed, default=0)}",
        "if number}",
    ),
    _rule("each try of what is out of reach is reported", "[] if is_told else [report]", "report"),
    _rule(
        "one that rests holds up the others",
        "is not State.READY and number not in resting:",
        "is not State.READY:",
    ),
    _rule("a success does not end a row of failures", "self._failures.pop(number, None)", "pass"),
    _rule("the newest is not kept ready", "needed = self.progress.newest_intact", "needed = set()"),
    _rule(
        "more is staged than the cuts ask for",
        "if swap.takes(partition, position.offset):\n                    break",
        "pass",
    ),
    _rule("what may be needed is let go", "for swap in self.progress.course(partition, at)}", "for swap in ()}"),
    _rule(
        "something is let go where nobody serves",
        "            return []\n        kept",
        "            pass\n        kept",
    ),
    _rule("what is superseded is let finish", "            yield Cancel()", "            yield from ()"),
    _rule("what ends a wait may take for ever", ">= _FINISH_S", ">= 1e9"),
    _rule("what ends a wait is cancelled", ">= _FINISH_S", ">= 0"),
    _rule(
        "each newer swap gives what ends a wait more time",
        "if self._superseded_at is None:\n            self._superseded_at",
        "if True:\n            self._superseded_at",
    ),
    _rule("the next one has no time of its own", "self._staged = self._superseded_at = None", "self._staged = None"),
    _rule("others' partitions wait here", "own if self._is_prepared else positions", "positions"),
    _rule("a starting worker waits for nothing", "own if self._is_prepared else positions", "own"),
    _rule("what leaves a partition waiting is let finish", "could = all(at.floor", "could = any(at.floor", PROGRESS),
    _rule(
        "what ends no wait is let finish", "return could and any(at.floor for", "return could or any(at for", PROGRESS
    ),
    _rule("a first model that is corrected is let finish", "any(at.floor for", "any(True for", PROGRESS),
    _rule("each newer swap supersedes the one before", "self._has_superseded = True", "pass"),
    _rule(
        "after a success nothing is superseded",
        "self._failures.pop(number, None)\n        self._has_superseded = False",
        "self._failures.pop(number, None)",
    ),
    _rule("after a failure nothing is superseded", "+ 1, now\n        self._has_superseded = False", "+ 1, now"),
    _rule(
        "what was never begun is not answered",
        "yield from (Report(swap, Outcome.SUPERSEDED)",
        "yield from (swap and Report(swap, Outcome.STAGING)",
    ),
    _rule(
        "what may still be staged is answered",
        "for swap in self._untouched if swap.number not in needed)",
        "for swap in self._untouched)",
    ),
    _rule("what waits is forgotten", "[swap for swap in self._untouched if swap.number not in self._outcomes]", "[]"),
    _rule("what has an outcome gets another", " if swap.number not in self._outcomes]", "]"),
    _rule(
        "old commands are answered again",
        "self._replayed = self._answered = self._timeline.newest",
        "self._replayed = self._timeline.newest",
    ),
    _rule("two are staged at a time", "if self._staged is not None or following is None:", "if following is None:"),
    _rule(
        "a try of a failed one says STAGING",
        "if self.progress.of(following) is not State.FAILED:",
        "if True:",
    ),
    _rule("SERVING is said before the cut", "not swap.takes(partition, at.offset) or (", "("),
    _rule("SERVING is never said while a partition is held", "not state.held and ", ""),
    _rule(
        "SERVING is never said in a pause", "held and isinstance(self.progress.choose(partition, at), Serve)", "held"
    ),
    _rule("SERVING is said while the old one has a batch", "state.in_hand not in (None, newest)", "not state"),
    _rule("SERVING is said of what is older than the floor", " or newest < self.newest_scored(own)", ""),
    _rule("SERVING is said again and again", "self._announced = number", "pass"),
    _rule("RETIRED is not said", "yield Report(self._timeline.swaps[number], Outcome.RETIRED)", "pass"),
    _rule(
        "no worker asks where others stand", "return is_due and (is_behind or not self._is_prepared)", "return False"
    ),
    _rule("who serves asks for ever", "is_due and (is_behind or not self._is_prepared)", "is_due"),
    _rule("who is behind does not ask", "(is_behind or not self._is_prepared)", "(not self._is_prepared)"),
    _rule("a cut ahead is not watched", "            return True\n        is_due", "            pass\n        is_due"),
    _rule("a cut is watched after it", "if is_cut_ahead and (", "if is_cut_ahead or ("),
    _rule("a worker joins without knowing where it stands", "and self._looked_at is not None):", "):"),
    _rule("a worker joins before it can score", "if not lacks or (", "if lacks or ("),
    _rule("a worker that lacks something never joins", "(is_at_its_end and self._looked_at is not None)", "False"),
    _rule(
        "why a worker stays out is said at each turn", "                self._lacks = why\n", "                pass\n"
    ),
    _rule(
        "a worker joins while it may come farther",
        "self.progress.loaded and following is None",
        "True",
    ),
    _rule("a worker joins with nothing loaded", 'return "" if self.progress.loaded else', 'return "" if True else'),
    _rule(
        "a superseded one is not taken up again",
        "self.progress.move(number, State.ACCEPTED)",
        "self.progress.move(number, State.FAILED)",
    ),
    _rule(
        "a failed one that is given up says SUPERSEDED",
        "if self.progress.of(number) is State.STAGING:\n            self.progress.move(number, State.ACCEPTED)",
        "if True:\n            self.progress.of(number)",
    ),
    _rule("a standby of another kind is kept", "if generation.model.kind == kind][-1:]", "][-1:]"),
    _rule("a standby is prewarmed on the oldest", "== kind][-1:]", "== kind][:1]"),
    _rule("a decision outlives what was done", "        self._decision = None\n        match", "        match"),
    _rule("a decision outlives a batch", "state.in_hand, bool", "None, bool"),
    _rule("a decision outlives a hold", "bool(state.held)) for", "False) for"),
    _rule(
        "a decision outlives a position", "(number, state.position, state.in_hand, bool", "(number, state.in_hand, bool"
    ),
    _rule("a decision outlives a pause", "held, is_paused, self._resting(now, own)", "held, self._resting(now, own)"),
    _rule("a decision outlives a rest", "is_paused, self._resting(now, own), self._is", "is_paused, self._is"),
    _rule("a decision outlives the time of a staging", "self._is_late(now), states", "states"),
    _rule("a decision outlives a swap", "return self._timeline.newest, held", "return held"),
]
