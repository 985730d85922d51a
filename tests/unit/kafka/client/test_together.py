"""One request for all who ask at about the same time."""

import asyncio

import pytest

from hotswap.errors import Doubt
from hotswap.kafka.client.together import Together


class Asked:
    """Answers its calls one by one, each key with it and a number, when it is told to."""

    def __init__(self):
        self.calls = []

    async def __call__(self, keys):
        call = asyncio.get_running_loop().create_future()
        self.calls.append((keys, call))
        number = await call
        return {key: (key, number) for key in keys}

    async def answer(self, number, error=None):
        while len(self.calls) <= number:
            await asyncio.sleep(0)
        keys, call = self.calls[number]
        call.set_exception(error) if error else call.set_result(number)
        return keys


async def asking(together, *keys):
    tasks = [asyncio.create_task(together.ask(key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_who_asks_while_a_request_is_under_way_shares_the_next_one():
    asked = Asked()
    together = Together(asked)
    first = await asking(together, "a")
    others = await asking(together, "a", "b", "a")
    assert await asked.answer(0) == {"a"}
    assert await asked.answer(1) == {"a", "b"}
    assert await asyncio.gather(*first, *others) == [("a", 0), ("a", 1), ("b", 1), ("a", 1)]
    assert len(asked.calls) == 2


async def test_who_cannot_be_answered_fails_nobody_who_shares_the_request():
    asked = Asked()
    together = Together(asked)
    bad, good = await asking(together, "bad", "good")
    await asked.answer(0, Doubt("no answer"))
    assert await asked.answer(1, Doubt("no answer for bad")) == {"bad"}
    assert await asked.answer(2) == {"good"}
    with pytest.raises(Doubt, match="for bad"):
        await bad
    assert await good == ("good", 2)


async def test_a_request_for_one_alone_that_fails_is_not_sent_again():
    asked = Asked()
    together = Together(asked)
    tasks = await asking(together, "a", "a")
    await asked.answer(0, Doubt("no answer"))
    for task in tasks:
        with pytest.raises(Doubt):
            await task
    assert len(asked.calls) == 1


async def test_one_who_gives_up_takes_the_answer_from_nobody():
    asked = Asked()
    together = Together(asked)
    gone, *others = await asking(together, "a", "b", "c")
    gone.cancel()
    await asked.answer(0)
    assert await asyncio.gather(*others) == [("b", 0), ("c", 0)]
    assert gone.cancelled()
