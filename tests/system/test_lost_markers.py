"""What a killed broker leaves open of a transaction ends as the transaction did, on a real Kafka."""

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from hotswap.batch import Position, Stamp, Transaction
from hotswap.client.abort import Which, abort, read_hanging
from hotswap.client.doctor import examine
from hotswap.client.findings import Level
from hotswap.errors import UsageError
from hotswap.kafka.client.error_codes import TransactionAbortableError
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.batches import packed

CHECK = "transaction.partition.verification.enable"
"""With it, a broker refuses records of a transaction that its coordinator does not know."""


@pytest.fixture
async def unchecked(kafka, partition):
    """Kafka takes what no transaction is open for, which then is as if a broker had lost the markers."""
    await partition.publish(*(b"%d" % number for number in range(10)))  # an answer is to a request that exists
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def alter(operation):
        entry = ConfigEntry(CHECK, "false", incremental_operation=operation)
        broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        for done in admin.incremental_alter_configs([broker]).values():
            done.result()

    alter(AlterConfigOpType.SET)
    yield
    alter(AlterConfigOpType.DELETE)


def answers(partition, *offsets):
    source = f"{partition.settings.topics.requests}-0-"
    return [(None, b"%d" % at, [("source", f"{source}{at}".encode()), ("generation", b"1")]) for at in offsets]


@asynccontextmanager
async def opened(partition):
    """A source, and the position that it was opened at."""
    source = partition.source()
    try:
        yield source, await source.open()
    finally:
        await source.close()


async def commit_once(partition, position, *offsets):
    async with opened(partition) as (source, _):
        await source.commit(Transaction(answers(partition, *offsets), [], position.offset, position.floor, None))


@asynccontextmanager
async def producing(partition, which=0):
    """One of the producers of the partition's next owner."""
    cluster = partition.cluster
    producers = Alternating.of_partition(cluster.settings, cluster.brokers, cluster.membership.group, 0)
    await producers.init()
    try:
        yield producers.producers[which]
    finally:
        await producers.discard()


async def send(producer, topic, records, age_s=0.0):
    """Have a producer write each record by itself."""
    stamp = Stamp(-1, -1, -1, is_transactional=True, max_bytes=1 << 20)
    for record in records:
        producer.produce(TopicPartition(topic, 0), packed([record], int(1_000 * (time.time() - age_s)), stamp))
    await producer.acknowledged()


async def leave_open(partition, topic, records, which=0, age_s=0.0):
    """Write records for which no transaction is open: the coordinator is told of none."""
    async with asyncio.timeout(30):
        while True:
            async with producing(partition, which) as producer:
                partition.cluster.brokers.transaction_version = 1
                producer._open()
                producer._added.add(TopicPartition(topic, 0))
                with contextlib.suppress(TransactionAbortableError):  # it is still checked
                    await send(producer, topic, records, age_s)
                    return producer.id


def ends_in(caplog):
    return [record.message for record in caplog.records if record.message.startswith("partition.open_records")]


async def goes_on(partition, position):
    """Whether the next owner begins at a position, and answers two requests there; nothing is open then."""
    after = Position(position.offset + 2, position.floor)
    async with opened(partition) as (source, found):
        assert found == position
        letters = answers(partition, position.offset + 1)
        await source.commit(Transaction(answers(partition, position.offset), letters, after.offset, after.floor, None))
    assert await partition.committed() == after
    assert await partition.end(read_committed=True) == await partition.end(read_committed=False)


@pytest.mark.usefixtures("unchecked")
async def test_dead_letters_that_are_left_open_are_committed_where_the_offset_is_past_them(partition, caplog):
    await commit_once(partition, Position(4, 1), 0, 1, 3)
    await leave_open(partition, partition.settings.topics.dead_letters, answers(partition, 2))
    await goes_on(partition, Position(4, 1))
    assert ends_in(caplog) == ["partition.open_records_committed"]
    assert await partition.answers() == [b"0", b"1", b"3", b"4"]
    assert await partition.letters() == [b"2", b"5"]


@pytest.mark.usefixtures("unchecked")
async def test_predictions_that_are_left_open_are_committed_where_a_later_dead_letter_was(partition, caplog):
    topics = partition.settings.topics
    await commit_once(partition, Position(1, 1), 0)
    async with producing(partition) as producer:
        await send(producer, topics.dead_letters, answers(partition, 3))
        await producer.end(is_commit=True)
    await leave_open(partition, topics.predictions, answers(partition, 1, 2, 4))
    await goes_on(partition, Position(5, 1))
    assert ends_in(caplog) == ["partition.open_records_committed"]
    assert await partition.answers() == [b"0", b"1", b"2", b"4", b"5"]
    assert await partition.letters() == [b"3", b"6"]


@pytest.mark.usefixtures("unchecked")
async def test_a_whole_transaction_that_is_left_open_is_aborted_and_answered_again(partition, caplog):
    await commit_once(partition, Position(1, 1), 0)
    await leave_open(partition, partition.settings.topics.predictions, answers(partition, 1, 3))
    await leave_open(partition, partition.settings.topics.dead_letters, answers(partition, 2))
    await goes_on(partition, Position(1, 1))
    assert ends_in(caplog) == ["partition.open_records_aborted"]
    assert await partition.answers() == [b"0", b"1"]
    assert await partition.letters() == [b"2"]


@pytest.mark.usefixtures("unchecked")
async def test_what_is_left_open_is_aborted_where_an_operator_has_set_the_offset(partition, caplog):
    settings = partition.settings
    await commit_once(partition, Position(1, 1), 0)
    async with producing(partition) as producer:
        await producer.offset(TopicPartition(settings.topics.requests, 0), OffsetAndMetadata(9, ""))
        await producer.end(is_commit=True)
    await leave_open(partition, settings.topics.dead_letters, answers(partition, 0, 1))
    async with opened(partition) as (_, found):
        assert found == Position(9, 0)
    assert ends_in(caplog) == ["partition.open_records_aborted"]
    assert await partition.letters() == []


@pytest.mark.usefixtures("unchecked")
async def test_what_is_left_open_and_answers_no_request_is_aborted(partition, caplog):
    await commit_once(partition, Position(1, 1), 0)
    await leave_open(partition, partition.settings.topics.dead_letters, [(None, b"of a stranger", [])])
    await goes_on(partition, Position(1, 1))
    assert ends_in(caplog) == ["partition.open_records_aborted"]
    assert await partition.letters() == [b"2"]


async def hanging(partition):
    """What `hotswap doctor` says of transactions that hang."""
    found = [one async for one in examine(partition.settings) if one.about == "transactions"]
    return [(one.level, one.what, one.advice) for one in found[1:]]


@pytest.mark.usefixtures("unchecked")
async def test_what_hangs_is_named_by_doctor_and_aborted_by_an_operator_and_readers_go_on(partition):
    settings, topic = partition.settings, partition.settings.topics.predictions
    well = (Level.OK, "none has been open for longer than its time-out", "")
    await commit_once(partition, Position(1, 1), 0)
    assert await hanging(partition) == [well]
    stuck = await partition.end(read_committed=True)
    producer = await leave_open(partition, topic, answers(partition, 1, 2), age_s=3_600)
    ((level, what, advice),) = await hanging(partition)
    name = f"{settings.group_id}-{settings.topics.requests}-0"
    assert level is Level.FAULT
    assert what.startswith(f"{topic}, partition 0: producer {producer} (epoch ")
    whose = f"transactional id {name}, an id of this deployment, whose coordinator does not have it open (Empty)"
    assert what.endswith(f"from offset {stuck} on; {whose}")
    words = ("--topic", topic, "--partition", "0", "--producer-id", str(producer))
    assert f"`hotswap abort-transaction {settings.deployment} {' '.join(words)}` ends it" in advice

    assert await partition.end(read_committed=True) == stuck
    with pytest.raises(UsageError, match=r"producer 999999 has no transaction open"):
        await read_hanging(settings, Which(topic, 0, 999_999))
    await abort(settings, await read_hanging(settings, Which(topic, 0, producer)))
    async with asyncio.timeout(10):
        while await partition.end(read_committed=True) != await partition.end(read_committed=False):
            await asyncio.sleep(0.05)
    assert await hanging(partition) == [well]
    assert await partition.answers() == [b"0"]
