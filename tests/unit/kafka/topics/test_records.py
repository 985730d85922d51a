"""Whatever a batch with a valid checksum contains, each of its offsets becomes a request or is refused with a code."""

import gzip
import hashlib
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import cramjam
import pytest
from aiokafka import codec
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import raw_batches
from faults.raw_batches import Record, varint
from hotswap.batch import Code, Unscorable
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.fetched import cut
from hotswap.kafka.topics.records import LegacyBatch, RawBatch
from hotswap.recordbatch.header import ATTRIBUTES_AT, Header

BASE = 100
BOUNDS = Bounds(unpacked=4 << 20, record=2 << 20)
CODECS = {
    "none": (0, lambda body: body),
    "gzip": (1, codec.gzip_encode),
    "snappy": (2, lambda body: codec.snappy_encode(body, xerial_compatible=False)),
    "xerial": (2, codec.snappy_encode),
    "lz4": (3, codec.lz4_encode),
    "zstd": (4, codec.zstd_encode),
}
KINDS = pytest.mark.parametrize("kind", CODECS)


def record(delta, *, value=b"v", count=None, **given):
    return raw_batches.record(Record(value=value, **given), delta, count=count)


def raw(body, *, count, last=None, kind="none", start=BASE, unpacker=None):
    number, pack = CODECS[kind]
    head = Header(BASE, 0, 0, 2, 0, number, (count if last is None else last + 1) - 1, 7, 9, -1, -1, -1, count).pack()
    return RawBatch(memoryview(head + bytes(pack(body))), start=start, unpacker=unpacker or Unpacker(BOUNDS))


def all_of(batch, limit=10_000):
    taken = []
    while batch.first is not None:
        taken += batch.take(limit, None)
    return taken


def told(records):
    return [(r.offset, r.refusal.code if isinstance(r, Unscorable) else r.value) for r in records]


@KINDS
def test_well_formed_batches_take_the_fast_path_with_every_codec(kind):
    body = b"".join(record(n, key=b"k%d" % n, value=b"v%d" % n, headers=[(b"h", None)]) for n in range(50))
    records = all_of(raw(body, count=50, kind=kind))
    assert [(r.offset, r.key, r.value, list(r.headers)) for r in records] == [
        (BASE + n, b"k%d" % n, b"v%d" % n, [("h", None)]) for n in range(50)
    ]


@KINDS
def test_a_header_name_that_is_not_utf_8_refuses_its_record_alone_and_keeps_the_rest(kind):
    odd = record(1, key=b"k", value=b"kept", headers=[(b"\xff\xfe", b"1"), (b"fine", b"2")])
    records = all_of(raw(record(0) + odd + record(2), count=3, kind=kind))
    assert told(records) == [(BASE, b"v"), (BASE + 1, Code.MALFORMED_HEADER), (BASE + 2, b"v")]
    refused = records[1]
    assert (refused.key, refused.value, refused.kept, refused.headers) == (b"k", None, b"kept", [("fine", b"2")])
    assert r"b'\xff\xfe'" in refused.refusal.message


BROKEN = {
    "a length that lies": varint(3) + record(1)[1:],
    "more headers than there are": record(1, count=5),
    "a negative count of headers": record(1, count=-1),
    "a key beyond the end": varint(6) + b"\0\0" + varint(1) + varint(99) + b"\0\0",
    "an offset of another": record(7),
    "an offset before its batch": record(-3),
    "a number without an end": varint(12) + b"\0" + b"\x80" * 11,
    "a header without a name": varint(8) + b"\0\0" + varint(1) + b"\1\1" + varint(1) + b"\1\1",
    "nothing": varint(0),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_malformed_record_is_refused_alone(broken):
    batch = raw(record(0) + broken + record(2), count=3)
    records = all_of(batch)
    assert told(records)[0] == (BASE, b"v")
    assert [offset for offset, _ in told(records)] == [BASE, BASE + 1, BASE + 2]
    assert records[1].refusal.code is Code.UNREADABLE
    assert dict(records[1].facts).keys() == {"batch-sha256"}


def test_a_truncated_body_refuses_each_missing_offset():
    body = record(0) + record(1)
    for count in (5, 1 << 30):
        assert told(all_of(raw(body, count=count, last=4))) == [
            (BASE, b"v"),
            (BASE + 1, b"v"),
            *((BASE + n, Code.UNREADABLE) for n in (2, 3, 4)),
        ]


@KINDS
def test_a_record_beyond_the_claimed_count_is_refused_and_not_taken_for_a_gap(kind):
    batch = raw(b"".join(record(n) for n in range(3)), count=2, last=2, kind=kind)
    assert told(all_of(batch)) == [(BASE, b"v"), (BASE + 1, b"v"), (BASE + 2, Code.UNREADABLE)]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7])
def test_a_batch_that_cannot_be_decompressed_refuses_every_offset(number):
    batch = Header(BASE, 0, 0, 2, 0, number, 2, 7, 9, -1, -1, -1, 3).pack() + b"no codec gives this"
    records = all_of(RawBatch(memoryview(batch), start=BASE + 1, unpacker=Unpacker(BOUNDS)))
    assert told(records) == [(BASE + 1, Code.UNREADABLE), (BASE + 2, Code.UNREADABLE)]
    assert dict(records[0].facts) == {"batch-sha256": hashlib.sha256(batch).hexdigest().encode()}


@KINDS
def test_a_value_too_large_for_a_record_is_replaced_by_its_size_and_digest(kind):
    value = bytes(3 << 20)
    records = all_of(raw(record(0) + record(1, key=b"k", value=value) + record(2), count=3, kind=kind))
    assert told(records) == [(BASE, b"v"), (BASE + 1, Code.TOO_LARGE), (BASE + 2, b"v")]
    assert (records[1].key, records[1].kept) == (b"k", None)
    assert dict(records[1].facts) == {
        "value-size": b"%d" % len(value),
        "value-sha256": hashlib.sha256(value).hexdigest().encode(),
    }


@pytest.mark.parametrize("kind", ["gzip", "xerial", "lz4", "zstd"])
def test_a_batch_that_decompresses_beyond_the_bound_is_answered_up_to_it_and_refused_after_it(kind):
    large = bytes(5 << 20)
    batch = raw(record(0) + record(1, value=large) + record(2) + record(3), count=4, kind=kind)
    records = all_of(batch)
    assert told(records) == [(BASE, b"v"), *((BASE + n, Code.TOO_LARGE) for n in (1, 2, 3))]
    facts = [dict(one.facts) for one in records[1:]]
    assert all(one.keys() == {"value-size-at-least", "batch-sha256"} for one in facts)
    assert 3 << 20 < int(facts[0]["value-size-at-least"]) < 4 << 20
    assert [one["value-size-at-least"] for one in facts[1:]] == [b"0", b"0"]


def test_raw_snappy_beyond_the_bound_is_refused_whole_and_never_decompressed():
    records = all_of(raw(record(0) + record(1, value=bytes(5 << 20)), count=2, kind="snappy"))
    assert told(records) == [(BASE, Code.TOO_LARGE), (BASE + 1, Code.TOO_LARGE)]


@pytest.mark.parametrize(("pack", "number"), [(cramjam.zstd.compress, 4), (gzip.compress, 1)])
def test_memory_stays_within_the_bound_whatever_a_batch_decompresses_to(pack, number):
    body = record(0, value=bytes(100 << 20))
    packed = bytes(pack(body))
    batch = Header(BASE, 0, 0, 2, 0, number, 0, 7, 9, -1, -1, -1, 1).pack() + packed
    tracemalloc.start()
    records = all_of(RawBatch(memoryview(batch), start=BASE, unpacker=Unpacker(BOUNDS)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told(records) == [(BASE, Code.TOO_LARGE)]
    assert peak < 3 * BOUNDS.unpacked


def test_batches_of_all_partitions_share_the_bound_and_none_loses_a_record():
    unpacker = Unpacker(BOUNDS)
    rows = 3_000
    body = b"".join(record(n, value=b"%08d" % n * 120) for n in range(rows))
    batches = [raw(body, count=rows, kind="zstd", unpacker=unpacker) for _ in range(4)]
    taken = [[] for _ in batches]
    while any(batch.first is not None for batch in batches):
        for batch, found in zip(batches, taken, strict=True):
            found.extend(batch.take(100, None))
            assert sum(len(data) for data, _ in unpacker._held.values()) <= BOUNDS.unpacked
    for found in taken:
        assert told(found) == [(BASE + n, b"%08d" % n * 120) for n in range(rows)]
    del batches, batch
    assert not unpacker._held


def test_tiny_records_are_parsed_some_thousands_at_a_time():
    rows = 120_000
    batch = raw(b"".join(record(n, value=b"") for n in range(rows)), count=rows, kind="zstd")
    sizes = []
    while batch.first is not None:
        sizes.append(len(batch.take(1 << 30, None)))
    assert sum(sizes) == rows
    assert max(sizes) <= 5_000


def test_records_before_the_fetch_and_from_the_cut_on_are_not_taken():
    body = b"".join(record(n) for n in (0, 1, 4, 5))  # compaction has removed two
    batch = raw(body, count=4, last=6, start=BASE + 1)
    assert (batch.first, batch.next) == (BASE + 1, BASE + 7)
    assert told(batch.take(10, BASE + 5)) == [(BASE + 1, b"v"), (BASE + 4, b"v")]
    assert batch.take(10, BASE + 5) == []
    assert told(batch.take(10, None)) == [(BASE + 5, b"v")]
    assert batch.first is None


def test_the_timestamp_is_the_brokers_with_log_append_time():
    for broken in (record(0), record(0, headers=[(b"\xff", b"")])):
        batch = bytearray(Header(BASE, 0, 0, 2, 0, 0, 0, 7, 9, -1, -1, -1, 1).pack() + broken)
        struct.pack_into(">h", batch, ATTRIBUTES_AT, 8)
        assert all_of(RawBatch(memoryview(batch), start=BASE, unpacker=Unpacker(BOUNDS)))[0].timestamp == 9


def test_an_unreadable_message_in_an_old_format_is_refused():
    message = struct.pack(">qiIbb", BASE, 30, 0, 1, 1) + bytes(12) + b"x" * 16
    batch = LegacyBatch(memoryview(message), start=BASE, bound=100)
    assert told(batch.take(9, None)) == [(BASE, Code.UNREADABLE)]
    assert batch.next == BASE + 1


@pytest.mark.parametrize("attributes", [0, 1])
def test_a_message_in_an_old_format_that_is_too_short_for_its_fields_is_refused(attributes):
    summed = bytes([1, attributes]) + bytes(8)  # neither key nor value
    message = struct.pack(">qiI", BASE, 4 + len(summed), zlib.crc32(summed)) + summed
    fetch = SimpleNamespace(data=message, next_fetch_offset=BASE)
    (batch,) = cut(fetch, Unpacker(BOUNDS))
    assert told(batch.take(9, None)) == [(BASE, Code.UNREADABLE)]
    assert fetch.next_fetch_offset == BASE + 1


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_offset_of_a_damaged_body_is_returned_once_and_in_order(data):
    rows = data.draw(st.integers(1, 6))
    kind = data.draw(st.sampled_from(sorted(CODECS)))
    body = bytearray(
        b"".join(record(n, key=b"key", value=b"value" * n, headers=[(b"name", b"x")]) for n in range(rows))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body[: data.draw(st.integers(0, len(body)))])
    records = all_of(raw(body, count=rows, kind=kind), data.draw(st.integers(1, 4)))
    found = [one.offset for one in records]
    assert found == sorted(set(found))
    assert set(found) == set(range(BASE, BASE + rows))
