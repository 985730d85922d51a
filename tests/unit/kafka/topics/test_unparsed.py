"""Of a record batch that nobody has parsed, the records that somebody waits for are found, whatever the others are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.raw_batches import CODECS, Record, batch
from hotswap.batch import Unscorable
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.records import Piece, RawBatch
from hotswap.kafka.topics.unparsed import Sought, Unparsed

BASE = 100
SOURCE = b"d.requests-0-%d"
BOUNDS = Bounds(unpacked=4 << 20, record=2 << 20)


def readable(records):
    return [one for one in records if not isinstance(one, Unscorable)]


def raw(made, start=BASE):
    return RawBatch(memoryview(made.at(BASE)), start=start, unpacker=Unpacker(BOUNDS))


def unparsed(made, start=BASE):
    return Unparsed(raw(made, start), readable)


def answers(count):
    return [Record(value=b"v" * n, headers=((b"generation", b"1"), (b"source", SOURCE % n))) for n in range(count)]


def sought(*numbers):
    return Sought("source", [(SOURCE % number).decode() for number in numbers])


def told(records):
    return [(one.offset, one.value, dict(one.headers)["source"]) for one in records]


def wanted(*numbers):
    return [(BASE + number, b"v" * number, SOURCE % number) for number in numbers]


@pytest.fixture
def parsed_whole(monkeypatch):
    """How many batches were parsed as a whole."""
    batches, parse = [], Piece.parsed

    def parsed(self):
        batches.append(self)
        return parse(self)

    monkeypatch.setattr(Piece, "parsed", parsed)
    return batches


@pytest.mark.parametrize("codec", CODECS)
def test_only_what_is_sought_is_parsed_however_long_its_value_is(parsed_whole, codec):
    one = unparsed(batch(answers(200), codec))
    assert told(one.where(sought(3, 7, 150, 999))) == wanted(3, 7, 150)
    assert parsed_whole == []


def test_nothing_is_even_decompressed_while_nobody_waits(monkeypatch):
    monkeypatch.setattr(Unpacker, "unpack", None)
    assert unparsed(batch(answers(9), "zstd")).where(sought()) == []


def test_a_batch_may_be_looked_at_again_for_others():
    for one in (unparsed(batch(answers(30))), unparsed(batch(answers(30)).replaced(last_delta=40))):
        assert one.where(sought(31)) == [] or one.where(sought(31)) == one.where(sought(32))
        assert wanted(3)[0] in told(one.where(sought(3)))
        assert wanted(4)[0] in told(one.where(sought(4)))


def test_where_many_are_sought_the_batch_is_parsed_as_a_whole(parsed_whole):
    assert told(unparsed(batch(answers(8))).where(sought(*range(8)))) == wanted(*range(8))
    assert len(parsed_whole) == 1


def test_what_is_before_the_position_is_not_found():
    assert told(unparsed(batch(answers(30)), start=BASE + 10).where(sought(9, 10))) == wanted(10)


@pytest.mark.parametrize(
    ("count", "last_delta"), [(30, 40), (31, 30), (5, 4)], ids=["with gaps", "too few records", "too many records"]
)
def test_what_is_unusual_is_parsed_as_a_whole(count, last_delta):
    odd = unparsed(batch(answers(30)).replaced(count=count, last_delta=last_delta))
    assert odd.where(sought(7))[-1].offset >= BASE + 4
    assert wanted(3)[0] in told(odd.where(sought(3)))


def test_the_last_of_several_headers_of_the_name_is_the_callers_affair():
    headers = ((b"source", SOURCE % 1), (b"source", SOURCE % 2))
    one = unparsed(batch([*answers(20), Record(value=b"", headers=headers)]))
    assert [record.offset for record in one.where(sought(2))] == [BASE + 2, BASE + 20]


MARK = b"\x0csource"
LURES = st.lists(
    st.sampled_from([MARK, MARK + b"\x1c", MARK + b"\x1e", SOURCE % 9, SOURCE % 10, b"\x0c", b"s", b""]), max_size=6
)
TEXT = LURES.map(b"".join)


@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT, st.integers(8, 12)), min_size=1, max_size=40),
    st.sets(st.integers(8, 12), max_size=2),
    st.sampled_from(["none", "lz4"]),
)
def test_whatever_keys_values_and_headers_are_each_record_that_is_sought_is_found(rows, numbers, codec):
    records = [
        Record(key=key, value=value, headers=((b"request-id", other), (b"source", SOURCE % number)))
        for key, value, other, number in rows
    ]
    found = unparsed(batch(records, codec)).where(sought(*numbers))
    right = [(BASE + at, value, SOURCE % number) for at, (_, value, _, number) in enumerate(rows) if number in numbers]
    assert [one for one in told(found) if int(one[2].rpartition(b"-")[2]) in numbers] == right
