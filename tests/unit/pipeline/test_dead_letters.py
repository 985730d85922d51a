"""A dead letter holds what fits, says what it lacks, and never exceeds its topic's limit."""

import hashlib

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.data_plane import FakeRequest
from hotswap.batch import Code, Refusal, Unscorable
from hotswap.pipeline.dead_letters import dead_letter, record_bytes

OURS = [("generation", b"1"), ("source", b"t-0-5")]
REFUSED = Refusal(Code.UNDECODABLE, "why")


def size_of(letter):
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    builder.append(0, 2**62, *letter)
    return len(builder.build())


def test_a_request_that_fits_is_kept_unchanged():
    own = [("request-id", b"r"), ("value-size", b"the user's own")]
    key, value, headers = dead_letter(FakeRequest(5, b"v", key=b"k"), REFUSED, own, OURS, 1_000)
    assert (key, value) == (b"k", b"v")
    assert headers == [*own, *OURS, ("code", b"UNDECODABLE"), ("message", b"why")]


def test_a_value_that_does_not_fit_is_replaced_by_its_size_and_digest():
    request = FakeRequest(5, b"v" * 2_000, key=b"k")
    key, value, headers = dead_letter(request, REFUSED, [("value-size", b"forged")], OURS, 1_000)
    assert (key, value) == (b"k", None)
    assert headers[:-2] == [
        *OURS,
        ("value-size", b"2000"),
        ("value-sha256", hashlib.sha256(request.value).hexdigest().encode()),
    ]
    assert dict(headers)["message"] == b"why (value not kept: a dead letter has at most 1000 bytes)"


def test_the_value_is_dropped_first_then_the_headers_then_the_key():
    request = FakeRequest(5, b"v" * 2_000, key=b"k" * 2_000)
    key, value, headers = dead_letter(request, REFUSED, [("a", b"x" * 2_000)], OURS, 1_000)
    assert (key, value) == (None, None)
    assert "a" not in dict(headers)
    assert b"value and headers and key not kept" in dict(headers)["message"]


def test_an_unscorable_request_keeps_its_value_and_facts():
    odd = Unscorable(5, 0, b"k", (), Refusal(Code.MALFORMED_HEADER, "odd"), b"kept")
    assert dead_letter(odd, odd.refusal, (), OURS, 1_000)[1] == b"kept"
    gone = Unscorable(5, 0, b"k", (), REFUSED, facts=(("batch-sha256", b"d"),))
    assert ("batch-sha256", b"d") in dead_letter(gone, gone.refusal, (), OURS, 1_000)[2]


sizes = st.sampled_from([0, 1, 63, 64, 127, 128, 8_191, 8_192, 100_000])
headers_of = st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=300)), max_size=5)


@settings(deadline=None)
@given(sizes, sizes, headers_of)
def test_no_dead_letter_is_larger_than_its_topic_allows(key, value, own):
    letter = dead_letter(FakeRequest(5, b"v" * value, key=b"k" * key), REFUSED, own, OURS, 10_000)
    assert size_of(letter) <= record_bytes(*letter) <= 10_000
