"""A partition that is held, as its next batch is damaged or its topics do not fit: reported, and looked at again."""

import asyncio

import pytest

from fakes.data_plane import FakeRouter, FakeSource, drain, loop_of, requests
from hotswap.pipeline import loop as loop_module


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(loop_module, "RETRY_S", 0.001)


@pytest.fixture
def source():
    """Five requests, the two at offsets 2 and 3 in a damaged batch."""
    source = FakeSource(requests(5))
    source.partition.damaged = {2: 4}
    return source


async def held(loop):
    async with asyncio.timeout(5):
        while not loop.state.damage:
            await asyncio.sleep(0)


def refused(source):
    letters = [headers for made in source.transactions for _, _, headers in made.dead_letters]
    return [(dict(headers)["code"], dict(headers)["source"]) for headers in letters]


async def test_a_damaged_batch_holds_its_partition_which_says_where_and_how_to_continue(source):
    loop = loop_of(source, FakeRouter(lambda *_: 1))
    task = asyncio.create_task(loop.run())
    await held(loop)
    assert source.committed.offset == 2
    assert loop.state.held == loop.state.damage
    assert "the batch at offset 2 is damaged" in loop.state.held
    assert "`hotswap skip d --partition 3 --offset 2`" in loop.state.held
    loop.stop()
    await asyncio.wait_for(task, 5)


async def test_a_damaged_batch_that_a_command_skips_is_refused_request_by_request_and_the_rest_is_scored(source):
    router = FakeRouter(lambda *_: 1, max_batch_records=9)
    router.skipped = {2: "command-7"}
    loop = await drain(source, router)
    assert refused(source) == [(b"UNREADABLE", b"d.requests-3-2"), (b"UNREADABLE", b"d.requests-3-3")]
    (message, _) = [dict(h)["message"] for made in source.transactions for _, _, h in made.dead_letters]
    assert b"offset 2 is damaged" in message
    assert b"command-7 skipped it" in message
    assert [value for made in source.transactions for _, value, _ in made.predictions] == [b"1:r0", b"1:r1", b"1:r4"]
    assert (source.opened, loop.state.damage) == (1, "")


async def test_a_held_partition_continues_as_soon_as_the_command_arrives(source):
    router = FakeRouter(lambda *_: 1)
    loop = loop_of(source, router)
    task = asyncio.create_task(loop.run())
    await held(loop)
    router.skipped = {2: "command-7"}
    router.change(router.choose_by)
    await asyncio.wait_for(source.drained.wait(), 5)
    assert (source.opened, loop.state.held, len(refused(source))) == (1, "", 2)
    loop.stop()
    await task


async def test_a_damaged_batch_is_fetched_again_now_and_then_and_scored_once_it_is_sound(source, monkeypatch):
    monkeypatch.setattr(loop_module, "_LOOK_AT_DAMAGE_S", 0)
    loop = loop_of(source, FakeRouter(lambda *_: 1))
    task = asyncio.create_task(loop.run())
    await held(loop)
    source.partition.damaged = {}
    await asyncio.wait_for(source.drained.wait(), 5)
    loop.stop()
    await task
    assert source.committed.offset == 5
    assert source.opened == source.closed > 1
    assert refused(source) == []
    assert (loop.state.held, loop.state.damage) == ("", "")


async def test_a_damaged_batch_is_logged_once_however_often_it_is_fetched(source, monkeypatch, caplog):
    monkeypatch.setattr(loop_module, "_LOOK_AT_DAMAGE_S", 0)
    loop = loop_of(source, FakeRouter(lambda *_: 1))
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        while source.opened < 4:
            await asyncio.sleep(0.001)
    loop.stop()
    await task
    assert len(said_of_holding(caplog)) == 1


async def test_a_partition_whose_answers_have_nowhere_to_go_is_held_for_that_reason_and_looked_at_again(
    monkeypatch, caplog
):
    monkeypatch.setattr(loop_module, "_LOOK_AT_TOPICS_S", 0.001)
    source = FakeSource(requests(3))
    source.mismatches = ["topic p has 1 partitions"] * 4
    loop = await drain(source, FakeRouter(lambda *_: 1))
    assert (said_of_holding(caplog), source.opened, loop.state.held) == (["topic p has 1 partitions"], 5, "")


async def test_a_right_that_stays_missing_is_logged_once_and_anew_after_answers_were_committed(monkeypatch, caplog):
    monkeypatch.setattr(loop_module, "_LOOK_AT_TOPICS_S", 0.001)
    source = FakeSource(requests(3))
    source.denials = ["lacks Write of p"] * 3
    task = asyncio.create_task((loop := loop_of(source, FakeRouter(lambda *_: 1))).run())
    await asyncio.wait_for(source.drained.wait(), 5)
    assert (said_of_holding(caplog), source.opened, loop.state.held) == (["lacks Write of p"], 4, "")
    source.denials = ["lacks Write of p"] * 3
    source.drained.clear()
    source.partition.publish(*requests(5)[3:])
    await asyncio.wait_for(source.drained.wait(), 5)
    loop.stop()
    await task
    assert (said_of_holding(caplog), source.opened, loop.state.held) == (["lacks Write of p"] * 2, 7, "")


def said_of_holding(caplog):
    return [record.why for record in caplog.records if record.getMessage() == "partition.held"]
