"""The load of `bench.py half`: what its reader takes of a fetch, and from when an answer's latency counts."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from batch_publisher import TICK_S
from batch_reader import Places, heads
from curves import fit_columns
from half import Arrived, latencies
from points import Point


def batch(offset, *sources, kind=0, is_control=False):
    builder = DefaultRecordBatchBuilder(
        2, kind, is_transactional=1, producer_id=1, producer_epoch=0, base_sequence=0, batch_size=1 << 20
    )
    for number, source in enumerate(sources):
        builder.append(number, 1, None, b"answer", [("source", source)] if source else [])
    made = builder.build()
    made[:8] = offset.to_bytes(8)
    made[22] |= 0x20 * is_control
    return bytes(made)


def test_the_reader_counts_the_answers_of_each_batch_and_leaves_markers_out():
    whole = batch(5, b"r-0-5", b"r-0-6"), batch(7, b"", is_control=True), batch(8, b"r-0-7", kind=3), batch(9, b"x")
    fetched = SimpleNamespace(data=b"".join(whole)[:-1], next_fetch_offset=5)
    taken = list(heads(fetched))
    assert [count for count, _ in taken] == [2, 1]
    assert [bool(data) for _, data in taken] == [True, False], "what is compressed is not decoded"
    assert fetched.next_fetch_offset == 9, "the last batch, which is cut off, is fetched again"


def test_an_answer_to_another_request_than_the_one_of_its_number_ends_the_reader():
    places = Places()
    places.check(0, 0, memoryview(batch(0, b"requests-0-100")))
    places.check(0, 7, memoryview(batch(0, b"requests-0-107")))
    places.check(1, 9, memoryview(batch(0, b"")))
    with pytest.raises(ValueError, match="answer 8 of partition 0 is to the request at 109"):
        places.check(0, 8, memoryview(batch(0, b"requests-0-109")))


def test_each_answer_counts_from_when_its_request_was_due_and_one_that_is_missing_until_now():
    # Two rows a tick, one partition after the other: tick 5 is the second one of partition 1.
    arrived = [Arrived(1, 1, 0, 3), Arrived(2, 1, 3, 1), *(Arrived(3, other, 0, 4) for other in (0, 2))]
    took = latencies(arrived, 2, range(1, 8), 9)
    due = [tick * TICK_S for tick in range(8)]
    expected = [3 - due[4], 3 - due[4], 1 - due[1], 1 - due[1], 1 - due[5], 2 - due[5]]
    expected += [3 - due[2], 3 - due[2], 3 - due[6], 3 - due[6], 9 - due[3], 9 - due[3], 9 - due[7], 9 - due[7]]
    assert took == pytest.approx(expected)


def test_the_cost_of_columns_is_fitted_so_that_the_narrow_rows_weigh_as_much_as_the_wide_ones():
    points = [Point(much, 2 + much / 2, 300, 1) for much in (1, 10, 200)]
    assert fit_columns(points) == pytest.approx((2, 0.5, 0))
    a, b, residual = fit_columns([*points, Point(100, 50, 300, 1)])
    assert 0.02 < residual < 0.04
    assert a + b * 100 == pytest.approx(51, rel=0.02)
