"""The client over logs in memory: a fleet's answer to a command, and records to ignore."""

import asyncio
import time
from contextlib import aclosing

import pytest

from fakes.client import MODEL, commands, first_swap, proto
from fakes.kafka_logs import FakeCluster, FakeWorker
from hotswap.client.client import Client
from hotswap.client.fleet import FRESH_S, Fleet
from hotswap.codec.compatibility import incompatibilities
from hotswap.codec.proto import compile as compile_proto
from hotswap.commands import decode_command, encode_command
from hotswap.errors import NoAnswer, StartError
from hotswap.swap.command import Outcome, PauseCommand, RollbackCommand, SwapCommand


async def test_the_fleets_answer_waits_for_every_live_worker(cluster, settings):
    FakeWorker(cluster, settings, "w1")
    slow = FakeWorker(cluster, settings, "w2", outcomes=("STAGING",))
    FakeWorker(cluster, settings, "dead").speak(age_s=FRESH_S + 1)
    FakeWorker(cluster, settings, "stopped").speak(stopped=True)
    cluster.on_append[2:] = []
    async with asyncio.timeout(5), Client(settings) as client:
        receipt = await first_swap(client)
        waiting = asyncio.create_task(client.await_swap(receipt))
        async with aclosing(client.outcomes(receipt)) as outcomes:
            heard = [(said.worker, said.outcome) async for said in outcomes if await _speak(slow, receipt, said)]
        answer = await waiting
    assert answer.is_good
    assert set(answer.told) == {"w1", "w2"}
    assert answer.told["w1"].phase_seconds == {"load": 0.5}
    assert heard[-1] == ("w2", Outcome.SERVING)


async def _speak(slow, receipt, said):
    if (said.worker, said.outcome) == ("w2", Outcome.STAGING):
        slow.say(receipt.command_id, receipt.generation, "SERVING")
    return True


async def test_a_worker_that_does_not_finish_the_swap_is_named(cluster, settings):
    FakeWorker(cluster, settings, "w1")
    FakeWorker(cluster, settings, "w2", outcomes=("STAGING",))
    FakeWorker(cluster, settings, "silent", outcomes=())
    async with Client(settings) as client:
        answer = await client.await_swap(await first_swap(client), 0.05)
    assert (answer.is_complete, answer.is_good, answer.missing) == (False, False, ("silent", "w2"))


async def test_a_swap_that_fails_on_one_worker_is_not_good(cluster, settings):
    FakeWorker(cluster, settings, "w1")
    FakeWorker(cluster, settings, "w2", ("STAGING", "FAILED"), "SCHEMA_MISMATCH", "column x")
    heard = []
    async with Client(settings) as client:
        answer = await client.await_swap(await first_swap(client), on_told=heard.append)
    assert (answer.is_complete, answer.is_good) == (True, False)
    assert (answer.told["w2"].code, answer.told["w2"].message) == ("SCHEMA_MISMATCH", "column x")
    assert len(heard) == 5


async def test_a_code_that_only_newer_workers_know_is_passed_on_unchanged(cluster, settings):
    FakeWorker(cluster, settings, "w1", ("STAGING", "FAILED"), "OF_TOMORROW", "why")
    async with Client(settings) as client:
        answer = await client.await_swap(await first_swap(client))
    assert (answer.told["w1"].code, answer.told["w1"].message) == ("OF_TOMORROW", "why")


@pytest.mark.parametrize(("silence_s", "timeout_s"), [(0.05, None), (10.0, 0.05)])
async def test_a_swap_that_no_worker_receives_is_an_error(cluster, settings, monkeypatch, silence_s, timeout_s):
    monkeypatch.setattr("hotswap.client.following.SILENCE_S", silence_s)
    async with Client(settings) as client:
        receipt = await first_swap(client)
        with pytest.raises(NoAnswer, match="hotswap run d"):
            await client.await_swap(receipt, timeout_s)


async def test_pause_and_resume_are_answered_too(cluster, settings):
    FakeWorker(cluster, settings)
    async with Client(settings) as client:
        for publish in (client.pause, client.resume):
            assert (await client.await_swap(await publish())).is_good
    assert [command.is_paused for command in commands(cluster, settings)] == [True, False]


async def test_a_control_topic_with_two_partitions_is_refused(monkeypatch, settings):
    cluster = FakeCluster().create(settings).install(monkeypatch)
    cluster.topics[settings.topics.control].append([])
    async with Client(settings) as client:
        with pytest.raises(StartError, match="has 2 partitions and must have one"):
            await first_swap(client)


async def test_commands_of_other_deployments_and_broken_records_are_ignored(cluster, settings):
    other = SwapCommand(command_id="x", generation=7, model=MODEL, proto=proto())
    cluster.append(settings.topics.control, encode_command("other", other))
    cluster.append(settings.topics.control, b"\xff\xff")
    async with Client(settings) as client:
        assert (await first_swap(client)).generation == 1


def test_a_duplicate_does_not_hide_the_first_answer(settings):
    cluster = FakeCluster().create(settings)
    worker = FakeWorker(cluster, settings)
    for outcome in ("SERVING", "DUPLICATE"):
        worker.say("c", 1, outcome)
    fleet = Fleet("d")
    for record in cluster.topics[settings.topics.status][0]:
        fleet.receive(record.value)
    assert fleet.told["c"]["w1"].outcome is Outcome.SERVING


def test_records_that_are_not_a_status_of_this_deployment_are_ignored():
    fleet = Fleet("d")
    for value in (None, b"", b"\xff", b"\x0a\x06\x12\x04else"):
        assert fleet.receive(value) is None
    assert (fleet.workers, fleet.live(time.time())) == ({}, set())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("int32 a = 1;", "int32 a = 1; optional int32 b = 2;", []),
        ("int32 a = 1;", "optional int32 a = 1;", []),
        ("int32 a = 1; int32 b = 2;", "int32 a = 1;", ["field A.b = 2 is gone"]),
        ("int32 a = 1;", "int32 a = 2;", ["field A.a = 1 is gone"]),
        ("int32 a = 1;", "int32 b = 1;", ["field A.a = 1 is called b now"]),
        ("int32 a = 1;", "sint32 a = 1;", ["field A.a = 1 was int32 and is sint32 now"]),
        ("int32 a = 1;", "repeated int32 a = 1;", ["field A.a = 1 was int32 and is repeated int32 now"]),
        ("A a = 1; int32 b = 2;", "A a = 1;", ["field A.b = 2 is gone"]),
        ("E e = 1; enum E { O = 0; P = 1; }", "E e = 1; enum E { O = 0; Q = 1; }", ["enum value E.P = 1 is gone"]),
    ],
)
def test_what_makes_two_protos_incompatible(old, new, why):
    before, after = (
        compile_proto(
            f'syntax="proto3"; message A {{ {fields} }} service S {{ rpc P(A) returns (A); }}'.encode(), False
        )
        for fields in (old, new)
    )
    assert incompatibilities(before, after) == why


def test_a_lost_operation_and_a_second_one_are_incompatible():
    def compiled(*names):
        rpcs = "".join(f"rpc {name}(A) returns (A);" for name in names)
        return compile_proto(f'syntax="proto3"; message A {{ int32 a = 1; }} service S {{ {rpcs} }}'.encode(), False)

    assert incompatibilities(compiled("P"), compiled("Q")) == ["operation P is gone"]
    assert "several operations" in incompatibilities(compiled("P"), compiled("P", "Q"))[0]
    assert incompatibilities(compiled("P", "Q"), compiled("P", "Q", "R")) == []


def test_the_commands_of_a_client_are_those_that_a_worker_reads():
    for command in (
        SwapCommand(command_id="1", generation=2, base=1, model=MODEL, cut={0: 5}, deadline_ms=9),
        RollbackCommand(command_id="2", generation=3, to=1, cut={1: 7}),
        PauseCommand(command_id="3", is_paused=True),
    ):
        assert decode_command(encode_command("d", command)) == ("d", command)
