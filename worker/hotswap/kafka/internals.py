"""The border to the inside of aiokafka: all that is used of it beside its documented interface, and every patch.

CHECKED_AGAINST is the version whose source was read for this. `tests/contract/kafka/test_aiokafka.py` holds what is
relied on, by source and by behaviour, and turns red where another version changes it; `docs/upstream/` has for each
touch the issue that would make it needless. Membership, positions, pausing, leaders and errors stay aiokafka's.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiokafka.producer.sender
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer import fetcher
from aiokafka.errors import BrokerResponseError, RecordTooLargeError, kafka_errors
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.memory_records import MemoryRecords

__all__ = ["DefaultRecord", "DefaultRecordBatch", "LegacyRecordBatch", "MemoryRecords"]

CHECKED_AGAINST: Final = "0.14.0"

_SEQUENCES: Final = 1 << 31
_RETRY_BACKOFF_S: Final = 0.005

# ---- patches of the library, for the whole process

# The wait after CONCURRENT_TRANSACTIONS, which a `begin` meets that follows the last commit closely: 20 ms in aiokafka,
# where the broker needs about 2. This and the sender's back-off (100 ms, met after NotEnoughReplicas) are most of the
# latency at low rates.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.001


class FencedInstanceIdError(BrokerResponseError):  # type: ignore[misc]
    """Another member has joined with our `group_instance_id` (KIP-345); aiokafka does not know this answer."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


kafka_errors[FencedInstanceIdError.errno] = FencedInstanceIdError


class _KeptBytes:
    """aiokafka's MemoryRecords, for any consumer of this process, with the bytes that it was given."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        known = MemoryRecords(data)
        self.has_next, self.next_batch, self.size_in_bytes = known.has_next, known.next_batch, known.size_in_bytes


fetcher.MemoryRecords = _KeptBytes

# ---- a consumer


class PartitionFetch(fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition, cut into what `cut` makes of it instead of records.

    `cut` moves `next_fetch_offset` on, which becomes the consumer's position.
    """

    next_fetch_offset: int

    def __init__(self, known: Any, cut: Callable[["PartitionFetch"], Iterator[Any]]) -> None:
        self._cut = cut
        super().__init__(
            known._tp,
            known._records,
            known._aborted_transactions,
            known.next_fetch_offset,
            None,
            None,
            True,
            known._isolation_level,
        )
        # It and its generator hold each other, and with them all that was fetched, until a search for cycles.
        known._records_iterator = None

    @property
    def data(self) -> bytes:
        """The bytes, as they were on the wire."""
        kept: bytes = self._records.data
        return kept

    def is_aborted(self, offset: int, producer: int, *, is_transactional: bool, is_control: bool) -> bool:
        """Whether a batch is of a transaction that was aborted; to be asked of each, in order."""
        if self._isolation_level != fetcher.READ_COMMITTED:
            return False
        self._consume_aborted_up_to(offset)
        if is_control:
            # Of a producer one of whose transactions was aborted the next marker is that one's end.
            self._aborted_producers.discard(producer)
        return is_transactional and producer in self._aborted_producers

    def _unpack_records(self) -> Iterator[Any]:
        return self._cut(self)


class Fetched(dict[TopicPartition, Any]):
    """What the fetcher of a consumer has fetched, in place of its own dict: `getmany` gives what `cut` makes of it."""

    def __init__(self, known: Mapping[TopicPartition, Any], cut: Callable[[PartitionFetch], Iterator[Any]]) -> None:
        super().__init__()
        self._cut = cut
        for key, fetched in known.items():
            self[key] = fetched

    def __setitem__(self, key: TopicPartition, fetched: Any) -> None:
        if isinstance(fetched, fetcher.FetchResult):
            fetched._partition_records = PartitionFetch(fetched._partition_records, self._cut)
        super().__setitem__(key, fetched)


def cut_fetches(consumer: AIOKafkaConsumer, cut: Callable[[PartitionFetch], Iterator[Any]]) -> None:
    """Makes `getmany` of a consumer that is started give what `cut` makes of each fetch."""
    of = consumer._fetcher
    of._records = Fetched(of._records, cut)


def where_it_is_too_large(error: RecordTooLargeError) -> tuple[TopicPartition, int]:
    """The partition and the offset of a first batch that was not fetched whole."""
    _, key, offset, *_ = error.args
    return key, offset


async def partitions_for_topic(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """The partitions of a topic as the cluster has them now; asked of all topics, so that none is created by it."""
    metadata = await consumer._client.fetch_all_metadata()
    return metadata.partitions_for_topic(topic) or set()


def member_id(consumer: AIOKafkaConsumer) -> str:
    """Who the consumer is in its group; empty where it joins as new."""
    known: str = consumer._coordinator.member_id
    return known


def join_as(consumer: AIOKafkaConsumer, member: str) -> None:
    """Joins the group as `member` next time, where aiokafka has forgotten who it was."""
    if not consumer._coordinator.member_id:
        consumer._coordinator.member_id = member


# ---- a producer


def wrap_sequences(producer: AIOKafkaProducer) -> None:
    """Lets a producer's sequence numbers go on at 0 behind 2^31 - 1, as Kafka's do.

    aiokafka goes on at -2^31, and the broker refuses what follows with an error that is not tried again: after 2^31
    records of one producer to one partition, which are five hours at 117,000 a second.
    """
    manager = producer._txn_manager

    def increment(key: TopicPartition, by: int) -> None:
        manager._sequence_numbers[key] = (manager._sequence_numbers[key] + by) % _SEQUENCES

    manager.increment_sequence_number = increment


def retry_soon(producer: AIOKafkaProducer) -> None:
    """Sends again after 5 ms what a broker refuses for the moment.

    Of the sender alone. As the argument retry_backoff_ms it would be the client's too, which would then try to reach a
    broker that is down 200 times a second, a line of log each.
    """
    producer._sender._retry_backoff = _RETRY_BACKOFF_S


def add_to_transaction(producer: AIOKafkaProducer, key: TopicPartition) -> None:
    """Adds a partition to the open transaction before anything is sent to it."""
    producer._txn_manager.maybe_add_partition_to_txn(key)


def fill(batch: Any, timestamp_ms: int, records: Sequence[Any]) -> int:
    """Puts (key, value, headers) into a new batch until it is full; gives how many went in.

    What a batch's own `append` does beside this for each record costs half as much again.
    """
    append, count = batch._builder.append, 0
    for key, value, headers in records:
        if not append(count, timestamp_ms, key, value, headers):
            break
        count += 1
    batch._relative_offset = count
    return count


def available_partitions(producer: AIOKafkaProducer, topic: str) -> set[int]:
    """The partitions of a topic that have a leader, as far as the producer knows."""
    known: set[int] = producer.client.cluster.available_partitions_for_topic(topic)
    return known


# ---- any client


async def wait_for_a_broker(admin: AIOKafkaAdminClient, retry_s: float) -> None:
    """Waits until the cluster says that it has a broker, asking every `retry_s`."""
    client = admin._client
    while not client.cluster.brokers():
        await client.force_metadata_update()
        await asyncio.sleep(retry_s)


async def cut_off(client: AIOKafkaConsumer | AIOKafkaProducer, seconds: float) -> None:
    """Ends a client whose `stop` has failed: its tasks are cancelled, its connections closed within `seconds`.

    There is no `kill`: what is left would go on with retries. What a producer still has on its way is made harmless by
    the epoch of its successor.
    """
    for task in _tasks(client):
        task.cancel()
    # A close that a bound has cut off leaves a cancelled future behind, and the next one meets it.
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(seconds):
            await (client.client if isinstance(client, AIOKafkaProducer) else client._client).close()


def _tasks(client: Any) -> Iterator[asyncio.Task[Any]]:
    """What runs in the background of a client."""
    parts = [getattr(client, name, None) for name in ("_sender", "_coordinator", "_fetcher")]
    for part in filter(None, parts):
        yield from (value for value in vars(part).values() if isinstance(value, asyncio.Task))
        yield from getattr(part, "_pending_tasks", ())
