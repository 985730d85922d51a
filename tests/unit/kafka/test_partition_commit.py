"""A partition's commit whose records are all rejected, as by a broker that has forgotten the producer."""

import asyncio
import gc
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from hotswap.batch import Limits, Transaction
from hotswap.errors import Doubt, TopicMismatch
from hotswap.kafka.outbox import Outbox
from hotswap.kafka.partition import Cluster, KafkaPartition, State
from hotswap.settings import Settings


class Forgotten:
    """A producer of which each batch fails."""

    def __init__(self, error=None):
        self._error = error or KafkaError("the producer id is not known")

    def create_batch(self):
        return SimpleNamespace(_builder=SimpleNamespace(append=lambda *_: True))

    async def send_batch(self, *_, **__):
        failing = asyncio.get_running_loop().create_future()
        failing.set_exception(self._error)
        return failing


def give(partition, producer):
    partition._state, partition._producer = State.OPEN, producer
    partition._outbox = Outbox(producer, partition._settings, 0, 300)


async def test_a_commit_of_which_every_batch_fails_is_one_doubt_and_leaves_no_traceback_in_the_log():
    left = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: left.append(told["message"]))
    settings = Settings(deployment="d", delivery="at_least_once")
    membership = SimpleNamespace(inbox=lambda _: None, warnings={})
    cluster = Cluster(settings=settings, membership=membership, admin=None, tail=None, batch_bytes=300)
    partition = KafkaPartition(cluster, 0)
    give(partition, Forgotten())
    record = (b"k", b"v", [])
    with pytest.raises(Doubt, match="the producer id is not known"):
        await partition.commit(Transaction([record], [record], 2, 1, 0))
    del partition, cluster
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

    settings = Settings(deployment="d", delivery="at_least_once")
    membership = SimpleNamespace(inbox=lambda _: SimpleNamespace(close=list), warnings={})
    cluster = Cluster(settings=settings, membership=membership, admin=Admin(), tail=None, batch_bytes=300)
    partition = KafkaPartition(cluster, 0)
    give(partition, Forgotten(MessageSizeTooLargeError()))
    with pytest.raises(Doubt):
        await partition.commit(Transaction([(b"k", b"v", [])], [], 2, 1, None))
    for _ in range(2):
        partition._state = State.CLOSED
        with pytest.raises(TopicMismatch, match=r"raise max\.message\.bytes"):
            await partition.open()
    Admin.most = Limits(2_000_000, 2_000_000)
    await partition._rejections.check()
    assert partition.limits == Limits(2_000_000, 2_000_000)
