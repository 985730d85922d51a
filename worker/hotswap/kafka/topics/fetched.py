"""Fetches record batches instead of records: reports damaged batches, and skips aborted ones and markers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition

from hotswap.kafka.client.internals import Cutter, PartitionFetch
from hotswap.kafka.topics.contents import Unpacker
from hotswap.kafka.topics.records import Damaged, LegacyBatch, RawBatch, Skipped
from hotswap.kafka.wire.batches import crc32c
from hotswap.recordbatch.header import CONTROL, OVERHEAD, SIZE, TRANSACTIONAL, Header, is_legacy, offset_of, size_of
from hotswap.recordbatch.reader import is_sound

Batch: TypeAlias = RawBatch | LegacyBatch | Skipped | Damaged
Fetches: TypeAlias = Mapping[TopicPartition, Sequence[Batch]]


Removed: TypeAlias = Callable[[TopicPartition, int, int, int], None]
"""Receives removed records: their partition, the first offset, the one after the last, and their number."""


def batches(unpacker: Unpacker, on_removed: Removed | None = None) -> Cutter:
    """Return a deserializer with which `get_batches` yields batches; the consumer's record methods do not work."""
    return Cutter(partial(cut, unpacker=unpacker, on_removed=on_removed))


async def get_batches(consumer: AIOKafkaConsumer, *keys: TopicPartition, timeout_ms: int) -> Fetches:
    """Return the next batches as soon as there are any; a Damaged is the last one of its partition.

    The next call fetches a damaged batch again: the consumer's position does not move past it.
    """
    fetched: Fetches = await consumer.getmany(*keys, timeout_ms=timeout_ms)
    return fetched


def sound(of: PartitionFetch) -> Iterator[memoryview | Damaged]:
    """Yield the batches of a fetch in wire format, each with a matching checksum, and then a Damaged if one has not."""
    whole = memoryview(of.data)
    at = 0
    while at < len(whole):
        end = at + size_of(whole, at)
        if at and len(whole) < max(end, at + OVERHEAD):
            return  # truncated by the fetch size
        batch = whole[at:end]
        if not is_sound(batch, crc32c):
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
        if is_legacy(batch):
            raw: RawBatch | LegacyBatch = LegacyBatch(batch, start=of.next_fetch_offset, bound=unpacker.bounds.unpacked)
        else:
            header = Header.read(batch)
            if on_removed and (removed := _removed(of.next_fetch_offset, header)):
                on_removed(of.key, of.next_fetch_offset, header.next_offset, removed)
            if _is_skipped(of, header):
                of.next_fetch_offset = max(of.next_fetch_offset, header.next_offset)
                continue
            raw = RawBatch(batch, start=of.next_fetch_offset, unpacker=unpacker)
        if raw.next > of.next_fetch_offset:
            of.next_fetch_offset = raw.next
            yield raw


def _removed(start: int, header: Header) -> int:
    """Return how many records are gone between offset `start` and the end of a batch.

    Only compaction removes records within a log: without it each offset is that of a record or a transaction marker,
    and brokers return aborted records, too.
    """
    before = header.base_offset - start
    return before + max(header.last_offset_delta + 1 - max(header.records_count, 0), 0) if before >= 0 else 0


def _is_skipped(of: PartitionFetch, header: Header) -> bool:
    """Whether a batch holds no requests: a transaction marker, or part of an aborted transaction."""
    is_control = bool(header.attributes & CONTROL)
    is_transactional = bool(header.attributes & TRANSACTIONAL)
    offset, producer = header.base_offset, header.producer_id
    return of.is_aborted(offset, producer, is_transactional=is_transactional, is_control=is_control) or is_control


def _damaged(start: int, batch: memoryview, rest: memoryview) -> Damaged:
    """Return a Damaged that spans the offsets up to the next batch, if that can be read, else to the best guess."""
    if len(rest) >= SIZE and (after := offset_of(rest)) > start and is_sound(rest, crc32c):
        return Damaged(start, after, bytes(batch))
    after = next_offset(batch) if len(batch) >= SIZE else 0
    return Damaged(start, after if start < after <= start + len(batch) else start + 1, bytes(batch))


def next_offset(batch: memoryview) -> int:
    """Return the offset after a batch, according to its header."""
    return Header.read(batch).next_offset
