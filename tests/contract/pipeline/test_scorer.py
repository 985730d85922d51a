"""What a loop may rely on in a model host: the same promises of the fake and of a process with a MOJO in it."""

import asyncio
import sys
from pathlib import Path

import pytest

from fakes.data_plane import FakeHost
from fakes.examples import IRIS
from fakes.hostile_child import NEVER_RETURNS
from hotswap.batch import Ask, Code, Refusal
from hotswap.host.parent import ModelHost

HOSTILE = (sys.executable, str(Path(__file__).parents[2] / "fakes" / "hostile_child.py"))


class Fake:
    """The fake host: what it takes for a good, a bad and an endless request."""

    good = (b"1", b"2", b"3")
    bad = b"bad"
    endless = b"loop"
    operation = "score"

    def __init__(self):
        self.host = FakeHost(1)


class Real:
    """A host in a process of its own."""

    good = tuple(IRIS.requests()[:150:50])
    bad = b"\xff"
    endless = IRIS.operation.input(sepal_length=NEVER_RETURNS).SerializeToString()
    operation = "Classify"

    def __init__(self):
        self.host = ModelHost(
            load=IRIS.load(), deadline_s=600, on_restart=lambda _: None, on_unknown=pytest.fail, child=HOSTILE
        )


@pytest.fixture(params=["fake", "process"])
async def scorer(request):
    if request.param == "fake":
        yield Fake()
        return
    made = Real()
    await made.host.start()
    yield made
    await made.host.stop()


async def busy(host):
    async with asyncio.timeout(20):
        while host.busy_s < 0.6:
            await asyncio.sleep(0.01)


async def test_each_request_has_its_answer_in_order(scorer):
    answers = await scorer.host.score(scorer.good)
    assert len(set(answers)) == 3
    assert await scorer.host.score(scorer.good[::-1]) == answers[::-1]
    assert await scorer.host.score([]) == []


async def test_a_bad_request_is_refused_alone(scorer):
    first, second, _ = await scorer.host.score(scorer.good)
    answers = await scorer.host.score([scorer.good[0], scorer.bad, scorer.good[1]])
    assert (answers[0], answers[2]) == (first, second)
    assert isinstance(answers[1], Refusal)
    assert answers[1].code is Code.UNDECODABLE


async def test_a_request_that_names_the_only_operation_is_answered_as_one_that_names_none(scorer):
    asks = [Ask(scorer.operation)] * len(scorer.good)
    assert await scorer.host.score(scorer.good, asks) == await scorer.host.score(scorer.good)


async def test_batches_that_come_at_once_each_get_their_own_answers(scorer):
    expected = await scorer.host.score(scorer.good)
    answers = await asyncio.gather(*(scorer.host.score([value]) for value in scorer.good))
    assert answers == [[answer] for answer in expected]


async def test_a_host_is_busy_with_what_is_in_it_and_goes_on_with_the_next_once_that_is_given_up(scorer):
    expected = await scorer.host.score(scorer.good)
    assert scorer.host.busy_s == 0.0
    assert scorer.host.deadline_s == 600
    endless = asyncio.create_task(scorer.host.score([scorer.endless]))
    await busy(scorer.host)
    waiting = asyncio.create_task(scorer.host.score(scorer.good))
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    async with asyncio.timeout(30):
        assert await waiting == expected
    assert scorer.host.busy_s == 0.0
