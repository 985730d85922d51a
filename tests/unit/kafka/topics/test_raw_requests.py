"""Requests that are taken as the record batches that they arrived in, whole and in parts."""

import gzip

import pytest
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatch

from faults.raw_batches import Record, batch
from hotswap.batch import DeclinedRequest
from hotswap.kafka.group.inbox import Inbox
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.records import Damaged, RawBatch

BOUNDS = Bounds(unpacked=1 << 20, record=500)


def inbox_of(*batches, start=10, markers=0):
    """Return an inbox with these batches, one behind the other from offset 10 on, each followed by markers."""
    inbox, offset, unpacker = Inbox(TopicPartition("d", 0), max_bytes=1 << 20, deployment="d"), 10, Unpacker(BOUNDS)
    inbox.open(start)
    for one in batches:
        inbox.put([RawBatch(memoryview(one.at(offset)), start=start, unpacker=unpacker)])
        offset += markers + (one.count if one.last_delta is None else one.last_delta + 1)
    return inbox


def of(count, codec="none"):
    return batch([Record(value=b"%d" % number, key=b"k") for number in range(count)], codec)


def offsets(requests):
    return [request.offset for request in requests]


def test_record_batches_are_taken_whole_up_to_the_limit():
    inbox = inbox_of(of(3), of(4), of(2))
    raw = inbox.take_raw(8, None)
    assert (raw.first, raw.next, raw.is_full, raw.max_record_bytes) == (10, 17, True, 500)
    assert [bytes(piece) for piece in raw.pieces] == [of(3).at(10), of(4).at(13)]
    assert offsets(raw.parsed()) == list(range(10, 17))
    raw = inbox.take_raw(8, None)
    assert (raw.first, raw.next, raw.is_full) == (17, 19, False)
    assert inbox.take_raw(8, None) is None
    assert inbox.take(8, None) == []


def test_offsets_of_transaction_markers_and_aborted_records_are_no_requests():
    raw = inbox_of(of(3), of(4), of(2), markers=5).take_raw(8, None)
    assert (raw.first, raw.next, raw.size, raw.is_full) == (10, 22, 7, True)
    assert offsets(raw.parsed()) == [10, 11, 12, 18, 19, 20, 21]


def test_a_record_batch_with_more_than_the_limit_is_taken_in_parts_and_each_request_once():
    inbox, taken = inbox_of(of(9), of(2)), []
    while raw := inbox.take_raw(4, None):
        assert len(raw.parsed()) == raw.next - raw.first
        taken.append(offsets(raw.parsed()))
    assert taken == [[10, 11, 12, 13], [14, 15, 16, 17], [18, 19, 20]]


def test_no_request_is_taken_from_the_cut_on_until_the_next_generation_takes_it():
    inbox = inbox_of(of(3), of(4))
    raw = inbox.take_raw(100, 15)
    assert (raw.first, raw.next, offsets(raw.parsed())) == (10, 15, [10, 11, 12, 13, 14])
    assert inbox.take_raw(100, 15) is None
    assert offsets(inbox.take_raw(100, None).parsed()) == [15, 16]


def test_a_cut_at_the_first_offset_leaves_everything_to_the_next_generation():
    inbox = inbox_of(of(3))
    assert inbox.take_raw(100, 10) is None
    assert inbox.take_raw(100, 0) is None
    assert inbox.take_raw(100, None).next == 13


def test_what_is_before_the_position_is_not_taken():
    raw = inbox_of(of(5), start=12).take_raw(100, None)
    assert (raw.first, offsets(raw.parsed())) == (12, [12, 13, 14])


def test_a_batch_may_be_parsed_where_its_first_part_was_not_and_not_the_other_way_round():
    inbox = inbox_of(of(9), of(1))
    assert inbox.take_raw(3, None).next == 13
    assert offsets(inbox.take(2, None)) == [13, 14]
    assert inbox.take_raw(3, None) is None
    assert offsets(inbox.take(4, None)) == [15, 16, 17, 18]
    assert offsets(inbox.take_raw(3, None).parsed()) == [19]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_is_compressed_is_passed_on_uncompressed(codec):
    raw = inbox_of(of(3, codec)).take_raw(10, None)
    (piece,) = raw.pieces
    assert int.from_bytes(piece[21:23]) == 0
    assert [record.value for record in DefaultRecordBatch(bytes(piece))] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    "odd",
    [
        of(3).replaced(last_delta=7),
        of(3).replaced(count=-1, last_delta=2),
        of(3, "gzip").replaced(packed=b"no gzip"),
        of(3, "gzip").replaced(packed=gzip.compress(bytes(2 << 20))),
        of(40),
    ],
    ids=["with gaps", "without a count", "that cannot be decompressed", "that is a bomb", "of ten batches' size"],
)
def test_what_is_unusual_is_parsed(odd):
    inbox = inbox_of(of(2), odd)
    assert inbox.take_raw(4, None).next == 12
    assert inbox.take_raw(4, None) is None
    assert inbox.take(4, None)[0].offset == 12


def test_a_damaged_batch_ends_what_is_taken():
    inbox = inbox_of(of(2))
    inbox.put([Damaged(12, 13, b"")])
    assert inbox.take_raw(4, None).next == 12
    assert inbox.take_raw(4, None) is None


def test_requests_are_found_by_the_places_of_their_records():
    raw = inbox_of(of(3), of(4, "zstd")).take_raw(10, None)
    first, second = raw.pieces
    size = (len(first) - 61) // 3
    declined = [
        DeclinedRequest(11, 61 + size, 61 + 2 * size),
        DeclinedRequest(16, len(first) + len(second) - size, len(first) + len(second)),
    ]
    assert [(one.offset, one.key, one.value) for one in raw.some(declined)] == [(11, b"k", b"1"), (16, b"k", b"3")]


def test_times_stand_for_all_requests():
    raw = inbox_of(of(3), of(1)).take_raw(10, None)
    assert [count for _, count in raw.times()] == [2, 1, 1, 0]
    assert len({time for time, _ in raw.times()}) == 1
