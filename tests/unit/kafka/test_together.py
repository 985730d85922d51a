"""One request for all who ask at about the same time."""

import asyncio

import pytest

from hotswap.errors import Doubt
from hotswap.kafka.together import Together


class Asked:
    """Answers its calls one by one, with their number, when it is told to."""

    def __init__(self):
        self.calls = []

    async def __call__(self):
        call = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        return await call

    async def answer(self, number, error=None):
        while len(self.calls) <= number:
            await asyncio.sleep(0)
        self.calls[number].set_exception(error) if error else self.calls[number].set_result(number)


async def asking(together, count):
    tasks = [asyncio.create_task(together.ask()) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_who_asks_while_a_request_is_under_way_shares_the_next_one():
    asked = Asked()
    together = Together(asked)
    first = await asking(together, 1)
    others = await asking(together, 3)
    await asked.answer(0)
    await asked.answer(1)
    assert await asyncio.gather(*first, *others) == [0, 1, 1, 1]
    assert len(asked.calls) == 2


async def test_a_failed_request_fails_for_all_who_share_it_and_for_nobody_else():
    asked = Asked()
    together = Together(asked)
    first = await asking(together, 2)
    second = await asking(together, 1)
    await asked.answer(0, Doubt("no answer"))
    await asked.answer(1)
    for task in first:
        with pytest.raises(Doubt):
            await task
    assert await second[0] == 1


async def test_one_who_gives_up_takes_the_answer_from_nobody():
    asked = Asked()
    together = Together(asked)
    gone, *others = await asking(together, 3)
    gone.cancel()
    await asked.answer(0)
    assert await asyncio.gather(*others) == [0, 0]
    assert gone.cancelled()
