"""Predictions are addressed as columns where each of a batch is plain, and the same as one by one."""

import pytest

from fakes.data_plane import FakeRequest, FakeRouter
from hotswap.batch import HEADROOM_BYTES, Alike, BatchAnswers, Limits
from hotswap.codec.packed import Packed, pack
from hotswap.pipeline.addressing import Address

ROOMY = Limits(prediction=HEADROOM_BYTES + 10, dead_letter=10_000)


def address(limits=ROOMY):
    serving = FakeRouter(lambda *_: 1).serving(1)
    return Address(serving.generation, serving.rules, "d.requests-3", limits)


def both(requests, values, limits=ROOMY):
    """Return the records of packed answers, and of the same one by one."""
    packed = address(limits).records(requests, Packed(pack(values)))
    return packed, address(limits).records(requests, values)


@pytest.mark.parametrize("offsets", [[7, 8, 9], [7, 8, 11], [7, 9, 10]], ids=str)
def test_plain_predictions_are_columns_that_stand_for_the_same_records(offsets):
    requests = [FakeRequest(offset, b"", key=key) for offset, key in zip(offsets, [b"k", None, b""], strict=True)]
    packed, one_by_one = both(requests, [b"a", b"", b"ten bytes"])
    assert isinstance(packed.predictions, Alike)
    assert list(packed.predictions.offsets) == offsets
    assert BatchAnswers(list(packed.predictions.records()), packed.dead_letters) == one_by_one


@pytest.mark.parametrize("value", [b"", None])
def test_an_operation_that_is_empty_is_answered_under_the_one_that_scored_it(value):
    request = FakeRequest(7, b"", headers=[("x", b"1"), ("operation", value)])
    ((_, _, headers),) = address().records([request], [b"a"]).predictions
    assert [header for header in headers if header[0] == "operation"] == [("operation", b"score")]


def test_an_answer_has_each_of_our_headers_once_whatever_the_request_has():
    given = ["source", "generation", "model-digest", "code", "message", "source", "generation"]
    request = FakeRequest(7, b"", headers=[*((name, b"forged") for name in given), ("x", b"1"), ("x", b"2")])
    ((_, _, headers),) = address().records([request], [b"a"]).predictions
    assert headers == [
        ("x", b"1"),
        ("x", b"2"),
        ("operation", b"score"),
        ("generation", b"1"),
        ("model-digest", b"a" * 64),
        ("source", b"d.requests-3-7"),
    ]


@pytest.mark.parametrize(
    ("request_", "value", "limits"),
    [
        (FakeRequest(7, b"", headers=[("trace", b"1")]), b"a", ROOMY),
        (FakeRequest(7, b"", key=b"k"), b"ten bytes!", ROOMY),
        (FakeRequest(7, b"", key=b"k"), b"a", Limits(prediction=2_000, dead_letter=10_000)),
    ],
    ids=["headers", "too large with its key", "low limit"],
)
def test_a_batch_with_anything_else_is_addressed_one_by_one(request_, value, limits):
    packed, one_by_one = both([request_, FakeRequest(8, b"")], [value, b"b"], limits)
    assert not isinstance(packed.predictions, Alike)
    assert packed == one_by_one
