"""Values that the model does not know: named and counted on stderr, beside the same predictions and exit code."""

from collections import Counter

import pytest

from fakes.answering import answer_requests
from fakes.command_line import hotswap
from fakes.kafka_logs import FakeWorker
from hotswap.cli.unknown import Unknown
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.layout import Layout
from hotswap.v1 import control_pb2 as wire

PROTO = """syntax = "proto3";
message Frame { repeated Row rows = 1; %s }
message Row {
  optional string color = 1; Address address = 2; Size size = 3; map<string, string> more = 4; bool is_new = 5;
}
message Address { string city = 1; }
enum Size { SIZE_UNSPECIFIED = 0; SMALL = 1; LARGE = 2; }
service S { rpc Predict(Frame) returns (Frame); }
"""
KNOWN = {
    "color": ["", "red", "green"],
    "address.city": ["", "Rome"],
    "size": ["0", "1"],
    "more.shape": ["", "round"],
    "is_new": ["False"],
    "note": [],
}


@pytest.fixture
def serving(cluster, settings, files):
    worker = FakeWorker(cluster, settings)
    known = {path: wire.KnownValues(values=values) for path, values in KNOWN.items() if values}
    worker.reads = {"Predict": wire.FieldPaths(paths=list(KNOWN), known=known)}
    answer_requests(cluster, settings)
    (files / "model.proto").write_text(PROTO % "")
    hotswap("swap", "d", "--model", "model.zip", "--proto", "model.proto")
    return files


def said(of="rows.csv"):
    result = hotswap("predict", "d", of, "--allow-missing")
    return [line for line in result.stderr.splitlines() if "does not know" in line], result.stdout


def test_predict_names_the_commonest_unknown_values_of_each_field_and_counts_the_others(serving):
    colors = ["mauve", "teal", "beige", "mauve", "red", "", "teal", "mauve", "navy", "pink"]
    (serving / "rows.csv").write_text(
        "color,address.city\n" + "".join(f"{color},{'Rome' if color else 'Ulm'}\n" for color in colors)
    )
    lines, answers = said()
    colors_told = "'mauve' (3 rows), 'teal' (2 rows), 'beige' (1 row), others (2 rows)"
    assert lines == [
        f"`color`: the model does not know {colors_told}: scored as missing or unknown",
        "`address.city`: the model does not know 'Ulm' (1 row): scored as missing or unknown",
    ]
    assert len(answers.splitlines()) == 1 + len(colors)


def test_rows_in_bulk_are_looked_into_value_by_value(serving, monkeypatch):
    monkeypatch.setattr(Unknown, "look", None)
    rows = ["mauve,SMALL,0", "red,LARGE,true", ",,false", "teal,large,1", "mauve,2,FALSE"]
    (serving / "rows.csv").write_text("\n".join(["color,size,is_new", *rows]))
    assert [line.partition(": scored")[0] for line in said()[0]] == [
        "`color`: the model does not know 'mauve' (2 rows), 'teal' (1 row)",
        "`size`: the model does not know LARGE (3 rows)",
        "`is_new`: the model does not know True (2 rows)",
    ]


def test_enums_truths_and_entries_of_a_map_are_known_by_their_own_values(serving):
    absent, known = "{}", '{"size": "SMALL", "more": {"shape": "round", "else": "x"}, "isNew": false}'
    unknown = '{"size": "LARGE", "more": {"shape": "flat"}, "isNew": true}'
    (serving / "rows.json").write_text(f"[{absent}, {known}, {unknown}]")
    assert [line.partition(": scored")[0] for line in said("rows.json")[0]] == [
        "`size`: the model does not know LARGE (1 row)",
        "`more.shape`: the model does not know 'flat' (1 row)",
        "`is_new`: the model does not know True (1 row)",
    ]


def test_a_whole_message_of_json_is_looked_into(serving):
    (serving / "model.proto").write_text(PROTO % "string of = 2;")
    hotswap("swap", "d", "--proto", "model.proto")
    (serving / "rows.json").write_text('{"of": "today", "rows": [{"color": "mauve"}, {"color": "red"}]}')
    assert said("rows.json")[0] == ["`color`: the model does not know 'mauve' (1 row): scored as missing or unknown"]


def test_a_field_without_two_values_alike_is_counted_in_bounded_memory(serving):
    (serving / "rows.csv").write_text("color\n" + "".join(f"c{number}\n" for number in range(1500)))
    ((line,), _) = said()
    assert "'c0' (1 row), 'c1' (1 row), 'c2' (1 row), others (1497 rows)" in line


def test_nothing_is_said_of_values_that_the_model_knows(serving):
    (serving / "rows.csv").write_text("color,address.city,size\nred,Rome,SMALL\n,Rome,SMALL\n")
    assert said()[0] == []


def test_what_only_the_model_host_can_count_is_told_by_column(capsys):
    frame = compile_proto((PROTO % "").encode()).operations["Predict"].input
    unknown = Unknown(Layout(frame), {"color": ["red"]})
    unknown.look(frame(rows=[{"color": "mauve"}, {"color": "red"}]))
    unknown.note_host_counts(Counter(color=1))
    assert capsys.readouterr().err == ""
    unknown.note_host_counts(Counter(color=1, zip_code=7))
    assert "column zip_code: 7 unknown categories, scored as missing" in capsys.readouterr().err
