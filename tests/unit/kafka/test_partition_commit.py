"""A partition's commit whose records are all rejected, as by a broker that has forgotten the producer."""

import asyncio
import gc
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaError

from hotswap.batch import Transaction
from hotswap.errors import Doubt
from hotswap.kafka.partition import Cluster, KafkaPartition, State
from hotswap.settings import Settings


class Forgotten:
    """A producer of which each batch fails."""

    def create_batch(self):
        return SimpleNamespace(_builder=SimpleNamespace(append=lambda *_: True))

    async def send_batch(self, *_, **__):
        failing = asyncio.get_running_loop().create_future()
        failing.set_exception(KafkaError("the producer id is not known"))
        return failing


async def test_a_commit_of_which_every_batch_fails_is_one_doubt_and_leaves_no_traceback_in_the_log():
    left = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: left.append(told["message"]))
    settings = Settings(deployment="d", delivery="at_least_once")
    membership = SimpleNamespace(inbox=lambda _: None, warnings={})
    cluster = Cluster(settings=settings, membership=membership, admin=None, tail=None, batch_bytes=300)
    partition = KafkaPartition(cluster, 0)
    partition._state, partition._producer = State.OPEN, Forgotten()
    record = (b"k", b"v", [])
    with pytest.raises(Doubt, match="the producer id is not known"):
        await partition.commit(Transaction([record], [record], 2, 1, 0))
    del partition, cluster
    gc.collect()
    await asyncio.sleep(0)
    assert left == []
