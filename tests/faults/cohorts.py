"""Which generation may score which partition, and since when, while generations come to their partitions by parts.

`Lots` is a fold of its own of the control log, from control.proto alone, for the commands of version 2; `strays` finds,
from the topics' records, answers by a generation in a partition that no command had given it by then. The kinds:

    stray         an answer by a generation that was not promoted in this partition, or not yet; by one that stands in
                  for an abandoned one, where that has never scored
    wrong_cut     an answer by a generation before its cut in this partition, or by an older one after it
    late          a partition is not scored by a generation that it was given long ago
    cohort        during a canary, one key was scored by two generations
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from faults.fold import Command, Fold, Status
from faults.verifier import Verifier

FOLLOWS_S = 30
"""A partition that is given a generation at once is scored by it within this time, while workers die."""
_HELD = Status.DESCRIPTOR.file.enum_types_by_name["Outcome"].values_by_name["OUTCOME_HELD"].number


@dataclass
class Lot:
    """The partitions of a generation; times are timestamps of the control log, in ms."""

    number: int
    cuts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition -> the first offset that it answers, and when a command said so."""
    others_ms: float = math.inf
    """Since when it may score those that no command has named."""
    is_staged: bool = False
    replaces: int = 0
    abandoned_ms: float = math.inf

    def since_ms(self, partition):
        """Return since when it may score a partition; infinity: never."""
        return min(self.others_ms, self.cuts.get(partition, (0, math.inf))[1])


class Lots(Fold):
    """The verifier's fold, with the commands that give a generation to some partitions, and take it away."""

    def __init__(self, deployment):
        super().__init__(deployment)
        self.lots = {}

    def receive(self, value, timestamp_ms):
        verdict = super().receive(value, timestamp_ms)
        if verdict and verdict.outcome in ("", "APPLIED"):
            command = Command.FromString(value)
            kind = command.WhichOneof("kind")
            ways = {"swap": self._new, "rollback": self._new, "promote": self._more, "abandon": self._back}
            if follow := ways.get(kind):
                follow(getattr(command, kind), timestamp_ms)
        return verdict

    def _new(self, order, timestamp_ms):
        others_ms = math.inf if order.cut_over.staged else timestamp_ms
        lot = Lot(order.generation, others_ms=others_ms, is_staged=order.cut_over.staged)
        self._give(lot, order.cut_over.offsets, timestamp_ms)

    def _give(self, lot, offsets, timestamp_ms):
        lot.cuts.update((partition, (offset, timestamp_ms)) for partition, offset in offsets.items())
        self.lots[lot.number] = lot

    def _more(self, order, timestamp_ms):
        lot = self.lots[order.generation]
        for partition, offset in order.offsets.items():
            if partition not in lot.cuts or offset < lot.cuts[partition][0]:
                lot.cuts[partition] = offset, timestamp_ms
        if order.complete:
            lot.others_ms = min(lot.others_ms, timestamp_ms)

    def _back(self, order, timestamp_ms):
        self.lots[order.abandoned].abandoned_ms = timestamp_ms
        self._give(Lot(order.generation, others_ms=timestamp_ms, replaces=order.abandoned), order.offsets, timestamp_ms)


class Seen(NamedTuple):
    """The first answer to a request; times in ms, the answer's by its worker."""

    offset: int
    generation: int
    asked_ms: int
    answered_ms: int
    key: bytes | None


class Window(NamedTuple):
    """A time, in ms, in which a generation had these partitions, and no others."""

    generation: int
    partitions: frozenset[int]
    begin_ms: float
    end_ms: float

    def has(self, seen):
        """Whether a request was asked and answered in it."""
        return self.begin_ms <= seen.asked_ms and seen.answered_ms < self.end_ms


class InParts(Verifier):
    """The verifier of a fleet whose generations come to their partitions by parts."""

    fold_of = Lots

    def __init__(self, **given):
        super().__init__(**given)
        self._seen = defaultdict(list)
        self.windows = []
        self.held = set()
        """Workers that have reported that the log has a command that they do not know."""
        self.follows_s = {}
        """How long after a command the last request was asked that was answered as if it had not come: by its kind."""

    @property
    def lots(self):
        return self._fold.lots

    def parts_of(self, generation):
        """Return the SHA-256 of an accepted generation's model, and of its proto."""
        parts = self._fold.accepted[generation]
        return parts.model[1], parts.proto

    def _status(self, record):
        super()._status(record)
        status = Status.FromString(record.value or b"")
        if status.worker.held or status.swap.outcome == _HELD:
            self.held.add(status.worker.worker or status.swap.worker)

    def _check(self, answer):
        super()._check(answer)
        if answer.is_first and answer.generation in self._fold.accepted:
            request = self._part(answer.partition).requests[answer.offset]
            times = request.timestamp_ms, answer.record.timestamp_ms
            self._seen[answer.partition].append(Seen(answer.offset, answer.generation, *times, answer.record.key))

    def scored(self, partition, offset):
        """Return the generation that has scored this partition up to an offset; None: not all is read that is to be."""
        part = self._part(partition)
        if part.last_request < offset - 1 or any(at < offset and at not in part.answered for at in part.requests):
            return None
        spans = [number for number, (first, _) in part.course.spans.items() if first < offset]
        idle = [number for (at, number), first in self._announced.items() if at == partition and first <= offset]
        return max([0, *spans, *idle])

    def share(self, partitions):
        """Return the share of all requests so far that these partitions have."""
        counts = {number: len(part.requests) for number, part in self._partitions.items()}
        return sum(counts.get(number, 0) for number in partitions) / max(1, sum(counts.values()))

    def shares(self, window):
        """Return the share of a window's answers that its generation gave, and the number of keys by generation."""
        answers, keys = self._in(window)
        by_generation = Counter(generation for generations in keys.values() for generation in generations)
        return answers[window.generation] / max(1, answers.total()), dict(by_generation)

    def _in(self, window):
        answers, keys = Counter(), defaultdict(set)
        for seen in (one for course in self._seen.values() for one in course if window.has(one)):
            answers[seen.generation] += 1
            keys[seen.key].add(seen.generation)
        return answers, keys

    def finish(self, committed, ends):
        super().finish(committed, ends)
        for partition, course in sorted(self._seen.items()):
            self._close(strays(partition, sorted(course), self.lots, self._announced))
            self._close(self._overdue(partition, course))
        for window in self.windows:
            for key, generations in self._in(window)[1].items():
                if len(generations) > 1:
                    text = f"{key} was scored by {sorted(generations)} in the canary of {window.generation}"
                    self._final.say("cohort", None, None, text)
        return self.findings

    def _overdue(self, partition, course):
        """Find what was answered by an older generation although a newer one was to have the partition by then."""
        for lot in self.lots.values():
            offset, cut_ms = lot.cuts.get(partition, (0, lot.others_ms))
            is_explicit = partition in lot.cuts
            if not is_explicit and not lot.is_staged and not _takes_over(partition, lot, course, self._announced):
                continue  # it may score the partition once it is loaded, or not at all
            until_ms = self.cut_offs.known_from_ms(cut_ms) if is_explicit else cut_ms + FOLLOWS_S * 1_000
            kind = "abandonment" if lot.replaces else "promotion"
            for seen in course:
                is_older = seen.generation < lot.number and seen.offset >= offset
                if is_older and cut_ms < seen.asked_ms and seen.answered_ms < lot.abandoned_ms:
                    after_s = round((seen.asked_ms - cut_ms) / 1_000, 1)
                    self.follows_s[kind] = max(self.follows_s.get(kind, 0), after_s)
                    if seen.asked_ms > until_ms:
                        what = "wrong_cut" if is_explicit else "late"
                        text = (
                            f"answered by generation {seen.generation}, and {lot.number} was to score it from {offset}"
                        )
                        yield what, partition, seen.offset, f"{text}, {seen.asked_ms - cut_ms:.0f} ms before"


def strays(partition, course, lots, announced):
    """Find the answers by a generation in a partition that it did not have; `course`: what was seen, by offset."""
    for number in sorted({seen.generation for seen in course}):
        lot = lots[number]
        mine = [seen for seen in course if seen.generation == number]
        first = min(mine, key=lambda seen: seen.answered_ms)
        since_ms = lot.since_ms(partition)
        if math.isinf(since_ms):
            yield "stray", partition, first.offset, f"answered by generation {number}, which was never promoted here"
        elif first.answered_ms < since_ms:
            text = f"answered by generation {number}, {since_ms - first.answered_ms:.0f} ms before it was promoted here"
            yield "stray", partition, first.offset, text
        cut = lot.cuts.get(partition, (0, 0))[0]
        if mine[0].offset < cut:
            text = f"answered by generation {number}, which begins at {cut} here"
            yield "wrong_cut", partition, mine[0].offset, text
        if lot.replaces and not _takes_over(partition, lot, course, announced):
            text = f"answered by generation {number}, which stands in for {lot.replaces}, which never scored here"
            yield "stray", partition, mine[0].offset, text


def _takes_over(partition, lot, course, announced):
    """Whether a generation stands in for another one that has scored a partition."""
    was_there = (partition, lot.replaces) in announced or any(seen.generation == lot.replaces for seen in course)
    return bool(lot.replaces) and was_there
