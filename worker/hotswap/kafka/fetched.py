"""Fetches record batches instead of records: reports damaged batches, and skips aborted ones and markers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import RecordTooLargeError

from hotswap.kafka.contents import ATTRIBUTES_AT, CONTROL, HEAD, MAGIC_AT, OVERHEAD, TRANSACTIONAL, Unpacker
from hotswap.kafka.internals import (
    DefaultRecordBatch,
    LegacyRecordBatch,
    PartitionFetch,
    cut_fetches,
    where_it_is_too_large,
)
from hotswap.kafka.records import Damaged, LegacyBatch, RawBatch, Skipped

_LEAST_LEGACY_BYTES = OVERHEAD + 14

Batch: TypeAlias = RawBatch | LegacyBatch | Skipped | Damaged
Fetches: TypeAlias = Mapping[TopicPartition, Sequence[Batch]]


Removed: TypeAlias = Callable[[TopicPartition, int, int, int], None]
"""Is told of records that are gone: their partition, the first offset and the one after the last, and their number."""


def take_batches(consumer: AIOKafkaConsumer, unpacker: Unpacker, on_removed: Removed | None = None) -> None:
    """Switch a started consumer to `get_batches`; its methods that return records no longer work."""
    cut_fetches(consumer, partial(cut, unpacker=unpacker, on_removed=on_removed))


async def get_batches(consumer: AIOKafkaConsumer, *keys: TopicPartition, timeout_ms: int) -> Fetches:
    """Return the next batches as soon as there are any; a Damaged is the last one of its partition.

    The next call fetches a damaged batch again: the consumer's position does not move past it.
    """
    try:
        fetched: Fetches = await consumer.getmany(*keys, timeout_ms=timeout_ms)
    except RecordTooLargeError as error:
        # aiokafka raises this for an incomplete first batch, which no broker sends: its length field is damaged. It has
        # also skipped past the offset, so seek back.
        key, offset = where_it_is_too_large(error)
        if key in consumer.assignment():
            consumer.seek(key, offset)
        return {key: [Damaged(offset, offset + 1, b"")]}
    return fetched


def sound(of: PartitionFetch) -> Iterator[memoryview | Damaged]:
    """Yield the batches of a fetch in wire format, each with a matching checksum, and then a Damaged if one has not."""
    whole = memoryview(of.data)
    at = 0
    while len(whole) - at >= OVERHEAD:
        end = at + OVERHEAD + int.from_bytes(whole[at + 8 : at + OVERHEAD], signed=True)
        if end > len(whole) and at:
            return  # truncated by the fetch size
        batch = whole[at:end]
        if not _is_sound(batch):
            yield _damaged(of.next_fetch_offset, batch or whole[at:], whole[end:] if end > at else whole[:0])
            return
        at = end
        yield batch


def cut(
    of: PartitionFetch, unpacker: Unpacker, on_removed: Removed | None = None
) -> Iterator[RawBatch | LegacyBatch | Damaged]:
    """Yield each batch whose checksum matches; stop after a damaged one, which will be fetched again."""
    for batch in sound(of):
        if isinstance(batch, Damaged):
            yield batch
            return
        if on_removed and (removed := _removed(of.next_fetch_offset, batch)):
            on_removed(of.key, of.next_fetch_offset, next_offset(batch), removed)
        if batch[MAGIC_AT] < 2:  # noqa: PLR2004 - format v2
            found: RawBatch | LegacyBatch = LegacyBatch(
                batch, start=of.next_fetch_offset, bound=unpacker.bounds.unpacked
            )
        elif _is_skipped(of, batch):
            of.next_fetch_offset = max(of.next_fetch_offset, next_offset(batch))
            continue
        else:
            found = RawBatch(batch, start=of.next_fetch_offset, unpacker=unpacker)
        if found.next > of.next_fetch_offset:
            of.next_fetch_offset = found.next
            yield found


def _removed(start: int, batch: memoryview) -> int:
    """Return how many records are gone between offset `start` and the end of a batch.

    Only compaction removes records amidst a log: without it each offset is that of a record or a transaction marker,
    and brokers return what was aborted, too.
    """
    if batch[MAGIC_AT] < 2:  # noqa: PLR2004 - format v2
        return 0
    first: int
    first, _, _, _, _, _, delta, *_, count = HEAD.unpack_from(batch)
    return first - start + max(delta + 1 - max(count, 0), 0) if first >= start else 0


def _is_skipped(of: PartitionFetch, batch: memoryview) -> bool:
    """Whether it holds no requests: a transaction marker, or part of an aborted transaction."""
    first, _, _, _, _, attributes, _, _, _, producer, *_ = HEAD.unpack_from(batch)
    is_control = bool(attributes & CONTROL)
    is_transactional = bool(attributes & TRANSACTIONAL)
    return of.is_aborted(first, producer, is_transactional=is_transactional, is_control=is_control) or is_control


def _damaged(start: int, batch: memoryview, rest: memoryview) -> Damaged:
    """Return a Damaged that spans the offsets up to the next batch, if that can be read, else to the best guess."""
    if len(rest) >= HEAD.size and (after := int.from_bytes(rest[:8], signed=True)) > start and _is_sound(rest):
        return Damaged(start, after, bytes(batch))
    after = next_offset(batch) if len(batch) >= HEAD.size else 0
    return Damaged(start, after if start < after <= start + len(batch) else start + 1, bytes(batch))


def _is_sound(data: memoryview) -> bool:
    """Whether a batch is complete and its checksum matches."""
    size = OVERHEAD + int.from_bytes(data[8:OVERHEAD], signed=True)
    if not _LEAST_LEGACY_BYTES <= size <= len(data):
        return False
    magic = data[MAGIC_AT]
    if magic < 2:  # noqa: PLR2004 - format v2
        return bool(LegacyRecordBatch(bytes(data[:size]), magic).validate_crc())
    return size >= HEAD.size and bool(DefaultRecordBatch(data[:size]).validate_crc())


def next_offset(batch: memoryview) -> int:
    """Return the offset after a batch, according to its header."""
    return int.from_bytes(batch[:8], signed=True) + int.from_bytes(batch[ATTRIBUTES_AT + 2 : ATTRIBUTES_AT + 6]) + 1
