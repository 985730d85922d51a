"""The command line over logs in memory: one line and an exit code for each error, harmless on a terminal."""

import io
import json
import logging
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from fakes.answering import answer_requests
from fakes.command_line import PROTO, hotswap, one_line
from fakes.hostile_text import HOSTILE, is_harmless
from fakes.kafka_logs import FakeWorker
from hotswap import logs
from hotswap.cli import worker as cli_worker
from hotswap.cli.exits import Failure, exit_code
from hotswap.cli.follow import outcomes
from hotswap.cli.main import main
from hotswap.cli.table import print_answers
from hotswap.client.change import Receipt
from hotswap.client.fleet import Told
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import Doubt, HostError, HotswapError, NoAnswer, StartError, SwapError, UsageError
from hotswap.printable import printable
from hotswap.settings import Settings
from hotswap.swap.command import Outcome


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
    monkeypatch.setattr("hotswap.cli.rows.find_operation", lambda *_: 1 / 0)
    line = one_line(hotswap("encode", "rows.csv", "--proto", "frame.proto", code=1))
    assert "this is a bug of hotswap, please report it: ZeroDivisionError" in line
    monkeypatch.setenv("HOTSWAP_LOG_LEVEL", "DEBUG")
    assert "Traceback" in hotswap("encode", "rows.csv", "--proto", "frame.proto", code=1).stderr


def test_a_port_that_no_computer_has_is_a_wrong_command_line():
    assert "80000 is not in the range 1<=x<=65535" in hotswap("dev", "--port", "80000", code=2).stderr


def test_help_cuts_no_summary():
    summaries = " ".join(hotswap("--help").stdout.split())
    assert all(text in summaries for _, text in main.lazy.values())


@pytest.mark.parametrize("command", [*main.lazy, "topics create", ""])
def test_help_fits_into_80_columns_and_shows_no_type_and_no_bound_of_the_machine(command):
    told = hotswap(*command.split(), "--help").stdout
    assert [line for line in told.splitlines() if len(line) > 80] == []
    assert re.findall(r"INTEGER|FLOAT|RANGE|\d{10}", told) == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("statsu", " Did you mean 'status'?"), ("rolback", " Did you mean 'rollback'?"), ("xyz", "")]
)
def test_an_unknown_command_gets_the_suggestion_that_an_unknown_option_gets(typed, meant):
    assert hotswap(typed, "d", code=2).stderr.endswith(f"Error: No such command {typed!r}.{meant}\n")


def test_a_shell_completes_commands():
    asked = {"_HOTSWAP_COMPLETE": "bash_complete", "COMP_WORDS": "hotswap sta", "COMP_CWORD": "1"}
    assert CliRunner().invoke(main, [], env=asked, prog_name="hotswap").stdout == "plain,status\n"


def test_a_reason_that_several_workers_give_is_printed_once_and_five_of_many():
    why = "the model and the proto do not fit each other:\n" + "\n".join(f"column {n}" for n in range(35))
    names = ("w1", "w2", "w3")
    told = {
        name: Told(
            command_id="c", generation=2, worker=name, outcome=Outcome.FAILED, code="SCHEMA_MISMATCH",
            message=why if name != "w3" else "another", at=0.0, phase_seconds={},
        )
        for name in names
    }  # fmt: skip
    screen = Console(file=io.StringIO(), width=120)
    screen.print(outcomes("d", Receipt("c", 2, {}, 1.0), told))
    printed = screen.file.getvalue()
    assert [printed.count(f"column {n} ") for n in (0, 4, 5, 34)] == [1, 1, 0, 0]
    assert "30 more: `hotswap status d --why 2`" in printed
    assert ("SCHEMA_MISMATCH, as w1" in printed, "another" in printed, "phases" in printed) == (True, True, False)


def test_phases_of_workers_that_serve_have_room_on_a_line_at_80_columns():
    phases = {"fetch": 0.01, "start": 0.69, "load": 0.29, "warm": 0.16}
    serves = Told(
        command_id="c", generation=1, worker="demo", outcome=Outcome.SERVING, code="", message="", at=0.0,
        phase_seconds=phases,
    )  # fmt: skip
    screen = Console(file=io.StringIO(), width=80)
    screen.print(outcomes("d", Receipt("c", 1, {}, 1.0), {"demo": serves}))
    assert "fetch 0.01 s  start 0.69 s  load 0.29 s  warm 0.16 s" in screen.file.getvalue()


def test_an_invalid_setting_of_the_environment_is_named(files, monkeypatch):
    monkeypatch.setenv("HOTSWAP_HTTP_PORT", "many")
    assert "HOTSWAP_HTTP_PORT" in one_line(hotswap("status", "d", code=2))


def test_an_empty_name_of_the_trust_file_is_refused_and_not_taken_for_none(files, monkeypatch):
    monkeypatch.setenv("HOTSWAP_TRUST", "")
    assert "HOTSWAP_TRUST is empty: name the file" in one_line(hotswap("status", "d", code=2))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("swap", "model.zip", "churn"), "`hotswap swap DEPLOYMENT --model FILE`"),
        (("score", "churn", "rows.csv"), "`hotswap score FILE --model FILE --proto FILE`"),
        (("predict", "rows.csv", "churn"), "the deployment comes first, churn rows.csv"),
        (("store", "restore", "model.zip", "churn"), "the deployment comes first, churn model.zip"),
    ],
)
def test_arguments_in_the_wrong_order_are_told_the_right_one(files, words, meant):
    assert meant in hotswap(*words, code=2).stderr


def test_dev_prints_the_next_commands_with_the_files_that_exist(tmp_path):
    assert "--model MODEL.zip" in cli_worker.next_steps("d", "127.0.0.1:1", tmp_path, address="at x")
    assert "export HOTSWAP_KAFKA=127.0.0.1:1" in cli_worker.next_steps("d", "127.0.0.1:1", address="at x")


@pytest.mark.parametrize(("asked", "style"), [("auto", "text"), ("text", "text"), ("json", "json")])
def test_dev_and_its_gateway_log_as_text_unless_json_is_asked_for(monkeypatch, asked, style):
    monkeypatch.setenv("HOTSWAP_LOG_FORMAT", asked)
    assert cli_worker._with_text_log(Settings(deployment="d")).log_format == style
    assert os.environ["HOTSWAP_LOG_FORMAT"] == style


@pytest.mark.parametrize("is_found", [True, False])
def test_dev_says_how_the_other_terminal_finds_hotswap(monkeypatch, is_found):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if is_found else None)
    line = f'export PATH="{Path(sys.executable).parent}:$PATH"'
    assert (line in cli_worker.next_steps("d", "127.0.0.1:1", address="at x")) is not is_found


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
def test_every_command_escapes_what_workers_and_requests_say_but_not_in_json(
    cluster,
    settings,
    files,
    text,
    monkeypatch,
):
    monkeypatch.setattr("hotswap.client.following.SILENCE_S", 0.05)
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


def test_the_list_of_commands_agrees_with_the_help_of_each_command():
    for name, (_, told) in main.lazy.items():
        command = main.get_command(None, name)
        assert command.name == name
        assert told == " ".join(command.help.split("\n\n")[0].split())
