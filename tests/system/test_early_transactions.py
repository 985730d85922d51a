"""Transactions of a partition on a real Kafka that are opened before their batch is there."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import TransactionalIdAuthorizationFailed

from faults.one_partition import batch
from hotswap.batch import Position
from hotswap.errors import Denied, Doubt
from hotswap.kafka import transactions
from hotswap.kafka.acls import Right


@asynccontextmanager
async def opened(partition):
    """A source that has committed two batches, one right after the other."""
    source = partition.source()
    await source.open()
    try:
        for offset in (1, 2):
            source.begin(Position(offset, 1))
            await source.commit(batch(Position(offset, 1), b"%d" % offset))
        yield source
    finally:
        await source.close()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def manager_of(source):
    return source._producer._txn_manager


async def test_where_batches_follow_closely_the_next_transaction_has_its_partition_and_group_before_its_batch(
    partition, monkeypatch
):
    monkeypatch.setattr(transactions, "_UNUSED_S", 30.0)
    async with opened(partition) as source:
        await until(lambda: manager_of(source)._txn_consumer_group)
        assert manager_of(source).txn_partitions == {source._transactions._answers}
        assert not manager_of(source)._pending_txn_offsets
        assert await partition.end(read_committed=True) == await partition.end(read_committed=False), "nobody waits"
        source.begin(Position(3, 2))
        await source.commit(batch(Position(3, 2), b"3"))
    assert await partition.answers() == [b"1", b"2", b"3"]
    assert await partition.committed() == Position(3, 2)


async def test_a_batch_that_comes_late_has_its_transaction_opened_when_it_comes(partition, monkeypatch):
    monkeypatch.setattr(transactions, "_CLOSELY_S", 0.0)
    async with opened(partition) as source:
        assert source._transactions._opening is None
        assert not manager_of(source).is_in_transaction()


@pytest.mark.parametrize("is_begun", [True, False])
async def test_a_transaction_without_a_batch_is_ended_soon_and_the_next_batch_has_one_of_its_own(
    partition, monkeypatch, is_begun
):
    monkeypatch.setattr(transactions, "_UNUSED_S", 0.01)
    async with opened(partition) as source:
        await until(lambda: source._transactions._opening is None)
        assert not manager_of(source).is_in_transaction()
        if is_begun:
            source.begin(Position(3, 1))
        await source.commit(batch(Position(3, 1), b"3"))
    assert await partition.answers() == [b"1", b"2", b"3"]
    assert await partition.committed() == Position(3, 1)


async def test_a_transaction_without_a_batch_commits_what_the_one_before_has_left_open(partition, monkeypatch):
    within, is_left = transactions._within, asyncio.Event()

    async def until_left(seconds, event):
        return (
            await (is_left.wait() if seconds == transactions._UNUSED_S else within(seconds, event)) and event.is_set()
        )

    monkeypatch.setattr(transactions, "_within", until_left)
    async with opened(partition) as source:
        await until(lambda: manager_of(source).txn_partitions)
        await source._producer.send_and_wait(partition.settings.topics.predictions, b"left open", partition=0)
        is_left.set()
        await until(lambda: source._transactions._opening is None)
    assert await partition.answers() == [b"1", b"2", b"left open"]


async def test_a_transaction_whose_end_is_in_doubt_has_the_partition_opened_again_without_a_batch(
    partition, monkeypatch
):
    monkeypatch.setattr(transactions, "_UNUSED_S", 0.01)
    source = partition.source(call_timeout_s=1)
    await source.open()
    ends_of_batches = iter([source._producer.commit_transaction] * 2)

    async def end():
        await next(ends_of_batches, asyncio.Event().wait)()

    monkeypatch.setattr(source._producer, "commit_transaction", end)
    for offset in (1, 2):
        source.begin(Position(offset, 1))
        await source.commit(batch(Position(offset, 1), b"%d" % offset))
    with pytest.raises(Doubt, match="giving up the transaction"):
        async with asyncio.timeout(30):
            await source.wait()
    await source.close()
    assert await source.open() == Position(2, 1)
    await source.close()


async def test_a_right_that_is_taken_away_while_a_transaction_waits_for_its_batch_is_named(partition, monkeypatch):
    monkeypatch.setattr(transactions, "_UNUSED_S", 0.01)

    async def denied():
        raise TransactionalIdAuthorizationFailed

    async def missing_rights():
        return [Right("Write", "transactional_id", "of the group-", is_prefix=True)]

    async with opened(partition) as source:
        monkeypatch.setattr(source._producer, "commit_transaction", denied)
        monkeypatch.setattr(source._cluster.admin, "missing_rights", missing_rights)
        with pytest.raises(Denied, match=r"lacks the right Write of transactional id of the group-\*: grant it"):
            async with asyncio.timeout(30):
                await source.wait()


async def test_a_batch_that_comes_while_its_transaction_is_ended_is_committed_in_the_next_one(partition, monkeypatch):
    monkeypatch.setattr(transactions, "_UNUSED_S", 0.01)
    async with opened(partition) as source:
        may_end, ending = asyncio.Event(), asyncio.Event()
        end = source._producer.commit_transaction

        async def slowly():
            ending.set()
            await may_end.wait()
            await end()

        monkeypatch.setattr(source._producer, "commit_transaction", slowly)
        await ending.wait()
        source.begin(Position(3, 1))
        committing = asyncio.create_task(source.commit(batch(Position(3, 1), b"3")))
        may_end.set()
        await committing
    assert await partition.answers() == [b"1", b"2", b"3"]
    assert await partition.committed() == Position(3, 1)


async def test_the_next_owner_of_a_partition_ends_a_transaction_that_waits_for_its_batch(partition, monkeypatch):
    monkeypatch.setattr(transactions, "_UNUSED_S", 30.0)
    async with opened(partition) as source:
        await until(lambda: manager_of(source)._txn_consumer_group)
        heir = partition.source()
        assert await heir.open() == Position(2, 1)
        source.begin(Position(3, 1))
        with pytest.raises(Doubt, match="ProducerFenced"):
            await source.commit(batch(Position(3, 1), b"too late"))
        await heir.commit(batch(Position(3, 1), b"3"))
        await heir.close()
    assert await partition.answers() == [b"1", b"2", b"3"]
    assert await partition.committed() == Position(3, 1)


@pytest.mark.parametrize("is_batch_next", [True, False])
async def test_a_partition_that_is_fenced_between_two_batches_says_so_with_or_without_the_next_one(
    partition, monkeypatch, is_batch_next
):
    monkeypatch.setattr(transactions, "_MARKERS_S", 30.0)
    async with opened(partition) as source:
        heir = partition.source()
        await heir.open()
        await source._transactions._begin()
        await until(manager_of(source).is_fatal_error)
        mine = source._transactions
        next_step = (
            mine._promise(Position(3, 1)) if is_batch_next else mine._give_up(source._producer.commit_transaction)
        )
        with pytest.raises(Doubt, match="ProducerFenced"):
            await next_step
        await heir.close()
