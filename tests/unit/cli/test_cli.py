import hashlib
import io
import json
import logging

import pytest
from click.testing import CliRunner
from google.protobuf.proto import parse_length_prefixed

from fakes.hostile_text import HOSTILE, is_harmless
from fakes.kafka_logs import FakeCluster, FakeWorker, answer_requests
from hotswap import logs
from hotswap.artifacts.archive import write_zip
from hotswap.cli import worker as cli_worker
from hotswap.cli.dead_letters import parse_since
from hotswap.cli.exits import Failure, exit_code
from hotswap.cli.main import main
from hotswap.cli.table import print_answers
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import Doubt, HostError, HotswapError, NoAnswer, StartError, SwapError, UsageError
from hotswap.printable import printable
from hotswap.settings import Settings

PROTO = """syntax = "proto3";
message Frame { repeated Row rows = 1; }
message Row { string a = 1; optional double x = 2; }
service S { rpc Predict(Frame) returns (Frame); }
"""
SINGLE = """syntax = "proto3";
message Row { optional double x = 1; }
service S { rpc P(Row) returns (Row); rpc Q(Row) returns (Row); }
"""
CSV = "a,x\nfirst,1.5\nsecond,\n"
GOLDEN = b"\x0a\x10\x0a\x05first\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\x0a\x08\x0a\x06second"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTSWAP_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "frame.proto").write_text(PROTO)
    (tmp_path / "single.proto").write_text(SINGLE)
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message A { int32 x = ; }')
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "bad.csv").write_text("x\n1\nabc\n2\n")
    write_zip(tmp_path / "model.zip", {"model.ini": b""})
    return tmp_path


@pytest.fixture
def settings(files):
    return Settings(deployment="d")


@pytest.fixture
def cluster(monkeypatch, settings):
    return FakeCluster().create(settings).install(monkeypatch)


def hotswap(*words, code=0, **more):
    result = CliRunner().invoke(main, [str(word) for word in words], **more)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def one_line(result):
    """The complaint: exactly one line on stderr, and nothing that looks like a traceback."""
    (line,) = result.stderr.splitlines()
    assert line.startswith("hotswap: ")
    return line


@pytest.fixture(autouse=True)
def quiet_logs():
    root = logging.getLogger()
    before = root.level, root.handlers[:], logging.getLogger("aiokafka").level
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    logging.getLogger("aiokafka").setLevel(before[2])


def test_rows_are_encoded_into_one_message_byte_for_byte(files):
    hotswap("encode", "rows.csv", "--proto", "frame.proto", "--out", "rows.bin")
    assert (files / "rows.bin").read_bytes() == GOLDEN
    assert hotswap("encode", "rows.csv", "--proto", "frame.proto").stdout_bytes == GOLDEN


def test_several_messages_are_encoded_each_with_its_length(files):
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
    assert "row 2, column x: 'abc' is no number" in result.stderr
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


def test_an_unknown_operation_lists_those_there_are(files):
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


def test_a_swap_that_fails_says_where_and_why_and_exits_1(cluster, settings):
    FakeWorker(cluster, settings, "w1")
    FakeWorker(cluster, settings, "w2", ("STAGING", "FAILED"), "SCHEMA_MISMATCH", "no field for:\ncolumn x\ncolumn y")
    result = hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", code=1)
    *_, last = result.stderr.splitlines()
    assert last == ("hotswap: generation 1: failed, SCHEMA_MISMATCH: no field for: (and 2 lines more) (on 1 of 2: w2)")
    assert "column y" in result.stdout


def test_a_swap_that_came_too_late_exits_1_and_names_the_next_number(cluster, settings):
    FakeWorker(cluster, settings)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    result = hotswap("swap", "d", "--model", "model.zip", "--generation", "1", code=1)
    assert one_line(result).startswith("hotswap: STALE: generation 1 is not greater than 1")
    assert "try again with 2" in result.stderr


def test_a_swap_of_nothing_or_of_an_absent_model_exits_2(cluster, settings):
    assert "nothing would change" in one_line(hotswap("swap", "d", code=2))
    assert "model x.zip is not there" in one_line(hotswap("swap", "d", "--model", "x.zip", code=2))
    assert "--model-sha256" in one_line(hotswap("swap", "d", "--model", "s3://b/x.zip", code=2))


def test_a_deployment_without_workers_is_said_and_exits_3(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.client.client._SILENCE_S", 0.05)
    result = hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", code=3)
    assert "no worker of deployment 'd' answers" in one_line(result)


def test_a_configuration_is_read_and_a_wrong_one_is_refused_by_field(cluster, settings, files):
    FakeWorker(cluster, settings)
    words = ("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--config", "c.json")
    for text, complaint in {
        '{"missing": "maybe"}': "missing is one of accept, refuse, not 'maybe'",
        '{"deadline_ms": 0}': "deadline_ms is a whole number from 1, not 0",
        '{"columns": ["x"]}': "columns is an object of texts",
        '{"odd": 1}': "odd; it is a JSON object of",
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


def test_status_shows_who_serves_what_and_who_is_dead(cluster, settings):
    FakeWorker(cluster, settings, "w1").speak(generation=1)
    FakeWorker(cluster, settings, "w2", ("FAILED",), "SCHEMA_MISMATCH", "column x").speak(age_s=20)
    FakeWorker(cluster, settings, "w3").speak(age_s=4_000)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    cluster.append(settings.topics.requests, b"")
    (view,) = json.loads(hotswap("status", "--json").stdout)
    assert (view["deployment"], view["accepted"], view["lag"], view["is_paused"]) == ("d", 1, 1, False)
    assert [(worker["worker"], worker["is_live"]) for worker in view["workers"]] == [("w1", True), ("w2", False)]
    (command,) = view["commands"]
    assert (command["title"], command["verdict"]) == ("swap to 1: model, proto", "ACCEPTED")
    assert command["workers"]["w2"] == {"outcome": "FAILED", "code": "SCHEMA_MISMATCH", "message": "column x"}
    shown = hotswap("status", "d").stdout
    assert "d: generation 1 accepted, 1 workers" in shown
    assert "dead?" in shown
    assert "w2: FAILED SCHEMA_MISMATCH column x" in shown


def test_status_begins_with_what_is_wrong_and_exits_1(cluster, settings):
    FakeWorker(cluster, settings, "w1").speak(generation=1)
    FakeWorker(cluster, settings, "w2", ("FAILED",), "CACHE_FAILED", "no room in [x]:\nmake some")
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    shown = hotswap("status", "d", code=1).stdout
    assert "w2 cannot load generation 1: CACHE_FAILED no room in [x]: (and 1 lines more)" in shown.splitlines()[1]
    (view,) = json.loads(hotswap("status", "--json", code=1).stdout)
    assert view["problems"] == ["w2 cannot load generation 1: CACHE_FAILED no room in [x]:\nmake some"]
    assert [worker["failed"] for worker in view["workers"]] == [
        [],
        [{"generation": 1, "code": "CACHE_FAILED", "message": "no room in [x]:\nmake some"}],
    ]


def test_status_says_what_a_workers_machine_cannot_contain_and_exits_0(cluster, settings):
    for name in ("w1", "w2"):
        FakeWorker(cluster, settings, name).speak(warnings=["no namespaces [x]"])
    FakeWorker(cluster, settings, "w3").speak()
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    assert hotswap("status", "d").stdout.splitlines()[1] == "w1, w2: no namespaces [x]"
    (view,) = json.loads(hotswap("status", "--json").stdout)
    assert (view["warnings"], view["problems"]) == (["w1, w2: no namespaces [x]"], [])


def test_status_of_nothing_says_how_to_begin(cluster, settings):
    assert "send a first generation with `hotswap swap`" in hotswap("status").stdout


def test_predict_prints_the_predictions_in_order_and_lists_what_was_refused(cluster, settings, files):
    FakeWorker(cluster, settings)
    answer_requests(cluster, settings, refuse=lambda value: b"second" in value)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    (files / "rows.csv").write_text(CSV + "third,3\n")
    result = hotswap("predict", "d", "rows.csv", code=1)
    assert result.stdout.splitlines() == ["row,generation,a,x", "1,1,first,1.5", "3,1,third,3.0"]
    assert "row 2: refused, UNDECODABLE: is no message" in result.stderr
    assert result.stderr.splitlines()[-1] == "hotswap: 1 rows were refused, listed above"


def test_predict_says_for_which_proto_its_rows_are(cluster, settings):
    FakeWorker(cluster, settings)
    answer_requests(cluster, settings)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    hotswap("predict", "d", "rows.csv", "--json")
    record = cluster.topics[settings.topics.requests][0][0]
    assert dict(record.headers) == {"proto-digest": hashlib.sha256(PROTO.encode()).hexdigest().encode()}


def test_predict_without_a_generation_needs_a_proto(cluster, settings):
    assert "name the proto with --proto" in one_line(hotswap("predict", "d", "rows.csv", code=2))


def test_dead_letters_are_listed_newest_last_and_filtered(cluster, settings):
    answer_requests(cluster, settings, refuse=lambda _: True)
    for number in range(5):
        cluster.append(settings.topics.requests, b"%d" % number)
    listed = hotswap("dead-letters", "d", "--limit", "2", "--json")
    assert [json.loads(line)["code"] for line in listed.stdout.splitlines()] == ["UNDECODABLE"] * 2
    assert "d.requests-0-0  generation 1  UNDECODABLE  is no message" in hotswap("dead-letters", "d").stdout
    assert hotswap("dead-letters", "d", "--code", "EXPIRED").stdout == ""


def test_a_replay_publishes_the_original_bytes_key_and_headers_once(cluster, settings):
    answer_requests(cluster, settings, refuse=lambda _: True)
    cluster.append(settings.topics.requests, b"bytes", key=b"k", headers=(("request-id", b"7"), ("other", b"o")))
    hotswap("dead-letters", "d", "--replay", input="n\n")
    assert sum(map(len, cluster.topics[settings.topics.requests])) == 1
    result = hotswap("dead-letters", "d", "--replay", "--yes", "--json")
    assert json.loads(result.stdout) == {"published": 1}
    again = cluster.topics[settings.topics.requests][1][0]
    assert (again.value, again.key) == (b"bytes", b"k")
    assert again.headers == (("request-id", b"7"), ("other", b"o"), ("replay-of", b"d.requests-0-0"))


def test_a_replay_that_is_refused_again_is_not_replayed_again(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.cli.dead_letters._CHUNK", 1)
    answer_requests(cluster, settings, refuse=lambda _: True)
    for _ in range(4):
        cluster.append(settings.topics.requests, b"bad")
    result = hotswap("dead-letters", "d", "--replay", "--yes", "--json")
    assert json.loads(result.stdout) == {"published": 4}
    assert sum(map(len, cluster.topics[settings.topics.dead_letters])) == 8


@pytest.mark.parametrize(("text", "ms"), [("10m", 400_000), ("1970-01-01T00:00:05+00:00", 5_000)])
def test_since_is_a_length_or_a_time(text, ms):
    assert parse_since(text, 1_000.0) == ms


def test_since_anything_else_is_a_usage_error():
    with pytest.raises(UsageError, match="neither so long ago"):
        parse_since("yesterday", 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2), (StartError("x"), 3), (NoAnswer("x"), 3), (Doubt("x"), 3),
        (SwapError("C", "x"), 1), (HostError("x"), 1),
    ],
)  # fmt: skip
def test_the_exit_code_says_what_the_caller_does_next(error, code):
    assert exit_code(error) == code


def test_a_message_of_several_lines_is_one_line():
    assert Failure("fits not:\n  a\n  b\n", 1).format_message() == "fits not: a; b"


def test_an_unexpected_error_is_one_line_that_calls_it_a_bug(files, monkeypatch):
    monkeypatch.setattr("hotswap.cli.files.find_operation", None)
    monkeypatch.setattr("hotswap.cli.rows.find_operation", lambda *_: 1 / 0)
    line = one_line(hotswap("encode", "rows.csv", "--proto", "frame.proto", code=1))
    assert "this is a bug of hotswap, please report it: ZeroDivisionError" in line
    monkeypatch.setenv("HOTSWAP_LOG_LEVEL", "DEBUG")
    assert "Traceback" in hotswap("encode", "rows.csv", "--proto", "frame.proto", code=1).stderr


def test_a_setting_of_the_environment_that_cannot_be_is_named(files, monkeypatch):
    monkeypatch.setenv("HOTSWAP_HTTP_PORT", "many")
    assert "HOTSWAP_HTTP_PORT" in one_line(hotswap("status", "d", code=2))


def test_dev_says_how_to_go_on_with_the_files_that_are_there(tmp_path):
    assert "--model MODEL.zip" in cli_worker.how_to_go_on("d", "127.0.0.1:1", tmp_path)
    assert "export HOTSWAP_KAFKA=127.0.0.1:1" in cli_worker.how_to_go_on("d", "127.0.0.1:1")


def test_a_log_record_is_json_with_the_event_and_its_facts_or_text():
    for style, wanted in {"json": '"event": "swap.cut_over"', "text": "INFO    swap.cut_over  generation=7"}.items():
        stream = io.StringIO()
        logs.set_up(style=style, stream=stream)
        logging.getLogger("hotswap.test").info("swap.cut_over", extra={"generation": 7})
        logging.getLogger("aiokafka").info("chatter")
        (line,) = stream.getvalue().splitlines()
        assert wanted in line


@pytest.mark.parametrize("text", HOSTILE)
def test_an_error_that_quotes_it_is_one_harmless_line(files, monkeypatch, text):
    for error in (ValueError(text), UsageError(text), SwapError(text, text)):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr("hotswap.cli.rows.find_operation", fail)
        for level in ("INFO", "DEBUG"):
            monkeypatch.setenv("HOTSWAP_LOG_LEVEL", level)
            result = hotswap(
                "encode",
                "rows.csv",
                "--proto",
                "frame.proto",
                code=exit_code(error) if isinstance(error, HotswapError) else 1,
            )
            assert is_harmless(result.stderr)


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_every_command_shows_what_workers_and_requests_say_escaped_and_gives_it_to_machines_as_it_is(
    cluster,
    settings,
    files,
    text,
    monkeypatch,
):
    monkeypatch.setattr("hotswap.client.client._SILENCE_S", 0.05)
    FakeWorker(cluster, settings, text, ("STAGING", "FAILED"), text, f"{text}\n{text}").speak(generation=1)
    FakeWorker(cluster, settings, f"dead {text}").speak(age_s=20)
    answer_requests(cluster, settings, refuse=lambda _: True, why=text)
    shown = [
        hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--timeout", "0.5", code=1),
        hotswap("status", "d"),
        hotswap("status", "d", "--json"),
        hotswap("predict", "d", "rows.csv", "--proto", "frame.proto", code=1),
        hotswap("dead-letters", "d"),
        hotswap("dead-letters", "d", "--json"),
    ]
    assert all(is_harmless(result.stdout) and is_harmless(result.stderr) for result in shown)
    (view,) = json.loads(shown[2].stdout)
    assert text in [worker["worker"] for worker in view["workers"]]
    assert printable(text) in shown[1].stdout
    assert {json.loads(line)["message"] for line in shown[5].stdout.splitlines()} == {text}


@pytest.mark.parametrize("text", HOSTILE[:-1])
@pytest.mark.parametrize("style", ["csv", "json"])
async def test_predictions_are_escaped_on_a_terminal_and_untouched_in_a_pipe(monkeypatch, text, style):
    operation = compile_proto(PROTO.encode(), False).operations["Predict"]
    value = operation.output(rows=[{"a": text}]).SerializeToString()

    async def answers():
        yield 1, {}, value

    written = {}
    for is_terminal in (True, False):
        monkeypatch.setattr("sys.stdout", stdout := io.StringIO())
        stdout.isatty = lambda is_terminal=is_terminal: is_terminal
        await print_answers(answers(), operation, style, 1)
        written[is_terminal] = stdout.getvalue()
    assert is_harmless(written[True])
    if style == "json":
        assert json.loads(written[True]) == json.loads(written[False])
        assert json.loads(written[True])["prediction"]["rows"][0]["a"] == text
    else:
        assert text in written[False]


def test_messages_are_not_written_on_a_terminal(files, monkeypatch):
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    assert "--out" in one_line(hotswap("encode", "rows.csv", "--proto", "frame.proto", code=2))


def test_the_list_of_commands_says_what_each_one_says_of_itself():
    for name, (_, told) in main.lazy.items():
        command = main.get_command(None, name)
        assert command.name == name
        assert told == " ".join(command.help.split("\n\n")[0].split())
