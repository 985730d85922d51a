"""The order to answer record batches with record batches, and its result (FlatRecords.java). All is little-endian.

    order    HEAD; byte strings: the headers of the generation, and of the operation, encoded; the source before its
             offset; u32 n and n byte strings, the names of headers that decline a request; u32 n and n byte
             strings, the names of those that do if a request has two of one; u32 n and a byte string, n
             given answers joined, each the key, value and headers of a record, or empty; n x (i64 offset, u32 length);
             the record batches, format v2, uncompressed
    result   u32 0, u32 n, n x (u32 bytes, u32 records), n record batches; or
             u32 1, u32 n, n x (i64 offset, u32 begin, u32 end): the declined requests; or
             u32 2: it cannot read the record batches

A byte string is u32 and that many bytes. Only a host that runs nobody else's code gets such an order
(`Runtime.is_ours`): what it returns is checked for what makes Kafka and the batches after it wrong, but the keys,
offsets and headers of its answers are its own.
"""

import struct
from collections.abc import Sequence
from typing import Final

from hotswap.batch import Declined, DeclinedRequest, Envelope, Given, Record, RecordBatch, Seal, Stamp, Unsealed
from hotswap.host.frames import FrameError
from hotswap.recordbatch.header import MAGIC, SEQUENCES, TRANSACTIONAL, Header, size_of
from hotswap.recordbatch.writer import record_field, record_headers, with_records, zigzag

_HEAD: Final = struct.Struct("<qqqhihqiiii")
_COUNT: Final = struct.Struct("<I")
_GIVEN: Final = struct.Struct("<qI")
_SEALED, _DECLINED, _UNREADABLE = range(3)
_BATCH: Final = struct.Struct("<II")
_REQUEST: Final = struct.Struct("<qII")
_LARGEST: Final = 1 << 20


def pack_order(order: Seal, given: Given) -> bytes:
    """Serialize an order."""
    stamp, envelope = order.stamp, order.envelope
    answers = [b"" if record is None else _record(record) for record in given.values()]
    joined = b"".join(answers)
    attributes = TRANSACTIONAL if stamp.is_transactional else 0
    limits = (envelope.max_answer_bytes, envelope.max_request_bytes, envelope.max_record_bytes)
    return b"".join(
        [
            _HEAD.pack(order.first, order.next, *stamp[:3], attributes, order.now_ms, stamp.max_bytes, *limits),
            *map(_packed, (record_headers(envelope.generation), record_headers(envelope.operation), envelope.place)),
            _names(envelope.read_headers),
            _names(envelope.single_headers),
            _COUNT.pack(len(answers)),
            _packed(joined),
            *(_GIVEN.pack(offset, len(answer)) for offset, answer in zip(given, answers, strict=True)),
            *order.pieces,
        ]
    )


def warming_order(values: Sequence[bytes]) -> bytes:
    """Return an order for requests with these values, to warm a host with."""
    records = [b"\0\0" + zigzag(index) + b"\1" + record_field(value) + b"\0" for index, value in enumerate(values)]
    batch = with_records(Header.produced(len(values)), b"".join(map(record_field, records)))
    envelope = Envelope((), (), b"", (), (), *[_LARGEST] * 3)
    seal = Seal([memoryview(batch)], 0, len(values), len(values), Stamp(0, 0, 0, False, _LARGEST), 0, envelope)
    return pack_order(seal, {})


def parse_result(result: memoryview, order: Seal, given: Given) -> Sequence[RecordBatch] | Declined | Unsealed:
    """Return the record batches, or the declined requests.

    Raises:
        FrameError: the result is not one of this order.

    """
    try:
        (status,) = _COUNT.unpack_from(result)
        if status == _UNREADABLE:
            return Unsealed.UNREADABLE
        (count,) = _COUNT.unpack_from(result, _COUNT.size)
        body = result[2 * _COUNT.size :]
        if status == _DECLINED:
            return _parse_declined(body, count, order)
        if status == _SEALED:
            return _parse_sealed(body, count, order, given)
    except (struct.error, ValueError) as error:
        raise FrameError(f"{len(result)} bytes are no result of an order: {error}") from error
    raise FrameError(f"a result has the unknown status {status}")


def _parse_declined(body: memoryview, count: int, order: Seal) -> Declined:
    if not count or len(body) != count * _REQUEST.size:
        raise ValueError(f"{count} requests in {len(body)} bytes")
    declined = [DeclinedRequest(*one) for one in _REQUEST.iter_unpack(body)]
    offset, at, size = order.first - 1, 0, sum(map(len, order.pieces))
    for one in declined:
        if not (offset < one.offset < order.next and at <= one.begin < one.end <= size):
            raise ValueError(f"{one} is not one of the requests")
        offset, at = one.offset, one.end
    return Declined(declined)


def _parse_sealed(body: memoryview, count: int, order: Seal, given: Given) -> list[RecordBatch]:
    at, batches, stamp = count * _BATCH.size, [], order.stamp
    sequence = stamp.sequence
    for size, records in _BATCH.iter_unpack(body[:at]):
        _check(body[at : at + size], size, records, stamp._replace(sequence=sequence))
        batches.append(RecordBatch(body[at : at + size], records))
        at += size
        sequence = (sequence + records) % SEQUENCES
    expected = order.size - sum(record is None for record in given.values())
    if at != len(body) or sum(batch.records for batch in batches) != expected:
        raise ValueError(f"{count} record batches do not have the {expected} answers")
    return batches


def _check(batch: memoryview, size: int, records: int, stamp: Stamp) -> None:
    """Raise ValueError unless the batch is as the broker and the next one's sequence require."""
    header = Header.read(batch)
    is_whole = len(batch) == size == size_of(batch) and header.magic == MAGIC and header.base_offset == 0
    is_counted = 0 < records == header.records_count == header.last_offset_delta + 1
    is_stamped = header.producer == stamp[:3]
    if not (is_whole and is_counted and is_stamped and header.attributes == TRANSACTIONAL * stamp.is_transactional):
        raise ValueError("a record batch is not as it was ordered")


def _record(record: Record) -> bytes:
    """Encode the part of a record after its offset: key, value and headers (format v2)."""
    key, value, headers = record
    return record_field(key) + record_field(value) + zigzag(len(headers)) + record_headers(headers)


def _names(names: Sequence[str]) -> bytes:
    return _COUNT.pack(len(names)) + b"".join([_packed(name.encode()) for name in names])


def _packed(content: bytes) -> bytes:
    return _COUNT.pack(len(content)) + content
