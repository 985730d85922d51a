"""Turns among callers: who comes next, and what they leave to others."""

import asyncio

import pytest

from hotswap.gateway import turns
from hotswap.gateway.problems import Problem
from hotswap.gateway.turns import Turns


class Yard:
    """Work that holds its place until it is told to end, by name."""

    def __init__(self, places, **given):
        self.turns = Turns(places, **given)
        self.began = []
        self._ends, self.tasks = {}, {}

    async def begin(self, *names, cost=1):
        """Ask for places; the caller of a name is its first letter."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name, cost))
            await self.settle()

    async def end(self, name):
        self._ends[name].set()
        await self.settle()

    async def _work(self, name, cost):
        async with self.turns.turn(name[0], cost):
            self.began.append(name)
            await self._ends[name].wait()

    async def settle(self):
        for _ in range(5):
            await asyncio.sleep(0)

    async def close(self):
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@pytest.fixture
async def yard():
    made = []

    def make(places, **given):
        made.append(Yard(places, **given))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_callers_take_turns_however_much_one_of_them_asks(yard):
    one = yard(1, of_one=1)
    await one.begin("a1", "a2", "a3", "b1", "c1", "b2")
    for name in ("a1", "a2", "b1", "c1", "a3"):
        await one.end(name)
    assert one.began == ["a1", "a2", "b1", "c1", "a3", "b2"]


async def test_a_caller_leaves_a_place_to_others(yard):
    one = yard(3, of_one=2)
    await one.begin("a1", "a2", "a3", "b1")
    assert one.began == ["a1", "a2", "b1"]


async def test_of_a_caller_the_least_costly_comes_first(yard):
    one = yard(1, of_one=1)
    await one.begin("a1")
    await one.begin("a2", cost=9)
    await one.begin("a3", cost=5)
    await one.end("a1")
    assert one.began == ["a1", "a3"]


async def test_large_work_leaves_a_place_to_small_work_of_anybody(yard):
    one = yard(3, of_one=2, large=10)
    await one.begin("a1", "a2", "b1", "c1", cost=11)
    assert one.began == ["a1", "b1"]
    await one.begin("c2")
    await one.begin("a3")
    assert one.began == ["a1", "b1", "c2"]
    await one.end("c2")
    assert one.began == ["a1", "b1", "c2", "a3"]
    await one.end("a3")
    await one.end("b1")
    assert one.began == ["a1", "b1", "c2", "a3", "c1"]


async def test_who_leaves_gives_up_a_turn_and_a_place(yard):
    one = yard(1, of_one=1)
    await one.begin("a1", "a2", "b1")
    one.tasks["a2"].cancel()
    await one.settle()
    one.tasks["a1"].cancel()
    await one.settle()
    assert one.began == ["a1", "b1"]
    await one.end("b1")
    await one.begin("a3")
    assert one.began == ["a1", "b1", "a3"]


async def test_who_leaves_as_the_turn_comes_hands_it_on(yard):
    one = yard(1, of_one=1)
    await one.begin("a1", "b1", "c1")
    one._ends["a1"].set()
    await asyncio.sleep(0)  # a1 has ended, and b1 has its turn, but has not run
    one.tasks["b1"].cancel()
    await one.settle()
    assert one.began == ["a1", "c1"]


async def test_too_much_waiting_work_of_a_caller_is_refused_and_that_of_others_is_not(yard, monkeypatch):
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    one = yard(1, of_one=1)
    await one.begin("a1", "a2", "a3")
    with pytest.raises(Problem, match="2 calls of this caller wait") as refused:
        async with one.turns.turn("a", 1):
            pass
    assert (refused.value.status, refused.value.retry_after_s) == (429, 2)
    await one.begin("b1")
    await one.end("a1")
    await one.end("a2")
    assert one.began[-1] == "b1"


async def test_nothing_is_kept_of_callers_who_have_left(yard):
    one = yard(2, of_one=2, large=0)
    await one.begin("a1", "b1")
    await one.end("a1")
    await one.end("b1")
    assert not one.turns._waiting
    assert not one.turns._taken
    assert not one.turns._large_taken
