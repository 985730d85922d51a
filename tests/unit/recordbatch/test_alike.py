"""Predictions that are alike are written column by column, to the byte as aiokafka writes them one by one."""

import itertools

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.batch import Alike, Stamp
from hotswap.codec.packed import Packed, pack
from hotswap.kafka.wire.batches import crc32c
from hotswap.recordbatch.alike import record_batches

HEADERS = (("generation", b"12"), ("model-digest", b"a" * 64), ("operation", "größe".encode()))
STAMP = Stamp(producer_id=7, producer_epoch=2, sequence=5, is_transactional=True, max_bytes=1 << 20)
NOW_MS = 1_700_000_000_000


def alike(keys, values, offsets=None, place=b"d.requests-3-"):
    """Keys and values, repeated in turns, so that they are as many as offsets."""
    offsets = range(300) if offsets is None else offsets
    count = len(offsets)
    keys, values = (list(itertools.islice(itertools.cycle(one), count)) for one in (keys, values))
    return Alike(keys, Packed(pack(values)), offsets, HEADERS, place)


def by_aiokafka(predictions, stamp=STAMP):
    """The same predictions as aiokafka writes them one by one, in one batch."""
    state = stamp.producer_id, stamp.producer_epoch, stamp.sequence
    builder = DefaultRecordBatchBuilder(2, 0, int(stamp.is_transactional), *state, 1 << 30)
    for index, record in enumerate(predictions.records()):
        assert builder.append(index, NOW_MS, *record)
    return bytes(builder.build())


def read(data):
    batch = DefaultRecordBatch(bytes(data))
    assert batch.validate_crc()
    return [(record.key, record.value, record.headers) for record in batch]


CASES = {
    "no keys": ([None], [b"12345678"]),
    "no values": ([None], [b""]),
    "empty keys": ([b""], [b"x"]),
    "keys of one length": ([b"%03d" % number for number in range(300)], [b"x", b"y"]),
    "lengths that differ": ([None, b"", b"k", b"key"], [b"", b"x", b"xyz"]),
    "a few long ones": ([b"k" * 256, b"k"], [b"v" * 256, b"v" * 127, b"v" * 63, b"v" * 64]),
    "long ones of one length": ([b"k" * 300], [b"v" * 8_200]),  # whose length takes three bytes
}
OFFSETS = {
    "from the first": range(300),
    "over a thousand": range(900, 1_300),
    "over ten thousand": range(9_900, 10_200),
    "with gaps": [*range(9_000, 9_200), *range(19_999, 20_101), *range(1_000_000, 1_000_200)],
    "over two bytes of deltas": range(99_000, 107_500),
    "far": range(10**18 - 150, 10**18 + 150),
}


@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("case", CASES)
def test_records_of_a_batch_are_the_same_bytes(case, offsets):
    predictions = alike(*CASES[case], OFFSETS[offsets])
    (made,) = record_batches(predictions, STAMP._replace(max_bytes=1 << 30), NOW_MS, crc32c)
    assert made.records == len(OFFSETS[offsets])
    # Between the length and these bytes is the leader's epoch, which a broker writes.
    expected = by_aiokafka(predictions)
    assert (bytes(made.data)[:12], bytes(made.data)[16:]) == (expected[:12], expected[16:])


@settings(deadline=None)
@given(
    st.lists(st.none() | st.binary(max_size=5), min_size=1, max_size=8),
    st.lists(st.binary(max_size=6), min_size=1, max_size=7),
    st.builds(lambda draw, count: sorted(draw.sample(range(60_000), count)), st.randoms(), st.integers(256, 400)),
    st.integers(0, (1 << 31) - 1),
    st.integers(300, 20_000),
    st.booleans(),
)
def test_batches_have_every_prediction_once_in_order_and_follow_each_other(
    keys, values, offsets, sequence, max_bytes, is_transactional
):
    stamp = Stamp(7, 2, sequence, is_transactional, max_bytes)
    predictions = alike(keys, values, offsets)
    found = []
    for made in record_batches(predictions, stamp, NOW_MS, crc32c):
        batch = DefaultRecordBatch(bytes(made.data))
        assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 2, sequence)
        assert batch.is_transactional == is_transactional
        assert batch.first_timestamp == batch.max_timestamp == NOW_MS
        assert len(made.data) <= max_bytes or made.records == 1
        sequence = (sequence + made.records) % (1 << 31)
        records = read(made.data)
        assert len(records) == made.records == batch.last_offset_delta + 1
        found += records
    assert found == [tuple(record) for record in predictions.records()]


@pytest.mark.parametrize(
    ("keys", "values", "count"),
    [
        ([None], [b"x"], 255),
        ([None], [b"x", b"x" * 257], 300),
        ([b"x", b"x" * 257], [b"x"], 300),
        ([None], [bytes(length) for length in range(65)], 300),
    ],
    ids=["too few", "a long value", "a long key", "too many lengths"],
)
def test_what_is_faster_one_by_one_is_left(keys, values, count):
    assert record_batches(alike(keys, values, range(count)), STAMP, NOW_MS, crc32c) is None
