"""Fields that the model reads and a file does not have: named, and the command ends unless it may go on."""

import pytest

from fakes.answering import answer_requests
from fakes.command_line import hotswap, one_line
from fakes.kafka_logs import FakeWorker
from hotswap.v1 import control_pb2 as wire

PROTO = """syntax = "proto3";
message Row { double age = 1; optional double income = 2; Address address = 3; string note = 4; }
message Address { string city = 1; }
service S { rpc Predict(Row) returns (Row); }
"""


@pytest.fixture
def worker(cluster, settings):
    return FakeWorker(cluster, settings)


@pytest.fixture
def serving(worker, cluster, settings, files):
    """A deployment whose model reads the age, the income and the city."""
    worker.reads = {"Predict": wire.FieldPaths(paths=["age", "income", "address.city"])}
    answer_requests(cluster, settings)
    (files / "model.proto").write_text(PROTO)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "model.proto")
    return files


def sent(cluster, settings):
    return sum(map(len, cluster.topics[settings.topics.requests]))


def test_a_misspelt_column_ends_the_command_before_its_first_row_and_says_what_was_meant(serving, cluster, settings):
    (serving / "rows.csv").write_text("agee,income,adress.city,address.city\n40,1,Rome,Rome\n")
    for words in (["predict", "d", "rows.csv"], ["encode", "rows.csv", "--deployment", "d", "--out", "x"]):
        line = one_line(hotswap(*words, code=2))
        assert "no column fills `age`, which the model reads and which is not optional in the proto" in line
        assert "agee (did you mean age?), adress.city (did you mean address.city?)" in line
        assert "--allow-missing" in line
    assert sent(cluster, settings) == 0


def test_it_goes_on_if_told_to_and_names_the_field_all_the_same(serving, cluster, settings):
    (serving / "rows.csv").write_text("income,address.city\n1,Rome\n")
    said = hotswap("predict", "d", "rows.csv", "--allow-missing").stderr
    assert "no column fills `age`, which the model reads" in said
    assert sent(cluster, settings) == 1


def test_a_field_that_the_proto_calls_optional_ends_the_command_too_unless_told_to_go_on(serving, cluster, settings):
    (serving / "rows.csv").write_text("age,incom,address.city\n40,1,Rome\n")
    line = one_line(hotswap("predict", "d", "rows.csv", code=2))
    assert "no column fills `income`, which the model reads (ignored 1 of 3 columns, which match no field: " in line
    assert "incom (did you mean income?)" in line
    assert sent(cluster, settings) == 0
    said = hotswap("predict", "d", "rows.csv", "--allow-missing").stderr
    assert "no column fills `income`, which the model reads: optional, so they are missing in each row" in said


def test_an_optional_field_may_be_absent_from_rows_of_json_but_not_from_all_of_them(serving, cluster, settings):
    row = '{"age": 40, "address": {"city": "Rome"}}'
    (serving / "rows.json").write_text(f"{row}\n{row}")
    line = one_line(hotswap("predict", "d", "rows.json", code=2))
    assert "no column fills `income`, which the model reads: correct the file, or add --allow-missing" in line
    assert sent(cluster, settings) == 0
    for last in ('"income": 1', '"income": null'):
        (serving / "rows.json").write_text(f"\ufeff{row}\n{row[:-1]}, {last}}}")
        assert "rows: 2" in hotswap("encode", "rows.json", "--deployment", "d", "--out", "x").stderr
    (serving / "rows.json").write_text(row)
    assert "no column" not in hotswap("predict", "d", "rows.json", "--allow-missing").stderr


def test_json_ends_at_the_first_row_that_lacks_a_field_and_counts_the_others(serving):
    whole, lacking = (f'{{"age": 40, "income": 1, "address": {city}}}' for city in ('{"city": "Rome"}', "{}"))
    (serving / "rows.json").write_text(f"{whole}\n{lacking}\n{whole}\n{lacking}\n{lacking}")
    line = one_line(hotswap("encode", "rows.json", "--deployment", "d", "--out", "x", code=2))
    assert "row 2 has no `address.city` (2 further rows lack such fields, too)" in line

    said = hotswap("predict", "d", "rows.json", "--allow-missing")
    assert "3 rows lack fields that the model reads" in said.stderr
    assert len(said.stdout.splitlines()) == 1 + 5


def test_a_column_fills_the_field_that_the_model_reads_it_from_as_workers_report(serving, worker, cluster, settings):
    worker.reads["Predict"].columns.update({"Age (years)": "age", "age": "income"})
    hotswap("swap", "d", "--model", "model.zip", "--proto", "model.proto")
    (serving / "rows.csv").write_text("Age (years),age,address.city\n40,7,Rome\n")
    (serving / "rows.json").write_text('{"Age (years)": 40, "age": 7, "address": {"city": "Rome"}}')
    for proto in ((), ("--proto", serving / "model.proto")):
        for name in ("rows.csv", "rows.json"):
            (line,) = hotswap("predict", "d", name, *proto, "--format", "json").stdout.splitlines()
            assert '"age": 40.0, "income": 7.0' in line


def test_what_the_configuration_says_means_missing_does_so_for_the_commands(serving):
    (serving / "config.json").write_text('{"text": {"missing": ["NA"]}}')
    (serving / "rows.csv").write_text("age,income,address.city\n40,NA,Rome\n")
    said = hotswap("predict", "d", "rows.csv", code=1).stderr
    assert "row 1, column income: 'NA' is not a number" in said
    assert "if 'NA' means that a value is missing, add --missing NA" in said
    hotswap("predict", "d", "rows.csv", "--missing", "NA")

    hotswap("swap", "d", "--config", "config.json")
    hotswap("predict", "d", "rows.csv")
    hotswap("encode", "rows.csv", "--deployment", "d", "--out", "x")
