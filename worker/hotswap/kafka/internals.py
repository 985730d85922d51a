"""The border to the inside of aiokafka 0.14: what it fetches comes to us as batches, and sequences wrap as Kafka's do.

What is not its public interface is used here or in `connection.py`; `tests/contract/kafka/test_aiokafka.py`
holds what is known of it. Membership, positions, pausing, leaders, back-off and errors stay aiokafka's: only the
generator that would unpack a fetched partition into records is another one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import RecordTooLargeError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from hotswap.kafka.records import (
    ATTRIBUTES_AT,
    CONTROL,
    HEAD,
    MAGIC_AT,
    OVERHEAD,
    TRANSACTIONAL,
    Damaged,
    LegacyBatch,
    RawBatch,
    Skipped,
    Unpacker,
)

_SEQUENCES = 1 << 31
_LEAST_LEGACY_BYTES = OVERHEAD + 14


Batch: TypeAlias = RawBatch | LegacyBatch | Skipped | Damaged
Fetches: TypeAlias = Mapping[TopicPartition, Sequence[Batch]]


class _KeptBytes:
    """aiokafka's MemoryRecords, for any consumer of this process, with the bytes that it was given."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        known = MemoryRecords(data)
        self.has_next, self.next_batch, self.size_in_bytes = known.has_next, known.next_batch, known.size_in_bytes


fetcher.MemoryRecords = _KeptBytes


class _Batches(fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition, as batches instead of records; which are passed over is as in its base class."""

    next_fetch_offset: int

    def __init__(self, known: Any, unpacker: Unpacker) -> None:
        self._unpacker = unpacker
        super().__init__(
            known._tp,  # noqa: SLF001
            known._records,  # noqa: SLF001
            known._aborted_transactions,  # noqa: SLF001
            known.next_fetch_offset,
            None,
            None,
            True,
            known._isolation_level,  # noqa: SLF001
        )
        # It and its generator hold each other, and with them all that was fetched, until a search for cycles.
        known._records_iterator = None  # noqa: SLF001

    def _unpack_records(self) -> Iterator[RawBatch | LegacyBatch | Damaged]:
        """Each batch whose checksum holds; a damaged one is the last that is given, and is fetched again."""
        whole = memoryview(self._records.data)
        at = 0
        while len(whole) - at >= OVERHEAD:
            end = at + OVERHEAD + int.from_bytes(whole[at + 8 : at + OVERHEAD], signed=True)
            if end > len(whole) and at:
                return  # cut off by the size of the fetch
            batch = whole[at:end]
            if not _is_sound(batch):
                yield self._damaged(batch or whole[at:], whole[end:] if end > at else whole[:0])
                return
            at = end
            if batch[MAGIC_AT] < 2:  # noqa: PLR2004 - format v2
                found: RawBatch | LegacyBatch = LegacyBatch(
                    batch, start=self.next_fetch_offset, bound=self._unpacker.bounds.unpacked
                )
            elif self._is_passed_over(batch):
                self.next_fetch_offset = max(self.next_fetch_offset, _behind(batch))
                continue
            else:
                found = RawBatch(batch, start=self.next_fetch_offset, unpacker=self._unpacker)
            if found.next > self.next_fetch_offset:
                self.next_fetch_offset = found.next
                yield found

    def _is_passed_over(self, batch: memoryview) -> bool:
        """Whether it is no request's: a marker, or part of a transaction that was aborted."""
        first, _, _, _, _, attributes, _, _, _, producer, *_ = HEAD.unpack_from(batch)
        if self._isolation_level == fetcher.READ_COMMITTED:
            self._consume_aborted_up_to(first)
            if attributes & CONTROL:
                # Of a producer one of whose transactions was aborted the next marker is that one's end.
                self._aborted_producers.discard(producer)
            if attributes & TRANSACTIONAL and producer in self._aborted_producers:
                return True
        return bool(attributes & CONTROL)

    def _damaged(self, batch: memoryview, rest: memoryview) -> Damaged:
        """The offsets that go with a batch of which nothing is certain: up to the next one, where that can be read."""
        start = self.next_fetch_offset
        if len(rest) >= HEAD.size and (after := int.from_bytes(rest[:8], signed=True)) > start and _is_sound(rest):
            return Damaged(start, after, bytes(batch))
        after = _behind(batch) if len(batch) >= HEAD.size else 0
        return Damaged(start, after if start < after <= start + len(batch) else start + 1, bytes(batch))


class Fetched(dict[TopicPartition, Any]):
    """What the fetcher of a consumer has fetched, in place of its own dict: batches are taken out, no records."""

    def __init__(self, known: Mapping[TopicPartition, Any], unpacker: Unpacker) -> None:
        super().__init__()
        self._unpacker = unpacker
        for key, fetched in known.items():
            self[key] = fetched

    def __setitem__(self, key: TopicPartition, fetched: Any) -> None:
        if isinstance(fetched, fetcher.FetchResult):
            fetched._partition_records = _Batches(fetched._partition_records, self._unpacker)  # noqa: SLF001
        super().__setitem__(key, fetched)


def take_batches(consumer: AIOKafkaConsumer, unpacker: Unpacker) -> None:
    """Makes `get_batches` of a consumer that is started possible, and everything impossible that gives records."""
    of = consumer._fetcher  # noqa: SLF001
    of._records = Fetched(of._records, unpacker)  # noqa: SLF001


async def get_batches(consumer: AIOKafkaConsumer, *keys: TopicPartition, timeout_ms: int) -> Fetches:
    """The batches that were fetched, as soon as there are any; a Damaged ends those of its partition.

    What is damaged is fetched again by the next call: the consumer's position has not moved past it.
    """
    try:
        fetched: Fetches = await consumer.getmany(*keys, timeout_ms=timeout_ms)
    except RecordTooLargeError as error:
        # So it calls a first batch that is not whole, which no broker sends: its length was damaged. It goes on behind
        # the offset by itself, and must not.
        _, key, offset, *_ = error.args
        if key in consumer.assignment():
            consumer.seek(key, offset)
        return {key: [Damaged(offset, offset + 1, b"")]}
    return fetched


def wrap_sequences(producer: AIOKafkaProducer) -> None:
    """Lets a producer's sequence numbers go on at 0 behind 2^31 - 1, as Kafka's do.

    aiokafka goes on at -2^31, and the broker refuses what follows with an error that is not tried again: after 2^31
    records of one producer to one partition, which are five hours at 117,000 a second.
    """
    manager = producer._txn_manager  # noqa: SLF001

    def increment(key: TopicPartition, by: int) -> None:
        manager._sequence_numbers[key] = (manager._sequence_numbers[key] + by) % _SEQUENCES  # noqa: SLF001

    manager.increment_sequence_number = increment


def _is_sound(data: memoryview) -> bool:
    """Whether a batch is there whole, and its checksum holds."""
    size = OVERHEAD + int.from_bytes(data[8:OVERHEAD], signed=True)
    if not _LEAST_LEGACY_BYTES <= size <= len(data):
        return False
    magic = data[MAGIC_AT]
    if magic < 2:  # noqa: PLR2004 - format v2
        return bool(LegacyRecordBatch(bytes(data[:size]), magic).validate_crc())
    return size >= HEAD.size and bool(DefaultRecordBatch(data[:size]).validate_crc())


def _behind(batch: memoryview) -> int:
    """The offset behind a batch, as its header says."""
    return int.from_bytes(batch[:8], signed=True) + int.from_bytes(batch[ATTRIBUTES_AT + 2 : ATTRIBUTES_AT + 6]) + 1
