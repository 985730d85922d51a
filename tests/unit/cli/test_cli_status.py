"""The command line over logs in memory: what status, predict and dead-letters show, and replays."""

import asyncio
import hashlib
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from fakes.answering import answer_requests
from fakes.command_line import CSV, PROTO, hotswap, one_line
from fakes.kafka_logs import FakeWorker
from hotswap.cli import dead_letters
from hotswap.cli.dead_letters import parse_since
from hotswap.cli.status import fitted
from hotswap.client.overview import overview
from hotswap.errors import UsageError
from hotswap.kafka.topics.committed import Lag


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
    assert (command["title"], command["verdict"]) == ("swap to 1: model model, proto", "ACCEPTED")
    told = {"outcome": "FAILED", "code": "SCHEMA_MISMATCH", "message": "column x"}
    assert command["workers"]["w2"] == told | {"runtime": "", "cpu": ""}
    shown = hotswap("status", "d").stdout
    assert "d: generation 1 serves, 1 worker" in shown
    assert "dead?" in shown
    assert "w2: FAILED SCHEMA_MISMATCH column x" in shown


def test_status_fits_into_80_columns_with_each_word_whole(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.cli.shared._PIPE_WIDTH", 80)
    for name in ("hotswap-7f9c6-x2x", "hotswap-7f9c6-k8z"):
        FakeWorker(cluster, settings, name).speak(
            generation=1, partitions=dict.fromkeys((0, 1, 2, 5), ""), model_name="iris_gbm"
        )
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    shown = hotswap("status", "d").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("hotswap-7f9c6-x2x", "iris_gbm", "partitions", "0-2, 5", "last report", " s ago"):
        assert word in shown
    for detail in ("proto", "path", "held", "cannot load"):
        assert f" {detail} " not in shown.split("last commands")[0]


def test_status_says_which_version_of_transactions_each_worker_sends(cluster, settings):
    FakeWorker(cluster, settings, "w1").speak(machine={"transactions": "version 2"})
    FakeWorker(cluster, settings, "w2").speak()  # of an older version
    (view,) = json.loads(hotswap("status", "--json").stdout)
    assert [worker["transactions"] for worker in view["workers"]] == ["version 2", ""]
    assert "version 2" in hotswap("status", "d").stdout


def test_status_starts_with_the_problems_and_exits_1(cluster, settings):
    FakeWorker(cluster, settings, "w1").speak(generation=1)
    FakeWorker(cluster, settings, "w2", ("FAILED",), "CACHE_FAILED", "no room in [x]:\nmake some")
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    shown = hotswap("status", "d", code=1).stdout
    assert "w2 cannot load generation 1: CACHE_FAILED no room in [x]: (and 1 more line)" in shown.splitlines()[1]
    (view,) = json.loads(hotswap("status", "--json", code=1).stdout)
    assert view["problems"] == ["w2 cannot load generation 1: CACHE_FAILED no room in [x]:\nmake some"]
    assert [worker["failed"] for worker in view["workers"]] == [
        [],
        [{"generation": 1, "code": "CACHE_FAILED", "message": "no room in [x]:\nmake some"}],
    ]


def test_a_swap_that_failed_and_changed_nothing_is_history_and_why_prints_all_its_reasons(cluster, settings):
    worker = FakeWorker(cluster, settings, "w1")
    swap = ("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    hotswap(*swap)
    worker.speak(generation=1, loaded=[1])
    why = "they do not fit each other:\n" + "\n".join(f"column {n}" for n in range(35))
    worker.outcomes, worker.code, worker.message = ("FAILED",), "SCHEMA_MISMATCH", why
    failed = hotswap(*swap, code=1)
    assert [(failed.stdout + failed.stderr).count(f"column {n} ") for n in (0, 4, 5)] == [1, 1, 0]
    assert "30 more: `hotswap status d --why 2`" in failed.stdout
    shown = hotswap("status", "d").stdout
    assert shown.startswith("d: generation 1 serves, generation 2 failed, 1 worker\nworkers")
    assert "(35 more: `hotswap status d --why" in shown
    told = hotswap("status", "d", "--why", "2").stdout
    assert told.endswith(f": accepted\nw1: FAILED SCHEMA_MISMATCH\n{why}\n")
    (command,) = json.loads(hotswap("status", "d", "--why", "2", "--json").stdout)
    assert command["workers"]["w1"]["message"] == why
    assert hotswap("status", "d", "--why", "1").stdout.endswith(": accepted\nw1: SERVING\nx 1, Java 21, on a CPU\n")
    (command,) = json.loads(hotswap("status", "d", "--why", "1", "--json").stdout)
    assert command["workers"]["w1"] == {
        "outcome": "SERVING",
        "code": "",
        "message": "",
        "runtime": "x 1, Java 21",
        "cpu": "a CPU",
    }
    assert "no command for generation 3" in one_line(hotswap("status", "d", "--why", "3", code=2))
    assert "needs the DEPLOYMENT" in one_line(hotswap("status", "--why", "2", code=2))


async def test_what_is_watched_fits_into_24_rows_of_60_columns(cluster, settings):
    FakeWorker(cluster, settings, "hotswap-7f9c6-x2x").speak(
        generation=1, partitions=dict.fromkeys(range(30), ""), model_name="iris_gbm"
    )
    await asyncio.to_thread(hotswap, "swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    view = await overview(settings)
    view = replace(view, lags=tuple(Lag(number, 5, 5 + (number == 7), 1) for number in range(30)))
    screen = Console(file=io.StringIO(), width=60, height=24)
    screen.print(fitted([view], screen))
    lines = screen.file.getvalue().splitlines()
    assert (len(lines) < 24, max(map(len, lines)) <= 60) == (True, True)
    for said in ("generation 1 serves", "│ 7 ", "swap to 2", "`hotswap status` prints the rest"):
        assert any(said in line for line in lines), lines


def test_status_says_what_a_workers_machine_cannot_contain_and_exits_0(cluster, settings):
    for name in ("w1", "w2"):
        FakeWorker(cluster, settings, name).speak(generation=1, warnings=["no namespaces [x]"])
    FakeWorker(cluster, settings, "w3").speak()
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    assert hotswap("status", "d").stdout.splitlines()[1] == "w1, w2: no namespaces [x]"
    (view,) = json.loads(hotswap("status", "--json").stdout)
    assert (view["warnings"], view["problems"]) == (["w1, w2: no namespaces [x]"], [])


def test_status_and_top_say_how_old_the_oldest_request_is_and_exit_1_once_that_is_a_minute(
    cluster, settings, monkeypatch
):
    monkeypatch.setattr("hotswap.cli.top._REFRESH_S", 0.01)
    FakeWorker(cluster, settings).speak(generation=1, partitions={1: ""})
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    cluster.append(settings.topics.requests, b"", partition=0)
    assert "oldest" not in hotswap("status", "d").stdout
    cluster.topics[settings.topics.requests][0][0].timestamp -= 125_000
    shown = hotswap("status", "d", code=1).stdout
    assert "no live worker has partition 0, where 1 requests wait" in shown.splitlines()[1]
    assert "2 min" in shown
    assert "lag 1 (the oldest 2 min old)" in hotswap("top", "d", "--once", code=1).stdout
    (view,) = json.loads(hotswap("status", "--json", code=1).stdout)
    assert 125 <= view["oldest_seconds"] < 185
    assert [part["oldest_seconds"] for part in view["partitions"]] == [view["oldest_seconds"], None]
    assert (view["level"], [one["level"] for one in view["findings"]]) == ("fault", ["fault"])
    assert view["problems"] == [f"{one['what']}: {one['advice']}" for one in view["findings"]]


def test_status_without_a_deployment_says_how_to_start(cluster, settings):
    assert "publish a first generation with `hotswap swap`" in hotswap("status").stdout


def test_predict_prints_the_predictions_in_order_and_lists_what_was_refused(cluster, settings, files):
    FakeWorker(cluster, settings)
    answer_requests(cluster, settings, refuse=lambda value: b"second" in value)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    (files / "rows.csv").write_text(CSV + "third,3\n")
    result = hotswap("predict", "d", "rows.csv", code=1)
    assert result.stdout.splitlines() == ["row,generation,a,x", "1,1,first,1.5", "3,1,third,3.0"]
    assert "row 2: refused, UNDECODABLE: is no message" in result.stderr
    assert result.stderr.splitlines()[-1] == "hotswap: 1 row was refused, listed above"


def test_predict_says_that_the_deployment_is_paused(cluster, settings):
    FakeWorker(cluster, settings)
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto")
    hotswap("pause", "d")
    first, *_, last = hotswap("predict", "d", "rows.csv", "--timeout", "0.05", code=3).stderr.splitlines()
    assert first == "hotswap: d is paused: the requests wait until it is resumed (`hotswap resume d`)"
    assert last.startswith("hotswap: deployment 'd' is paused (2 requests have no answer after 0.05 s)")


def test_predict_names_the_proto_of_its_rows(cluster, settings):
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


@pytest.fixture
def letters(cluster, settings):
    """Dead letters of two partitions, their codes in the order of time."""
    for at_ms, partition in ((1, 1), (2, 1), (3, 0), (4, 1), (5, 0)):
        headers = (("code", b"%d" % at_ms),)
        cluster.append(settings.topics.dead_letters, b"", headers=headers, partition=partition)
        cluster.topics[settings.topics.dead_letters][partition][-1].timestamp = at_ms
    return settings.topics.dead_letters


def codes(result):
    return [json.loads(line)["code"] for line in result.stdout.splitlines()]


def test_dead_letters_are_in_the_order_of_time_whatever_partition_has_them(letters):
    assert codes(hotswap("dead-letters", "d", "--json")) == ["1", "2", "3", "4", "5"]
    assert codes(hotswap("dead-letters", "d", "--json", "--limit", "3")) == ["3", "4", "5"]


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ([], ["6"]),
        (["--all"], list("123456")),
        (["--limit", "1"], ["5", "6"]),
        (["--since", "1970-01-01T00:00:00.004+00:00"], list("456")),
    ],
)
def test_following_begins_now_unless_earlier_ones_are_asked_for(letters, cluster, monkeypatch, more, shown):
    def come(*_):
        cluster.append(letters, b"", headers=(("code", b"6"),), partition=0)
        monkeypatch.setattr("hotswap.cli.dead_letters._document", last)

    def last(record):
        if record.timestamp > 5:
            monkeypatch.setattr("fakes.kafka_logs.FakeReader.read", stop)
        return document(record)

    async def stop(*_):
        raise KeyboardInterrupt

    document, follow = dead_letters._document, dead_letters._follow

    async def following(*given):
        come()
        await follow(*given)

    monkeypatch.setattr("hotswap.cli.dead_letters._follow", following)
    assert codes(hotswap("dead-letters", "d", "--json", "--follow", *more, code=1)) == shown


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
def test_since_is_an_age_or_a_time(text, ms):
    assert parse_since(text, 1_000.0) == ms


def test_since_anything_else_is_a_usage_error():
    with pytest.raises(UsageError, match="neither an age"):
        parse_since("yesterday", 0)
