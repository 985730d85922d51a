"""Counts the outcome of every request, from the records of the topics alone; no I/O."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

from demo_domains import Offline, Said

_SAME = 1e-12
"""How far a probability may be from H2O's own: Java's exp may differ in the last digit from machine to machine."""


class Record(Protocol):
    """A record of a topic; `timestamp` in ms since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Answered(NamedTuple):
    """An answered request: when asked, when answered (seconds since the epoch), its partition, its generation."""

    asked_at: float
    answered_at: float
    partition: int
    generation: int


class Gap(NamedTuple):
    """A stretch without a prediction, from one to the next; seconds since the epoch."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin


class Moment(NamedTuple):
    """A command: when sent, when ended (seconds since the epoch); `reason` is why it was refused, else empty."""

    generation: int
    title: str
    sent_at: float
    ended_at: float
    reason: str


@dataclass(slots=True)
class Score:
    """The answers of one generation, compared with the same model's offline predictions for the same rows."""

    generation: int
    model: str
    answered: int = 0
    right: int = 0
    right_offline: int = 0
    differ: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The outcomes of all requests."""

    asked: int
    refused: int
    lost: int
    twice: int
    unasked: int
    answered: tuple[Answered, ...]
    scores: tuple[Score, ...]

    @property
    def faults(self) -> list[str]:
        """The breaches of the promise, as text; empty in a good run."""
        counts = {
            "lost": self.lost,
            "answered twice": self.twice,
            "good requests refused": self.refused,
            "answers to nothing that was asked": self.unasked,
        }
        counts |= {
            f"predictions of generation {score.generation} differ from {score.model} offline": score.differ
            for score in self.scores
        }
        return [f"{number} {what}" for what, number in counts.items() if number]

    def taken_over(self, generation: int) -> float | None:
        """Returns when the last partition had its first prediction of a generation; None: it never answered."""
        first: dict[int, float] = {}
        for answer in self.answered:
            if answer.generation == generation:
                first[answer.partition] = min(answer.answered_at, first.get(answer.partition, math.inf))
        return max(first.values(), default=None)


def count(
    requests: Iterable[Record], predictions: Iterable[Record], dead_letters: Iterable[Record], models: Iterable[Offline]
) -> Count:
    """Finds the answers to each request (their header `source` names it) and compares them with what is known.

    A request's key names its row: `iris-17`. A prediction's header `model-digest` names its model.
    """
    asked = {f"{request.topic}-{request.partition}-{request.offset}": request for request in requests}
    by_digest = {model.sha256: model for model in models}
    predicted, refused = list(predictions), [header(letter, "source") for letter in dead_letters]
    times = Counter([header(prediction, "source") for prediction in predicted] + refused)
    scores: dict[int, Score] = {}
    answered = []
    for prediction in predicted:
        request = asked.get(header(prediction, "source"))
        if request is None:
            continue
        model, generation = by_digest[header(prediction, "model-digest")], int(header(prediction, "generation"))
        _compare(scores.setdefault(generation, Score(generation, model.name)), request, prediction, model)
        answered.append(Answered(request.timestamp / 1000, prediction.timestamp / 1000, request.partition, generation))
    return Count(
        asked=len(asked),
        refused=len(refused),
        lost=len(asked.keys() - times.keys()),
        twice=sum(number > 1 for number in times.values()),
        unasked=len(times.keys() - asked.keys()),
        answered=tuple(answered),
        scores=tuple(scores[generation] for generation in sorted(scores)),
    )


def _compare(score: Score, request: Record, prediction: Record, model: Offline) -> None:
    domain = model.domain
    name, _, row = (request.key or b"").decode().rpartition("-")
    score.answered += 1
    if name != domain.name:  # a model that answered a request of another domain: nothing to compare with
        score.differ += 1
        return
    known, offline = domain.classes[int(row)], model.predictions[int(row)]
    said = domain.read(prediction.value or b"")
    score.right += said[domain.label] == known
    score.right_offline += offline[domain.label] == known
    score.differ += not _is_same(said, offline)


def _is_same(said: Said, offline: Said) -> bool:
    return said.keys() == offline.keys() and all(
        math.isclose(value, other, rel_tol=_SAME, abs_tol=_SAME)
        if isinstance(value, float) and isinstance(other, float)
        else value == other
        for value, other in ((said[name], offline[name]) for name in said)
    )


def header(record: Record, name: str) -> str:
    """Returns a header as text; of a repeated name the last one, which the worker has added."""
    return dict(record.headers)[name].decode()


def gaps(answered: Iterable[Answered]) -> list[Gap]:
    """Returns every gap between one prediction and the next, in order of time."""
    return [Gap(before, after) for before, after in pairwise(sorted(answer.answered_at for answer in answered))]


def partition_gaps(answered: Iterable[Answered]) -> list[Gap]:
    """Returns the gaps of each partition on its own: while one stalls, another may continue."""
    partitions: dict[int, list[Answered]] = {}
    for answer in answered:
        partitions.setdefault(answer.partition, []).append(answer)
    return [gap for partition in partitions.values() for gap in gaps(partition)]


def longest(gaps: Iterable[Gap], begin: float, end: float) -> Gap | None:
    """Returns the longest gap that overlaps the time from `begin` to `end`."""
    return max((gap for gap in gaps if gap.end > begin and gap.begin < end), key=lambda gap: gap.seconds, default=None)


def silences(count: Count, begin: float, end: float) -> tuple[Gap | None, Gap | None]:
    """Returns the longest gaps that overlap the time from `begin` to `end`: of the stream, and of one partition."""
    return longest(gaps(count.answered), begin, end), longest(partition_gaps(count.answered), begin, end)


def milliseconds(gap: Gap | None) -> str:
    """Formats a gap for the screen and the picture."""
    return f"{gap.seconds * 1000:,.0f} ms" if gap else "-"


def longest_outside(gaps: Iterable[Gap], windows: Sequence[tuple[float, float]]) -> Gap | None:
    """Returns the longest gap that overlaps none of the windows: how long gaps are when nothing happens."""
    steady = [gap for gap in gaps if not any(gap.end > begin and gap.begin < end for begin, end in windows)]
    return max(steady, key=lambda gap: gap.seconds, default=None)


def per_bin(answered: Iterable[Answered], begin: float, width_s: float) -> Mapping[int, Counter[int]]:
    """Returns the number of predictions in each bin of `width_s` since `begin`, for each generation."""
    bins: dict[int, Counter[int]] = {}
    for answer in answered:
        bins.setdefault(answer.generation, Counter())[int((answer.answered_at - begin) / width_s)] += 1
    return bins


def window(moment: Moment, count: Count) -> tuple[float, float]:
    """Returns the time from the command until the last partition was cut over, or the fleet had refused it."""
    return moment.sent_at, max(moment.ended_at, count.taken_over(moment.generation) or 0.0)
