import asyncio
import time
from contextlib import aclosing

import pytest
from google.protobuf import descriptor_pb2

from fakes.kafka_logs import FakeCluster, FakeWorker, answer_requests
from hotswap.artifacts.store import MAX_PROTO_BYTES, Store
from hotswap.client.answers import Flow, Outgoing, Place, Prediction, Refused
from hotswap.client.change import MAX_INLINE_PROTO_BYTES, MAX_SAMPLES_BYTES
from hotswap.client.client import Change, Client, Cut
from hotswap.client.fleet import FRESH_S, Fleet
from hotswap.codec.compatibility import incompatibilities
from hotswap.codec.proto import compile as compile_proto
from hotswap.commands import decode_command, encode_command
from hotswap.errors import NoAnswer, StartError, SwapError, UsageError
from hotswap.generation import Configuration, Model, Policy, Proto
from hotswap.settings import Settings
from hotswap.swap import Outcome, PauseCommand, RollbackCommand, SwapCommand

SHA = "a" * 64
MODEL = Model("file:///m.zip", SHA)
PROTO = 'syntax="proto3"; message A { optional double x = 1; } message B { string y = 1; } '
SERVICE = "service S { rpc P(A) returns (B); }"


def proto(text=PROTO + SERVICE):
    return Proto.inline(text)


@pytest.fixture
def settings(tmp_path):
    return Settings(deployment="d", store=(tmp_path / "store").as_uri(), cache=tmp_path / "cache")


@pytest.fixture
def cluster(monkeypatch, settings):
    return FakeCluster().create(settings).install(monkeypatch)


def commands(cluster, settings):
    return [decode_command(record.value)[1] for record in cluster.topics[settings.topics.control][0]]


async def first_swap(client):
    return await client.swap(Change(model=MODEL, proto=proto()))


async def test_a_request_is_published_where_its_place_says(cluster, settings):
    async with Client(settings) as client:
        places = await client.publish(Outgoing(b"%d" % n, b"k", [("operation", b"P")]) for n in range(3))
    for number, place in enumerate(places):
        record = cluster.topics[place.topic][place.partition][place.offset]
        assert (record.value, record.key, record.headers) == (b"%d" % number, b"k", (("operation", b"P"),))


async def test_publishing_to_a_deployment_without_topics_is_a_start_error(monkeypatch, settings):
    FakeCluster().install(monkeypatch)
    async with Client(settings) as client:
        with pytest.raises(StartError, match=r"d\.requests"):
            await client.publish([Outgoing(b"")])


async def test_answers_come_in_the_order_of_the_requests_and_refusals_say_why(cluster, settings):
    answer_requests(cluster, settings, generation=4, refuse=lambda value: value == b"3")
    async with Client(settings) as client:
        answers = [a async for a in client.predict((Outgoing(b"%d" % n) for n in range(7)), window=3)]
    assert [a.value for a in answers if isinstance(a, Prediction)] == [b"0", b"1", b"2", b"4", b"5", b"6"]
    assert isinstance(answers[3], Refused)
    assert (answers[3].code, answers[3].message, answers[3].generation) == ("UNDECODABLE", "is no message", 4)


async def test_answers_to_others_and_answers_from_before_are_passed_over(cluster, settings):
    answer_requests(cluster, settings)
    cluster.append(settings.topics.requests, b"of another client")
    cluster.append(settings.topics.predictions, b"odd", headers=(("source", b"d.requests-9-9"),))
    async with Client(settings) as client:
        answers = [a async for a in client.predict([Outgoing(b"mine")])]
    assert [a.value for a in answers] == [b"mine"]


async def test_no_more_requests_are_under_way_than_the_window(cluster, settings):
    asked = []

    def requests():
        for number in range(10):
            asked.append(number)
            yield Outgoing(b"%d" % number)

    answer_requests(cluster, settings)
    async with Client(settings) as client, aclosing(client.predict(requests(), window=4)) as answers:
        taken = 0
        async for _ in answers:
            taken += 1
            assert len(asked) - taken <= 4
    assert taken == 10


async def test_requests_that_nobody_answers_end_in_one_clear_error(cluster, settings):
    async with Client(settings) as client:
        with pytest.raises(NoAnswer, match="no worker of deployment 'd' answers"):
            await anext(client.predict([Outgoing(b"x")], timeout_s=0.05))


def prediction(source):
    return Prediction(source=source, value=b"", generation=1, operation="", model_digest="")


def test_answers_are_put_back_into_the_order_of_the_requests_whatever_order_they_come_in():
    flow = Flow(window=3, per_second=None)
    flow.sent(Place("t", 0, offset) for offset in range(3))
    assert (flow.room(), flow.is_full, flow.waiting) == (0, True, 3)
    flow.answered(prediction("t-0-9"))
    flow.answered(prediction("t-0-2"))
    assert flow.take() == []
    assert flow.room() == 0
    flow.answered(prediction("t-0-0"))
    assert [answer.source for answer in flow.take()] == ["t-0-0"]
    flow.answered(prediction("t-0-1"))
    assert [answer.source for answer in flow.take()] == ["t-0-1", "t-0-2"]
    assert (flow.room(), flow.waiting) == (3, 0)


def test_requests_go_half_a_window_at_a_time_so_that_neither_side_waits_for_the_other():
    flow = Flow(window=4, per_second=None)
    flow.sent(Place("t", 0, offset) for offset in range(4))
    room = []
    for offset in range(3):
        flow.answered(prediction(f"t-0-{offset}"))
        flow.take()
        room.append(flow.room())
    assert room == [0, 2, 3]


def test_a_rate_lets_requests_go_no_faster():
    flow = Flow(window=1000, per_second=10)
    assert flow.room() == 1
    flow.sent([Place("t", 0, 0)])
    assert flow.room() == 0
    assert 0 < flow.pause_s() <= 0.1


async def test_the_first_swap_is_generation_1_and_the_next_ones_count_on(cluster, settings):
    FakeWorker(cluster, settings)
    async with Client(settings) as client:
        receipts = [await first_swap(client), await client.swap(Change(model=MODEL))]
    assert [receipt.generation for receipt in receipts] == [1, 2]
    first, second = commands(cluster, settings)
    assert (first.model, first.proto, first.base) == (MODEL, proto(), 0)
    assert (second.model, second.proto, second.base) == (MODEL, None, 1)


async def test_a_number_that_a_worker_has_scored_with_is_not_given_again_where_the_control_topic_was_emptied(
    cluster, settings
):
    FakeWorker(cluster, settings).speak(accepted=7)
    async with Client(settings) as client:
        assert (await first_swap(client)).generation == 8
        assert (await client.rollback(to=8)).generation == 9


async def test_a_swap_that_loses_the_race_is_refused_as_stale_and_told_the_next_number(cluster, settings):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(SwapError, match="try again with 2") as refused:
            await client.swap(Change(model=MODEL, generation=1))
    assert refused.value.code == "STALE"


async def test_every_command_of_a_client_is_marked(cluster, settings):
    async with Client(settings) as client:
        await first_swap(client)
        await client.rollback(1)
        await client.pause()
    assert [command.rules for command in commands(cluster, settings)] == [1, 1, 1]


@pytest.mark.parametrize("generation", [2**53 + 2, 2**64 - 1, 2**64])
async def test_a_number_that_leaves_too_few_is_refused_before_it_is_written(cluster, settings, generation):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(SwapError, match=r"more than 2\^53 above 1") as refused:
            await client.swap(Change(model=MODEL, generation=generation))
        assert refused.value.code == "OUT_OF_RANGE"
        assert len(commands(cluster, settings)) == 1
        assert (await client.swap(Change(model=MODEL, generation=2**53 + 1))).generation == 2**53 + 1


@pytest.mark.parametrize("generation", [None, 7])
async def test_a_deployment_that_has_used_its_last_number_says_how_it_goes_on(cluster, settings, generation):
    last = SwapCommand(command_id="c", generation=2**64 - 1, model=MODEL, proto=proto())
    cluster.append(settings.topics.control, encode_command("d", last))
    async with Client(settings) as client:
        for give in (client.swap(Change(model=MODEL, generation=generation)), client.rollback(2**64 - 1)):
            with pytest.raises(SwapError, match="`hotswap move`"):
                await give
        assert (await client.pause()).generation == 0


async def test_a_number_that_a_worker_cannot_have_accepted_is_not_counted_from(cluster, settings):
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        await first_swap(client)
        worker.speak(accepted=2**64 - 1)
        assert (await client.swap(Change(model=MODEL))).generation == 2


@pytest.mark.parametrize("deadline_s", [2**32 / 1000, float("inf"), float("nan")])
async def test_a_deadline_that_no_command_can_carry_is_a_usage_error(cluster, settings, deadline_s):
    async with Client(settings) as client:
        with pytest.raises(UsageError, match="deadline"):
            await client.swap(Change(model=MODEL, proto=proto(), deadline_s=deadline_s))


async def test_a_local_model_is_uploaded_and_named_with_its_digest(cluster, settings, tmp_path):
    file = tmp_path / "m.zip"
    file.write_bytes(b"content")
    async with Client(settings) as client:
        await client.swap(Change(model=file, kind="h2o", proto=proto()))
    (command,) = commands(cluster, settings)
    assert command.model.uri.startswith(settings.store)
    assert command.model.sha256 == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


@pytest.mark.parametrize("is_descriptor_set", [False, True])
async def test_a_proto_that_is_large_goes_into_the_store_and_a_worker_finds_the_same_there(
    cluster, settings, tmp_path, is_descriptor_set
):
    schema = compile_proto((PROTO + SERVICE).encode(), is_descriptor_set=False)
    large = PROTO + SERVICE + "//" + "x" * MAX_INLINE_PROTO_BYTES
    if is_descriptor_set:
        file = tmp_path / "large.desc"
        described = descriptor_pb2.FileDescriptorSet()
        next(iter(schema.operations.values())).input.DESCRIPTOR.file.CopyToProto(described.file.add())
        described.file[0].options.java_package = "x" * MAX_INLINE_PROTO_BYTES
        content = described.SerializeToString()
        file.write_bytes(content)
    else:
        file, content = tmp_path / "large.proto", large.encode()
        file.write_text(large)
    small = Proto.inline(PROTO + SERVICE + " " * (MAX_INLINE_PROTO_BYTES - len(PROTO + SERVICE)))
    async with Client(settings) as client:
        await client.swap(Change(model=MODEL, proto=small))
        receipt = await client.swap(Change(proto=file))
        rename = Proto.inline(content.replace(b"x" * 64, b"y" * 64), is_descriptor_set=is_descriptor_set)
        await client.swap(Change(proto=rename))
    first, second, third = commands(cluster, settings)
    assert (first.proto, receipt.cut) == (small, {})
    for command, source in ((second, content), (third, rename.source)):
        assert (command.proto.source, command.proto.is_descriptor_set) == (None, is_descriptor_set)
        assert command.proto.uri.startswith(settings.store)
        assert await Store(settings).fetch_proto(command.proto) == source


async def test_what_a_command_has_no_room_for_is_refused_before_anything_is_uploaded(cluster, settings):
    samples = (bytes(MAX_SAMPLES_BYTES // 2), bytes(MAX_SAMPLES_BYTES // 2))
    async with Client(settings) as client:
        with pytest.raises(UsageError, match="take fewer rows"):
            await client.swap(Change(model=MODEL, proto=proto(), samples=(*samples, b"x")))
        with pytest.raises(SwapError, match="at most 4,194,304 can be"):
            await client.swap(Change(model=MODEL, proto=Proto.inline(bytes(MAX_PROTO_BYTES + 1))))
        assert commands(cluster, settings) == []
        await client.swap(Change(model=MODEL, proto=proto(), samples=samples))
    (command,) = commands(cluster, settings)
    assert command.samples == samples


@pytest.mark.parametrize("change", [Change(model=None), Change(samples=(b"x",))])
async def test_a_swap_that_changes_nothing_is_a_usage_error(cluster, settings, change):
    async with Client(settings) as client:
        with pytest.raises(UsageError, match="nothing would change"):
            await client.swap(change)
    assert commands(cluster, settings) == []


async def test_files_that_are_no_model_and_no_proto_publish_nothing(cluster, settings, tmp_path):
    broken = tmp_path / "broken.proto"
    broken.write_text("message")
    async with Client(settings) as client:
        with pytest.raises(UsageError, match=r"absent\.zip is not there"):
            await client.swap(Change(model=tmp_path / "absent.zip"))
        with pytest.raises(UsageError, match=r"absent.proto cannot be read: No such file"):
            await client.swap(Change(proto=tmp_path / "absent.proto"))
        with pytest.raises(SwapError, match=r"broken.proto: model.proto:1") as refused:
            await client.swap(Change(proto=broken))
    assert refused.value.code == "PROTO_INVALID"
    assert commands(cluster, settings) == []


async def test_a_swap_to_an_incompatible_proto_is_cut_after_the_backlog(cluster, settings):
    for _ in range(3):
        cluster.append(settings.topics.requests, b"")
    async with Client(settings) as client:
        first = await first_swap(client)
        same = await client.swap(Change(model=MODEL, proto=proto()))
        added = await client.swap(Change(proto=proto(PROTO.replace("}", "optional int32 z = 2; }", 1) + SERVICE)))
        other = await client.swap(Change(proto=proto(PROTO.replace("double", "float") + SERVICE)))
    assert [first.cut, same.cut, added.cut] == [{}, {}, {}]
    assert other.cut == {0: 2, 1: 1}
    assert other.incompatible == ("field A.x = 1 was double and is float now", "field A.z = 2 is gone")


async def test_a_swap_back_to_a_base_of_another_proto_is_cut_after_the_backlog(cluster, settings):
    async with Client(settings) as client:
        await first_swap(client)
        await client.swap(Change(proto=proto(PROTO.replace("double", "float") + SERVICE)))
        receipt = await client.swap(Change(model=MODEL, base=1))
    assert receipt.incompatible == ("field A.x = 1 was float and is double now",)
    assert receipt.cut == {0: 0, 1: 0}


async def test_where_the_cut_is_can_be_said(cluster, settings):
    cluster.append(settings.topics.requests, b"")
    async with Client(settings) as client:
        await first_swap(client)
        after = await client.swap(Change(model=MODEL, cut=Cut.AFTER_BACKLOG))
        at_once = await client.swap(Change(proto=proto(PROTO.replace("double", "float") + SERVICE), cut=Cut.AT_ONCE))
    assert (after.cut, at_once.cut) == ({0: 1, 1: 0}, {})


async def test_a_swap_inherits_from_what_serves_and_not_from_what_failed(cluster, settings):
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        await first_swap(client)
        worker.outcomes, worker.code = ("STAGING", "FAILED"), "ARTIFACT_INVALID"
        await client.swap(Change(model=Model("file:///garbage", SHA)))
        receipt = await client.swap(Change(configuration=Configuration(missing=Policy.REFUSE)))
    assert receipt.generation == 3
    assert commands(cluster, settings)[-1].base == 1


async def test_a_generation_that_failed_on_one_worker_and_serves_on_another_serves(cluster, settings):
    good, bad = FakeWorker(cluster, settings), FakeWorker(cluster, settings, "w2", ("FAILED",))
    async with Client(settings) as client:
        await first_swap(client)
        await client.swap(Change(model=MODEL))
    assert commands(cluster, settings)[-1].base == 1
    assert good.name != bad.name


async def test_a_rollback_goes_to_what_served_before(cluster, settings):
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        with pytest.raises(UsageError, match="no generation before"):
            await client.rollback()
        await first_swap(client)
        await client.swap(Change(model=MODEL))
        worker.outcomes = ("FAILED",)
        await client.swap(Change(model=MODEL))
        receipt = await client.rollback()
        worker.outcomes = ("SERVING",)
        await client.swap(Change(model=MODEL))
        await client.rollback()
    assert receipt.generation == 4
    first, second = [command.to for command in commands(cluster, settings) if isinstance(command, RollbackCommand)]
    assert (first, second) == (1, 2)


async def test_a_rollback_to_what_never_was_is_refused(cluster, settings):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(SwapError, match="generation 9 was never accepted") as refused:
            await client.rollback(9)
    assert refused.value.code == "UNKNOWN_BASE"


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


async def test_a_worker_that_does_not_end_with_the_swap_is_named(cluster, settings):
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


async def test_a_code_that_only_newer_workers_know_is_told_as_it_is(cluster, settings):
    FakeWorker(cluster, settings, "w1", ("STAGING", "FAILED"), "OF_TOMORROW", "why")
    async with Client(settings) as client:
        answer = await client.await_swap(await first_swap(client))
    assert (answer.told["w1"].code, answer.told["w1"].message) == ("OF_TOMORROW", "why")


async def test_a_swap_that_no_worker_hears_is_an_error(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.client.client._SILENCE_S", 0.05)
    async with Client(settings) as client:
        receipt = await first_swap(client)
        with pytest.raises(NoAnswer, match="hotswap run d"):
            await client.await_swap(receipt)


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


async def test_commands_of_other_deployments_and_broken_records_are_passed_over(cluster, settings):
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


def test_records_that_are_no_status_of_this_deployment_are_passed_over():
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
