"""What serves, followed over logs in memory."""

import asyncio
from contextlib import aclosing

import pytest

from fakes.client import MODEL, PROTO, SERVICE, commands, proto
from fakes.kafka_admin import FakeAdmin
from fakes.kafka_logs import FakeWorker
from hotswap.client.change import Change, Cut
from hotswap.client.client import Client
from hotswap.client.seen import Seen
from hotswap.client.serving import follow_serving, serving_schema
from hotswap.errors import Doubt, StartError
from hotswap.generation import Configuration
from hotswap.v1 import control_pb2 as wire


async def test_what_serves_is_told_once_and_again_when_another_generation_scores(cluster, settings):
    worker = FakeWorker(cluster, settings)
    async with aclosing(follow_serving(settings)) as following, Client(settings) as client:
        assert await anext(following) is None
        coming = asyncio.create_task(anext(following))
        for _ in range(5):
            worker.speak()  # a report that changes nothing
            for _ in range(20):  # which is read meanwhile
                await asyncio.sleep(0)
        assert not coming.done()
        await client.swap(Change(model=MODEL, proto=proto()))
        first = await coming
        assert (first.generation.number, list(first.schema.operations)) == (1, ["P"])
        worker.outcomes = ("STAGING", "FAILED")
        await client.swap(Change(model=MODEL, proto=proto()))
        worker.outcomes = ("STAGING", "READY", "SERVING")
        await client.swap(Change(model=MODEL, proto=proto()))
        assert (await anext(following)).generation.number == 3


async def test_what_serves_is_told_again_when_its_workers_report_more_of_it(cluster, settings):
    worker, seen = FakeWorker(cluster, settings), Seen.nothing(settings)
    async with aclosing(follow_serving(settings, seen)) as following, Client(settings) as client:
        await anext(following)
        worker.outcomes = ("READY",)
        receipt = await client.swap(Change(model=MODEL, proto=proto()))
        worker.speak(generation=receipt.generation)
        served = await anext(following)
        worker.say(receipt.command_id, receipt.generation, "SERVING")
        assert await anext(following) is served
        assert {told.outcome for told in seen.fleet.told[receipt.command_id].values()} == {"SERVING"}


async def _forged(cluster, settings, name="w1"):
    """A stranger reports as a worker does, of which the offsets know nothing."""
    made = FakeWorker(cluster, settings, name, outcomes=())
    made.commits = False
    return made


@pytest.fixture
async def two_swaps(cluster, settings):
    """Generation 1 serves; generation 2 is accepted, and reported by nobody."""
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        await client.swap(Change(model=MODEL, proto=proto()))
        worker.outcomes = ()
        return await client.swap(Change(model=MODEL, proto=proto(PROTO + " " + SERVICE)))


@pytest.mark.parametrize("outcome", ["READY", "SERVING", "RETIRED"])
async def test_what_a_stranger_reports_does_not_serve_before_the_offsets_name_it(cluster, settings, two_swaps, outcome):
    forger = await _forged(cluster, settings)
    forger.speak(generation=2)
    forger.say(two_swaps.command_id, 2, outcome)
    async with aclosing(follow_serving(settings)) as following:
        assert (await anext(following)).generation.number == 1
        coming = asyncio.create_task(anext(following))
        forger.speak(generation=2)
        await asyncio.sleep(0.2)
        assert not coming.done()
        cluster.scored = {0: 1, 1: 2}
        assert (await coming).generation.number == 2
        reads = cluster.offset_reads
        for _ in range(5):
            forger.speak(generation=2)
            await asyncio.sleep(0.06)
        assert cluster.offset_reads == reads  # nothing newer was accepted


async def test_a_forged_failure_does_not_hide_what_the_offsets_name(cluster, settings, two_swaps):
    first = next(record for record in cluster.topics[settings.topics.control][0])
    forger = await _forged(cluster, settings)
    forger.say(wire.Command.FromString(first.value).command_id, 1, "FAILED")
    forger.say(two_swaps.command_id, 2, "FAILED")
    assert (await serving_schema(settings)).generation.number == 1
    async with aclosing(follow_serving(settings)) as following:
        assert (await anext(following)).generation.number == 1
    async with Client(settings) as client:
        await client.swap(Change(configuration=Configuration()))
    assert commands(cluster, settings)[-1].base == 1


async def test_what_is_cut_by_offsets_serves_once_it_is_loaded_unless_its_cut_was_passed_without_it(cluster, settings):
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        await client.swap(Change(model=MODEL, proto=proto()))
        cluster.append(settings.topics.requests, b"x", partition=0)
        worker.outcomes = ("READY",)
        await client.swap(Change(model=MODEL, cut=Cut.AFTER_BACKLOG))
    worker.speak(generation=2)
    cluster.committed = {0: 1, 1: 0}
    async with aclosing(follow_serving(settings)) as following:
        assert (await anext(following)).generation.number == 2
    cluster.committed = {0: 2, 1: 0}  # generation 1 has answered what is behind the cut: 2 has failed there
    async with aclosing(follow_serving(settings)) as following:
        assert (await anext(following)).generation.number == 1


async def test_reports_decide_for_a_user_who_may_not_describe_the_group(cluster, settings, two_swaps, caplog):
    cluster.is_group_hidden = True
    forger = await _forged(cluster, settings)
    forger.speak(generation=2)
    async with aclosing(follow_serving(settings)) as following:
        assert (await anext(following)).generation.number == 2
    assert [record.message for record in caplog.records] == ["reports.unconfirmed"]


async def test_while_the_offsets_cannot_be_read_what_served_serves(cluster, settings, two_swaps, monkeypatch):
    forger = await _forged(cluster, settings)
    async with aclosing(follow_serving(settings)) as following:
        assert (await anext(following)).generation.number == 1
        away = asyncio.Event()

        async def fails(*_):
            away.set()
            raise Doubt("no answer")

        monkeypatch.setattr(FakeAdmin, "committed", fails)
        forger.speak(generation=2)
        coming = asyncio.create_task(anext(following))
        await away.wait()
        assert not coming.done()
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def test_a_missing_topic_is_told_at_once(cluster, settings):
    del cluster.topics[settings.topics.status]
    with pytest.raises(StartError, match=r"hotswap\.status does not exist"):
        await anext(follow_serving(settings))
