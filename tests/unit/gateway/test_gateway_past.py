"""What happened in a deployment: its history and its dead letters, over logs in memory."""

import asyncio
import base64
import json

import pytest

from fakes.answering import answer_requests
from fakes.kafka_logs import FakeReader, FakeWorker
from hotswap.client.authors import read_signed
from hotswap.client.client import Client
from hotswap.commands import encode_command
from hotswap.errors import Doubt
from hotswap.swap.command import SwapCommand

PROTO = b'syntax = "proto3"; message Row { double age = 1; } service Echo { rpc one(Row) returns (Row); }'
ONE = {"operation": "one"}


async def until(client, holds):
    """Return the history once something holds of it: a gateway reads what it is about as it comes."""
    while not holds(told := (await client.get("/v1/d/history")).json()):
        await asyncio.sleep(0)
    return told


async def test_the_history_has_each_command_its_outcomes_and_when_it_served(gateway, cluster, settings, monkeypatch):
    async with gateway() as client:
        FakeWorker(cluster, settings, "w2")
        await client.post("/v1/d/swap", files={"proto": PROTO + b"// 2"})
        bad = FakeWorker(cluster, settings, "w3", ("STAGING", "FAILED"), code="PROTO_INVALID", message="no")
        cluster.on_append.remove(cluster.worker.react)
        await client.post("/v1/d/swap", files={"proto": PROTO + b"// 3"})
        cluster.on_append.remove(bad.react)
        late = encode_command("d", SwapCommand(command_id="late", generation=3, base=1))
        with monkeypatch.context() as quiet:
            quiet.setattr(cluster, "on_append", [])
            cluster.append("d.control", late)
        await client.post("/v1/d/pause")
        told = (await client.get("/v1/d/history")).json()
        assert told["is_paused"]
    assert (told["deployment"], told["serving"]) == ("d", 3)
    pause, refused, third, second, first = told["commands"]
    assert (refused["verdict"], refused["code"], refused["generation"]) == ("REFUSED", "STALE", 3)
    assert refused["served_from_ms"] is None
    assert [one["title"] for one in (pause, second, first)] == [
        "pause",
        "swap to 2: proto",
        "swap to 1: model m, proto",
    ]
    assert (first["generation"], first["model"]["name"], first["verdict"]) == (1, "m", "ACCEPTED")
    assert (second["model"], pause["model"], pause["served_from_ms"]) == (None, None, None)
    assert third["workers"]["w3"]["code"] == "PROTO_INVALID"
    assert third["workers"]["w2"]["phase_seconds"] == {"load": 0.5}
    assert (third["workers"]["w2"]["runtime"], third["workers"]["w2"]["cpu"]) == ("x 1, Java 21", "a CPU")
    assert first["served_from_ms"] <= first["served_until_ms"] == second["served_from_ms"] <= third["served_from_ms"]
    assert third["served_until_ms"] is None


async def test_the_history_has_the_keys_of_the_commands_own_and_says_where_kafka_does_not_tell_the_offsets(
    gateway, cluster, settings, monkeypatch
):
    async def away(_):
        raise Doubt("no answer")

    async with gateway() as client:
        await client.post("/v1/d/swap", files={"proto": PROTO + b"// 2"})
        told = (await client.get("/v1/d/history")).json()["commands"]
        listed = [json.loads(json.dumps(one.document())) for one in await read_signed(settings, 9)]
        monkeypatch.setattr("hotswap.gateway.past.read_cut_overs", away)
        without = (await client.get("/v1/d/history")).json()["commands"]
    shared = set(listed[0]) - {"workers"}
    assert [{name: one[name] for name in shared} for one in told] == [
        {name: one[name] for name in shared} for one in listed
    ]
    assert told[0]["served_from"] == {"0": 0, "1": 0}
    assert without == [one | {"served_from": None} for one in told]


class Behind:
    """Keeps a gateway's own reader of the status topic behind the one of a command, which the gateway reads, too."""

    def __init__(self, cluster, monkeypatch):
        self.log, self.until, self.readers = cluster.topics["hotswap.status"][0], None, []
        self.is_answered = asyncio.Event()
        start, read, await_swap = FakeReader.start, FakeReader.read, Client.await_swap

        async def starting(reader, *given, **named):
            self.readers.append(reader)
            await start(reader, *given, **named)

        async def reading(reader, timeout_s):
            if self.until is None or reader is not self.own:
                return await read(reader, timeout_s)
            await asyncio.sleep(0)
            found, reader.places[0] = self.log[reader.places[0] : self.until], self.until
            return found

        async def awaiting(client, receipt):
            answer = await await_swap(client, receipt)
            self.is_answered.set()
            return answer

        for of, name, do in (
            (FakeReader, "start", starting),
            (FakeReader, "read", reading),
            (Client, "await_swap", awaiting),
        ):
            monkeypatch.setattr(of, name, do)

    def hold(self):
        """Let the gateway, which has started, read nothing more."""
        self.own = next(one for one in reversed(self.readers) if one.topic == "hotswap.status")
        self.until = len(self.log)


async def test_the_history_right_after_a_command_has_what_every_worker_has_told_of_it(gateway, cluster, monkeypatch):
    behind = Behind(cluster, monkeypatch)
    async with gateway() as client:
        FakeWorker(cluster, client.deployment.settings, "w2")
        behind.hold()
        swapping = asyncio.create_task(client.post("/v1/d/swap", files={"proto": PROTO + b"// 2"}))
        await behind.is_answered.wait()
        behind.until += 5  # what w1 has told, with a cut-over of each partition, and not w2
        while client.deployment.generation < 2:
            await asyncio.sleep(0)
        for _ in range(100):  # whoever waited for that goes on
            await asyncio.sleep(0)
        assert not swapping.done()
        behind.until += 3
        assert (await swapping).json()["workers"] == ["w1", "w2"]
        told = (await client.get("/v1/d/history")).json()
    outcomes = {worker: said["outcome"] for worker, said in told["commands"][0]["workers"].items()}
    assert (told["serving"], outcomes) == (2, {"w1": "SERVING", "w2": "SERVING"})


async def test_a_generation_that_is_retired_still_says_since_when_it_served(gateway, cluster, settings):
    async with gateway() as client:
        await client.post("/v1/d/rollback", params={"to": "1"})
        before = (await client.get("/v1/d/history")).json()["commands"][-1]
        cluster.worker.say(before["command_id"], 1, "RETIRED")
        retired = await until(client, lambda told: told["commands"][-1]["workers"]["w1"]["outcome"] == "RETIRED")
        after = retired["commands"][-1]
    assert after["served_from_ms"] == before["served_from_ms"] is not None


async def test_dead_letters_are_paged_the_newest_first_with_what_the_serving_proto_reads(gateway, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda _: True)
    async with gateway() as client:
        for age in range(5):
            await client.post("/v1/d/predict", json={"age": age + 1}, params=ONE, headers={"request-id": f"r{age}"})
        pages, path = [], "/v1/d/dead-letters?limit=2&code=UNDECODABLE"
        while path:
            page = (await client.get(path)).json()
            pages.append(page["dead_letters"])
            path = page["next"]
    letters = [letter for page in pages for letter in page]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [letter["fields"]["age"] for letter in letters] == [5, 4, 3, 2, 1]
    first = letters[0]
    assert base64.b64decode(first["value"]) == client.deployment.operation("one").input(age=5).SerializeToString()
    assert (first["code"], first["message"], first["is_value_kept"]) == ("UNDECODABLE", "is no message", True)
    assert {"name": "request-id", "value": "r4"} in first["headers"]
    assert "code" not in {header["name"] for header in first["headers"]}
    assert first["source"].startswith("d.requests-")


async def test_a_dead_letter_that_the_proto_cannot_read_has_its_bytes(gateway, cluster, settings):
    async with gateway() as client:
        headers = [("code", b"TOO_LARGE"), ("source", b"d.requests-0-0"), ("x", b"\xff"), ("y", None)]
        for value, more in (
            (b"\xff", [("operation", b"one")]),
            (b"{}", [("operation", b"one"), ("content-type", b"application/json")]),
            (None, []),
            (b"", [("operation", b"gone")]),
        ):
            cluster.append("d.dead-letters", value, headers=[*headers, *more], key=b"k", partition=1)
        unread, text, lost, other = reversed(
            (await client.get("/v1/d/dead-letters?partition=1")).json()["dead_letters"]
        )
    assert [one["fields"] for one in (unread, text, lost, other)] == [None] * 4
    assert [one["value"] for one in (unread, text, lost, other)] == ["/w==", "e30=", None, ""]
    assert [one["is_value_kept"] for one in (unread, lost)] == [True, False]
    assert unread["headers"][:2] == [{"name": "x", "base64": "/w=="}, {"name": "y", "value": None}]
    assert unread["key"] == "aw=="


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("limit=1001", 400, "`limit` is a whole number"),
        ("limit=0", 400, "`limit`"),
        ("limit=-1", 400, "`limit`"),
        ("limit=x", 400, "`limit`"),
        (f"limit={'9' * 5000}", 400, "`limit`"),
        ("partition=²", 400, "`partition`"),
        ("partition=2", 422, "partitions 0 to 1, and none 2"),
        ("before=1", 400, "`before`"),
        ("before=0-1,", 400, "`before`"),
        ("before=7-1", 422, "none 7"),
    ],
)
async def test_a_wrong_parameter_is_told(gateway, query, status, said):
    async with gateway() as client:
        reply = await client.get(f"/v1/d/dead-letters?{query}")
    assert (reply.status_code, said in reply.json()["detail"]) == (status, True), reply.text


async def test_a_gateway_of_which_nothing_serves_has_a_history_and_dead_letters_too(gateway, cluster):
    async with gateway(proto=None) as client:
        cluster.append("d.dead-letters", b"", headers=[("code", b"UNDECODABLE")])
        told = (await client.get("/v1/d/history")).json()
        assert (told["serving"], told["commands"]) == (0, [])
        (letter,) = (await client.get("/v1/d/dead-letters")).json()["dead_letters"]
        assert letter["fields"] is None
        assert (await client.get("/v1/e/history")).status_code == 404


async def test_the_history_right_after_a_pause_has_it_and_what_every_worker_has_told_of_it(
    gateway, cluster, monkeypatch
):
    behind = Behind(cluster, monkeypatch)
    async with gateway() as client:
        behind.hold()
        pausing = asyncio.create_task(client.post("/v1/d/pause"))
        await behind.is_answered.wait()
        for _ in range(100):  # whoever waits for nothing else goes on
            await asyncio.sleep(0)
        assert not pausing.done()
        behind.until = len(behind.log)
        assert (await pausing).json()["workers"] == ["w1"]
        told = (await client.get("/v1/d/history")).json()
    outcomes = {worker: said["outcome"] for worker, said in told["commands"][0]["workers"].items()}
    assert (told["is_paused"], outcomes) == (True, {"w1": "APPLIED"})
