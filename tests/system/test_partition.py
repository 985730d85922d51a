"""One partition on a real Kafka: transactions that begin while the host scores, and how they end."""

import asyncio
import contextlib
import gc
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import StaleMetadata
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from harness.audit import read
from hotswap.batch import Alike, BatchAnswers, Position, RecordBatch, Transaction
from hotswap.codec.packed import Packed, pack
from hotswap.errors import Doubt
from hotswap.kafka.group.inbox import Inbox
from hotswap.kafka.partition.partition import Cluster, KafkaPartition
from hotswap.kafka.partition.tail import AnswersTail
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import committed_at
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.transactions.producer import Nobody
from hotswap.kafka.wire.brokers import Brokers


class Membership:
    """A group of one, without a poller."""

    def __init__(self, name):
        self.warnings = {}
        self.group = Nobody(name)

    def inbox(self, number):
        return Inbox(number, max_bytes=1_000, deployment="d")

    def seek(self, inbox, offset):
        inbox.open(offset)


@pytest.fixture
async def cluster(deployment):
    """What a partition of the deployment needs."""
    tail = AnswersTail(deployment.settings)
    async with Admin.connect(deployment.settings) as admin:
        await tail.start()
        brokers = await Brokers(deployment.settings).start()
        await brokers.watch()
        membership = Membership(deployment.settings.group_id)
        around = {"membership": membership, "admin": admin, "tail": tail, "brokers": brokers}
        yield Cluster(settings=deployment.settings, **around, batch_bytes=900_000)
        await brokers.stop()
        await tail.stop()


def only(cluster, monkeypatch, version):
    """Have transactions of this version, whatever the cluster says."""
    monkeypatch.setattr(Brokers, "look", lambda _: asyncio.sleep(0))
    cluster.brokers.transaction_version = version


def answer(position):
    headers = [("source", b"requests-0-%d" % (position.offset - 1)), ("generation", b"%d" % position.floor)]
    return Transaction([(None, b"answer %d" % position.offset, headers)], [], position.offset, position.floor, None)


def visible(cluster):
    """Return what a reader of committed records gets now."""
    return [record.value() for record in read(cluster.settings.kafka, cluster.settings.topics.predictions)]


async def predictions(cluster):
    """Return the same once no transaction is open any more: a commit returns before its markers are written."""
    for number in range(await cluster.admin.partitions(cluster.settings.topics.requests)):
        await Alternating.of_partition(cluster.settings, cluster.brokers, cluster.membership.group, number).init()
    return visible(cluster)


async def committed(cluster):
    settings = cluster.settings
    return (await cluster.admin.committed(settings.group_id, settings.topics.requests, [0]))[0].offset


async def test_batches_are_committed_one_after_the_other(cluster):
    source = KafkaPartition(cluster, 0)
    await source.open()
    for position in (Position(1, 1), Position(2, 1), Position(3, 2)):
        await source.commit(answer(position))
    await source.close()
    assert await predictions(cluster) == [b"answer 1", b"answer 2", b"answer 3"]
    assert await committed(cluster) == 3


async def test_a_worker_that_opens_its_first_partition_asks_for_no_offsets_of_topics_it_does_not_know(
    deployment, cluster, monkeypatch
):
    ask, missed = Fetcher._proc_offset_requests, []

    async def listen(fetcher, timestamps):
        try:
            return await ask(fetcher, timestamps)
        except StaleMetadata as error:
            missed.append(error)
            raise

    source = KafkaPartition(cluster, 0)
    await source.open()
    await source.commit(answer(Position(1, 1)))
    await source.close()
    monkeypatch.setattr(Fetcher, "_proc_offset_requests", listen)
    async with Admin.connect(deployment.settings) as admin, contextlib.AsyncExitStack() as ends:
        tail = await AnswersTail(deployment.settings).start()
        ends.push_async_callback(tail.stop)
        fresh = KafkaPartition(replace(cluster, admin=admin, tail=tail), 0)
        assert await fresh.open() == Position(1, 1)
        await fresh.close()
    assert missed == []


@pytest.mark.parametrize("version", [1, 2])
async def test_an_offset_of_an_older_transaction_that_ends_later_does_not_replace_a_newer_one(
    cluster, monkeypatch, version
):
    only(cluster, monkeypatch, version)
    both = Alternating.of_partition(cluster.settings, cluster.brokers, cluster.membership.group, 0)
    await both.init()
    older, newer = both.producers
    where = TopicPartition(cluster.settings.topics.requests, 0)
    await older.offset(where, committed_at(8, 1))
    await newer.offset(where, committed_at(9, 1))
    await newer.end(is_commit=True)
    await older.end(is_commit=True)
    await predictions(cluster)  # once their markers are written
    assert await committed(cluster) == 9


@pytest.mark.parametrize("version", [1, 2])
async def test_what_was_written_and_never_committed_is_answered_again_by_the_next_owner(cluster, monkeypatch, version):
    only(cluster, monkeypatch, version)
    first, second = KafkaPartition(cluster, 0), KafkaPartition(cluster, 0)
    await first.open()
    for number in (1, 2):  # by each of its producers
        await first.commit(answer(Position(number, 1)))
    first.write(BatchAnswers(answer(Position(3, 1)).predictions, []))
    await first._producers.now.acknowledged()
    await first._producers.now.offset(first._key, committed_at(3, 1))
    await first.close()
    assert await second.open() == Position(2, 1)
    await second.commit(answer(Position(3, 1)))
    await second.close()
    assert await predictions(cluster) == [b"answer 1", b"answer 2", b"answer 3"]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("is_begun", [False, True], ids=["before it begins", "within a transaction"])
async def test_a_producer_that_is_fenced_is_one_doubt_and_leaves_no_traceback_in_the_log(
    cluster, monkeypatch, is_begun, version
):
    only(cluster, monkeypatch, version)
    left = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: left.append(told))
    first, second = KafkaPartition(cluster, 0), KafkaPartition(cluster, 0)
    await first.open()
    batch = answer(Position(1, 1))
    if is_begun:  # the partition of the predictions is in the transaction, that of the dead letters is not
        first.write(BatchAnswers(batch.predictions, []))
        await first._producers.now.acknowledged()
        batch = batch._replace(predictions=(), dead_letters=batch.predictions)
    await second.open()
    with pytest.raises(Doubt, match=r"ProducerFenced|InvalidProducerEpoch"):
        await first.commit(batch)
    await first.close()
    await second.close()
    del first, second
    gc.collect()
    await asyncio.sleep(0)
    assert left == []


async def test_at_least_once_the_offset_follows_behind_and_is_there_once_the_partition_is_closed(cluster):
    settings, calls = cluster.settings.model_copy(update={"delivery": "at_least_once"}), []
    may_commit = asyncio.Event()

    async def commit(offsets):
        await may_commit.wait()
        calls.append(offsets)

    known = cluster.membership
    membership = SimpleNamespace(inbox=known.inbox, seek=known.seek, group=known.group, commit=commit, warnings={})
    one = replace(cluster, settings=settings, membership=membership)
    source = KafkaPartition(one, 0)
    await source.open()
    await source.commit(answer(Position(1, 1)))
    assert calls == []
    closing = asyncio.ensure_future(source.close())
    may_commit.set()
    await closing
    assert [offset.offset for (offset,) in map(dict.values, calls)] == [1]
    assert await predictions(cluster) == [b"answer 1"]


@pytest.mark.parametrize("size", [3, 4])
async def test_a_producers_sequence_wraps_past_the_largest_within_a_transaction_and_between_two(
    cluster, size, monkeypatch
):
    answers = TopicPartition(cluster.settings.topics.predictions, 0)
    one = replace(cluster, batch_bytes=300)  # each answer is a separate produce request
    only(cluster, monkeypatch, 1)  # in version 2, those of each transaction begin at 0
    source = KafkaPartition(one, 0)
    await source.open()
    for producer in source._producers.producers:  # a broker accepts any first sequence from one that it does not know
        producer._sequences[answers] = 2**31 - 5
    offsets = range(0, 3 * size, size)
    for first in offsets:
        records = [answer(Position(first + n + 1, 1)).predictions[0] for n in range(size)]
        await source.commit(Transaction(records, [], first + size, 1, None))
    await source.close()
    assert await predictions(cluster) == [b"answer %d" % (n + 1) for n in range(3 * size)]
    assert await committed(cluster) == 3 * size


async def test_the_batches_of_a_transaction_become_visible_together_and_the_last_ones_offset_counts(cluster):
    source = KafkaPartition(cluster, 0)
    await source.open()
    for first in (1, 2):
        source.write(BatchAnswers(answer(Position(first, 1)).predictions, []))
    assert visible(cluster) == []
    await source.commit(answer(Position(3, 1)))
    source.write(BatchAnswers(answer(Position(4, 1)).predictions, []))
    await source.close()
    assert await source.open() == Position(3, 1)
    await source.close()
    assert await predictions(cluster) == [b"answer 1", b"answer 2", b"answer 3"]


def finished(stamp, first, count):
    """Return the record batch of the answers from `first` on, as a host writes it."""
    state = (stamp.producer_id, stamp.producer_epoch, stamp.sequence)
    builder = DefaultRecordBatchBuilder(2, 0, int(stamp.is_transactional), *state, batch_size=100_000)
    now_ms = int(time.time() * 1000)  # older than a topic's retention, the broker may delete them before others come
    for number in range(count):
        ((key, value, headers),) = answer(Position(first + number + 1, 1)).predictions
        assert builder.append(number, now_ms, key, value, headers)
    return RecordBatch(memoryview(bytes(builder.build())), count)


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_finished_record_batches_are_accepted_between_records_in_the_sequence_of_their_producer(
    cluster, compression
):
    settings = cluster.settings.model_copy(update={"compression": compression})
    source = KafkaPartition(replace(cluster, settings=settings), 0)
    await source.open()
    for first in (0, 15):
        early = source.stamp
        source.write(BatchAnswers([finished(early, first, 5)], []))
        assert source.stamp.sequence == (early.sequence + 5) % 2**31
        source.write(BatchAnswers(answer(Position(first + 6, 1)).predictions, []))
        # One that was finished too early is finished again.
        source.write(BatchAnswers([finished(early, first + 6, 4)], []))
        position = Position(first + 15, 1)
        await source.commit(Transaction([finished(source.stamp, first + 10, 5)], [], position.offset, 1, None))
    await source.close()
    assert await predictions(cluster) == [b"answer %d" % (n + 1) for n in range(30)]
    assert await committed(cluster) == 30


async def test_predictions_as_columns_are_accepted_in_one_transaction_with_others(cluster):
    source = KafkaPartition(cluster, 0)
    await source.open()
    keys, offsets = [None, b"k"] * 3_000, range(6_000)
    values = Packed(pack([b"%d" % offset for offset in offsets]))
    alike = Alike(keys, values, offsets, [("generation", b"1"), ("operation", b"score")], b"d.requests-0-")
    source.write(BatchAnswers(alike, []))
    source.write(BatchAnswers([(None, b"alone", [])], []))
    small = Alike([None] * 2, Packed(pack([b"few", b"er"])), [6_001, 6_002], alike.headers, alike.place)
    await source.commit(Transaction(small, [], 6_003, 1, None))
    await source.close()
    await predictions(cluster)
    found = read(cluster.settings.kafka, cluster.settings.topics.predictions)
    assert [message.value() for message in found] == [*values, b"alone", b"few", b"er"]
    assert [message.key() for message in found[:6_000]] == keys
    expected = [[*alike.headers, ("source", b"d.requests-0-%d" % offset)] for offset in offsets]
    assert [message.headers() for message in found[:6_000]] == expected


async def test_partitions_that_open_side_by_side_ask_once_for_what_concerns_all_and_fetch_no_metadata(
    cluster, monkeypatch
):
    asked, fetched = [], []
    describe, update = cluster.admin._client.describe, AIOKafkaClient._metadata_update

    async def describing(topics):
        asked.append(topics)
        return await describe(topics)

    async def updating(client, *given):
        fetched.append(client)
        return await update(client, *given)

    monkeypatch.setattr(cluster.admin._client, "describe", describing)
    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", updating)
    sources = [KafkaPartition(cluster, number) for number in range(4)]
    assert await asyncio.gather(*(source.open() for source in sources)) == [Position(0)] * 4
    for source in sources:
        await source.commit(answer(Position(1, 1)))
    assert len(asked) == 1
    assert cluster.brokers._client not in fetched
    await asyncio.gather(*(source.close() for source in sources))
    assert len(await predictions(cluster)) == 4
