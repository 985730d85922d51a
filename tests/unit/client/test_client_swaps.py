"""The client over logs in memory: numbers, models, protos and cuts of a swap."""

import pytest
from google.protobuf import descriptor_pb2

from fakes.client import MODEL, PROTO, SERVICE, SHA, commands, first_swap, proto
from fakes.kafka_logs import FakeWorker
from hotswap.artifacts.store import MAX_PROTO_BYTES, Store
from hotswap.client.change import MAX_INLINE_PROTO_BYTES, MAX_SAMPLES_BYTES
from hotswap.client.client import Change, Client, Cut
from hotswap.codec.proto import compile as compile_proto
from hotswap.commands import encode_command
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, Model, Policy, Proto
from hotswap.swap.command import RollbackCommand, SwapCommand
from hotswap.v1 import control_pb2 as wire


async def test_the_first_swap_is_generation_1_and_later_ones_increment_it(cluster, settings):
    FakeWorker(cluster, settings)
    async with Client(settings) as client:
        receipts = [await first_swap(client), await client.swap(Change(model=MODEL))]
    assert [receipt.generation for receipt in receipts] == [1, 2]
    first, second = commands(cluster, settings)
    assert (first.model, first.proto, first.base) == (MODEL, proto(), 0)
    assert (second.model, second.proto, second.base) == (MODEL, None, 1)


async def test_a_number_that_a_worker_has_scored_with_is_not_reused_after_the_control_topic_was_emptied(
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
async def test_a_deployment_that_has_used_its_last_number_says_how_to_continue(cluster, settings, generation):
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
async def test_a_large_proto_goes_into_the_store_and_a_worker_finds_the_same_there(
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


async def test_parts_too_large_for_a_command_are_refused_before_anything_is_uploaded(cluster, settings):
    samples = (bytes(MAX_SAMPLES_BYTES // 2), bytes(MAX_SAMPLES_BYTES // 2))
    async with Client(settings) as client:
        with pytest.raises(UsageError, match="take fewer rows"):
            await client.swap(Change(model=MODEL, proto=proto(), samples=(*samples, b"x")))
        with pytest.raises(SwapError, match="at most 4,194,304 are allowed"):
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


async def test_invalid_models_and_protos_publish_nothing(cluster, settings, tmp_path):
    broken = tmp_path / "broken.proto"
    broken.write_text("message")
    async with Client(settings) as client:
        with pytest.raises(UsageError, match=r"absent\.zip does not exist"):
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


async def test_the_place_of_the_cut_can_be_chosen(cluster, settings):
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


async def test_a_rollback_passes_over_a_generation_that_never_served_whatever_workers_report(cluster, settings):
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        await first_swap(client)
        for worker.outcomes in (("SUPERSEDED",), ("STAGING", "READY", "RETIRED"), ("STAGING", "READY", "SERVING")):
            await client.swap(Change(model=MODEL))
        assert await rolled_back_to(client, cluster, settings) == 1


async def test_a_rollback_where_nothing_served_before_names_what_was_accepted(cluster, settings):
    worker = FakeWorker(cluster, settings)
    worker.commits = False  # it has no partition, so its SERVING is no cut-over
    async with Client(settings) as client:
        await first_swap(client)
        await client.swap(Change(model=MODEL))
        with pytest.raises(
            UsageError, match=r"no generation before .* \(accepted: 1, 2\): none before 2 is known to have"
        ):
            await client.rollback()
        forge(cluster, settings, wire.CutOverDone(deployment="other", generation=1))
        with pytest.raises(UsageError, match="no generation before"):
            await client.rollback()
        assert (await client.rollback(1)).generation == 3


async def rolled_back_to(client, cluster, settings):
    await client.rollback()
    return commands(cluster, settings)[-1].to


def forge(cluster, settings, done):
    cluster.append(settings.topics.status, wire.Status(cut_over=done).SerializeToString())


async def test_a_rollback_to_an_unknown_generation_is_refused(cluster, settings):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(SwapError, match="generation 9 was never accepted") as refused:
            await client.rollback(9)
    assert refused.value.code == "UNKNOWN_BASE"
