"""Golden answers as people write them: a CSV of inputs and expected outputs, or the document."""

import json

import pytest

from hotswap.codec.golden import GoldenRow
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.golden_rows import read_golden
from hotswap.errors import UsageError
from hotswap.generation import TextOptions

ROW = "message Row { optional double x = 1; string name = 2; }"


def schema(answer, gives="Out", takes="Row"):
    text = f'syntax = "proto3"; {ROW} message Rows {{ repeated Row rows = 1; }} {answer} '
    return compile_proto((text + f"service S {{ rpc One({takes}) returns ({gives}); }}").encode())


SINGLE = schema("message Out { string label = 1; double p_yes = 2; Row best = 3; string name = 4; }")
COLUMNS = schema("message Out { repeated string label = 1; repeated double p_yes = 2; }", takes="Rows")
ROWS = schema("message P { string label = 1; double pYes = 2; } message Out { repeated P all = 1; }", takes="Rows")


@pytest.fixture
def read(tmp_path):
    def read_it(text, to, name="golden.csv", tolerances=None, **options):
        path = tmp_path / name
        path.write_text(text)
        return read_golden(path, to, TextOptions(**options), tolerances)

    return read_it


@pytest.mark.parametrize(
    ("to", "request_", "answer"),
    [
        pytest.param(SINGLE, {"x": 1.5}, {"label": "yes", "p_yes": 0.29}, id="single"),
        pytest.param(COLUMNS, {"rows": [{"x": 1.5}]}, {"label": ["yes"], "p_yes": [0.29]}, id="columns"),
    ],
)
def test_a_csv_has_columns_of_inputs_and_of_expected_outputs_told_apart_by_the_proto(read, to, request_, answer):
    golden = read("label,x,p_yes\nyes,1.5,0.29\n\nno,2.5,\n", to)

    assert golden.operation == "One"
    assert golden.rows[0] == GoldenRow(request_, answer)
    assert list(golden.rows[1].answer) == ["label"], "an empty cell expects nothing"


def test_rows_of_an_answer_and_its_nested_fields_are_found(read):
    assert read("x,label,pYes\n1,yes,1\n", ROWS).rows[0].answer == {"all": [{"label": "yes", "pYes": 1.0}]}
    assert read("x,best.x\n1,3\n", SINGLE).rows[0].answer == {"best": {"x": 3.0}}


def test_a_name_of_both_needs_the_prefix_and_then_every_expected_column_has_it(read):
    with pytest.raises(UsageError, match=r"column name is a field of the request and of the answer.*expect\.name"):
        read("x,name,label\n1,a,yes\n", SINGLE)
    row = read("x,name,expect.name\n1,a,b\n", SINGLE).rows[0]
    assert (row.request, row.answer) == ({"x": 1.0, "name": "a"}, {"name": "b"})
    with pytest.raises(UsageError, match="column label is no field of the request, nor of the answer"):
        read("x,label,expect.p_yes\n1,yes,1\n", SINGLE)


def test_columns_of_the_model_and_cells_that_mean_missing_are_read_as_requests_are(read):
    row = read("The X,label\nNA,yes\n", SINGLE, missing=frozenset({"", "NA"}), columns=(("The X", "x"),)).rows[0]
    assert (row.request, row.answer) == ({}, {"label": "yes"})
    assert read("x;label\n2;yes\n", SINGLE, delimiter=";").rows[0].request == {"x": 2.0}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("x\n1\n", "no column has expected values: the fields of the answer are label, p_yes", id="none"),
        pytest.param("label\nyes\n", "no column has values of requests", id="no-input"),
        pytest.param("x,labl\n1,yes\n", "column labl is no field of the request, nor of the answer", id="misspelt"),
        pytest.param("x,expect.labl\n1,yes\n", "column expect.labl is no field", id="misspelt-prefix"),
        pytest.param("x,label\n1\n", "row 1 has 1 cells, but the header names 2", id="short"),
        pytest.param("x,label\na,yes\n", "row 1, column x: 'a' is not a number", id="input"),
        pytest.param("x,p_yes\n1,0.5\n1,a\n", "row 2, column p_yes: 'a' is not a number", id="output"),
        pytest.param("x,p_yes\n1,\n", "row 1 expects nothing", id="empty"),
        pytest.param("x,p_yes\n", "it has no rows", id="no-rows"),
        pytest.param('x,p_yes\n"1', "it is not valid CSV", id="broken"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_file_row_and_column(read, text, why):
    with pytest.raises(UsageError, match=f"golden answers .*golden.csv: {why}"):
        read(text, SINGLE)


def document(**parts):
    return json.dumps({"format": 1, "rows": [{"request": {"x": 1}, "answer": {"label": "yes"}}], **parts})


def test_a_document_is_written_again_by_the_names_of_the_proto(read):
    rows = [
        {"request": {"The X": "1.5"}, "answer": {"pYes": 1, "best": {"x": None}}},
        {"request": {"x": 1}, "answer": {"p_yes": "NaN", "best": None}},
    ]
    golden = read(document(rows=rows), SINGLE, "g.json", columns=(("The X", "x"),))
    assert list(golden.rows) == [
        GoldenRow({"x": 1.5}, {"p_yes": 1.0, "best": {"x": None}}),
        GoldenRow({"x": 1.0}, {"p_yes": "NaN", "best": None}),
    ]
    assert read(golden.dump().decode(), SINGLE, "g.json") == golden


def test_rows_in_a_document_may_stand_for_messages(read):
    rows = [{"request": {"x": 1}, "answer": {"pYes": 1}}, {"request": {"rows": []}, "answer": {"all": []}}]
    golden = read(document(rows=rows), ROWS, "g.json")
    assert [row.answer for row in golden.rows] == [{"all": [{"pYes": 1.0}]}, {"all": []}]
    assert [row.request for row in golden.rows] == [{"rows": [{"x": 1.0}]}, {}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(document(format=9), "its format is 9", id="format"),
        pytest.param(document(operation="Two"), "there is no operation 'Two': the proto has One", id="operation"),
        pytest.param(
            document(rows=[{"request": {"y": 1}, "answer": {"label": "a"}}]), "row 1: its request", id="request"
        ),
        pytest.param(document(rows=[{"request": {}, "answer": {"labl": "a"}}]), "row 1: its answer", id="answer"),
        pytest.param(
            document(tolerances={"p_no": 1}), "the tolerance of p_no is for no expected field", id="tolerance"
        ),
    ],
)
def test_a_document_that_does_not_fit_is_refused(read, text, why):
    with pytest.raises(UsageError, match=f"golden answers .*g.json: {why}"):
        read(text, SINGLE, "g.json")


def test_tolerances_are_of_fields_by_the_ends_of_their_paths(read):
    text = json.dumps({"format": 1, "tolerances": {"p_yes": 0.1}, "rows": [
        {"request": {"x": 1}, "answer": {"p_yes": 1, "best": {"x": 2}}}
    ]})  # fmt: skip
    golden = read(text, SINGLE, "g.json", {"x": 0.5, "p_yes": 0.2})
    assert golden.tolerances == {"best.x": 0.5, "p_yes": 0.2}
    with pytest.raises(UsageError, match=r"the tolerance of y is for no expected field: these are p_yes, best\.x"):
        read(text, SINGLE, "g.json", {"y": 0.5})
