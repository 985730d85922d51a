"""A client that is too old for the control log says so, and writes nothing."""

from contextlib import aclosing

import pytest

from fakes.client import MODEL, commands, first_swap, proto
from fakes.kafka_logs import FakeWorker
from fakes.later import later, of_unknown_kind
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.client.doctor import Level, _fleet
from hotswap.client.overview import overview
from hotswap.client.serving import follow_serving, serving_schema
from hotswap.errors import TooOld
from hotswap.swap.command import VERSION, PauseCommand, SwapCommand
from hotswap.swap.timeline import Timeline

GIVES = [
    lambda client: client.swap(Change(model=MODEL)),
    lambda client: client.rollback(1),
    lambda client: client.pause(),
    lambda client: client.resume(),
    lambda client: client.skip(0, 0),
]


@pytest.fixture
def worker(cluster, settings):
    return FakeWorker(cluster, settings)


@pytest.mark.parametrize("give", GIVES)
async def test_no_command_is_written_behind_one_that_cannot_be_read(cluster, settings, worker, give):
    async with Client(settings) as client:
        await first_swap(client)
        cluster.append(settings.topics.control, of_unknown_kind())
        with pytest.raises(TooOld, match=r"d cannot be used from here: offset 1 of .* upgrade it"):
            await give(client)
    assert len(cluster.topics[settings.topics.control][0]) == 2


async def test_one_that_comes_while_a_command_is_written_is_told(cluster, settings, worker):
    async with Client(settings) as client:
        await first_swap(client)
        write = client._writer.append

        async def append(*given, **more):
            cluster.append(settings.topics.control, of_unknown_kind())
            return await write(*given, **more)

        client._writer.append = append
        with pytest.raises(TooOld, match="offset 1"):
            await client.pause()


async def test_what_serves_is_not_known_any_more(cluster, settings, worker):
    async with aclosing(follow_serving(settings)) as following, Client(settings) as client:
        await anext(following)
        await client.swap(Change(model=MODEL, proto=proto()))
        assert (await anext(following)).generation.number == 1
        cluster.append(settings.topics.control, of_unknown_kind())
        assert await anext(following) is None
    with pytest.raises(TooOld):
        await serving_schema(settings)


async def test_an_overview_says_so_and_names_the_command(cluster, settings, worker):
    async with Client(settings) as client:
        await first_swap(client)
        cluster.append(settings.topics.control, of_unknown_kind())
        cluster.append(settings.topics.control, later(PauseCommand(command_id="p", is_paused=True)))
    worker.speak(generation=1, held="offset 1 of the control topic has a command: upgrade it")
    seen = await overview(settings)
    reader, told = seen.problems
    assert reader.startswith("this reader cannot follow the control log: offset 1 of the control topic")
    assert told == f"{worker.name} answers nothing: offset 1 of the control topic has a command: upgrade it"
    assert [(view.title, view.entry.verdict.outcome) for view in seen.commands][1:] == [
        (f"needs version {VERSION + 1}", "HELD")
    ]
    assert [said.outcome for said in seen.commands[-1].told.values()] == ["HELD"]
    assert not seen.is_paused
    assert [found.what for found in _fleet(seen) if found.level is Level.FAULT] == [reader, told]


async def test_a_newer_client_gets_the_answer_of_the_older_workers_at_once(cluster, settings, worker, monkeypatch):
    monkeypatch.setattr(Timeline, "version", VERSION + 1)
    worker.outcomes = ("HELD",)
    async with Client(settings) as client:
        receipt = await first_swap(client)
        answer = await client.await_swap(receipt)
    assert (answer.is_complete, answer.is_good) == (True, False)
    assert isinstance(commands(cluster, settings)[0], SwapCommand)
