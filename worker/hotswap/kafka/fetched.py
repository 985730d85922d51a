"""What a consumer has fetched, as batches instead of records: damaged ones are told apart, aborted ones passed over."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import RecordTooLargeError

from hotswap.kafka.internals import (
    DefaultRecordBatch,
    LegacyRecordBatch,
    PartitionFetch,
    cut_fetches,
    where_it_is_too_large,
)
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

_LEAST_LEGACY_BYTES = OVERHEAD + 14

Batch: TypeAlias = RawBatch | LegacyBatch | Skipped | Damaged
Fetches: TypeAlias = Mapping[TopicPartition, Sequence[Batch]]


def take_batches(consumer: AIOKafkaConsumer, unpacker: Unpacker) -> None:
    """Makes `get_batches` of a consumer that is started possible, and everything impossible that gives records."""
    cut_fetches(consumer, partial(cut, unpacker=unpacker))


async def get_batches(consumer: AIOKafkaConsumer, *keys: TopicPartition, timeout_ms: int) -> Fetches:
    """The batches that were fetched, as soon as there are any; a Damaged ends those of its partition.

    What is damaged is fetched again by the next call: the consumer's position has not moved past it.
    """
    try:
        fetched: Fetches = await consumer.getmany(*keys, timeout_ms=timeout_ms)
    except RecordTooLargeError as error:
        # So it calls a first batch that is not whole, which no broker sends: its length was damaged. It goes on behind
        # the offset by itself, and must not.
        key, offset = where_it_is_too_large(error)
        if key in consumer.assignment():
            consumer.seek(key, offset)
        return {key: [Damaged(offset, offset + 1, b"")]}
    return fetched


def cut(of: PartitionFetch, unpacker: Unpacker) -> Iterator[RawBatch | LegacyBatch | Damaged]:
    """Each batch whose checksum holds; a damaged one is the last that is given, and is fetched again."""
    whole = memoryview(of.data)
    at = 0
    while len(whole) - at >= OVERHEAD:
        end = at + OVERHEAD + int.from_bytes(whole[at + 8 : at + OVERHEAD], signed=True)
        if end > len(whole) and at:
            return  # cut off by the size of the fetch
        batch = whole[at:end]
        if not _is_sound(batch):
            yield _damaged(of.next_fetch_offset, batch or whole[at:], whole[end:] if end > at else whole[:0])
            return
        at = end
        if batch[MAGIC_AT] < 2:  # noqa: PLR2004 - format v2
            found: RawBatch | LegacyBatch = LegacyBatch(
                batch, start=of.next_fetch_offset, bound=unpacker.bounds.unpacked
            )
        elif _is_passed_over(of, batch):
            of.next_fetch_offset = max(of.next_fetch_offset, _behind(batch))
            continue
        else:
            found = RawBatch(batch, start=of.next_fetch_offset, unpacker=unpacker)
        if found.next > of.next_fetch_offset:
            of.next_fetch_offset = found.next
            yield found


def _is_passed_over(of: PartitionFetch, batch: memoryview) -> bool:
    """Whether it is no request's: a marker, or part of a transaction that was aborted."""
    first, _, _, _, _, attributes, _, _, _, producer, *_ = HEAD.unpack_from(batch)
    is_control = bool(attributes & CONTROL)
    is_transactional = bool(attributes & TRANSACTIONAL)
    return of.is_aborted(first, producer, is_transactional=is_transactional, is_control=is_control) or is_control


def _damaged(start: int, batch: memoryview, rest: memoryview) -> Damaged:
    """The offsets that go with a batch of which nothing is certain: up to the next one, where that can be read."""
    if len(rest) >= HEAD.size and (after := int.from_bytes(rest[:8], signed=True)) > start and _is_sound(rest):
        return Damaged(start, after, bytes(batch))
    after = _behind(batch) if len(batch) >= HEAD.size else 0
    return Damaged(start, after if start < after <= start + len(batch) else start + 1, bytes(batch))


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
