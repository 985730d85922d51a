"""aiokafka's native code for record batches, behind the one reader and writer of recordbatch/: it is many times faster.

It reads well-formed records, appends records to a batch, and makes the checksum. All but the checksum is also in Python
in recordbatch/, for what it refuses or cannot do.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c as crc32c

from hotswap.batch import Record, RecordBatch, Stamp
from hotswap.recordbatch import compression, writer
from hotswap.recordbatch.compression import Codec
from hotswap.recordbatch.header import MAGIC, Buffer

__all__ = ["DefaultRecord", "crc32c"]


def records_of(batch: Buffer) -> Iterator[Any]:
    """Yield the records of an uncompressed batch; raises anything if it is malformed."""
    return iter(DefaultRecordBatch(batch))


def records_of_legacy(message: Buffer) -> list[Any]:
    """Return the records of a message (set) in format v0 or v1; raises anything if it is malformed."""
    return list(MemoryRecords(bytes(message)).next_batch() or ())


def packed(records: Sequence[Record], now_ms: int, stamp: Stamp) -> RecordBatch:
    """Return a finished record batch of the first records, as many as fit into `stamp.max_bytes`, but at least one."""
    producer_id, epoch, sequence, is_transactional, max_bytes = stamp
    builder = DefaultRecordBatchBuilder(
        MAGIC, Codec.NONE, int(is_transactional), producer_id, epoch, sequence, max_bytes
    )
    count = append(builder, now_ms, records)
    return RecordBatch(memoryview(builder.build()), count)


def append(builder: Any, now_ms: int, records: Sequence[Any]) -> int:
    """Append (key, value, headers) to a new batch of aiokafka's until it is full; return the number appended."""
    append_one, count = builder.append, 0
    for key, value, headers in records:
        if not append_one(count, now_ms, key, value, headers):
            break
        count += 1
    return count


def stamped(batch: RecordBatch, producer_id: int, epoch: int, sequence: int) -> RecordBatch:
    """Return a finished record batch with this producer id, epoch and base sequence; the same one if it has them."""
    data = writer.stamped(batch.data, (producer_id, epoch, sequence), crc32c)
    return batch if data is batch.data else RecordBatch(data, batch.records)


def compressed(batch: RecordBatch, by: str) -> RecordBatch:
    """Return a finished, uncompressed record batch compressed as HOTSWAP_COMPRESSION says."""
    return RecordBatch(compression.compressed(batch.data, Codec[by.upper()], crc32c), batch.records)
