"""What serves, followed over logs in memory."""

import asyncio
from contextlib import aclosing

import pytest

from fakes.client import MODEL, proto
from fakes.kafka_logs import FakeWorker
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.client.overview import Seen
from hotswap.client.serving import follow_serving
from hotswap.errors import StartError


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


async def test_a_missing_topic_is_told_at_once(cluster, settings):
    del cluster.topics[settings.topics.status]
    with pytest.raises(StartError, match=r"hotswap\.status does not exist"):
        await anext(follow_serving(settings))
