"""What the model needs of Kafka: logs, transactional ids with epochs, atomic commits, offsets of a group.

Only what the promises rest on, and as unkind as the real one was seen to be: a coordinator that loads answers with
nothing; a late request of an older epoch is refused, one of the same epoch is not; the markers of a lone broker that is
killed can get lost (ARCHITECTURE.md, Non-obvious).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka.errors import OutOfOrderSequenceNumber, ProducerFenced

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
    headers: list
    kind: str
    timestamp: int = 0


@dataclass(slots=True)
class _Coordinator:
    """One transactional id. `left`: records whose commit marker got lost, which the next marker there will cover."""

    epoch: int = -1
    sequences: Counter = field(default_factory=Counter)
    open: dict = field(default_factory=dict)
    left: dict = field(default_factory=dict)


class Broker:
    """The cluster; `on_commit` is told of every transaction that became visible, place by place."""

    def __init__(self, *, partitions, shared, on_commit):
        self.requests = [[] for _ in range(partitions)]
        """Requests by their offset; None is the marker of a publisher's transaction."""
        self.offsets = {}
        """Partition -> next offset and metadata, as committed."""
        self.is_loading = False
        self._shared = shared
        self._ends = {}
        self._ids = {}
        self._on_commit = on_commit

    def end(self, partition):
        return len(self.requests[partition])

    def written(self, place, *, is_stable):
        """End of an output partition: of what is decided, or of all."""
        undecided = sum(
            len(records.get(place, ())) for c in self._ids.values() for records in (c.open, c.left) if not is_stable
        )
        return self._ends.get(place, 0) + undecided

    def has_open(self):
        return any(c.open or c.left for c in self._ids.values())

    def torn(self):
        """Partitions whose offset's marker got lost: the next commit there ends that."""
        return {place.partition for c in self._ids.values() for place in c.left if place.topic == OFFSETS}

    # A producer's requests, each refused where a newer producer has the id.

    def init(self, transactional_id):
        """Shuts out every earlier producer of the id, aborts what it left open, and says the new epoch."""
        coordinator = self._ids.setdefault(transactional_id, _Coordinator())
        coordinator.epoch += 1
        coordinator.sequences.clear()
        self._abort(coordinator)
        return coordinator.epoch

    def write(self, transactional_id, epoch, place, items, sequence):
        """Adds records, or an offset of the group, to the open transaction; `sequence` shows where one is missing."""
        coordinator = self._fenced(transactional_id, epoch)
        if coordinator.sequences[place] != sequence:
            raise OutOfOrderSequenceNumber
        coordinator.sequences[place] += 1
        coordinator.open.setdefault(place, []).extend(items)

    def finish(self, transactional_id, epoch, *, is_commit):
        coordinator = self._fenced(transactional_id, epoch)
        if is_commit:
            self._commit(coordinator)
        else:
            self._abort(coordinator)

    def can_lose(self, transactional_id, epoch, *, lost):
        """The loss of the offset alone, at a partition's first commit ever, looks like an operator's order."""
        coordinator = self._ids[transactional_id]
        places = [place for place in coordinator.open if place.topic == OFFSETS and place.partition in self.offsets]
        return coordinator.epoch == epoch and (lost == "all" or places)

    def finish_without_markers(self, transactional_id, epoch, *, lost):
        """A commit that a lone broker loses the markers of: of "all" partitions of the id, or of the "offset" alone."""
        coordinator = self._fenced(transactional_id, epoch)
        own = [
            place
            for place in coordinator.open
            if place.topic == OFFSETS or (lost == "all" and place not in self._shared)
        ]
        for place in own:
            coordinator.left.setdefault(place, []).extend(coordinator.open.pop(place))
        self._commit(coordinator)

    def _fenced(self, transactional_id, epoch):
        coordinator = self._ids[transactional_id]
        if coordinator.epoch != epoch:
            raise ProducerFenced
        return coordinator

    def _abort(self, coordinator):
        for place in coordinator.open:
            coordinator.left.pop(place, None)
        coordinator.open = {}

    def _commit(self, coordinator):
        visible = {place: coordinator.left.pop(place, []) + items for place, items in coordinator.open.items()}
        coordinator.open = {}
        for place, items in visible.items():
            if place.topic == OFFSETS:
                self.offsets[place.partition] = items[-1]
            else:
                self._ends[place] = self._ends.get(place, 0) + len(items)
        if visible:
            self._on_commit(visible)
