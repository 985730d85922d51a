"""The position of a partition, with changes by operators or strangers."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from hotswap import metrics
from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.kafka.partition.tail import AnswersTail, Tail
from hotswap.kafka.partition.witness import ONE_TRANSACTION, KnownAnswers
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import Committed
from hotswap.settings import Settings

log = logging.getLogger(__name__)


class Fenced(Protocol):
    """A producer that has fenced every earlier one of its transactional id."""

    @property
    def id(self) -> int:
        """Kafka's id of it."""

    @property
    def epoch(self) -> int:
        """Its epoch, which is 0 where the id is new."""


Highest = Callable[[int], Awaitable[int]]
"""Returns the highest generation that a command can have created; where the given one is higher, it first waits until
the control log is read to its end."""


async def believed(committed: Committed, highest: Highest) -> Committed:
    """Return a committed offset; as not a worker's, if it names a generation that no command can have created."""
    if committed.generation <= await highest(committed.generation):
        return committed
    return Committed(committed.offset, 0, is_ours=False)


class Positions:
    """Reads one partition's position, and reports each anomaly once."""

    def __init__(
        self,
        settings: Settings,
        admin: Admin,
        tail: AnswersTail,
        partition: int,
        warnings: dict[int, str],
        highest: Highest,
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._tail = tail
        self._partition = partition
        self._highest = highest
        self.deleted = (0, 0)
        """See `pipeline.ports.Source.deleted`."""
        self.answered_by: int | None = None
        """Id of the producer that wrote the last answers before the position, as of the last `read`; None: unknown."""
        self.is_offset_lost = False
        """Whether the answers were ahead of the committed offset, as of the last `read`: its marker is lost."""
        self._warnings = warnings
        self._by_kind: dict[str, str] = {}
        self._foreign = 0

    async def read(self, producers: Sequence[Fenced]) -> Position:
        """Return the position from the committed offset, the answers and the log; outside transactions, without these.

        Raises:
            TopicMismatch: the answers end with more records of others than can be passed over.
            Doubt: Kafka did not answer in time.

        """
        self.is_offset_lost = False
        stored = await self._admin.committed_on(self._partition)
        committed = await believed(stored, self._highest)
        odd = f"names generation {stored.generation}, which no command can have created" if stored != committed else ""
        first = await self._admin.beginning_offset(self._settings.topics.requests, self._partition)
        position = Position(max(committed.offset, 0), committed.generation)
        self.answered_by = committed.producer
        if producers and committed.is_ours:
            tail = await self._read_tail(committed, producers)
            position = self._witnessed(position, tail)
            if tail.last and self.answered_by is None:
                self.answered_by = producers[0].id
        elif producers:
            with contextlib.suppress(Doubt):  # it is obeyed, also if the answers cannot be read
                tail = await self._read_tail(committed, producers)
                last = tail.last.offset if tail.last else tail.claimed
                self._tell_set(committed, odd, max(committed.offset, first), last)
        if position.offset < first:
            if committed.offset >= 0:
                self._tell_deleted((position.offset, first))
            position = Position(first, position.floor)
        return position

    async def left_open(self, producers: Sequence[Fenced]) -> tuple[Mapping[int, Sequence[str]], bool]:
        """Return whose records lost their marker and in which topics, and whether they were committed.

        They were if the offset or another answer is past the first request that they answer. An offset that an operator
        has set shows nothing, and neither do the answers then.

        Raises:
            TopicMismatch: the answers end with more records of others than can be passed over.
            Doubt: Kafka did not answer in time.

        """
        committed = await believed(await self._admin.committed_on(self._partition), self._highest)
        tail = await self._read_tail(committed, producers)
        if tail.first_open is None or not committed.is_ours:
            return tail.open, False
        is_answered_past = tail.last is not None and tail.first_open <= tail.last.offset
        return tail.open, is_answered_past or tail.first_open < committed.offset

    async def _read_tail(self, committed: Committed, producers: Sequence[Fenced]) -> Tail:
        topics, partition = self._settings.topics, self._partition
        known = KnownAnswers(
            source=f"{topics.requests}-{partition}-".encode(),
            producers=committed.producers.union(producer.id for producer in producers),
            is_new=not committed.producers and all(producer.epoch == 0 for producer in producers),
            has_answered=committed.producer is not None,
            committed=max(committed.offset, 0),
            end=await self._admin.end_offset(topics.requests, partition),
            generations=await self._highest(0),
        )
        tail = await self._tail.read(partition, known)
        self._tell_foreign(tail.foreign)
        return tail

    def _witnessed(self, position: Position, tail: Tail) -> Position:
        """Return the position that the answers show, where they and the offset contradict each other.

        Kafka can commit a transaction in one partition and abort it in another (ARCHITECTURE.md, Non-obvious). An
        offset that an operator has set is an order, and is not corrected.
        """
        last, next_offset = tail.last, position.offset
        if last and last.offset >= next_offset:
            self.is_offset_lost = True
            log.warning("partition.offset_was_lost", extra={"partition": self._partition, "found": last.offset + 1})
            return Position(last.offset + 1, max(last.generation, position.floor))
        is_torn = tail.aborted is not None and next_offset - ONE_TRANSACTION < tail.aborted < next_offset
        if is_torn and (last or tail.is_all):
            actual = Position(last.offset + 1, last.generation) if last else Position(tail.aborted or 0, 0)
            facts = {"partition": self._partition, "from": actual.offset, "to": next_offset}
            log.warning("partition.answers_were_lost", extra=facts)
            return actual  # a cut-over in that transaction was not announced either
        return position

    def _tell_deleted(self, deleted: tuple[int, int]) -> None:
        """Report requests that nobody can answer any more."""
        if deleted != self.deleted:
            begin, end = self.deleted = deleted
            log.error("partition.requests_were_deleted", extra={"partition": self._partition, "from": begin, "to": end})
            metrics.DELETED.labels(self._settings.deployment).inc(end - begin)

    def _tell_set(self, committed: Committed, odd: str, start: int, last: int | None) -> None:
        """Report an offset that an operator has set or removed: which requests it repeats, or leaves out."""
        if (last is None or start == last + 1) and not odd:
            return
        what = f"was set to {committed.offset}" if committed.offset >= 0 else "was removed, or has expired"
        warning = f"the group's offset {what}, not by a worker"
        if odd:
            warning += f" (it {odd})"
        if last is not None and start <= last:
            warning += f": the requests from offset {start} to {last} have answers, and get others"
        elif last is not None and start > last + 1:
            warning += f": the requests from offset {last + 1} to {start - 1} are left out, and get no answer"
        if self._warn("set", warning):
            log.warning("partition.offset_was_set", extra={"partition": self._partition, "why": warning})

    def _tell_foreign(self, count: int) -> None:
        """Report answers that no worker has written: they move nothing here, but readers may believe them."""
        if not count:
            return
        self._foreign += count
        topics = self._settings.topics
        where = f"partition {self._partition} of {topics.predictions} and {topics.dead_letters}"
        facts = {"partition": self._partition, "records": count, "topics": [topics.predictions, topics.dead_letters]}
        log.warning("partition.foreign_answers", extra=facts)
        metrics.FOREIGN_ANSWERS.labels(self._settings.deployment).inc(count)
        self._warn(
            "foreign", f"{self._foreign} records in {where} claim to be answers, and no worker wrote them: passed over"
        )

    def _warn(self, kind: str, warning: str) -> bool:
        """Show a warning about the partition; return whether it is new."""
        is_new = self._by_kind.get(kind) != warning
        self._by_kind[kind] = warning
        self._warnings[self._partition] = "; ".join(self._by_kind.values())
        return is_new
