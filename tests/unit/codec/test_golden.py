"""Golden answers: their document, and what counts as a difference."""

import json
import math

import pytest

from hotswap.codec.golden import GoldenAnswers, GoldenRow, document_of
from hotswap.codec.proto import compile as compile_proto

PROTO = b"""
syntax = "proto3";
import "google/protobuf/timestamp.proto";
enum Colour { COLOUR_UNSPECIFIED = 0; RED = 1; }
message Row { optional double x = 1; string s = 2; }
message Out {
  string label = 1; double p = 2; optional float q = 3; int64 n = 4; bool is_sure = 5; Colour colour = 6;
  repeated Row rows = 7; map<string, double> each = 8; Row best = 9; google.protobuf.Timestamp at = 10; bytes raw = 11;
}
service S { rpc One(Row) returns (Out); rpc Two(Row) returns (Row); }
"""
ONE = compile_proto(PROTO).operations["One"]
REQUEST = {"x": 1.5}


def golden(answer, **tolerances):
    return GoldenAnswers(rows=[GoldenRow(REQUEST, answer)], tolerances=tolerances)


def differences(answer, got, **tolerances):
    made = golden(answer, **{name.replace("__", "."): value for name, value in tolerances.items()})
    made = GoldenAnswers.parse(made.dump())
    return [str(one) for one in made.differences(made.rows[0], ONE.output(**got))]


def test_a_document_is_the_same_bytes_for_the_same_content_with_a_line_for_each_row():
    rows = [GoldenRow({"x": 1.5}, {"label": "é", "p": 0.1}), GoldenRow({"x": 2.0}, {"p": "NaN"})]
    written = GoldenAnswers(rows=rows, operation="One", tolerances={"p": 0.01}).dump()

    assert written.decode() == (
        '{"format": 1, "operation": "One", "tolerances": {"p": 0.01}, "rows": [\n'
        '{"answer": {"label": "é", "p": 0.1}, "request": {"x": 1.5}},\n'
        '{"answer": {"p": "NaN"}, "request": {"x": 2.0}}\n]}\n'
    )
    assert GoldenAnswers.parse(written) == GoldenAnswers(rows=rows, operation="One", tolerances={"p": 0.01})


def _with(**changed):
    return json.dumps({"format": 1, "rows": [{"request": {}, "answer": {"p": 1}}], **changed}).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(_with(format=2), "its format is 2, and only 1 is known here", id="a-later-format"),
        pytest.param(_with(format=True), "its format is true", id="no-format"),
        pytest.param(b'{"rows": []}', "its format is no value", id="without-format"),
        pytest.param(_with(rows=[]), "at least one row", id="no-rows"),
        pytest.param(_with(extra=1), "it has 'extra', which format 1 does not have", id="unknown"),
        pytest.param(_with(operation=1), '"operation" is not a text', id="operation"),
        pytest.param(
            _with(tolerances={"p": -1}), "the tolerance of p is not a number that is 0 or more", id="negative"
        ),
        pytest.param(_with(tolerances={"p": True}), "the tolerance of p is not", id="truth"),
        pytest.param(_with(rows=[{"request": {}}]), 'row 1 is not an object of a "request"', id="no-answer"),
        pytest.param(_with(rows=[{"request": {}, "answer": {}}]), "row 1 needs", id="expects-nothing"),
        pytest.param(_with(rows=[{"request": {}, "answer": {"p": 1}}] * 5001), "5,001 rows, and at most", id="rows"),
        pytest.param(b" " * (4 << 20) + b"{}", "4,194,306 bytes, and at most 4,194,304", id="bytes"),
        pytest.param(b"{", "not valid JSON", id="broken"),
        pytest.param(b'{"rows": NaN}', 'NaN is no JSON: write it as the text "NaN"', id="nan"),
        pytest.param(b"[" * 100_000, "not valid JSON", id="deep"),
        pytest.param(b"[]", 'not an object with "rows"', id="a-list"),
    ],
)
def test_what_is_no_such_document_is_refused_with_the_reason(content, why):
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        GoldenAnswers.parse(content)


def test_a_document_beyond_the_limits_is_not_written():
    with pytest.raises(ValueError, match="it has 5001 rows: 1 to 5,000"):
        GoldenAnswers(rows=[GoldenRow({}, {"p": 1})] * 5001).dump()
    with pytest.raises(ValueError, match=r"4,\d{3},\d{3} bytes, and at most 4,194,304"):
        GoldenAnswers(rows=[GoldenRow({"s": "x" * (4 << 20)}, {"p": 1})]).dump()


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        pytest.param({"p": 0.29}, {"p": 0.29 + 9e-7}, id="within-1e-6"),
        pytest.param({"p": 1e9}, {"p": 1e9 + 900}, id="relatively"),
        pytest.param({"p": "NaN"}, {"p": math.nan}, id="nan"),
        pytest.param({"p": "-Infinity"}, {"p": -math.inf}, id="infinity"),
        pytest.param({"p": 1}, {"p": 1.0}, id="whole"),
        pytest.param({"q": 0.1}, {"q": 0.1}, id="float"),
        pytest.param({"q": None}, {}, id="unset"),
        pytest.param({"p": 0.0, "label": "", "is_sure": False, "rows": []}, {}, id="defaults"),
        pytest.param({"n": "9007199254740993"}, {"n": 9007199254740993}, id="64-bit"),
        pytest.param({"colour": "RED", "raw": "AQI="}, {"colour": 1, "raw": b"\1\2"}, id="enum-and-bytes"),
        pytest.param({"rows": [{"x": 1.5}]}, {"rows": [{"x": 1.5, "s": "not compared"}]}, id="only-what-is-named"),
        pytest.param({"each": {"yes": 0.7}}, {"each": {"yes": 0.7, "no": 0.3}}, id="map"),
        pytest.param({"at": "1970-01-01T00:00:01Z"}, {"at": {"seconds": 1}}, id="well-known"),
    ],
)
def test_answers_that_are_as_expected(expected, got):
    assert differences(expected, got) == []


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        pytest.param({"p": 0.29}, {"p": 0.71}, "p: expected 0.29, got 0.71 (tolerance 1e-06)", id="number"),
        pytest.param({"p": 0.29}, {"p": 0.29 + 2e-6}, "p: expected 0.29, got 0.290002 (tolerance 1e-06)", id="near"),
        pytest.param({"p": 0.29}, {"p": math.nan}, 'p: expected 0.29, got "NaN" (tolerance 1e-06)', id="nan"),
        pytest.param({"label": "yes"}, {"label": "no"}, 'label: expected "yes", got "no"', id="text"),
        pytest.param({"label": "1"}, {"label": "1.0"}, 'label: expected "1", got "1.0"', id="texts-like-numbers"),
        pytest.param({"is_sure": True}, {}, "is_sure: expected true, got false", id="truth"),
        pytest.param(
            {"n": "9007199254740993"},
            {"n": 9007199254740992},
            'n: expected "9007199254740993", got "9007199254740992"',
            id="64-bit",
        ),
        pytest.param({"q": None}, {"q": 0.5}, "q: expected no value, got 0.5 (tolerance 1e-06)", id="set"),
        pytest.param({"q": 0.5}, {}, "q: expected 0.5, got no value (tolerance 1e-06)", id="unset"),
        pytest.param({"rows": [{"x": 1.5}]}, {"rows": [{"x": 2.5}]}, "rows[0].x: expected 1.5, got 2.5", id="nested"),
        pytest.param({"rows": [{}]}, {}, "values of rows: expected 1, got 0", id="length"),
        pytest.param({"each": {"a.b": 0.7}}, {"each": {"c": 1}}, "each.a.b: expected 0.7, got no value", id="map"),
        pytest.param({"best": {"x": 1.0}}, {}, 'best: expected {"x": 1.0}, got no value', id="message"),
        pytest.param({"gone": 1}, {}, "gone: expected 1, got no value", id="no-such-field"),
    ],
)
def test_answers_that_are_not_as_expected_name_the_field_and_both_values(expected, got, said):
    (one,) = differences(expected, got)
    assert one.startswith(said)


def test_a_tolerance_is_absolute_and_of_the_field_whatever_its_place():
    got = {"rows": [{"x": 1.0}, {"x": 2.04}], "n": 7}
    expected = {"rows": [{"x": 1.04}, {"x": 2.0}], "n": "5"}
    assert differences(expected, got, rows__x=0.05, n=2) == []
    assert differences(expected, got, rows__x=0.03, n=1) == [
        'n: expected "5", got "7" (tolerance 1)',
        "rows[0].x: expected 1.04, got 1 (tolerance 0.03)".replace("got 1 ", "got 1.0 "),
        "rows[1].x: expected 2.0, got 2.04 (tolerance 0.03)",
    ]
    assert differences({"p": 1.0}, {"p": 1.0 + 1e-9}, p=0) == ["p: expected 1.0, got 1.000000001 (tolerance 0)"]


def test_a_prediction_expects_each_of_its_fields_the_unset_ones_too():
    answer = ONE.output(p=0.5, rows=[{"s": "a"}])
    document = document_of(answer)

    assert (document["q"], document["best"], document["at"]) == (None, None, None)
    assert document["rows"] == [{"s": "a", "x": None}]
    made = GoldenAnswers.predicted(ONE, [ONE.input(x=1.5).SerializeToString()], [answer.SerializeToString()])
    assert made.rows[0].request == REQUEST
    assert not list(made.differences(made.rows[0], answer))
    changed = ONE.output(p=0.5, rows=[{"s": "a"}], q=0.0)
    assert [one.path for one in made.differences(made.rows[0], changed)] == ["q"]
