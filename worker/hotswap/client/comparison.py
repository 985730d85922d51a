"""What two deployments answered to the same requests, added up pair by pair in memory that does not grow with them."""

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hotswap.codec.text.answered import AnswerField

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)
LARGEST: Final = 10
"""How many of the largest differences are kept."""
_MOST_LABELS: Final = 50
"""Pairs of labels that are counted for themselves are at most this number squared."""
OTHERS: Final = "…"
"""Stands for labels beyond that."""
_GROWTH: Final = 1.02
"""Each bucket of differences ends this much higher than it begins: quantiles are off by at most 1 %."""
_LEAST, _MOST = 1e-12, 1e15
_LOG: Final = math.log(_GROWTH)


class GivenAnswer(NamedTuple):
    """An answer to a request: its rows, or the code of its refusal."""

    generation: int
    operation: str
    fields: Sequence[AnswerField] = ()
    rows: Sequence[Sequence[Any]] = ()
    refusal: str = ""


class LargeDifference(NamedTuple):
    """A number of both answers to a row of a request; `size` is infinite where only one of them is a number."""

    size: float
    source: str
    row: int
    path: str
    one: Any
    other: Any


@dataclass(slots=True)
class Differences:
    """The absolute differences of a number, in buckets of 2 %, so that a quantile is off by at most 1 %."""

    count: int = 0
    equal: int = 0
    undefined: int = 0
    """How often only one of both was a number: the other was NaN, infinite or unset."""
    largest: float = 0.0
    sum: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, size: float) -> None:
        """Count a difference."""
        self.count += 1
        if size == 0:
            self.equal += 1
        elif size == math.inf:
            self.undefined += 1
        else:
            self.largest = max(self.largest, size)
            self.sum += size
            self.buckets[math.floor(math.log(min(max(size, _LEAST), _MOST)) / _LOG)] += 1

    @property
    def defined(self) -> int:
        """How many differences are numbers."""
        return self.count - self.undefined

    def sizes(self) -> Iterator[tuple[float, int]]:
        """Yield the differences that are numbers above 0, by at most 1 % off, and how many of each there are."""
        for bucket, count in sorted(self.buckets.items()):
            yield min(_GROWTH ** (bucket + 0.5), self.largest), count

    def quantile(self, share: float) -> float | None:
        """Return the difference that this share of them does not exceed, by at most 1 % off; None: there is none."""
        if not self.defined:
            return None
        left = math.ceil(share * self.defined) - self.equal
        if left <= 0:
            return 0.0
        for size, count in self.sizes():
            left -= count
            if left <= 0:
                return size
        return self.largest


@dataclass(slots=True)
class GenerationPair:
    """The rows that two generations both answered, and those whose labels differ."""

    rows: int = 0
    flips: int = 0


class Labels:
    """How often each label of one stood beside each label of the other."""

    def __init__(self) -> None:
        self.pairs: Counter[tuple[str, str]] = Counter()
        self._known: dict[str, str] = {}

    def add(self, one: Any, other: Any) -> bool:
        """Count a pair; return whether they differ."""
        self.pairs[self._label(one), self._label(other)] += 1
        return bool(one != other)

    def _label(self, value: Any) -> str:
        text = "" if value is None else str(value)
        if text not in self._known and len(self._known) < _MOST_LABELS:
            self._known[text] = text
        return self._known.get(text, OTHERS)


class Comparison:
    """The answers of `one` deployment beside those of the `other`, to the same requests."""

    def __init__(self) -> None:
        self.both = 0
        """Requests that both have answered, with predictions or refusals."""
        self.missing = [0, 0]
        """Requests that only the other one has answered, though both have passed them."""
        self.outside = 0
        """Requests that are outside of a shadow's sample."""
        self.waiting = [0, 0]
        """Requests that the other one has answered, and this one not yet."""
        self.again = [0, 0]
        """Further answers to a request that was answered."""
        self.unreadable = [0, 0]
        """Answers that no proto of the log can read."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """(code of one, code of the other), empty for a prediction -> requests of which at least one was refused."""
        self.rows = self.flips = self.identical = self.unpaired = 0
        self.pairs: dict[tuple[int, int], GenerationPair] = {}
        self.labels: dict[str, Labels] = {}
        self.numbers: dict[str, Differences] = {}
        self.others: dict[str, list[int]] = {}
        """Path of a field that is neither -> how often it was equal, and how often it was not."""
        self.lone: list[set[str]] = [set(), set()]
        """Paths of fields that only one of both has."""
        self._largest: list[tuple[float, int, LargeDifference]] = []
        self._places: dict[tuple[int, str, int, str], Sequence[_Place]] = {}
        self._order = 0

    @property
    def largest(self) -> list[LargeDifference]:
        """The largest differences of numbers, the largest first."""
        return [one for _, _, one in sorted(self._largest, key=lambda one: one[:2], reverse=True)]

    @property
    def flip_share(self) -> float:
        """The share of the compared rows whose labels differ."""
        return self.flips / self.rows if self.rows else 0.0

    def refusals(self, side: int) -> int:
        """Return how many requests only this side refused."""
        return sum(count for codes, count in self.refused.items() if codes[side] and not codes[1 - side])

    def add(self, source: str, one: GivenAnswer, other: GivenAnswer) -> None:
        """Add the answers of both to a request."""
        self.both += 1
        if one.refusal or other.refusal:
            self.refused[one.refusal, other.refusal] += 1
            return
        pair = self.pairs.setdefault((one.generation, other.generation), GenerationPair())
        shared = self._shared(one, other)
        if len(one.rows) != len(other.rows):
            self.unpaired += 1
            return
        for number, (row, beside) in enumerate(zip(one.rows, other.rows, strict=True)):
            pair.rows += 1
            is_flip, is_same = self._row(source, number, shared, row, beside)
            pair.flips += is_flip
            self.flips += is_flip
            self.identical += is_same
        self.rows += len(one.rows)

    def _shared(self, one: GivenAnswer, other: GivenAnswer) -> "Sequence[_Place]":
        """Return the places of the fields that both have, and note those that only one has."""
        key = one.generation, one.operation, other.generation, other.operation
        if key not in self._places:
            there = {part.path: (at, part) for at, part in enumerate(other.fields)}
            mine = [(at, part, *there[part.path]) for at, part in enumerate(one.fields) if part.path in there]
            paths = {part.path for _, part, _, _ in mine}
            self.lone[0] |= {part.path for part in one.fields} - paths
            self.lone[1] |= there.keys() - paths
            self._places[key] = [self._place(at, part, to, beside) for at, part, to, beside in mine]
        return self._places[key]

    def _place(self, at: int, part: AnswerField, to: int, beside: AnswerField) -> "_Place":
        if part.is_number and beside.is_number:
            return _Place(at, to, part.path, numbers=self.numbers.setdefault(part.path, Differences()))
        if part.is_label and beside.is_label:
            return _Place(at, to, part.path, labels=self.labels.setdefault(part.path, Labels()))
        return _Place(at, to, part.path, others=self.others.setdefault(part.path, [0, 0]))

    def _row(
        self, source: str, number: int, shared: "Sequence[_Place]", row: Sequence[Any], beside: Sequence[Any]
    ) -> tuple[bool, bool]:
        """Add a row; return whether its labels differ, and whether all of it is the same."""
        is_flip, is_same = False, True
        for at, to, path, numbers, labels, others in shared:
            one, other = row[at], beside[to]
            if numbers:
                size = _size(one, other)
                numbers.add(size)
                if size:
                    is_same = False
                    self._keep(LargeDifference(size, source, number, path, one, other))
            elif labels:
                if labels.add(one, other):
                    is_flip, is_same = True, False
            elif others:
                others[one != other] += 1
                is_same &= one == other
        return is_flip, is_same

    def _keep(self, difference: LargeDifference) -> None:
        self._order -= 1
        entry = difference.size, self._order, difference
        if len(self._largest) < LARGEST:
            heapq.heappush(self._largest, entry)
        elif entry > self._largest[0]:
            heapq.heapreplace(self._largest, entry)


class _Place(NamedTuple):
    """A field that both have: where each of them has it in a row, and what counts it."""

    at: int
    to: int
    path: str
    numbers: Differences | None = None
    labels: Labels | None = None
    others: list[int] | None = None


def _size(one: Any, other: Any) -> float:
    """Return the absolute difference of two numbers; infinite if only one of them is finite."""
    is_one, is_other = (value is not None and math.isfinite(value) for value in (one, other))
    if is_one and is_other:
        return float(abs(one - other))
    same = one == other or (one is not None and other is not None and math.isnan(one) and math.isnan(other))
    return 0.0 if same else math.inf


def flipped(labels: Mapping[str, Labels]) -> Iterator[tuple[str, str, str, int]]:
    """Yield each field's pairs of labels that differ, the most frequent first: path, label, the other's, and rows."""
    for path, counted in labels.items():
        for (one, other), count in counted.pairs.most_common():
            if one != other or one == OTHERS:
                yield path, one, other, count
