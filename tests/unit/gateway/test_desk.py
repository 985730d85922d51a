"""The desk over logs in memory: each caller gets the answers to its own requests."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from fakes.answering import answer_requests
from fakes.kafka_logs import FakeReader, FakeWriter
from hotswap.client.answers import Outgoing, Refused
from hotswap.errors import Doubt
from hotswap.gateway.desk import RequestRouter
from hotswap.gateway.problems import Problem


@asynccontextmanager
async def open_desk(settings, most=1_000):
    desk = RequestRouter(settings, most)
    await desk.start()
    try:
        yield desk
    finally:
        await desk.stop()


def values(answered):
    return [one.answer.value for one in answered]


async def test_each_caller_gets_the_answers_to_its_own_requests_in_their_order(cluster, settings):
    answer_requests(cluster, settings, refuse=lambda value: value == b"b1")
    async with open_desk(settings) as desk:
        asked = [desk.ask([Outgoing(f"{name}{n}".encode()) for n in range(3)], 20) for name in "abc"]
        first, second, third = await asyncio.gather(*asked)
        assert desk.waiting == 0
    assert (values(first), values(third)) == ([b"a0", b"a1", b"a2"], [b"c0", b"c1", b"c2"])
    assert isinstance(second[1].answer, Refused)
    records = cluster.topics[settings.topics.requests]
    assert [records[place.partition][place.offset].value for place, *_ in second] == [b"b0", b"b1", b"b2"]


async def test_an_answer_that_is_read_before_its_request_is_acknowledged_is_found(cluster, settings, monkeypatch):
    answer_requests(cluster, settings)
    has_read = asyncio.Event()
    read = FakeReader.read

    async def reading(self, timeout_s):
        found = await read(self, timeout_s)
        if found and self.topic == settings.topics.predictions:
            asyncio.get_running_loop().call_soon(has_read.set)
        return found

    async def acknowledged(self, topic, sent):
        await has_read.wait()
        for _ in range(20):  # what was read is looked at meanwhile
            await asyncio.sleep(0)
        return sent

    monkeypatch.setattr(FakeReader, "read", reading)
    monkeypatch.setattr(FakeWriter, "acknowledged", acknowledged)
    async with open_desk(settings) as desk:
        assert values(await desk.ask([Outgoing(b"early")], 20)) == [b"early"]


async def test_a_lane_reads_the_answers_of_its_own_partition_only(cluster, settings, monkeypatch):
    started = []
    start = FakeReader.start

    async def starting(self, offsets=None, *, only=None):
        started.append((self.topic, only))
        await start(self, offsets, only=only)

    monkeypatch.setattr(FakeReader, "start", starting)
    answer_requests(cluster, settings)
    async with open_desk(settings) as desk:
        (one,) = await desk.ask([Outgoing(b"")], 20)
    assert {only for _, only in started} == {one.place.partition}


async def test_requests_take_another_partition_once_the_answers_of_one_have_stopped(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.gateway.desk._STALLED_S", 0.0)
    async with open_desk(settings) as desk:
        (stuck,) = await desk.ask([Outgoing(b"stuck")], 0.01)
        answer_requests(cluster, settings)
        others = [(await desk.ask([Outgoing(b"goes on")], 20))[0] for _ in range(2)]
    assert stuck.answer is None
    assert values(others) == [b"goes on"] * 2
    assert {one.place.partition for one in others} == {1 - stuck.place.partition}


async def test_what_waits_is_bounded_and_what_is_given_up_waits_no_more(cluster, settings):
    async with open_desk(settings, most=2) as desk:
        waiting = asyncio.create_task(desk.ask([Outgoing(b"1"), Outgoing(b"2")], 20))
        while desk.waiting < 2:
            await asyncio.sleep(0)
        with pytest.raises(Problem, match="2 requests wait") as refused:
            await desk.ask([Outgoing(b"3")], 20)
        assert (refused.value.status, refused.value.retry_after_s) == (503, 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert desk.waiting == 0


async def test_what_was_published_of_a_call_that_fails_waits_no_more(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.gateway.desk._CHUNK", 2)
    monkeypatch.setattr("hotswap.gateway.desk._SHORT", 1)
    monkeypatch.setattr(FakeWriter, "acknowledged", acknowledge := _Second())
    async with open_desk(settings) as desk:
        with pytest.raises(Doubt):
            await desk.ask([Outgoing(b"1"), Outgoing(b"2"), Outgoing(b"3")], 0.05)
        assert acknowledge.calls == 2
        assert desk.waiting == 0


class _Second:
    """Acknowledges what is sent first, and not what follows."""

    calls = 0

    async def __call__(self, topic, sent):
        self.calls += 1
        if self.calls > 1:
            raise Doubt("no acknowledgement")
        return sent


async def test_a_doubt_of_the_writer_reaches_those_whose_requests_it_concerns(cluster, settings, monkeypatch):
    async def fail(*_):
        raise Doubt("no acknowledgement")

    async with open_desk(settings) as desk:
        with monkeypatch.context() as patch:
            patch.setattr(FakeWriter, "acknowledged", fail)
            with pytest.raises(Doubt, match="no acknowledgement"):
                await desk.ask([Outgoing(b"")], 20)
        answer_requests(cluster, settings)
        assert values(await desk.ask([Outgoing(b"later")], 20)) == [b"later"]


async def test_a_long_call_is_published_in_chunks_of_which_some_wait_and_its_answers_keep_their_order(
    cluster, settings, monkeypatch
):
    monkeypatch.setattr("hotswap.gateway.desk._CHUNK", 2)
    monkeypatch.setattr("hotswap.gateway.desk._SHORT", 1)
    monkeypatch.setattr("hotswap.gateway.desk._APART_S", 0.0)
    asked = [b"%d" % n for n in range(9)]
    async with open_desk(settings) as desk:
        waiting = asyncio.create_task(desk.ask([Outgoing(value) for value in asked], 20))
        while desk.waiting < 6:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        published = [record for part in cluster.topics[settings.topics.requests] for record in part]
        assert len(published) == 6
        answer_requests(cluster, settings)
        for record in published:
            cluster.on_append[-1](record)
        assert values(await waiting) == asked


async def test_a_long_call_goes_no_further_once_an_answer_does_not_come(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.gateway.desk._CHUNK", 1)
    monkeypatch.setattr("hotswap.gateway.desk._SHORT", 1)
    async with open_desk(settings) as desk:
        answered = await desk.ask([Outgoing(b"")] * 9, 0.05)
        assert [one.answer for one in answered] == [None] * 3
        assert desk.waiting == 0


@pytest.fixture
def pause_ends(monkeypatch):
    """The event that ends the pause of a desk between two of its batches, in place of the time."""
    ends = asyncio.Event()

    async def sleep(_delay_s):
        await ends.wait()

    monkeypatch.setattr("hotswap.gateway.desk.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    return ends


async def test_calls_that_come_soon_after_a_batch_share_the_next_one(cluster, settings, monkeypatch, pause_ends):
    sizes, send_many = [], FakeWriter.send_many

    async def sending(self, topic, keys, *more, **options):
        sizes.append(len(keys))
        return await send_many(self, topic, keys, *more, **options)

    monkeypatch.setattr(FakeWriter, "send_many", sending)
    answer_requests(cluster, settings)
    async with open_desk(settings) as desk:
        await desk.ask([Outgoing(b"at once")] * 3, 20)
        second = asyncio.create_task(desk.ask([Outgoing(b"2")], 20))
        for _ in range(20):  # it would be published meanwhile, were there no pause
            await asyncio.sleep(0)
        third = asyncio.create_task(desk.ask([Outgoing(b"3")], 20))
        for _ in range(20):
            await asyncio.sleep(0)
        assert desk.waiting == 2
        pause_ends.set()
        await asyncio.gather(second, third)
    assert sizes == [3, 2]


@pytest.mark.usefixtures("pause_ends")
async def test_the_next_call_of_a_lone_caller_is_published_without_a_pause(cluster, settings):
    answer_requests(cluster, settings)
    async with open_desk(settings) as desk, asyncio.timeout(20):
        assert [values(await desk.ask([Outgoing(b"%d" % n)], 20)) for n in range(5)] == [[b"%d" % n] for n in range(5)]


async def test_a_call_whose_caller_leaves_before_it_is_published_never_is(cluster, settings, pause_ends):
    answer_requests(cluster, settings)
    async with open_desk(settings) as desk:
        await desk.ask([Outgoing(b"first")] * 3, 20)
        leaving = asyncio.create_task(desk.ask([Outgoing(b"left")], 20))
        for _ in range(20):
            await asyncio.sleep(0)
        assert desk.waiting == 1
        leaving.cancel()
        pause_ends.set()
        await desk.ask([Outgoing(b"last")], 20)
    published = [record.value for part in cluster.topics[settings.topics.requests] for record in part]
    assert published == [b"first"] * 3 + [b"last"]


async def test_a_caller_has_a_share_of_what_waits_though_another_has_taken_all(cluster, settings):
    async with open_desk(settings, most=4) as desk:
        waiting = [asyncio.create_task(desk.ask([Outgoing(b"1")] * 4, 20, "a"))]
        while desk.waiting < 4:
            await asyncio.sleep(0)
        waiting.append(asyncio.create_task(desk.ask([Outgoing(b"2")] * 2, 20, "b")))
        while desk.waiting < 6:
            await asyncio.sleep(0)
        for caller in "ab":
            with pytest.raises(Problem, match="6 requests wait"):
                await desk.ask([Outgoing(b"3")], 20, caller)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not desk._of


async def test_long_calls_of_a_caller_are_bounded_and_those_of_another_come_in_turn(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.gateway.desk._CHUNK", 2)
    monkeypatch.setattr("hotswap.gateway.desk._SHORT", 1)
    monkeypatch.setattr("hotswap.gateway.desk._LONG", 2)
    monkeypatch.setattr("hotswap.gateway.desk._APART_S", 0.0)
    async with open_desk(settings) as desk:
        long = [asyncio.create_task(desk.ask([Outgoing(b"a")] * 20, 20, "a")) for _ in range(2)]
        while desk.waiting < 6:
            await asyncio.sleep(0)
        with pytest.raises(Problem, match="2 calls of this caller with many rows") as refused:
            await desk.ask([Outgoing(b"a")] * 3, 20, "a")
        assert refused.value.status == 429
        long.append(asyncio.create_task(desk.ask([Outgoing(b"b")] * 4, 20, "b")))
        while desk.waiting < 10:  # beside the six of the first caller, who may have no more
            await asyncio.sleep(0)
        assert desk._of == {"a": 6, "b": 4}
        for one in long:
            one.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        assert not desk._of
        assert not desk._long_of
