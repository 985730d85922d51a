"""How many batches of a backlog share a transaction, and what ends one."""

import asyncio

import pytest

from fakes.data_plane import FakeRequest, FakeRouter, FakeSource, drain, loop_of
from hotswap.pipeline import loop as loop_module
from hotswap.pipeline.ports import Wait
from hotswap.pipeline.states import Step


def requests(count):
    return [FakeRequest(offset, b"r%d" % offset) for offset in range(count)]


async def test_a_backlog_is_committed_in_one_transaction_as_long_as_that_is_young(monkeypatch):
    for seconds, sizes in ((60.0, [8]), (-1.0, [3, 3, 2])):
        monkeypatch.setattr(loop_module, "_TRANSACTION_S", seconds)
        source = FakeSource(requests(8))
        await drain(source, FakeRouter(lambda *_: 1, max_batch_records=3))
        assert [len(t.predictions) for t in source.transactions] == sizes
        assert [t.cut_over_at for t in source.transactions] == [0, None, None][: len(sizes)]


async def test_a_further_batch_that_takes_long_does_not_delay_the_answers_before_it(monkeypatch):
    monkeypatch.setattr(loop_module, "_PATIENCE_S", 0)
    source, router = FakeSource(requests(8)), FakeRouter(lambda *_: 1, max_batch_records=3)

    async def score(values, asks=None, *, is_suspect=False):
        for _ in range(20):
            await asyncio.sleep(0)
        return values

    router.serving(1).host.score = score
    await drain(source, router)
    assert [len(t.predictions) for t in source.transactions] == [3, 3, 2]
    assert [(t.next_offset, t.cut_over_at) for t in source.transactions] == [(3, 0), (6, None), (8, None)]


@pytest.mark.parametrize("choice", [Wait(None, "paused"), 2], ids=["a pause", "a swap"])
async def test_a_pause_or_a_swap_ends_a_transaction_behind_the_batch_in_hand(choice):
    source = FakeSource(requests(8))
    router = FakeRouter(lambda _, at: choice if at.offset else 1, max_batch_records=3)
    loop = loop_of(source, router)
    task = asyncio.create_task(loop.run())
    while not source.transactions:
        await asyncio.sleep(0)
    loop.stop()
    await asyncio.wait_for(task, 5)
    assert [(t.generation, t.next_offset) for t in source.transactions][:1] == [(1, 3)]


async def test_a_stop_ends_a_transaction_behind_the_batch_in_hand():
    source, router = FakeSource(requests(8)), FakeRouter(lambda *_: 1, max_batch_records=3)
    loop = loop_of(source, router)

    async def score(values, asks=None, *, is_suspect=False):
        loop.stop()
        return values

    router.serving(1).host.score = score
    await asyncio.wait_for(loop.run(), 5)
    assert [t.next_offset for t in source.transactions] == [3]


def behind(turns, router, count=6):
    """A loop whose first batch has found a backlog."""
    source = FakeSource(requests(count))
    return source, loop_of(source, router, turns=turns)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_partitions_with_a_backlog_take_turns_and_one_without_waits_for_none(monkeypatch):
    monkeypatch.setattr(loop_module, "_TRANSACTION_S", -1.0)
    turns, may_score = asyncio.Semaphore(1), asyncio.Event()
    waits, goes_on = FakeRouter(lambda *_: 1, max_batch_records=3), FakeRouter(lambda *_: 1, max_batch_records=3)

    async def score(values, asks=None, *, is_suspect=False):
        if values[0] == b"r3":
            await may_score.wait()
        return values

    waits.serving(1).host.score = score
    (first, holder), (second, waiter) = behind(turns, waits), behind(turns, goes_on)
    quiet = FakeSource(requests(2))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(holder.run())
        await until(turns.locked)
        for loop in (waiter, third := loop_of(quiet, goes_on, turns=turns)):
            group.create_task(loop.run())
        await quiet.drained.wait()
        await until(lambda: waiter.state.step is Step.QUEUED)
        assert [len(source.transactions) for source in (first, second, quiet)] == [1, 1, 1]
        may_score.set()
        await second.drained.wait()
        await first.drained.wait()
        assert [[len(t.predictions) for t in source.transactions] for source in (first, second)] == [[3, 3]] * 2
        for loop in (holder, waiter, third):
            loop.stop()
    assert not turns.locked()


async def test_a_stop_does_not_wait_for_a_turn(monkeypatch):
    monkeypatch.setattr(loop_module, "_TRANSACTION_S", -1.0)
    turns = asyncio.Semaphore(0)
    source, loop = behind(turns, router := FakeRouter(lambda *_: 1, max_batch_records=3))
    task = asyncio.create_task(loop.run())
    await until(lambda: loop.state.step is Step.QUEUED)
    router.change(lambda *_: 2)
    monkeypatch.setattr(loop_module, "_IDLE_S", -1)
    assert not loop.cut_over_idle(), "it is not idle: it waits for its turn"
    loop.stop()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert [t.next_offset for t in source.transactions] == [3]


async def test_a_held_partition_has_no_turn(monkeypatch):
    monkeypatch.setattr(loop_module, "_TRANSACTION_S", -1.0)
    turns = asyncio.Semaphore(1)
    router = FakeRouter(lambda _, at: Wait(None, "paused") if at.offset else 1, max_batch_records=3)
    _, loop = behind(turns, router)
    task = asyncio.create_task(loop.run())
    await until(lambda: loop.state.held)
    assert not turns.locked()
    loop.stop()
    await asyncio.wait_for(task, 5)
