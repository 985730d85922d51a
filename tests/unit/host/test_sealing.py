"""A host that writes record batches is believed as little as the broker and the batches after it allow."""

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from hotswap.batch import Declined, DeclinedRequest, Envelope, RecordBatch, Seal, Stamp, Unsealed
from hotswap.host.frames import FrameError
from hotswap.host.sealing import parse_result

STAMP = Stamp(producer_id=5, producer_epoch=2, sequence=(1 << 31) - 2, is_transactional=True, max_bytes=1_000)
ENVELOPE = Envelope((), (), b"", (), (), 1_000, 1_000, 1_000)
SEAL = Seal([memoryview(bytes(100)), memoryview(bytes(50))], 10, 15, 5, STAMP, 0, ENVELOPE)


def built(count, sequence, *, epoch=2, producer=5, transactional=1):
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer, epoch, sequence, batch_size=10_000)
    for number in range(count):
        assert builder.append(number, 1, b"k", b"v", [])
    return bytes(builder.build())


GOOD = [(built(3, (1 << 31) - 2), 3), (built(2, 1), 2)]
"""The batches of five answers: the sequence wraps to 0 behind the largest."""


def sealed(batches):
    table = b"".join(struct.pack("<II", len(data), count) for data, count in batches)
    return memoryview(struct.pack("<II", 0, len(batches)) + table + b"".join(data for data, _ in batches))


def declined(*requests):
    return memoryview(struct.pack("<II", 1, len(requests)) + b"".join(struct.pack("<qII", *one) for one in requests))


def test_finished_record_batches_are_returned_as_they_are():
    assert parse_result(sealed(GOOD), SEAL, {}) == [RecordBatch(data, count) for data, count in GOOD]


def test_requests_that_are_refused_have_no_answer_in_the_batches():
    assert parse_result(sealed(GOOD[:1]), SEAL, {11: None, 13: None}) == [RecordBatch(*GOOD[0])]
    assert parse_result(sealed([]), SEAL, dict.fromkeys(range(10, 15))) == []


def test_an_order_has_as_many_answers_as_requests_though_not_each_offset_has_one():
    assert parse_result(sealed(GOOD), SEAL._replace(next=40), {}) == [RecordBatch(data, count) for data, count in GOOD]
    assert parse_result(sealed(GOOD[:1]), SEAL._replace(next=40), {11: None, 39: None}) == [RecordBatch(*GOOD[0])]


def changed(at, content):
    data = bytearray(GOOD[0][0])
    data[at : at + len(content)] = content
    return [(bytes(data), 3), GOOD[1]]


@pytest.mark.parametrize(
    "batches",
    [
        GOOD[:1],
        [*GOOD, GOOD[1]],
        [GOOD[0], (GOOD[1][0], 3)],
        [GOOD[1], GOOD[0]],
        [(built(3, 7), 3), GOOD[1]],
        [(built(3, STAMP.sequence, epoch=3), 3), GOOD[1]],
        [(built(3, STAMP.sequence, producer=6), 3), GOOD[1]],
        [(built(3, STAMP.sequence, transactional=0), 3), GOOD[1]],
        changed(7, b"\1"),
        changed(11, b"\1"),
        changed(16, b"\1"),
        changed(22, b"\x13"),
        changed(26, b"\7"),
        changed(60, b"\7"),
        [(GOOD[0][0] + b"\0", 3), GOOD[1]],
        [(GOOD[0][0][:30], 3), GOOD[1]],
    ],
    ids=[
        *("too few", "too many", "a wrong count", "another order", "another sequence", "another epoch"),
        *("another producer", "outside of the transaction", "an offset", "a length", "an old format", "a codec"),
        *("a last offset", "a count of records", "more bytes", "cut off"),
    ],
)
def test_batches_that_would_make_the_broker_or_the_next_ones_wrong_are_no_answer(batches):
    with pytest.raises(FrameError):
        parse_result(sealed(batches), SEAL, {})


def test_declined_requests_are_in_order_and_within_what_was_sent():
    assert parse_result(declined((10, 61, 70), (14, 111, 120)), SEAL, {}) == Declined(
        [DeclinedRequest(10, 61, 70), DeclinedRequest(14, 111, 120)]
    )


@pytest.mark.parametrize(
    "result",
    [
        declined(),
        declined((9, 61, 70)),
        declined((15, 61, 70)),
        declined((11, 61, 70), (11, 70, 80)),
        declined((11, 61, 70), (12, 65, 80)),
        declined((11, 70, 70)),
        declined((11, 140, 151)),
        declined((11, 61, 70))[:-1],
        memoryview(b"\3\0\0\0\0\0\0\0"),
        memoryview(b"\0\0\0"),
        memoryview(b"\0\0\0\0\xff\xff\xff\xff"),
        memoryview(b"\1\0\0\0\xff\xff\xff\xff"),
    ],
)
def test_a_result_that_is_none_of_the_order_is_a_broken_frame(result):
    with pytest.raises(FrameError):
        parse_result(result, SEAL, {})


def test_a_host_may_say_that_it_cannot_read_what_it_got():
    assert parse_result(memoryview(b"\2\0\0\0"), SEAL, {}) is Unsealed.UNREADABLE
