"""The defects that `make mutants` plants, one at a time, each in a rule that a promise stands on."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A defect: the text of `file` that is replaced (it occurs there once), and the promise that this breaks.

    `found_by` is who has to find it: the model, or the tests of the agenda's rules alone.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    found_by: tuple[str, ...] = ("tests/model/test_protocol.py",)


SWAP, PIPELINE = "worker/hotswap/swap.py", "worker/hotswap/pipeline/loop.py"
PROGRESS, AGENDA = "worker/hotswap/progress.py", "worker/hotswap/agenda.py"
PARTITION, MEMBERSHIP, ADMIN = (
    "worker/hotswap/kafka/partition.py",
    "worker/hotswap/kafka/membership.py",
    "worker/hotswap/kafka/admin.py",
)

MUTANTS = [
    Mutant(
        "a stale generation is accepted",
        SWAP,
        "if command.generation <= self.newest:",
        "if command.generation < 0:",
        "I8",
    ),
    Mutant("ids may be used again", SWAP, "if command_id in self._seen:", "if not command_id:", "I7"),
    Mutant(
        "parts are inherited from the first generation",
        SWAP,
        "self._base(command.base or self.newest)",
        "self._base(command.base or min(self.swaps))",
        "I2, I9",
    ),
    Mutant("an expired command is accepted", SWAP, "timestamp_ms > command.not_after_ms", "timestamp_ms < 0", "I9"),
    Mutant(
        "a rollback keeps the old number",
        SWAP,
        "replace(old, number=command.generation)",
        "old",
        "I2",
    ),
    Mutant(
        "a partition goes back behind its floor",
        PROGRESS,
        "if swap.number < position.floor:",
        "if swap.number < 0:",
        "I3",
    ),
    Mutant("a cut is one too late", SWAP, "return offset >= self.cut", "return offset > self.cut", "I4"),
    Mutant(
        "a batch goes over the next cut",
        PROGRESS,
        "return Serve(swap.number, until)",
        "return Serve(swap.number, None)",
        "I4",
    ),
    Mutant(
        "behind a cut the old generation goes on",
        PROGRESS,
        "or partition in swap.cut)",
        "or partition in ())",
        "I4",
    ),
    Mutant(
        "a cut of an empty partition is at once",
        PROGRESS,
        "or partition in swap.cut)",
        "or swap.cut.get(partition, 0) > 0)",
        "I4",
    ),
    Mutant(
        "a failed generation is waited for",
        PROGRESS,
        "if state is State.FAILED and swap.number != position.floor:",
        "if swap.number < 0:",
        "I5",
    ),
    Mutant("a pause is not heard", PROGRESS, "if self.timeline.is_paused:", "if not self.timeline.swaps:", "the pause"),
    Mutant(
        "a generation is let go while it scores",
        AGENDA,
        "kept |= {state.in_hand for state in own.values() if state.in_hand is not None}",
        "pass",
        "I11",
    ),
    Mutant(
        "only the newest generation is staged",
        AGENDA,
        "needed.add(swap.number)",
        "pass",
        "every request is answered",
    ),
    Mutant(
        "the pipeline takes more than its decision",
        PIPELINE,
        ".max_batch_records, choice.until)",
        ".max_batch_records, None)",
        "I4",
    ),
    Mutant(
        "a batch in a looping model is never given up",
        PIPELINE,
        "            self._task.cancel()\n",
        "            pass\n",
        "the newer generation is served",
    ),
    Mutant(
        "a batch that was given up ends its partition",
        PIPELINE,
        "if not self._is_overtaken or self._task.uncancel():",
        "if self._is_overtaken:",
        "every request is answered",
    ),
    Mutant(
        "a pause leaves a looping model its batch",
        PROGRESS,
        "return self.timeline.is_paused or (",
        "return not self.timeline.is_paused and (",
        "the pause",
    ),
    Mutant(
        "the floor is forgotten",
        PIPELINE,
        "Position(offset, self.state.position.floor)",
        "Position(offset, 0)",
        "I3",
    ),
    Mutant(
        "the last request of a batch is scored again",
        PIPELINE,
        "Position(batch[-1].offset + 1, number)",
        "Position(batch[-1].offset, number)",
        "I1, I11",
    ),
    Mutant(
        "every batch announces a cut-over",
        PIPELINE,
        "first = at.offset if is_cut_over else None",
        "first = at.offset",
        "I4",
    ),
    Mutant(
        "a doubtful producer is kept",
        PIPELINE,
        "                await self._source.close()\n",
        "                pass\n",
        "I1",
    ),
    Mutant(
        "refused requests are forgotten",
        PIPELINE,
        "dead_letters.append(dead_letter(request, refusal, own, ours, self._limits.dead_letter))",
        "del refusal, own, ours",
        "I1",
    ),
    Mutant(
        "refusals come first",
        PIPELINE,
        "return [ask if isinstance(ask, Refusal) else next(rest) for ask in asks]",
        "return [*(ask for ask in asks if isinstance(ask, Refusal)), *rest]",
        "I1, I2",
    ),
    Mutant(
        "markers keep a partition before its cut",
        PIPELINE,
        "choice.until <= at.offset:",
        "choice.until < 0:",
        "I10",
    ),
    Mutant(
        "a revoked loop is waited for, whatever it does",
        "worker/hotswap/pipeline/partitions.py",
        "                task.cancel()\n",
        "                pass\n",
        "every request is answered",
    ),
    Mutant(
        "the offset is read before the fence",
        PARTITION,
        "        self._producer = self._new_producer()\n",
        "        position = await self._position()\n        self._position = lambda: asyncio.sleep(0, position)\n"
        "        self._producer = self._new_producer()\n",
        "I1",
    ),
    Mutant(
        "one transactional id per worker",
        PARTITION,
        'f"{settings.group_id}-{self._topics.requests}-{self._partition}"',
        'f"{settings.group_id}-{settings.worker_id}-{self._partition}"',
        "I1",
    ),
    Mutant(
        "no look at what became of the records",
        PARTITION,
        "                await produced\n",
        "                pass\n",
        "I1",
    ),
    Mutant(
        "what lost its marker stays open",
        PARTITION,
        "            await self._end_what_is_open()\n",
        "            pass\n",
        "I1",
    ),
    Mutant(
        "the answers are no witness",
        PARTITION,
        "if last and last.offset >= position.offset:",
        "if not last and last:",
        "I1",
    ),
    Mutant(
        "a coordinator that loads means nothing is committed",
        ADMIN,
        "if missing := [key.partition for key in asked if key not in answer]:",
        'answer = dict.fromkeys(asked, type("Never", (), {"offset": -1, "metadata": ""})) | answer\n'
        "        if missing := []:",
        "I1",
    ),
    Mutant("an answer from before a seek counts", MEMBERSHIP, "if epoch != self._epoch:", "if epoch < 0:", "I1"),
    Mutant(
        "a partition stays paused when it is opened again",
        MEMBERSHIP,
        "        inbox.open(offset)\n        self._resume(inbox)\n",
        "        inbox.open(offset)\n",
        "every request is answered",
    ),
]


def _rule(name: str, old: str, new: str) -> Mutant:
    found_by = tuple(f"tests/unit/test_{name}.py" for name in ("agenda", "agenda_failures", "progress"))
    return Mutant(name, AGENDA, old, new, "a rule of the agenda", found_by)


MUTANTS += [
    _rule("a failed generation is not tried again", "count, at = self._failures[number]", "return True"),
    _rule("every try of a failed one comes as soon", "_RETRY_S if is_awaited else", "_RETRY_S if True else"),
    _rule(
        "tries grow rarer without end",
        "first=_RETRY_S, most=_RETRY_AT_MOST_S)",
        "first=_RETRY_S, most=1e9)",
    ),
    _rule(
        "one that rests holds up the others",
        "is not State.READY and not self._rests(now, number, own):",
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
        "for swap in untouched if swap.number not in needed)",
        "for swap in untouched)",
    ),
    _rule("what waits is forgotten", "[swap for swap in untouched if swap.number in needed]", "[]"),
    _rule(
        "old commands are answered again",
        "self._answered = self._timeline.newest\n\n    def must_look",
        "pass\n\n    def must_look",
    ),
    _rule("two are staged at a time", "if self._staged is not None or (number :=", "if (number :="),
    _rule(
        "a try of a failed one says STAGING",
        "if self.progress.of(number) is not State.FAILED:\n"
        "            self.progress.move(number, State.STAGING)\n            yield",
        "if True:\n            yield",
    ),
    _rule("SERVING is said before the cut", "if is_before or", "if"),
    _rule("SERVING is said while the old one has a batch", "state.in_hand not in (None, newest)", "not state"),
    _rule("SERVING is said of what is older than the floor", " or newest < self.newest_scored(own)", ""),
    _rule("SERVING is said again and again", "self._announced = newest", "pass"),
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
    _rule("why a worker stays out is said at each turn", "            self._lacks = lacks\n", "            pass\n"),
    _rule(
        "a worker joins while it may come farther",
        "self.progress.loaded and self._next(now, positions, own) is None",
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
]
