"""aiokafka beyond its documented interface, but for connections and clients: those are in sessions.py and cluster.py.

CHECKED_AGAINST is the version whose source was read for this. `tests/contract/kafka/test_aiokafka.py` checks what this
relies on, by source and by behaviour, and fails if another version changes it; `docs/upstream/` drafts, for each use,
the issue that would make it unnecessary. Membership, positions, pausing, leaders and errors stay aiokafka's.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer import fetcher

from hotswap.kafka.client.cluster import KafkaClient

CHECKED_AGAINST: Final = "0.14.0"

# ---- clients


def consumer_of(client: KafkaClient, **more: Any) -> AIOKafkaConsumer:
    """Return a consumer, not started, that has this client instead of its own; `more` is for AIOKafkaConsumer."""
    consumer = AIOKafkaConsumer(**more)
    consumer._client = client
    return consumer


def admin_of(client: KafkaClient) -> AIOKafkaAdminClient:
    """Return an admin, not started, that has this client instead of its own."""
    admin = AIOKafkaAdminClient()
    admin._client = client
    return admin


async def cut_off(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """Cancel the tasks of a consumer whose `stop` has failed, and close its connections within `seconds`.

    aiokafka has no `kill`, and tasks left running would keep retrying.
    """
    for task in _tasks(consumer):
        task.cancel()
    # A close that timed out leaves a cancelled future behind, which the next close awaits.
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(seconds):
            await consumer._client.close()


def _tasks(consumer: AIOKafkaConsumer) -> Iterator[asyncio.Task[Any]]:
    """Yield the background tasks of a consumer."""
    for part in filter(None, (consumer._coordinator, consumer._fetcher)):
        yield from (value for value in vars(part).values() if isinstance(value, asyncio.Task))
        yield from getattr(part, "_pending_tasks", ())


# ---- fetches


class Cutter(NamedTuple):
    """A `value_deserializer` that makes a consumer yield the results of `cut` on each fetch, instead of records."""

    cut: Callable[["PartitionFetch"], Iterator[Any]]


class _Raw(NamedTuple):
    """The fetched bytes of a partition, in place of aiokafka's MemoryRecords, which hides them."""

    data: bytes

    def has_next(self) -> bool:
        """Whether there are any; `cut` reports an incomplete first batch, which no broker sends."""
        return bool(self.data)

    def size_in_bytes(self) -> int:
        """How many there are."""
        return len(self.data)


class PartitionFetch:
    """One fetch of a partition, in place of aiokafka's PartitionRecords.

    `cut` advances `next_fetch_offset`, which becomes the consumer's position.
    """

    def __init__(
        self, key: TopicPartition, data: bytes, aborted: Iterable[tuple[int, int]], offset: int, cut: Cutter
    ) -> None:
        """`aborted` are the producers with aborted transactions, and where each begins."""
        self.key = key
        self.data = data
        self.next_fetch_offset = offset
        self._begun_later = sorted(aborted, key=lambda one: one[1], reverse=True)
        self._aborting: set[int] = set()
        self._cut = cut.cut

    def __iter__(self) -> Iterator[Any]:
        # No iterator is kept: it would form a reference cycle with this, which would keep the fetched data until the
        # cycle collector runs.
        return self._cut(self)

    def is_aborted(self, offset: int, producer: int, *, is_transactional: bool, is_control: bool) -> bool:
        """Whether a batch belongs to an aborted transaction; call this for each batch, in order."""
        while self._begun_later and self._begun_later[-1][1] <= offset:
            self._aborting.add(self._begun_later.pop()[0])
        if is_control:
            # The next marker of a producer with an aborted transaction ends that transaction.
            self._aborting.discard(producer)
        return is_transactional and producer in self._aborting


def _partition_records(
    key: TopicPartition,
    records: _Raw,
    aborted: Sequence[tuple[int, int]] | None,
    offset: int,
    of_key: Any,
    of_value: Any,
    *more: Any,
) -> Any:
    if isinstance(of_value, Cutter):
        return PartitionFetch(key, records.data, aborted or (), offset, of_value)
    return _PartitionRecords(key, _MemoryRecords(records.data), aborted, offset, of_key, of_value, *more)


_MemoryRecords, _PartitionRecords = fetcher.MemoryRecords, fetcher.PartitionRecords
fetcher.MemoryRecords, fetcher.PartitionRecords = _Raw, _partition_records


def fetch_within(consumer: AIOKafkaConsumer, wait_ms: int) -> None:
    """Have brokers wait for data at most this long, milliseconds, before they answer a fetch empty."""
    consumer._fetcher._fetch_max_wait_ms = wait_ms


def fetch_at_most(consumer: AIOKafkaConsumer, partition_bytes: int) -> None:
    """Fetch at most this many bytes of a partition at once from now on, or one record batch."""
    consumer._fetcher._max_partition_fetch_bytes = partition_bytes


# ---- a member of a group


def member_id(consumer: AIOKafkaConsumer) -> str:
    """Return the consumer's member id in its group; empty if it will join as a new member."""
    known: str = consumer._coordinator.member_id
    return known


def join_as(consumer: AIOKafkaConsumer, member: str) -> None:
    """Make a static member join next time with its old id, so that a second worker with its name is detected.

    A second one takes our place, and our heartbeats, which aiokafka sends without the name, are then those of an
    unknown member. aiokafka would forget its member id and join as a new member, which evicts the second one, and so on
    for ever. With the old id the broker tells the cases apart: the name belongs to another member now
    (FENCED_INSTANCE_ID), or our session has ended and the name is free (UNKNOWN_MEMBER_ID, and we join as new).
    """
    if not consumer._coordinator.member_id:
        consumer._coordinator.member_id = member


def membership_number(consumer: AIOKafkaConsumer) -> int:
    """Return the consumer-group generation (Kafka's own) that the consumer has joined last."""
    known: int = consumer._coordinator.generation
    return known


def rejoin(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer join its group again, which shares the partitions out anew."""
    consumer._coordinator.request_rejoin()


def read_on(consumer: AIOKafkaConsumer) -> None:
    """Let `getmany` go on with the partitions at hand until the consumer has others; aiokafka's waits for these."""
    consumer._subscription.begin_reassignment = lambda: None


def leave_at_stop(consumer: AIOKafkaConsumer) -> None:
    """Let `stop` leave the group with a static member too, which aiokafka's never does (KIP-1092: LEAVE_GROUP).

    aiokafka sends the member id only (LeaveGroup version 1), and the broker removes the name with it.
    """
    if consumer._coordinator:  # none before `start`
        consumer._coordinator._group_instance_id = None
