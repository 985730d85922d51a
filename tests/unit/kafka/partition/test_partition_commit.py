"""A partition's commit: what it names, and what becomes of one whose records are all rejected."""

import asyncio
import gc
import json
from types import SimpleNamespace

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from fakes.transactions import FakeBrokers, FakeGroup, producing
from hotswap.batch import BatchAnswers, Limits, Transaction
from hotswap.errors import Doubt, TopicMismatch
from hotswap.kafka.partition.outbox import Outbox
from hotswap.kafka.partition.partition import Cluster, KafkaPartition, SourceState
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.messages import CommitOffset, Produce, ProduceInTransaction
from hotswap.settings import Settings


async def opened(brokers, admin=None, **settings):
    """A partition as if it were open, with producers that are ready."""
    membership = SimpleNamespace(group=FakeGroup(), inbox=lambda _: SimpleNamespace(close=list), warnings={})
    known = Settings(deployment="d", **settings)
    partition = KafkaPartition(
        Cluster(settings=known, membership=membership, admin=admin, tail=None, brokers=brokers, batch_bytes=300), 0
    )
    await give(partition, brokers)
    return partition


async def give(partition, brokers):
    producers = Alternating([await producing(brokers, name) for name in ("a", "b")], FakeGroup())
    partition._state, partition._producers = SourceState.OPEN, producers
    partition._outbox = Outbox(producers, partition._settings, 0, 300)


def answers(next_offset, predictions=(), cut_over_at=None):
    return Transaction(list(predictions), [], next_offset, 1, cut_over_at)


RECORD = (b"k", b"v", [])


async def test_an_offset_names_the_producer_of_the_last_answers_and_the_others_of_the_partition():
    brokers = FakeBrokers()
    partition = await opened(brokers)
    await partition.commit(answers(2, cut_over_at=2))
    partition.write(BatchAnswers([RECORD], []))
    await partition.commit(answers(3))
    await partition.commit(answers(4, [RECORD]))
    await partition.commit(answers(5, cut_over_at=5))
    metadata = [json.loads(sent.topics[0][1][0][3]) for sent in brokers.of(CommitOffset)]
    assert metadata == [
        {"generation": 1},
        {"generation": 1, "producer": 8, "others": [7]},
        {"generation": 1, "producer": 7, "others": [8]},
        {"generation": 1, "producer": 7, "others": [8]},
    ]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_commit_of_which_every_batch_fails_is_one_doubt_and_leaves_no_traceback_in_the_log(delivery):
    left, brokers = [], FakeBrokers()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: left.append(told["message"]))
    partition = await opened(brokers, delivery=delivery)
    brokers.script[Produce] = brokers.script[ProduceInTransaction] = [59] * 9
    with pytest.raises(Doubt, match="UnknownProducerId"):
        await partition.commit(Transaction([RECORD], [RECORD], 2, 1, 0))
    await partition.close()
    del partition
    gc.collect()
    await asyncio.sleep(0)
    assert left == []


async def test_a_partition_whose_commit_its_topics_reject_is_opened_again_once_they_accept_it():
    class Admin:
        most = Limits(1_048_588, 1_048_588)

        async def check_partition(self, _):
            pass

        async def limits(self):
            return self.most

    brokers = FakeBrokers()
    partition = await opened(brokers, Admin())
    brokers.script[ProduceInTransaction] = [MessageSizeTooLargeError.errno]
    with pytest.raises(Doubt):
        await partition.commit(answers(2, [RECORD]))
    for _ in range(2):
        partition._state = SourceState.CLOSED
        with pytest.raises(TopicMismatch, match=r"raise max\.message\.bytes"):
            await partition.open()
    Admin.most = Limits(2_000_000, 2_000_000)
    await partition._rejections.check()
    assert partition.limits == Limits(2_000_000, 2_000_000)


async def test_a_partition_moves_along_its_states_only():
    partition = await opened(FakeBrokers())
    await partition.close()
    with pytest.raises(AssertionError, match="closed -> writing is not a legal transition"):
        partition.write(BatchAnswers([RECORD], []))
