"""Record batches are written as aiokafka writes them, and read back; a damaged one is never taken for sound."""

import gzip
import struct
from itertools import pairwise
from random import Random

import pytest
from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from faults import raw_batches
from hotswap.batch import Stamp
from hotswap.kafka.wire.batches import compressed, crc32c, packed, records_of, stamped
from hotswap.recordbatch.compression import Codec, decompress
from hotswap.recordbatch.header import SIZE, TRANSACTIONAL, Header, Unparseable, offset_of, size_of
from hotswap.recordbatch.reader import is_sound, read_record, starts, varint
from hotswap.recordbatch.writer import zigzag

PRODUCER = (7, 2, 5)
STAMP = Stamp(*PRODUCER, is_transactional=True, max_bytes=2_000)
NOW_MS = 1_700_000_000_000
RECORDS = [(b"key %d" % at, None if at % 3 else b"value" * 9, [("source", b"d-%d" % at)]) for at in range(99)]
FEW = packed(RECORDS[:9], NOW_MS, STAMP)


def built(records, producer=PRODUCER):
    """The records as aiokafka's producer builds them."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, *producer, 1 << 20)
    for at, record in enumerate(records):
        assert builder.append(at, NOW_MS, *record)
    return bytes(builder.build())


def test_the_header_has_the_fields_of_the_protocol_guide():
    given = raw_batches.Batch(records=b"", count=3, attributes=TRANSACTIONAL, last_delta=8).at(1 << 40)
    header = Header.read(given)
    assert header == (1 << 40, SIZE - 12, 0, 2, header.crc, TRANSACTIONAL, 8, *header[7:9], -1, -1, -1, 3)
    assert header.pack() == given
    assert (header.producer, header.codec, raw_batches.batch([], "zstd").at(0)[22]) == ((-1, -1, -1), 0, Codec.ZSTD)
    assert (header.next_offset, offset_of(given), size_of(given)) == ((1 << 40) + 9, 1 << 40, SIZE)
    with pytest.raises(struct.error):
        Header.read(given[:-1])


def test_as_many_records_as_fit_are_packed_but_at_least_one():
    made = packed(RECORDS, NOW_MS, STAMP)
    assert 1 < made.records < len(RECORDS)
    assert bytes(made.data) == built(RECORDS[: made.records])
    assert len(made.data) <= STAMP.max_bytes < len(built(RECORDS[: made.records + 1]))
    assert packed([(None, bytes(9_000), [])], NOW_MS, STAMP).records == 1


def test_a_batch_is_stamped_anew_only_for_another_producer_epoch_or_sequence():
    assert stamped(FEW, *PRODUCER) is FEW
    before = bytes(FEW.data)
    for other in ((8, 2, 5), (7, 3, 5), (7, 2, 6)):
        made = stamped(FEW, *other)
        assert (bytes(made.data), made.records) == (built(RECORDS[:9], other), 9)
    assert bytes(FEW.data) == before


BY_AIOKAFKA = {
    "gzip": codec.gzip_encode,
    "snappy": codec.snappy_encode,
    "lz4": lambda body: codec.lz4_encode(body, level=1),
    "zstd": lambda body: codec.zstd_encode(body, level=1),
}


@pytest.mark.parametrize("size", [9, 40_000])
@pytest.mark.parametrize("name", BY_AIOKAFKA)
def test_a_batch_is_compressed_as_aiokafka_does_and_decompressed_again(name, size):
    value = bytes(Random(size).choices(b"abcdef", k=size))  # the levels of a codec differ in it
    whole = packed([(None, value, [])], NOW_MS, STAMP)
    made = compressed(whole, name)
    body, expected = bytes(made.data[SIZE:]), BY_AIOKAFKA[name](bytes(whole.data[SIZE:]))
    if name == "gzip":  # whose header has the time
        body, expected = gzip.decompress(body), gzip.decompress(expected)
    assert body == expected
    assert decompress(Codec[name.upper()], made.data[SIZE:], 1 << 20) == (whole.data[SIZE:], True)
    read = DefaultRecordBatch(bytes(made.data))
    assert read.validate_crc()
    assert [record.value for record in read] == [record.value for record in records_of(whole.data)]


@pytest.mark.parametrize(
    ("name", "packed", "why"),
    [
        ("GZIP", gzip.compress(b"value", mtime=0)[:-4], "gzip data ends too early"),
        ("SNAPPY", codec.snappy_encode(b"value")[:-1], "a block claims 7 bytes"),
        ("SNAPPY", codec.snappy_encode(b"value") + b"\0", "requires a buffer"),
        ("LZ4", b"value", "."),
        ("ZSTD", b"value", "."),
        ("NONE", b"value", "unknown codec 0"),
    ],
)
def test_what_cannot_be_decompressed_says_why(name, packed, why):
    with pytest.raises(Unparseable, match=why):
        decompress(Codec[name], memoryview(packed), 1 << 20)


def test_without_a_codec_a_batch_stays_as_it_is():
    assert compressed(FEW, "none") == FEW


LEGACY = [raw_batches.old_format(raw_batches.Record(value=b"v", key=b"k"), 5, magic) for magic in (0, 1)]


@pytest.mark.parametrize("batch", [bytes(FEW.data), *LEGACY], ids=["v2", "v0", "v1"])
def test_a_batch_is_sound_unless_a_bit_is_flipped_or_bytes_are_missing(batch):
    assert is_sound(memoryview(batch), crc32c)
    assert is_sound(memoryview(batch + b"next"), crc32c)
    for at in range(8, len(batch)):  # the checksum does not cover the offset
        damaged = batch[:at] + bytes([batch[at] ^ 1]) + batch[at + 1 :]
        is_covered = not (batch[16] == 2 and 12 <= at < 17)  # nor, in v2, the leader's epoch and the magic byte
        assert is_sound(memoryview(damaged), crc32c) is not is_covered, at
    assert not any(is_sound(memoryview(batch[:end]), crc32c) for end in range(len(batch)))


def test_where_records_begin_is_found_unless_their_lengths_are_wrong():
    data = bytes(FEW.data)
    begins = starts(data, 9)
    found = [read_record(memoryview(data)[begin:end], 0, 9) for begin, end in pairwise(begins)]
    assert [(delta, bytes(key)) for delta, _, key, *_ in found] == [(at, RECORDS[at][0]) for at in range(9)]
    assert starts(data, 8) is starts(data, 10) is starts(data[:-1], 9) is None


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_zigzag_varint_is_read_as_it_was_written(number):
    written = zigzag(number)
    assert written == raw_batches.varint(number)
    assert varint(memoryview(written), 0) == (number, len(written))
