"""A short fuzzing run: the codec alone against the oracle, then a real fleet; `make fuzz` plays it in full."""

import os
from itertools import chain

import pytest

from faults import fuzz
from faults.fuzz_inputs import Input, inputs

SEED = int(os.environ.get("HOTSWAP_TEST_SEED", "1"))


def test_the_same_seed_is_the_same_inputs_and_another_one_is_others():
    assert inputs(SEED, 50) == inputs(SEED, 50)
    assert inputs(SEED, 50) != inputs(SEED + 1, 50)


def test_the_codec_refuses_and_reads_what_an_independent_oracle_does():
    figures = fuzz.Figures(SEED)
    for item in inputs(SEED, 1_500):
        fuzz.check(item, figures)
    assert figures.findings == []
    assert len(figures.inputs) == 6
    assert min(figures.inputs.values()) > 50, figures.inputs


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(b"\x00\x01", "refused"), (b"[\x00\x01\\", "good"), (b"[c\x05\1\2\3\4d\\", "good"), (b"[\x04\\", "refused")],
    ids=["a field 0", "one in an unknown group", "one in a group in it", "its end for another's"],
)
def test_the_oracle_takes_a_field_0_where_protobuf_does(value, outcome):
    figures = fuzz.Figures(SEED)
    fuzz.check(Input("protobuf", "Many", value), figures)
    assert (dict(figures.inputs), figures.findings) == ({("protobuf", outcome): 1}, [])


async def test_a_fleet_refuses_what_the_oracle_refuses_and_answers_the_rest_as_their_clean_twins(deployment):
    figures = await fuzz.run(deployment, seed=SEED, count=300, say=lambda _: None)
    assert figures.findings == []
    assert figures.asked > 400


LAXER = {
    "hotswap.codec.text.json_reader.settle": lambda *_: None,
    "hotswap.codec.text.reader.CsvRows._leave_out": lambda *_: None,
}


@pytest.mark.parametrize("place", LAXER)
def test_the_fuzz_finds_out_a_codec_that_is_laxer_than_the_rules(place, monkeypatch):
    monkeypatch.setattr(place, LAXER[place])
    figures = fuzz.Figures(SEED)
    for item in chain.from_iterable(inputs(SEED + number, 500) for number in range(10)):
        fuzz.check(item, figures)
        if figures.findings:
            return
    pytest.fail("5,000 inputs, and no finding")
