"""The command line over logs in memory: rows and their messages, swaps, pauses and rollbacks."""

import gzip
import io
import json
from pathlib import Path

import pytest
from google.protobuf.proto import parse_length_prefixed

from fakes.command_line import CSV, GOLDEN, PROTO, hotswap, one_line
from fakes.kafka_logs import FakeWorker
from hotswap.codec.proto import compile as compile_proto
from hotswap.commands import decode_command
from hotswap.generation import Golden


def test_rows_are_encoded_into_one_message_byte_for_byte(files):
    hotswap("encode", "rows.csv", "--proto", "frame.proto", "--out", "rows.bin")
    assert (files / "rows.bin").read_bytes() == GOLDEN
    assert hotswap("encode", "rows.csv", "--proto", "frame.proto").stdout_bytes == GOLDEN


def test_rows_may_come_packed_or_from_stdin(files):
    packed = gzip.compress((files / "rows.csv").read_bytes())
    (files / "rows.csv.gz").write_bytes(packed)
    assert hotswap("encode", "rows.csv.gz", "--proto", "frame.proto").stdout_bytes == GOLDEN
    for given in (packed, CSV.encode(), b'{"a": "first", "x": 1.5}\n{"a": "second"}\n'):
        assert hotswap("encode", "-", "--proto", "frame.proto", input=given).stdout_bytes == GOLDEN


def test_several_messages_are_each_preceded_by_their_length(files):
    words = ("--proto", "frame.proto", "--per-message", "1", "--out", "rows.bin", "--json")
    report = json.loads(hotswap("encode", "rows.csv", *words).stdout)
    assert report == {"messages": 2, "rows": 2, "refused": 0, "is_delimited": True}
    frame = compile_proto(PROTO.encode(), False).operations["Predict"].input
    stream = io.BytesIO((files / "rows.bin").read_bytes())
    assert [parse_length_prefixed(frame, stream).rows[0].a for _ in range(2)] == ["first", "second"]


def test_rows_are_encoded_by_the_proto_that_a_deployment_serves(cluster, settings):
    FakeWorker(cluster, settings)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    assert hotswap("encode", "rows.csv", "--deployment", "d").stdout_bytes == GOLDEN
    for words in ((), ("--deployment", "d", "--proto", "frame.proto")):
        assert "name the proto" in one_line(hotswap("encode", "rows.csv", *words, code=2))


def test_a_bad_row_is_listed_and_the_others_are_encoded(files):
    result = hotswap("encode", "bad.csv", "--proto", "single.proto", "--operation", "Q", "--out", "x.bin", code=1)
    assert "row 2, column x: 'abc' is not a number" in result.stderr
    assert "rows: 2, messages: 2" in result.stderr
    assert (files / "x.bin").stat().st_size == 2 * (1 + 9)


def test_a_mistake_in_a_file_is_one_line_that_names_the_file(files):
    cases = {
        ("absent.csv", "frame.proto"): ("hotswap: absent.csv cannot be read: No such file or directory", 2),
        ("rows.csv", "absent.proto"): ("hotswap: proto absent.proto cannot be read: No such file or directory", 2),
        ("rows.csv", "broken.proto"): (
            "hotswap: PROTO_INVALID: broken.proto: model.proto:1:42: Expected field number.", 1,
        ),
        ("bad.csv", "single.proto"): ("hotswap: name one of the proto's operations with --operation: P, Q", 2),
    }  # fmt: skip
    for (rows, proto), (line, code) in cases.items():
        assert one_line(hotswap("encode", rows, "--proto", proto, code=code)) == line


def test_an_unknown_operation_lists_the_known_ones(files):
    result = hotswap("encode", "bad.csv", "--proto", "single.proto", "--operation", "R", code=2)
    assert one_line(result) == "hotswap: there is no operation 'R': the proto has P, Q"


def test_a_swap_shows_each_workers_outcome(cluster, settings):
    FakeWorker(cluster, settings, "w1")
    FakeWorker(cluster, settings, "w2")
    result = hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--json")
    document = json.loads(result.stdout)
    assert (document["generation"], document["is_good"], document["missing"]) == (1, True, [])
    assert document["workers"]["w2"]["outcome"] == "SERVING"
    assert "w1: READY  load 0.50 s" in result.stderr


def test_a_swap_names_its_golden_answers_or_what_becomes_of_those_before(cluster, settings):
    FakeWorker(cluster, settings, "w1").speak(contract=2)
    Path("golden.csv").write_text("x,expect.x\n1,2\n")
    swap = ("swap", "d", "--model", "model.zip")
    hotswap(*swap, "--proto", "frame.proto", "--golden", "golden.csv", "--golden-tolerance", "rows.x=0.5")
    Path("c.json").write_text("{}")
    hotswap("swap", "d", "--config", "c.json")
    line = one_line(hotswap(*swap, code=2))
    assert line.startswith(
        "hotswap: generation 2 has golden answers, and this swap replaces its model: choose `--golden"
    )
    hotswap(*swap, "--golden", "inherit")
    hotswap(*swap, "--golden", "none")
    sent = [decode_command(record.value)[1].golden for record in cluster.topics[settings.topics.control][0]]
    assert [bool(one and one.uri) for one in sent] == [True, False, False, False]
    assert sent[1:] == [None, None, Golden()]


@pytest.mark.parametrize("text", ["x", "=1", "x=", "x=-1", "x=nan", "x=a"])
def test_a_tolerance_is_of_a_field(cluster, settings, text):
    result = hotswap("swap", "d", "--model", "model.zip", "--golden", "g.csv", "--golden-tolerance", text, code=2)
    assert one_line(result) == (
        f"hotswap: --golden-tolerance {text}: write the field and a number that is 0 or more, as p_yes=0.001"
    )


def test_a_swap_that_fails_says_where_and_why_and_exits_1(cluster, settings):
    FakeWorker(cluster, settings, "w1")
    FakeWorker(cluster, settings, "w2", ("STAGING", "FAILED"), "SCHEMA_MISMATCH", "no field for:\ncolumn x\ncolumn y")
    result = hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", code=1)
    *_, last = result.stderr.splitlines()
    assert last == ("hotswap: generation 1: failed, SCHEMA_MISMATCH: no field for: (and 2 more lines) (on 1 of 2: w2)")
    assert "column y" in result.stdout


def test_a_swap_that_came_too_late_exits_1_and_names_the_next_number(cluster, settings):
    FakeWorker(cluster, settings)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    result = hotswap("swap", "d", "--model", "model.zip", "--generation", "1", code=1)
    assert one_line(result).startswith("hotswap: STALE: generation 1 is not greater than 1")
    assert "try again with 2" in result.stderr


def test_a_swap_of_nothing_or_of_an_absent_model_exits_2(cluster, settings):
    assert "nothing would change" in one_line(hotswap("swap", "d", code=2))
    assert "model x.zip does not exist" in one_line(hotswap("swap", "d", "--model", "x.zip", code=2))
    assert "--model-sha256" in one_line(hotswap("swap", "d", "--model", "s3://b/x.zip", code=2))


def test_a_deployment_without_workers_is_reported_and_exits_3(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.client.following.SILENCE_S", 0.05)
    result = hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", code=3)
    assert "no worker of deployment 'd' answers" in one_line(result)


def test_a_configuration_is_read_and_a_wrong_one_is_refused_by_field(cluster, settings, files):
    FakeWorker(cluster, settings)
    words = ("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--config", "c.json")
    for text, complaint in {
        '{"missing": "maybe"}': "missing must be one of accept, refuse, not 'maybe'",
        '{"deadline_ms": 0}': "deadline_ms must be an integer from 1, not 0",
        '{"columns": ["x"]}': "columns must be an object of strings",
        '{"odd": 1}': "unknown fields odd; it must be a JSON object of",
        "nope": "cannot be read",
    }.items():
        (files / "c.json").write_text(text)
        assert complaint in one_line(hotswap(*words, code=2))
    (files / "c.json").write_text('{"missing": "refuse", "columns": {"X": "x"}, "deadline_ms": 5}')
    hotswap(*words)


def test_samples_are_all_or_nothing(cluster, settings, files):
    FakeWorker(cluster, settings)
    words = ("swap", "d", "--model", "model.zip", "--proto", "single.proto", "--samples", "bad.csv")
    assert "samples bad.csv: row 2, column x" in one_line(hotswap(*words, code=2))
    assert cluster.topics[settings.topics.control] == [[]]


def test_a_rollback_that_waits_for_requests_that_keep_the_model_says_what_would_not_wait(cluster, settings):
    worker = FakeWorker(cluster, settings)
    for _ in range(2):
        hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    cluster.append(settings.topics.requests, b"kills")
    worker.outcomes = ("STAGING", "READY")
    worker.speak(partitions={0: "waits for the model"}, model_s=12.0)
    waiting = hotswap("rollback", "d", "--after-backlog", "--timeout", "0.1", code=1).stderr
    assert "w1 has 1 requests before the cut of generation 3, and its model has had a batch for 12 s" in waiting
    assert "`hotswap rollback d --to 3 --at-once`" in waiting


def test_rollback_pause_and_resume_are_commands_too(cluster, settings):
    FakeWorker(cluster, settings)
    assert "no generation before" in one_line(hotswap("rollback", "d", code=2))
    for proto in ("frame.proto", "single.proto"):
        hotswap("swap", "d", "--model", "model.zip", "--proto", proto)
    result = hotswap("rollback", "d", "--json")
    assert json.loads(result.stdout)["incompatible"]
    assert "cut after the backlog" in result.stderr
    assert json.loads(hotswap("pause", "d", "--json").stdout)["workers"]["w1"]["outcome"] == "APPLIED"
    hotswap("resume", "d")
