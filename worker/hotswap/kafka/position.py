"""Finds where a partition stands, and what an operator has made of its requests meanwhile."""

import contextlib
import logging
from typing import NamedTuple

from hotswap import metrics
from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.kafka.admin import Admin
from hotswap.kafka.tail import AnswersTail, LastAnswer, Tail
from hotswap.settings import Settings

log = logging.getLogger(__name__)


class Offsets(NamedTuple):
    """The group's committed offset (-1: none), and the first one that the partition still has."""

    committed: int
    first: int


class Positions:
    """Reads one partition's position, and reports what is odd about it, once, however often that is read."""

    def __init__(
        self, settings: Settings, admin: Admin, tail: AnswersTail, partition: int, warnings: dict[int, str]
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._tail = tail
        self._partition = partition
        self.deleted = (0, 0)
        """See `pipeline.ports.Source.deleted`."""
        self._warnings = warnings

    async def read(self) -> Position:
        """Return the position from the committed offset, the answers and the log.

        Raises:
            Doubt: Kafka did not answer in time.

        """
        settings, requests = self._settings, self._settings.topics.requests
        committed = await self._admin.committed_on(self._partition)
        first = await self._admin.beginning_offset(requests, self._partition)
        position = Position(max(committed.offset, 0), committed.generation)
        is_once = settings.delivery == "exactly_once"
        if is_once and committed.is_ours:
            position = self._witnessed(position, await self._tail.read(self._partition))
        elif is_once:
            with contextlib.suppress(Doubt):  # it is obeyed, also if the answers cannot be read
                self._told_set(Offsets(committed.offset, first), await self._tail.last(self._partition))
        if position.offset < first:
            if committed.offset >= 0:
                self._told_deleted((position.offset, first))
            position = Position(first, position.floor)
        return position

    async def has_passed(self, offset: int) -> bool:
        """Return whether the transaction that answers a request was committed, as the offset or another answer shows.

        An offset that an operator has set shows nothing, and neither do the answers then.

        Raises:
            Doubt: Kafka did not answer in time.

        """
        committed = await self._admin.committed_on(self._partition)
        if not committed.is_ours:
            return False
        last = await self._tail.last(self._partition)
        return offset < committed.offset or (last is not None and offset <= last.offset)

    def _witnessed(self, position: Position, tail: Tail) -> Position:
        """Return the position that the answers show, where they and the offset contradict each other.

        Kafka can commit a transaction in one partition and abort it in another (ARCHITECTURE.md, Non-obvious). An
        offset that an operator has set is an order, and is not corrected.
        """
        last, next_offset = tail.last, position.offset
        if last and last.offset >= next_offset:
            log.warning("partition.offset_was_lost", extra={"partition": self._partition, "found": last.offset + 1})
            return Position(last.offset + 1, max(last.generation, position.floor))
        if last and tail.aborted is not None and tail.aborted < next_offset:
            facts = {"partition": self._partition, "from": last.offset + 1, "to": next_offset}
            log.warning("partition.answers_were_lost", extra=facts)
            return Position(last.offset + 1, last.generation)  # a cut-over in that transaction was not announced either
        return position

    def _told_deleted(self, deleted: tuple[int, int]) -> None:
        """Report requests that nobody can answer any more."""
        if deleted != self.deleted:
            begin, end = self.deleted = deleted
            log.error("partition.requests_were_deleted", extra={"partition": self._partition, "from": begin, "to": end})
            metrics.DELETED.labels(self._settings.deployment).inc(end - begin)

    def _told_set(self, offsets: Offsets, last: LastAnswer | None) -> None:
        """Report an offset that an operator has set or removed: which requests it repeats, or leaves out."""
        start = max(offsets.committed, offsets.first)
        if last is None or start == last.offset + 1:
            return
        what = f"was set to {offsets.committed}" if offsets.committed >= 0 else "was removed, or has expired"
        if start <= last.offset:
            then = f"the requests from offset {start} to {last.offset} have answers, and get others"
        else:
            then = f"the requests from offset {last.offset + 1} to {start - 1} are left out, and get no answer"
        warning = f"the group's offset {what}, not by a worker: {then}"
        if warning != self._warnings.get(self._partition):
            self._warnings[self._partition] = warning
            log.warning("partition.offset_was_set", extra={"partition": self._partition, "why": warning})
