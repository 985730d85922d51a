"""What the model needs of Kafka: logs, transactional ids with epochs, atomic commits, offsets of a group.

Only what the promises rest on, and as unkind as the real one was seen to be: a coordinator that loads answers with
nothing; a late request of an older epoch is refused, one of the same epoch is not; the markers of a lone broker that is
killed can get lost; of two that are killed, one can commit what the third aborts (ARCHITECTURE.md, Non-obvious).
tests/contract/kafka/test_model_broker.py holds it to a real broker.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from aiokafka.errors import DuplicateSequenceNumber, OutOfOrderSequenceNumber, ProducerFenced

from hotswap.batch import Headers

OFFSETS = "offsets"
"""Where the offsets of the group go, beside the topics."""


class Place(NamedTuple):
    """A partition that a transaction writes to."""

    topic: str
    partition: int


@dataclass(slots=True, kw_only=True)
class Request:
    """A record of the requests topic, as the consumer hands it out; `kind` is the model's own note."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    kind: str
    timestamp: int = 0


class _Fate(Enum):
    """What became of a record; a marker is the end of a transaction, and has an offset too."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()
    MARKER = auto()


@dataclass(slots=True, eq=False)
class _Coordinator:
    """One transactional id.

    `open`: the places of its transaction, in order; `left`: those with records whose commit marker got lost, which the
    next marker there will cover; `seen`: what readers have meanwhile of what was committed.
    """

    epoch: int = -1
    sequences: Counter[Place] = field(default_factory=Counter)
    open: dict[Place, None] = field(default_factory=dict)
    left: dict[Place, None] = field(default_factory=dict)
    seen: dict[Place, list[Any]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Entry:
    writer: _Coordinator
    item: Any
    fate: _Fate = _Fate.OPEN


class Broker:
    """The cluster; `on_commit` is told of every transaction that became visible, place by place."""

    def __init__(
        self, *, partitions: int, shared: Collection[Place], on_commit: Callable[[Mapping[Place, list[Any]]], None]
    ) -> None:
        self.requests: list[list[Request | None]] = [[] for _ in range(partitions)]
        """Requests by their offset; None is the marker of a publisher's transaction."""
        self.offsets: dict[int, tuple[int, str]] = {}
        """Partition -> next offset and metadata, as committed."""
        self.is_loading = False
        self._shared = shared
        self._logs: dict[Place, list[_Entry]] = {}
        self._ids: dict[str, _Coordinator] = {}
        self._on_commit = on_commit

    def end(self, partition: int) -> int:
        return len(self.requests[partition])

    def written(self, place: Place, *, read_committed: bool) -> int:
        """End of an output partition: the last stable offset, or behind all that was written."""
        log = self._logs.get(place, [])
        undecided = (at for at, entry in enumerate(log) if entry.fate is _Fate.OPEN)
        return next(undecided, len(log)) if read_committed else len(log)

    def read(self, place: Place, *, is_committed: bool) -> list[Any]:
        """What a consumer gets: all that was written, or what is committed, up to the last stable offset."""
        log = self._logs.get(place, [])
        if not is_committed:
            return [entry.item for entry in log if entry.fate is not _Fate.MARKER]
        stable = log[: self.written(place, read_committed=True)]
        return [entry.item for entry in stable if entry.fate is _Fate.COMMITTED]

    def at(self, place: Place, offset: int) -> Any:
        """What was written at an offset."""
        return self._logs[place][offset].item

    def whose_open(self, open_at: Mapping[Place, int]) -> dict[int, list[str]]:
        """Whose the records are that were written at some offsets: producer id -> topics."""
        names = {id(coordinator): name for name, coordinator in self._ids.items()}
        found: dict[int, list[str]] = {}
        for place, at in open_at.items():
            found.setdefault(self.producer(names[id(self._logs[place][at].writer)]), []).append(place.topic)
        return found

    def has_open(self) -> bool:
        return any(c.open or c.left for c in self._ids.values())

    def torn(self) -> set[int]:
        """Partitions whose offset's marker got lost: the next commit there ends that."""
        return {place.partition for c in self._ids.values() for place in c.left if place.topic == OFFSETS}

    # A producer's requests, each refused where a newer producer has the id.

    def init(self, transactional_id: str) -> int:
        """Shuts out every earlier producer of the id, aborts what it left open, and says the new epoch."""
        coordinator = self._ids.setdefault(transactional_id, _Coordinator())
        coordinator.epoch += 1
        coordinator.sequences.clear()
        self._end(coordinator, _Fate.ABORTED)
        return coordinator.epoch

    def write(
        self, transactional_id: str, epoch: int, place: Place, items: Sequence[Any], sequence: int | None = None
    ) -> None:
        """Adds records, or an offset of the group, to the open transaction; `sequence` is that of the first record."""
        coordinator = self._fenced(transactional_id, epoch)
        if sequence is not None and coordinator.sequences[place] != sequence:
            raise DuplicateSequenceNumber if sequence < coordinator.sequences[place] else OutOfOrderSequenceNumber
        coordinator.sequences[place] += len(items)
        coordinator.open[place] = None
        self._logs.setdefault(place, []).extend(_Entry(coordinator, item) for item in items)

    def finish(self, transactional_id: str, epoch: int, *, is_commit: bool) -> None:
        coordinator = self._fenced(transactional_id, epoch)
        self._end(coordinator, _Fate.COMMITTED if is_commit else _Fate.ABORTED)

    def next_epoch(self, transactional_id: str, epoch: int) -> int:
        """Has a producer's epoch end with its transaction, as version 2 has it; returns the next one."""
        coordinator = self._fenced(transactional_id, epoch)
        coordinator.epoch += 1
        coordinator.sequences.clear()
        return coordinator.epoch

    def is_current(self, transactional_id: str, epoch: int) -> bool:
        return self._ids[transactional_id].epoch == epoch

    @staticmethod
    def producer(transactional_id: str) -> int:
        """The producer id of a transactional id."""
        return zlib.crc32(transactional_id.encode())

    def join(self, transactional_id: str, epoch: int, place: Place) -> None:
        """Adds a place to the open transaction without a record."""
        self._fenced(transactional_id, epoch).open[place] = None

    def can_lose(self, transactional_id: str, epoch: int, lost: Collection[str]) -> bool:
        """The loss of the offset, but not of all, at a partition's first commit ever looks like an operator's order."""
        coordinator = self._ids[transactional_id]
        places = [place for place in coordinator.open if place.topic in lost]
        is_first = any(place.topic == OFFSETS and place.partition not in self.offsets for place in places)
        is_whole = all(place.topic in lost or place in self._shared for place in coordinator.open)
        return coordinator.epoch == epoch and bool(places) and (is_whole or not is_first)

    def finish_without_markers(self, transactional_id: str, epoch: int, lost: Collection[str]) -> None:
        """A commit that a lone broker loses the markers of in some of its topics."""
        coordinator = self._fenced(transactional_id, epoch)
        for place in [place for place in coordinator.open if place.topic in lost]:
            del coordinator.open[place]
            coordinator.left[place] = None
        self._end(coordinator, _Fate.COMMITTED)

    def can_tear(self, transactional_id: str, epoch: int) -> bool:
        """Whether a transaction has answers, and is not the first one with answers to its partition's requests."""
        coordinator = self._ids[transactional_id]
        logs = [
            self._logs.get(place, [])
            for place in coordinator.open
            if place.topic != OFFSETS and place not in self._shared
        ]
        answers = [entry for log in logs for entry in log]
        are_before = any(entry.fate is _Fate.COMMITTED for entry in answers)
        return coordinator.epoch == epoch and are_before and any(entry.fate is _Fate.OPEN for entry in answers)

    def finish_torn(self, transactional_id: str, epoch: int) -> None:
        """A commit of the offset alone: all else is aborted."""
        coordinator = self._fenced(transactional_id, epoch)
        for place in coordinator.open:
            is_offset = place.topic == OFFSETS
            items = self._mark(place, coordinator, _Fate.COMMITTED if is_offset else _Fate.ABORTED)
            if is_offset:
                self.offsets[place.partition] = items[-1]
        coordinator.open = {}

    def aborted(self, place: Place) -> list[Any]:
        """What was written and aborted."""
        return [entry.item for entry in self._logs.get(place, []) if entry.fate is _Fate.ABORTED]

    def _fenced(self, transactional_id: str, epoch: int) -> _Coordinator:
        coordinator = self._ids[transactional_id]
        if coordinator.epoch != epoch:
            raise ProducerFenced
        return coordinator

    def _end(self, coordinator: _Coordinator, fate: _Fate) -> None:
        """Writes a marker at each place of the transaction; what readers get by it is told once they have all of it.

        Answers that a commit has left open, and that are aborted before somebody commits them, are torn from its
        offset: nothing is told then, and the requests are still to be answered.
        """
        is_torn = fate is _Fate.ABORTED and any(place in coordinator.left for place in coordinator.open)
        coordinator.seen |= self._decide(coordinator, fate)
        if is_torn and any(place.topic == OFFSETS for place in coordinator.seen):
            coordinator.seen = {}
        if coordinator.seen and all(place.topic == OFFSETS for place in coordinator.left):
            seen, coordinator.seen = coordinator.seen, {}
            self._on_commit(seen)

    def _decide(self, coordinator: _Coordinator, fate: _Fate) -> dict[Place, list[Any]]:
        """Covers all that the id has open at the places of the transaction; returns what readers get by it."""
        decided = {place: self._mark(place, coordinator, fate) for place in coordinator.open}
        for place in decided:
            coordinator.left.pop(place, None)
        coordinator.open = {}
        if fate is not _Fate.COMMITTED:
            return {}
        for place, items in decided.items():
            if place.topic == OFFSETS:
                self.offsets[place.partition] = items[-1]
        return decided

    def _mark(self, place: Place, coordinator: _Coordinator, fate: _Fate) -> list[Any]:
        log = self._logs.setdefault(place, [])
        covered = [entry for entry in log if entry.writer is coordinator and entry.fate is _Fate.OPEN]
        for entry in covered:
            entry.fate = fate
        log.append(_Entry(coordinator, None, _Fate.MARKER))
        return [entry.item for entry in covered]
