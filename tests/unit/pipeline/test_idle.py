"""Partitions without requests cut over by themselves, some at a time, and only where that changes anything."""

import asyncio

import pytest

from fakes.data_plane import FakeRequest, FakeRouter, FakeSource, loop_of
from hotswap.batch import Position, Transaction
from hotswap.pipeline import loop as loop_module
from hotswap.pipeline import partitions as partitions_module
from hotswap.pipeline.partitions import Pipeline
from hotswap.pipeline.ports import Wait


async def idle(monkeypatch, router, *sources):
    """Return a pipeline that waits for requests on each partition, and the task that watches it."""
    monkeypatch.setattr(partitions_module, "_LOOK_S", 0)
    monkeypatch.setattr(loop_module, "_IDLE_S", -1)
    pipeline = Pipeline(lambda number: loop_of(sources[number], router), stop_timeout_s=5)
    pipeline.assigned(set(range(len(sources))))
    for source in sources:
        await asyncio.wait_for(source.drained.wait(), 5)
    return pipeline, asyncio.create_task(pipeline.watch(router))


async def test_an_idle_partition_cuts_over_without_a_request_and_once(monkeypatch):
    source, router = FakeSource(at=Position(7, 1)), FakeRouter(lambda *_: 1)
    pipeline, watch = await idle(monkeypatch, router, source)
    source.drained.clear()
    router.change(lambda *_: 2)
    await asyncio.wait_for(source.drained.wait(), 5)
    router.change(lambda *_: 2)
    for _ in range(10):
        await asyncio.sleep(0)
    watch.cancel()
    assert source.transactions == [Transaction([], [], 7, 2, 7)]
    assert pipeline.states[0].position == Position(7, 2)
    await pipeline.stop()


async def test_an_idle_partition_cuts_over_where_the_markers_after_its_requests_end(monkeypatch):
    source, router = FakeSource(at=Position(7, 1)), FakeRouter(lambda *_: 1)
    pipeline, watch = await idle(monkeypatch, router, source)
    source.drained.clear()
    source.partition.end = 7
    source.partition.publish(markers=2)
    await asyncio.wait_for(source.drained.wait(), 5)
    source.drained.clear()
    router.change(lambda _, at: 2 if at.offset >= 9 else 1)
    await asyncio.wait_for(source.drained.wait(), 5)
    watch.cancel()
    assert source.transactions == [Transaction([], [], 9, 2, 9)]
    await pipeline.stop()


async def test_of_idle_partitions_some_cut_over_at_a_time(monkeypatch):
    monkeypatch.setattr(partitions_module, "_IDLE_CUT_OVERS", 1)
    sources, router = [FakeSource(at=Position(7, 1)) for _ in range(3)], FakeRouter(lambda *_: 1)
    pipeline, watch = await idle(monkeypatch, router, *sources)
    watch.cancel()
    woken = []
    for source in sources:
        monkeypatch.setattr(source, "wake", lambda source=source: woken.append(source))
    router.change(lambda *_: 2)
    watch = asyncio.create_task(pipeline.watch(router))
    seen = []
    while len(woken) < 3:
        seen.append(len(woken))
        await asyncio.sleep(0)
    watch.cancel()
    assert woken == sources
    assert set(seen) == {0, 1, 2}
    await pipeline.stop()


async def test_a_partition_that_was_held_without_a_request_says_so_no_longer_once_it_may_be_answered():
    source, router = FakeSource(at=Position(7, 1)), FakeRouter(lambda *_: Wait(2, "waits for 2"))
    loop = loop_of(source, router)
    task = asyncio.create_task(loop.run())
    await asyncio.wait_for(source.drained.wait(), 5)
    source.wake()
    while loop.state.held != "waits for 2":
        await asyncio.sleep(0)
    router.change(lambda *_: 1)  # generation 2 has failed
    async with asyncio.timeout(5):
        while loop.state.held:
            await asyncio.sleep(0)
    loop.stop()
    await task
    assert source.transactions == []


@pytest.mark.parametrize("choice", [1, Wait(None, "paused by command")], ids=["of the same generation", "in a pause"])
async def test_an_idle_partition_stays_as_it_is(monkeypatch, choice):
    source, router = FakeSource(at=Position(7, 1)), FakeRouter(lambda *_: 1)
    pipeline, watch = await idle(monkeypatch, router, source)
    woken = []
    monkeypatch.setattr(source, "wake", lambda: woken.append(source))
    router.change(lambda *_: choice)
    for _ in range(10):
        await asyncio.sleep(0)
    watch.cancel()
    assert woken == []
    await pipeline.stop()


async def test_a_busy_partition_cuts_over_with_its_next_batch(monkeypatch):
    source, router = FakeSource(at=Position(7, 1)), FakeRouter(lambda *_: 1)
    pipeline, watch = await idle(monkeypatch, router, source)
    monkeypatch.setattr(loop_module, "_IDLE_S", 60)
    router.change(lambda *_: 2)
    for _ in range(10):
        await asyncio.sleep(0)
    assert source.transactions == []
    source.partition.publish(FakeRequest(7, b"r"))
    while not source.transactions:
        await asyncio.sleep(0)
    watch.cancel()
    assert source.committed == Position(8, 2)
    await pipeline.stop()


async def test_a_stop_does_not_wait_for_a_cut_over_without_a_request(monkeypatch):
    source, router = FakeSource(at=Position(7, 1)), FakeRouter(lambda *_: 1)
    pipeline, watch = await idle(monkeypatch, router, source)
    committing = asyncio.Event()

    async def never(_):
        committing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(source, "commit", never)
    router.change(lambda *_: 2)
    await asyncio.wait_for(committing.wait(), 5)
    watch.cancel()
    await asyncio.wait_for(pipeline.stop(), 2)
    assert (source.closed, source.transactions) == (1, [])
