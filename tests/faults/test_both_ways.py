"""The proof that both ways give the same bytes: it holds, but for a header that one of the two writes wrongly here."""

import os

from faults.both_ways import COUNTED, differences, run

SEED = int(os.environ.get("HOTSWAP_TEST_SEED", "2"))
CASES = ("single", "rows to rows")
WRONG = """
from hotswap.pipeline.addressing import Address
envelope = Address.envelope
Address.envelope = lambda *given: envelope(*given)._replace(operation=(("operation", b"g"),))
"""
RECORD = (b"k", b"v", [("a", b"1"), ("source", b"d.requests-0-7")])


async def test_a_header_that_one_way_writes_wrongly_is_found_and_nothing_else(tmp_path):
    figures = await run(
        tmp_path, seed=SEED, count=800, say=lambda _: None, cases=CASES, codecs=("none", "lz4"), raw=COUNTED + WRONG
    )
    assert figures.findings
    assert all(finding.startswith("predictions: partition ") for finding in figures.findings), figures.findings
    assert figures.aborted
    assert figures.read_by_java == figures.outcomes["answered"]
    assert set(figures.batches_by_codec) == {"none", "lz4"}


def test_the_same_records_do_not_differ():
    assert list(differences({0: [RECORD], 1: []}, {0: [RECORD]})) == []


def test_a_key_a_value_a_header_their_order_and_a_missing_record_are_differences():
    key, value, headers = RECORD
    for other in ((None, value, headers), (key, b"", headers), (key, value, headers[:1]), (key, value, headers[::-1])):
        assert len(list(differences({3: [RECORD, RECORD]}, {3: [RECORD, other]}))) == 1
    assert len(list(differences({3: [RECORD, RECORD]}, {3: [RECORD]}))) == 1


def test_by_how_much_a_request_was_late_is_no_difference():
    late = [("code", b"EXPIRED"), ("message", b"scored 12 ms after its not-after")]
    later = [("code", b"EXPIRED"), ("message", b"scored 345 ms after its not-after")]
    assert list(differences({0: [(None, b"v", late)]}, {0: [(None, b"v", later)]})) == []
    assert list(differences({0: [(None, b"v", late)]}, {0: [(None, b"v", [late[0], ("message", b"late")])]}))
