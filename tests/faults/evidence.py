"""What the verifier works with: records as any client returns them, findings, and the state of each partition."""

import contextlib
import hashlib
import math
import time
from array import array
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_KEPT = 20
"""How many findings of a kind are kept; the others are only counted."""

_OURS = frozenset(
    {"generation", "model-digest", "operation", "source", "code", "message", "value-size", "value-sha256"}
)
_LARGE = 1_000_000
"""The size in bytes above which a dead letter need not have its request's value."""

UNJOURNALED = "unjournaled"
"""Header of a request that is in no journal: whether the broker accepted it may be unknown."""
UNREADABLE = (("expect", b"MALFORMED_HEADER"), (UNJOURNALED, b"1"))
UNREADABLE_KEY = b"a header name of mine is no UTF-8"
"""The key, and the readable headers, of each request with a header name that a client cannot return."""


class Names(NamedTuple):
    """The five topics of a deployment."""

    requests: str
    predictions: str
    dead_letters: str
    control: str
    status: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record as any Kafka client returns it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A breach of the promise; partition and offset are the request's, if it is about one."""

    kind: str
    partition: int | None
    offset: int | None
    text: str

    def __str__(self):
        place = "" if self.partition is None else f" {self.partition}"
        return f"{self.kind}{place}{'' if self.offset is None else f'@{self.offset}'}: {self.text}"


class CutOffs:
    """When workers are cut off from a broker: they do not read its commands, and keep no cut that they do not know."""

    def __init__(self, grace_ms):
        self._grace_ms = grace_ms
        self.spans: list[list[float]] = []
        """When each began and ended, in milliseconds since the epoch."""

    @contextlib.contextmanager
    def during(self):
        """They are cut off for as long as the block takes; blocks may overlap."""
        self.spans.append(span := [time.time() * 1_000, math.inf])
        try:
            yield
        finally:
            span[1] = time.time() * 1_000

    def known_from_ms(self, sent_ms):
        """From when on each worker must keep the cut of a command that was sent at this time."""
        known = sent_ms + self._grace_ms
        for begin, end in self.spans:
            if begin < known < end + self._grace_ms:
                known = end + self._grace_ms
        return known


class Ledger:
    """Findings: all are counted, a few of each kind are kept."""

    def __init__(self):
        self.counts = Counter()
        self.kept = []

    def say(self, kind, partition, offset, text):
        self.counts[kind] += 1
        if self.counts[kind] <= _KEPT:
            self.kept.append(Finding(kind, partition, offset, text))


class Behind:
    """Answers by older generations behind the cut of a newer one; findings, unless a worker could not load the newer.

    Such a worker goes on with what it has (control.proto's OUTCOME_FAILED), and an answer does not say whose it is.
    """

    def __init__(self):
        self._by_newer = defaultdict(Ledger)
        self._failed = set()

    def say(self, newer, *finding):
        self._by_newer[newer].say(*finding)

    def fail(self, generation):
        """A worker reports that it could not load this one; it may do so after its answers."""
        self._failed.add(generation)

    def has_failed(self, generation):
        return generation in self._failed

    @property
    def ledgers(self):
        return [ledger for newer, ledger in self._by_newer.items() if newer not in self._failed]

    @property
    def excused(self):
        """The number of answers that were seen and are no findings."""
        return sum(ledger.counts.total() for newer, ledger in self._by_newer.items() if newer in self._failed)


class Request(NamedTuple):
    value: bytes | None
    expect: str | None
    operation: bytes | None
    fingerprint: int
    timestamp_ms: int


class Answer(NamedTuple):
    record: Record
    partition: int
    offset: int
    generation: int
    headers: Mapping[str, bytes | None]
    arrived_s: float
    is_first: bool = True


class Course:
    """Which generation answered which offsets of a partition, and which had to."""

    def __init__(self):
        self.spans: dict[int, list[int]] = {}
        self._numbers = []
        self._cuts = []
        self._newest = []

    def answered(self, offset, generation):
        """Add an answer; return whether the generations still never decrease along the offsets."""
        at = bisect_left(self._numbers, generation)
        is_new = generation not in self.spans
        older, newer = at - 1, at if is_new else at + 1
        if older >= 0 and self.spans[self._numbers[older]][1] > offset:
            return False
        if newer < len(self._numbers) and self.spans[self._numbers[newer]][0] < offset:
            return False
        if is_new:
            insort(self._numbers, generation)
            self.spans[generation] = [offset, offset]
        span = self.spans[generation]
        span[0], span[1] = min(span[0], offset), max(span[1], offset)
        return True

    def cut(self, offset, generation):
        """Allow nothing older from this offset on; return the last answers that already were."""
        insort(self._cuts, (offset, generation))
        self._newest = []
        for _, number in self._cuts:
            self._newest.append(max(number, self._newest[-1] if self._newest else 0))
        return self.behind(offset, generation)

    def behind(self, offset, generation):
        """Return the last answers by older generations from this offset on."""
        return [(last, number) for number, (_, last) in self.spans.items() if number < generation and last >= offset]

    def uncut(self, generation):
        """Take back the cuts to a generation, which was abandoned."""
        cuts, self._cuts, self._newest = self._cuts, [], []
        for offset, number in cuts:
            if number != generation:
                self.cut(offset, number)

    def least(self, offset):
        """Return the oldest generation that may answer this offset, according to the cuts."""
        at = bisect_right(self._cuts, (offset, 1 << 64))
        return self._newest[at - 1] if at else 0

    @property
    def last(self):
        """Offset and generation of the answer with the highest offset; (-1, 0): none."""
        return max(((last, number) for number, (_, last) in self.spans.items()), default=(-1, 0))


@dataclass(slots=True)
class Partition:
    """One partition of the requests and what became of it."""

    requests: dict[int, Request] = field(default_factory=dict)
    last_request: int = -1
    answered: set[int] = field(default_factory=set)
    unacknowledged: set[int] = field(default_factory=set)
    placeless: Counter[str] = field(default_factory=Counter)
    """Digests of requests that were acknowledged without an offset."""
    course: Course = field(default_factory=Course)
    heard_s: float = 0.0


@dataclass(slots=True)
class Output:
    """One partition of an output topic; `firsts` and `lasts` have the sources of each transaction."""

    offset: int = -2
    source: int = -1
    generation: int = 0
    firsts: array = field(default_factory=lambda: array("q"))
    lasts: array = field(default_factory=lambda: array("q"))


def fingerprint(record):
    """Hash the key and the headers that an answer copies from its request."""
    return hash((record.key, tuple(header for header in record.headers if header[0] not in _OURS)))


def has_bytes(letter, value):
    """Whether a dead letter has the request's value, or identifies it if no dead letter can hold it."""
    if letter.value is not None or value is None or len(value) < _LARGE:
        return letter.value == value
    return dict(letter.headers).get("value-sha256") == hashlib.sha256(value).hexdigest().encode()


def at(record):
    return f"{record.topic}-{record.partition}@{record.offset}"
