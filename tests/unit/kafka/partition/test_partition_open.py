"""How a partition is opened: in which order, what it ends that was left open, and how it is closed."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from fakes.transactions import ANSWERS, LETTERS, FakeBrokers, FakeGroup
from hotswap.batch import Limits, Position, Transaction
from hotswap.errors import Denied, Doubt
from hotswap.kafka.partition.partition import Cluster, KafkaPartition, _unbounded
from hotswap.kafka.partition.tail import Tail
from hotswap.kafka.partition.witness import LastAnswer
from hotswap.kafka.topics.committed import Committed
from hotswap.kafka.wire.messages import (
    AddOffsets,
    AddPartitions,
    CommitOffsetInTransaction,
    EndTransaction,
    EndTransactionAndEpoch,
    InitProducerId,
)
from hotswap.settings import Settings


class Kafka:
    """What a partition asks besides its producers, and in which order all is asked."""

    def __init__(self, committed, tail=None, **stable):
        self.brokers, self.order = FakeBrokers(), []
        self._committed, self._tail, self._stable = committed, tail or Tail(None, None), stable
        ask = self.brokers.ask

        async def asking(node, request):
            self.order.append(type(request).__name__)
            return await ask(node, request)

        self.brokers.ask = asking
        self.inbox = SimpleNamespace(**dict.fromkeys(("close", "stop", "wake"), self._noted))
        self.inbox.wait = self._wait
        self.membership = SimpleNamespace(
            group=FakeGroup(),
            warnings={},
            inbox=lambda _: self.inbox,
            seek=lambda _, offset: self.order.append(f"seek {offset}"),
            take=lambda *given: given[1:],
            take_raw=lambda *given: given[1:],
            skip=lambda _, why: self.order.append(why),
            commit=self._commit,
        )

    def _noted(self):
        self.order.append("inbox")

    async def _wait(self):
        return 7

    async def _commit(self, offsets):
        ((_, committed),) = offsets.items()
        self.order.append(f"commit {committed.offset}")
        await asyncio.sleep(0)

    async def check_partition(self, _):
        pass

    async def limits(self):
        return Limits(1_000, 2_000)

    async def end_offset(self, topic, _, *, read_committed=False):
        return self._stable.get(topic.rpartition(".")[2].replace("-", "_"), 100) if read_committed else 100

    async def committed_on(self, _):
        self.order.append("committed")
        return self._committed

    async def beginning_offset(self, *_):
        return 0

    async def missing_rights(self):
        return []

    async def read(self, _, known):
        self.known = known
        return self._tail

    def partition(self, **settings):
        known = Settings(deployment="d", **settings)
        cluster = {"membership": self.membership, "admin": self, "tail": self, "brokers": self.brokers}
        return KafkaPartition(Cluster(settings=known, **cluster, batch_bytes=900), 0)


OURS = Committed(40, 3, is_ours=True, producer=7, producers=frozenset({7, 8}))


async def test_both_ids_are_initialized_before_the_position_is_read_and_then_the_inbox_seeks_to_it():
    kafka = Kafka(OURS, Tail(LastAnswer(39, 3), None))
    partition = kafka.partition()
    assert await partition.open() == Position(40, 3)
    assert kafka.order == ["InitProducerId", "InitProducerId", "committed", "seek 40"]
    names = {request.transactional_id for request in kafka.brokers.of(InitProducerId)}
    assert names == {"d-d.requests-0", "d-d.requests-0-b"}
    assert kafka.known.producers == {7, 8}
    assert (partition.limits, partition.deleted) == (Limits(1_000, 2_000), (0, 0))
    assert (partition.stamp.producer_id, partition.stamp.max_bytes) == (7, 900)
    assert await partition.wait() == 7
    assert (partition.take(3, None), partition.take_raw(3, 9)) == ((3, None), (3, 9))
    partition.skip("why")
    partition.wake()
    partition.stop()
    assert kafka.order[-3:] == ["why", "inbox", "inbox"]
    await partition.close()
    await partition.close()


async def test_a_partition_that_is_passed_over_fetches_nothing_and_ends_before_open_transactions():
    kafka = Kafka(OURS, Tail(LastAnswer(39, 3), None), requests=95)
    partition = kafka.partition()
    await partition.open()
    assert await partition.pass_over() == 95
    assert kafka.order[-1] == "inbox"
    await partition.close()


@pytest.mark.parametrize("stable", [{"predictions": 90}, {"dead_letters": 90}])
async def test_a_strangers_open_transaction_is_left_alone(stable):
    kafka = Kafka(OURS, Tail(LastAnswer(39, 3), None), **stable)
    await kafka.partition().open()
    assert kafka.brokers.names == ["InitProducerId"] * 2


async def test_what_a_lost_marker_has_left_open_is_ended_by_the_id_whose_it_is():
    tail = Tail(LastAnswer(39, 3), None, open={8: ["d.predictions", "d.dead-letters"]}, first_open=38)
    kafka = Kafka(OURS, tail, predictions=90)
    await kafka.partition().open()
    ended = [request.is_commit for request in kafka.brokers.of(EndTransaction)]
    assert ended == [True, False, False], "committed as the offset is past it, and then nothing is pending any more"
    added = kafka.brokers.of(AddPartitions)
    assert {request.transactional_id for request in added} == {"d-d.requests-0-b"}
    assert [request.topics[0][0] for request in added] == [ANSWERS.topic, LETTERS.topic] * 3
    assert len(kafka.brokers.of(AddOffsets)) == 2


async def test_what_was_left_open_and_not_committed_is_aborted():
    tail = Tail(LastAnswer(39, 3), None, open={7: ["d.predictions"]}, first_open=41)
    kafka = Kafka(OURS, tail, predictions=90)
    await kafka.partition().open()
    assert [request.is_commit for request in kafka.brokers.of(EndTransaction)] == [False, False]


async def test_an_offset_whose_marker_is_lost_is_committed_again_by_each_id_before_anything_is_answered():
    kafka = Kafka(OURS, Tail(LastAnswer(44, 4), None))
    partition = kafka.partition()
    assert await partition.open() == Position(45, 4)
    again = ["CommitOffsetInTransaction", "EndTransactionAndEpoch"] * 2
    assert kafka.order == ["InitProducerId", "InitProducerId", "committed", *again, "seek 45"]
    sent = [(one.transactional_id, one.topics[0][1][0][1]) for one in kafka.brokers.of(CommitOffsetInTransaction)]
    assert sent == [("d-d.requests-0", 45), ("d-d.requests-0-b", 45)]
    assert all(one.is_commit for one in kafka.brokers.of(EndTransactionAndEpoch))
    kafka._committed = OURS._replace(offset=45)
    await partition.close()
    kafka.order.clear()
    await partition.open()
    assert not set(again) & set(kafka.order), "it is lost no more"


async def test_at_least_once_the_offset_is_committed_behind_the_answers_one_after_the_other():
    kafka = Kafka(Committed(40, 3, is_ours=True))
    partition = kafka.partition(delivery="at_least_once")
    assert await partition.open() == Position(40, 3)
    for offset in (41, 42):
        await partition.commit(Transaction([(b"k", b"v", [])], [], offset, 3, None))
    await partition.close()
    assert [what for what in kafka.order if what.startswith("commit ")] == ["commit 41", "commit 42"]
    assert kafka.brokers.names == ["InitProducerId", "Produce", "Produce"]


async def test_a_denial_names_the_rights_that_are_missing_and_all_else_is_a_doubt():
    kafka = Kafka(OURS)
    kafka.brokers.script[InitProducerId] = [TopicAuthorizationFailedError.errno]
    with pytest.raises(Denied):
        await kafka.partition().open()
    kafka.brokers.script[InitProducerId] = [42]
    with pytest.raises(Doubt, match=r"fencing d\.requests-0: .*InvalidRequest"):
        await kafka.partition().open()


async def test_a_generation_is_bounded_by_what_fits_where_nobody_bounds_it():
    assert await _unbounded(0) == 2**64 - 1
