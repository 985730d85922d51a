"""What the proof of every Python model compares: that a wrong, a lacking and a refused answer are found."""

import pytest
from google.protobuf import json_format

from faults.python_model_cases import NAMES, PythonCase


@pytest.fixture
def case(tmp_path):
    return lambda name: PythonCase.prepared(name, tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_each_model_has_rows_that_its_proto_takes_expected_answers_and_a_kind(case, name):
    one = case(name)
    assert one.operations
    for operation in one.operations:
        assert len(one.messages(operation)) == len(one.texts()) == len(one.rows) > 0
        assert one.faults(operation, one.expected[operation.name]) == []
    assert one.kind.startswith("python")


def test_what_is_not_the_expected_answer_is_found(case):
    rule = case("rule")
    (operation,) = rule.operations
    expected = rule.expected["Judge"]
    good = [json_format.ParseDict(answer, operation.output()).SerializeToString() for answer in expected]
    assert rule.faults(operation, good) == []
    assert rule.faults(operation, good[:-1])
    assert "MODEL_ERROR" in rule.faults(operation, [*good[:-1], "MODEL_ERROR: it raised"])[0]
    other = {**expected[3], "p": expected[3]["p"] + 1e-6}
    assert "[3].p" in rule.faults(operation, [*expected[:3], other, *expected[4:]])[0]
    assert rule.faults(operation, [*good[:5], good[6], good[5], *good[7:]])


def test_an_answer_may_be_nan_only_where_nan_is_expected(case):
    rates = case("rates")
    (operation,) = rates.operations
    expected = rates.expected["Convert"]
    at = next(row for row, answer in enumerate(expected) if isinstance(answer["francs"], float))
    assert rates.faults(operation, [*expected[:at], {**expected[at], "francs": "NaN"}, *expected[at + 1 :]])


def test_of_a_list_of_rows_a_table_has_each_row(case):
    basket = case("basket")
    (operation,) = basket.operations
    table = basket.as_table()
    assert len(table.rows) == sum(len(request["rows"]) for request in basket.rows) > len(basket.rows)
    assert len(table.expected["Price"]) == len(table.rows)
    assert table.faults(operation, table.expected["Price"]) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mlflow_")])
def test_a_folder_of_mlflow_gets_its_lock_and_stays_as_it_was(case, name):
    folder = case(name).folder
    assert "--hash=sha256:" in (folder / "requirements.lock").read_text()
    assert "--hash" not in (folder / "requirements.txt").read_text()
