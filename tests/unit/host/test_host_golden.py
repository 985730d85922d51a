"""A fresh host's answers are compared with the golden ones, by the path that requests take."""

import json

import numpy as np
import pytest

from hotswap.codec.fields import Column
from hotswap.codec.golden import GoldenAnswers, GoldenRow
from hotswap.codec.outputs import Output
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapError
from hotswap.generation import Configuration
from hotswap.host.dispatcher import Dispatcher
from hotswap.host.golden import check_golden
from hotswap.runtimes.rows import RowPlan

SCHEMA = compile_proto(b"""syntax = "proto3";
message Row { optional double x = 1; optional double age = 2; }
message Out { string label = 1; double half = 2; }
service S { rpc first(Row) returns (Out); rpc other(Row) returns (Out); }""")
RAISES = 13.0


class Halving:
    """A `rows.RowModel`: is x positive, and its half. It raises for 13."""

    columns = (Column("x"), Column("age"))
    outputs = (Output("label", 0, 1, ("label",), classes=("no", "yes")), Output("half", 1, 2))
    description = "a fake"

    def plan(self, operation, configuration):
        return RowPlan(self, operation, configuration)

    def score(self, table):
        x = table.matrix[:, 0]
        if (x == RAISES).any():
            raise ModelError("unlucky")
        return Table(np.column_stack([x > 0, x / 2]))


def check(*rows, operation="first", schema=SCHEMA, configuration=None):
    made = Dispatcher(model=Halving(), schema=schema, configuration=configuration or Configuration())
    golden = GoldenAnswers(rows=[GoldenRow(*row) for row in rows], operation=operation)
    check_golden(made, schema, golden.dump())


def refusal(*rows, **more):
    with pytest.raises(SwapError) as refused:
        check(*rows, **more)
    assert refused.value.code == "GOLDEN_MISMATCH"
    return refused.value.message.splitlines()


def test_right_answers_pass_by_every_operation():
    right = [({"x": 3.0}, {"label": "yes", "half": 1.5}), ({"x": -1.0}, {"label": "no"})]
    for operation in ("first", "other", ""):
        check(*right, operation=operation)


def test_a_difference_names_row_field_and_both_values():
    assert refusal(({"x": 1.0}, {"half": 0.5}), ({"x": 3.0}, {"label": "no", "half": 1.6})) == [
        "1 of 2 golden rows got another answer than expected:",
        "row 2, half: expected 1.6, got 1.5 (tolerance 1e-06)",
        'row 2, label: expected "no", got "yes"',
    ]


def test_a_refused_row_is_a_difference_and_others_keep_their_places():
    rows = [
        ({"y": 1}, {"half": 0.5}),
        ({"x": 1.0}, {"half": 0.5}),
        ({"x": RAISES}, {"half": 6.5}),
        ({"x": 2.0}, {"half": 0.0}),
    ]
    what, first, *others = refusal(*rows)
    assert first.startswith(
        'row 1, refused: UNDECODABLE: row 1: Message type "Row" has no field named "y" at "Row". Av'
    )
    assert [what, *others] == [
        "3 of 4 golden rows got another answer than expected:",
        "row 3, refused: MODEL_ERROR: unlucky",
        "row 4, half: expected 0.0, got 1.0 (tolerance 1e-06)",
    ]


def test_of_many_differences_ten_are_shown():
    lines = refusal(*[({"x": 1.0}, {"half": 9.0})] * 25)
    assert lines[0] == "25 of 25 golden rows got another answer than expected:"
    assert len(lines) == 12
    assert lines[-1] == "and 15 more"


def test_golden_answers_of_an_operation_that_is_gone_are_a_mismatch():
    assert refusal(({"x": 1.0}, {"half": 0.5}), operation="third") == [
        "the golden answers are of operation third, which the proto does not have: it has first, other"
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{}", json.dumps({"format": 2, "rows": []}).encode()], ids=["empty", "other", "later"]
)
def test_what_cannot_be_read_fails_before_anything_is_scored(content):
    with pytest.raises(SwapError, match="the golden answers cannot be read: ") as refused:
        check_golden(None, SCHEMA, content)
    assert refused.value.code == "ARTIFACT_INVALID"


def test_rows_are_read_by_the_names_of_the_proto_not_by_those_of_the_columns():
    swapped = Configuration(columns={"x": "age", "age": "x"})
    check(({"x": 1.0, "age": 4.0}, {"half": 2.0}), ({"age": 8.0}, {"half": 4.0}), configuration=swapped)
