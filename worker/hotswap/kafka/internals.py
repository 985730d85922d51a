"""Every use of aiokafka beyond its documented interface, and every patch of it, but for those of its neighbours.

These are error_codes.py, group.py, rights.py, sessions.py, and batches.py and wire/, which use no private names of it.

CHECKED_AGAINST is the version whose source was read for this. `tests/contract/kafka/test_aiokafka.py` checks what this
relies on, by source and by behaviour, and fails if another version changes it; `docs/upstream/` drafts, for each use,
the issue that would make it unnecessary. Membership, positions, pausing, leaders and errors stay aiokafka's.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiokafka.admin.client
import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer import fetcher
from aiokafka.errors import RecordTooLargeError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.memory_records import MemoryRecords

from hotswap.kafka import batches
from hotswap.kafka.error_codes import FencedInstanceIdError, InvalidRecordError
from hotswap.recordbatch.header import SEQUENCES

__all__ = ["FencedInstanceIdError", "InvalidRecordError"]

CHECKED_AGAINST: Final = "0.14.0"

# ---- patches of the library, process-wide


class NamingRequest(MetadataRequest):  # type: ignore[misc]
    """A metadata request that never creates the topics that it names, as aiokafka's do where a broker allows it.

    A deleted topic of a deployment would be back at once, with the broker's default of partitions.
    """

    def __init__(self, topics: list[str] | None = None) -> None:
        super().__init__(topics, allow_auto_topic_creation=False)


aiokafka.client.MetadataRequest = NamingRequest
aiokafka.admin.client.MetadataRequest = NamingRequest


class _KeptBytes:
    """aiokafka's MemoryRecords that keeps its raw bytes, for every consumer of this process."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        known = MemoryRecords(data)
        self.has_next, self.next_batch, self.size_in_bytes = known.has_next, known.next_batch, known.size_in_bytes


fetcher.MemoryRecords = _KeptBytes

# ---- a consumer


class PartitionFetch(fetcher.PartitionRecords):  # type: ignore[misc]
    """The data fetched for a partition, split by `cut` instead of parsed to records.

    `cut` advances `next_fetch_offset`, which becomes the consumer's position.
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
        # The object and its generator form a reference cycle, which would keep the fetched data until the cycle
        # collector runs.
        known._records_iterator = None

    @property
    def key(self) -> TopicPartition:
        """Where the data is from."""
        return self._tp

    @property
    def data(self) -> bytes:
        """The raw bytes from the wire."""
        kept: bytes = self._records.data
        return kept

    def is_aborted(self, offset: int, producer: int, *, is_transactional: bool, is_control: bool) -> bool:
        """Whether a batch belongs to an aborted transaction; call this for each batch, in order."""
        if self._isolation_level != fetcher.READ_COMMITTED:
            return False
        self._consume_aborted_up_to(offset)
        if is_control:
            # The next marker of a producer with an aborted transaction ends that transaction.
            self._aborted_producers.discard(producer)
        return is_transactional and producer in self._aborted_producers

    def _unpack_records(self) -> Iterator[Any]:
        return self._cut(self)


class Fetched(dict[TopicPartition, Any]):
    """Replacement for the fetcher's dict of fetched data, with which `getmany` returns what `cut` yields."""

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
    """Make a started consumer's `getmany` return what `cut` yields for each fetch."""
    of = consumer._fetcher
    of._records = Fetched(of._records, cut)


def where_it_is_too_large(error: RecordTooLargeError) -> tuple[TopicPartition, int]:
    """Return the partition and offset of a first batch that was not fetched completely."""
    _, key, offset, *_ = error.args
    return key, offset


async def partitions_for_topic(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """Return the topic's current partitions; requests the metadata of all topics, so that the broker creates none."""
    metadata = await consumer._client.fetch_all_metadata()
    return metadata.partitions_for_topic(topic) or set()


def fetch_at_most(consumer: AIOKafkaConsumer, partition_bytes: int) -> None:
    """Fetch so many bytes of a partition at once from now on, or one record batch."""
    consumer._fetcher._max_partition_fetch_bytes = partition_bytes


async def learn(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> None:
    """Fetch the metadata of topics that a consumer does not know yet, before it is asked for their offsets.

    Otherwise aiokafka does so when it misses them, and tries again a back-off (0.1 s) later.
    """
    for topic in set(topics):
        await consumer._client.add_topic(topic)


# ---- a producer


def wrap_sequences(producer: AIOKafkaProducer) -> None:
    """Make a producer's sequence numbers wrap from 2^31 - 1 to 0, as Kafka's do.

    aiokafka wraps to -2^31, which the broker rejects with a non-retriable error: after 2^31 records from one producer
    to one partition, which is five hours at 117,000 a second.
    """
    manager = producer._txn_manager

    def increment(key: TopicPartition, by: int) -> None:
        manager._sequence_numbers[key] = (manager._sequence_numbers[key] + by) % SEQUENCES

    manager.increment_sequence_number = increment


def fill(batch: Any, timestamp_ms: int, records: Sequence[Any]) -> int:
    """Append (key, value, headers) to a new batch until it is full; return the number appended.

    The batch's own `append` does more per record, which costs half as much again.
    """
    count = batches.append(batch._builder, timestamp_ms, records)
    batch._relative_offset = count
    return count


def available_partitions(producer: AIOKafkaProducer, topic: str) -> set[int]:
    """Return the topic's partitions that have a leader, as far as the producer knows."""
    known: set[int] = producer.client.cluster.available_partitions_for_topic(topic)
    return known


# ---- any client


async def wait_for_a_broker(admin: AIOKafkaAdminClient, retry_s: float) -> None:
    """Wait until the cluster reports a broker, polling every `retry_s` seconds."""
    client = admin._client
    while not client.cluster.brokers():
        await client.force_metadata_update()
        await asyncio.sleep(retry_s)


async def cluster_id(consumer: AIOKafkaConsumer) -> str:
    """Return the id of a consumer's cluster, which aiokafka's metadata leaves out."""
    client = consumer._client
    answer = await client.send(client.get_random_node(), MetadataRequest([]))
    return str(answer.cluster_id)


async def cut_off(client: AIOKafkaConsumer | AIOKafkaProducer, seconds: float) -> None:
    """Cancel the tasks of a client whose `stop` has failed, and close its connections within `seconds`.

    aiokafka has no `kill`, and tasks left running would keep retrying. The epoch of a producer's successor fences what
    the producer still has in flight.
    """
    for task in _tasks(client):
        task.cancel()
    # A close that timed out leaves a cancelled future behind, which the next close awaits.
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(seconds):
            await (client.client if isinstance(client, AIOKafkaProducer) else client._client).close()


def _tasks(client: Any) -> Iterator[asyncio.Task[Any]]:
    """Yield the background tasks of a client."""
    parts = [getattr(client, name, None) for name in ("_sender", "_coordinator", "_fetcher")]
    for part in filter(None, parts):
        yield from (value for value in vars(part).values() if isinstance(value, asyncio.Task))
        yield from getattr(part, "_pending_tasks", ())
