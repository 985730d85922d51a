"""What a rebalance does to the loops: those of partitions that stay go on, those of others end, new ones start."""

import asyncio

import pytest

from fakes.data_plane import FakeRequest, FakeRouter, FakeSource, loop_of, requests
from hotswap.pipeline import loop as loop_module
from hotswap.pipeline.partitions import Pipeline


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(loop_module, "RETRY_S", 0)


class Partitions:
    """A pipeline over fakes, which keeps every source that it has opened."""

    def __init__(self, **given):
        self.sources = {}
        self.router = FakeRouter(lambda *_: 1)
        self.given = given
        self.pipeline = Pipeline(self.open_loop, stop_timeout_s=5)

    def open_loop(self, partition):
        source = FakeSource(self.given.get(f"of_{partition}", []))
        self.sources.setdefault(partition, []).append(source)
        return loop_of(source, self.router)

    def only(self, partition):
        (source,) = self.sources[partition]
        return source


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def rest():
    """Let every task go on as far as it can without anything from outside: no pause of theirs has a length."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_partition_that_stays_goes_on_during_a_rebalance_and_is_not_opened_again():
    had = Partitions()
    had.pipeline.assigned({3, 4})
    await until(lambda: had.only(3).drained.is_set() and had.only(4).drained.is_set())
    had.pipeline.rejoining()
    had.only(3).partition.publish(*requests(2))
    await until(lambda: had.only(3).transactions)
    had.pipeline.assigned({3, 5}, {3})
    had.only(3).partition.publish(*requests(1, 2))
    await until(lambda: len(had.only(3).transactions) == 2 and had.only(5).opened and had.only(4).closed)
    assert (had.only(3).opened, had.only(3).closed, had.only(4).opened) == (1, 0, 1)
    assert had.pipeline.states.keys() == {3, 5}
    await had.pipeline.stop()


async def test_nobody_waits_for_a_batch_of_a_partition_that_has_moved():
    had = Partitions(of_3=[FakeRequest(0, b"loop")])
    had.pipeline.assigned({3})
    await until(lambda: had.router.hosts.get(1) and had.router.hosts[1].busy_s)
    had.pipeline.rejoining()
    had.pipeline.assigned({4})
    assert had.pipeline.states.keys() == {4}
    await until(lambda: had.only(3).closed)
    assert (had.only(3).transactions, had.router.hosts[1].busy_s) == ([], 0)
    await had.pipeline.stop()


async def test_a_partition_that_another_worker_had_in_between_is_opened_anew():
    had = Partitions()
    had.pipeline.assigned({3})
    await until(had.only(3).drained.is_set)
    had.pipeline.rejoining()
    had.pipeline.assigned({3}, set())
    await until(lambda: had.sources[3][0].closed and had.sources[3][1].opened)
    await had.pipeline.stop()
    assert [source.closed for source in had.sources[3]] == [1, 1]


async def test_a_partition_in_doubt_is_not_opened_before_it_is_known_whose_it_is():
    had = Partitions()
    had.pipeline.assigned({3})
    await until(had.only(3).drained.is_set)
    had.pipeline.rejoining()
    had.only(3).fail_before = 1
    had.only(3).partition.publish(*requests(1))
    await until(lambda: had.only(3).closed)
    await rest()
    assert had.only(3).opened == 1
    had.pipeline.assigned({3}, {3})
    await until(lambda: had.only(3).transactions)
    assert had.only(3).opened == 2
    await had.pipeline.stop()


async def test_a_partition_in_doubt_whose_group_never_comes_to_rest_can_be_stopped():
    had = Partitions()
    had.pipeline.assigned({3})
    await until(had.only(3).drained.is_set)
    had.pipeline.rejoining()
    had.only(3).fail_before = 1
    had.only(3).partition.publish(*requests(1))
    await until(lambda: had.only(3).closed)
    async with asyncio.timeout(4):
        await had.pipeline.stop()
    assert had.only(3).opened == 1


async def test_a_worker_that_stops_waits_for_what_it_has_given_up_too():
    had = Partitions()
    had.pipeline.assigned({3})
    await until(had.only(3).drained.is_set)
    closing = asyncio.Event()

    async def close():
        await closing.wait()
        had.only(3).closed += 1

    had.only(3).close = close
    had.pipeline.assigned(set())
    stopping = asyncio.create_task(had.pipeline.stop())
    await rest()
    assert not stopping.done()
    closing.set()
    await stopping
    assert had.only(3).closed == 1


async def test_what_is_to_move_ends_with_its_batch_in_hand_committed_while_the_others_go_on():
    had = Partitions(of_3=requests(3))
    had.pipeline.assigned({3, 4})
    await until(lambda: had.pipeline.states[3].in_hand and had.only(4).drained.is_set())
    had.pipeline.rejoining()
    ended = had.pipeline.assigned({4}, {4}, {3})
    assert had.pipeline.states.keys() == {4}
    async with asyncio.timeout(5):
        await ended
    assert (len(had.only(3).transactions), had.only(3).closed, had.only(4).closed) == (1, 1, 0)
    await had.pipeline.stop()


async def test_what_is_to_move_and_is_still_being_opened_is_not_opened_first():
    had = Partitions()
    had.pipeline.assigned({3})
    had.only(3).open = asyncio.Event().wait
    await asyncio.sleep(0)
    async with asyncio.timeout(4):
        await had.pipeline.assigned(set(), moving={3})
    assert (had.only(3).opened, had.only(3).closed) == (0, 1)
    await had.pipeline.stop()


async def test_what_is_to_move_and_does_not_end_is_given_up_after_the_timeout():
    had = Partitions(of_3=[FakeRequest(0, b"loop")])
    had.pipeline._stop_timeout_s = 0.01
    had.pipeline.assigned({3})
    await until(lambda: had.router.hosts.get(1) and had.router.hosts[1].busy_s)
    async with asyncio.timeout(5):
        await had.pipeline.assigned(set(), moving={3})
    assert (had.only(3).transactions, had.only(3).closed) == ([], 1)
