"""What a worker keeps of its partitions when its group shares them out anew, and what it makes of late fetches."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from fakes.data_plane import FakeBatch, requests
from hotswap.errors import Doubt
from hotswap.kafka.client import internals
from hotswap.kafka.group.assignor import NOTHING, encoded
from hotswap.kafka.group.membership import Membership
from hotswap.settings import Settings

TOPIC = "d.requests"


def key(partition):
    return TopicPartition(TOPIC, partition)


class Consumer:
    """aiokafka's, as far as a membership needs it: `getmany` returns what is put into `answers`."""

    def __init__(self, *, partition_assignment_strategy, **_):
        (self.assignor,) = partition_assignment_strategy
        self.rejoins = []
        self._coordinator = SimpleNamespace(
            member_id="a member",
            generation=-1,
            request_rejoin=lambda: self.rejoins.append(self.assignor._claim()),
        )
        self._subscription = SimpleNamespace()
        self._fetcher = SimpleNamespace()
        self.answers = asyncio.Queue()
        self.is_polled = asyncio.Event()
        self.owned, self.positions, self.paused = set(), {}, set()

    def subscribe(self, topics, *, listener):
        self.listener = listener

    async def start(self):
        pass

    async def stop(self):
        pass

    async def rebalance(self, number, *partitions, moving=()):
        await self.listener.on_partitions_revoked(list(self.owned))
        self._coordinator.generation = number
        self.owned, self.positions, self.paused = {key(number) for number in partitions}, {}, set()
        told = encoded({TOPIC: moving}) if moving else b""
        self.assignor.on_assignment(SimpleNamespace(partitions=lambda: self.owned, user_data=told))
        await self.listener.on_partitions_assigned(list(self.owned))

    def assignment(self):
        return self.owned

    def seek(self, key, offset):
        self.positions[key] = offset

    async def position(self, key):
        return self.positions[key]

    def pause(self, key):
        self.paused.add(key)

    def resume(self, key):
        self.paused.discard(key)

    async def getmany(self, *, timeout_ms):
        self.is_polled.set()
        return await self.answers.get()

    async def answer(self, **found):
        """Answer the poll in hand, which leaves positions behind what it found; wait until the next one is asked."""
        self.is_polled.clear()
        batches = {key(int(name[1:])): [FakeBatch(batch)] for name, batch in found.items()}
        self.positions |= {key: batch.next for key, (batch,) in batches.items()}
        await self.answers.put(batches)
        await self.is_polled.wait()


class Pipeline:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def rejoining(self):
        self.told.append("rejoining")

    async def revoked(self):
        self.told.append("revoked")

    def assigned(self, partitions, kept, moving):
        self.told.append((set(partitions), set(kept)))
        self.ended, self.moving = asyncio.get_running_loop().create_future(), moving
        return self.ended


@pytest.fixture
async def joined(monkeypatch):
    made = []

    async def join(**settings):
        monkeypatch.setattr(internals, "AIOKafkaConsumer", Consumer)
        pipeline = Pipeline()
        member = Membership(
            Settings(deployment="d", **settings),
            on_rejoining=pipeline.rejoining,
            on_revoked=pipeline.revoked,
            on_assigned=pipeline.assigned,
        )
        await member.start(1_000)
        poller = asyncio.create_task(member.run())
        made.append(poller)
        await member._consumer.is_polled.wait()
        return member, member._consumer, pipeline

    yield join
    for poller in made:
        poller.cancel()
    await asyncio.gather(*made, return_exceptions=True)


async def test_a_partition_that_stays_keeps_its_inbox_and_is_fetched_on_from_there(joined):
    member, consumer, pipeline = await joined()
    await consumer.rebalance(1, 0, 1)
    inbox = member.inbox(0)
    member.seek(inbox, 0)
    await consumer.answer()
    await consumer.answer(p0=requests(3))
    await consumer.rebalance(2, 0, 2)
    assert pipeline.told == ["rejoining", ({0, 1}, set()), "rejoining", ({0, 2}, {0})]
    assert member.inbox(0) is inbox
    assert (consumer.positions[key(0)], consumer.paused) == (3, {key(2)})
    assert [request.offset for request in member.take(inbox, 9, None)] == [0, 1, 2]
    with pytest.raises(Doubt):
        member.inbox(1)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (5, 1)])
async def test_where_a_generation_of_the_group_was_missed_nothing_is_kept(joined, before, after):
    member, consumer, pipeline = await joined()
    await consumer.rebalance(before, 0)
    inbox = member.inbox(0)
    member.seek(inbox, 0)
    await consumer.rebalance(after, 0)
    assert pipeline.told[-1] == ({0}, set())
    assert member.inbox(0) is not inbox
    with pytest.raises(Doubt):
        member.seek(inbox, 0)


async def test_at_least_once_every_loop_is_ended_before_the_group_goes_on(joined):
    member, consumer, pipeline = await joined(delivery="at_least_once")
    await consumer.rebalance(1, 0)
    inbox = member.inbox(0)
    await consumer.rebalance(2, 0)
    assert pipeline.told == ["revoked", ({0}, set()), "revoked", ({0}, set())]
    assert member.inbox(0) is not inbox
    assert consumer.assignor._claim() == NOTHING


async def test_what_is_not_open_has_a_position_and_is_paused_so_that_the_others_are_fetched_meanwhile(joined):
    member, consumer, _ = await joined()
    await consumer.rebalance(1, 0, 1, 2)
    member.seek(member.inbox(0), 7)
    member.seek(member.inbox(1), 7)
    member.inbox(1).close()
    await consumer.rebalance(2, 0, 1, 2)
    assert consumer.positions.keys() == {key(0), key(1), key(2)}
    assert consumer.paused == {key(1), key(2)}
    member.seek(member.inbox(2), 5)
    assert (consumer.paused, consumer.positions[key(2)]) == ({key(1)}, 5)


async def test_a_full_inbox_that_is_kept_stays_paused(joined):
    member, consumer, _ = await joined(max_queued_bytes=1)
    await consumer.rebalance(1, 0)
    member.seek(member.inbox(0), 0)
    await consumer.answer()
    await consumer.answer(p0=requests(1))
    assert consumer.paused == {key(0)}
    await consumer.rebalance(2, 0)
    assert consumer.paused == {key(0)}
    member.take(member.inbox(0), 9, None)
    assert consumer.paused == set()


@pytest.mark.parametrize(
    ("setting", "partitions", "queued", "fetched"),
    [
        (0, 1, 5 << 20, 5 << 20),
        (0, 5, 4 << 20, 4 << 20),
        (0, 64, 1 << 20, 1 << 20),
        (1_000, 1, 1_000, 1 << 20),
        (3 << 20, 64, 3 << 20, 3 << 20),
        (9 << 20, 1, 9 << 20, 5 << 20),
    ],
)
async def test_few_partitions_queue_and_fetch_more_of_each(joined, setting, partitions, queued, fetched):
    member, consumer, _ = await joined(max_queued_bytes=setting)
    await consumer.rebalance(1, *range(100))
    await consumer.rebalance(2, *range(partitions))
    assert {member.inbox(number).max_bytes for number in range(partitions)} == {queued}
    assert consumer._fetcher._max_partition_fetch_bytes == fetched


async def test_a_poll_that_began_before_one_partition_was_sought_counts_for_the_others(joined):
    member, consumer, _ = await joined()
    await consumer.rebalance(1, 0, 1)
    member.seek(member.inbox(0), 0)
    await consumer.answer()
    member.seek(member.inbox(1), 5)
    await consumer.answer(p0=requests(3), p1=requests(2))
    assert consumer.positions == {key(0): 3, key(1): 5}
    assert (member.inbox(0).position, member.inbox(1).position) == (3, 5)
    await consumer.answer(p1=requests(2, 5))
    assert [request.offset for request in member.take(member.inbox(1), 9, None)] == [5, 6]


async def test_a_member_tells_the_leader_what_it_was_assigned_last_also_while_it_joins_again(joined):
    member, consumer, _ = await joined()
    await consumer.rebalance(4, 0, 1)
    await member.on_partitions_revoked([])
    assert consumer.assignor._claim() == (4, {0, 1})


async def test_what_is_to_move_is_claimed_until_its_loop_has_ended_and_then_the_worker_joins_again(joined):
    member, consumer, pipeline = await joined()
    await consumer.rebalance(4, 0, 1)
    await consumer.rebalance(5, 0, moving=[1])
    assert (pipeline.told[-1], pipeline.moving) == (({0}, {0}), {1})
    with pytest.raises(Doubt):
        member.inbox(1)
    assert (consumer.assignor._claim(), consumer.rejoins) == ((5, {0, 1}), [])
    pipeline.ended.set_result(None)
    await asyncio.sleep(0)
    assert consumer.rejoins == [(5, {0})]


@pytest.mark.parametrize(("leaves", "name"), [(False, "worker-2"), (True, None)])
async def test_a_named_member_leaves_its_group_at_a_stop_only_if_it_is_to(joined, leaves, name):
    member, consumer, _ = await joined(group_instance_id="worker-2", leave_group_on_stop=leaves)
    consumer._coordinator._group_instance_id = "worker-2"
    await member.stop()
    assert consumer._coordinator._group_instance_id == name


async def test_a_member_that_was_never_started_stops(monkeypatch):
    monkeypatch.setattr(internals, "AIOKafkaConsumer", Consumer)
    settings = Settings(deployment="d", group_instance_id="worker-2", leave_group_on_stop=True)
    member = Membership(settings, on_rejoining=None, on_revoked=None, on_assigned=None)
    member._consumer._coordinator = None
    await member.stop()
