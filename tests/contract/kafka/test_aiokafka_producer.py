"""How a producer behaves as kafka/internals.py changes it: what it sends, and what becomes of its failures."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ConcurrentTransactions,
    CorrelationIdError,
    InvalidProducerIdMapping,
    KafkaConnectionError,
    NotEnoughReplicasError,
    ProducerFenced,
)
from aiokafka.producer import sender as of_aiokafka
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata

from hotswap.errors import Doubt
from hotswap.kafka.connection import doubting
from hotswap.kafka.internals import add_to_transaction
from hotswap.kafka.outbox import Outbox, new_producer
from hotswap.settings import Settings

ANSWERS, OFFSET = TopicPartition("d.predictions", 0), TopicPartition("d.requests", 0)
SETTINGS = Settings(deployment="d")


@pytest.fixture
async def producer(monkeypatch):
    """The producer of a partition, as if it were connected and in a transaction; it gets what the brokers answer."""
    made: AIOKafkaProducer = new_producer(SETTINGS, 0, 300)
    made._txn_manager.set_pid_and_epoch(1, 1)
    made._txn_manager.begin_transaction()
    yield made
    made._closed = True


async def test_a_transaction_that_follows_closely_is_tried_again_after_one_millisecond(producer):
    handler = of_aiokafka.AddPartitionsToTxnHandler(producer._sender, {ANSWERS})
    answer = SimpleNamespace(errors=[(ANSWERS.topic, [(0, ConcurrentTransactions.errno)])])
    assert handler.handle_response(answer) == 0.001


async def test_what_a_broker_refuses_for_the_moment_is_sent_again_after_five_milliseconds(producer, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    async def nothing():
        pass

    refused = SimpleNamespace(API_VERSION=7, topics=[(ANSWERS.topic, [(0, NotEnoughReplicasError.errno, -1, -1, -1)])])

    async def send(*_):
        return refused

    monkeypatch.setattr(of_aiokafka.asyncio, "sleep", sleep)
    monkeypatch.setattr(producer.client, "send", send)
    monkeypatch.setattr(producer.client, "_maybe_wait_metadata", nothing)
    monkeypatch.setattr(producer._message_accumulator, "reenqueue", lambda _: None)
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"an answer")
    waiting = SimpleNamespace(get_data_buffer=batch._build, retry_count=0)
    await of_aiokafka.SendProduceReqHandler(producer._sender, {ANSWERS: waiting}).do(0)
    assert slept == [0.005]


async def test_the_client_itself_is_not_made_as_hasty_as_the_sender(producer):
    assert producer.client._retry_backoff == 0.1


async def test_a_producer_that_the_broker_has_forgotten_is_fenced_and_no_unexpected_error(producer):
    handler = of_aiokafka.AddPartitionsToTxnHandler(producer._sender, {ANSWERS})
    forgotten = SimpleNamespace(errors=[(ANSWERS.topic, [(0, InvalidProducerIdMapping.errno)])])
    with pytest.raises(ProducerFenced, match="forgotten this producer"):
        handler.handle_response(forgotten)


async def test_what_ends_a_sender_is_one_line_in_the_log_and_the_reason_of_the_doubt(producer, monkeypatch, caplog):
    async def lookup(*_):
        raise KafkaConnectionError("the broker is gone")

    monkeypatch.setattr(producer.client, "coordinator_lookup", lookup)
    await producer._sender.start()
    with pytest.raises(Doubt, match="the broker is gone"):
        async with doubting(5, "beginning"):
            await producer.send_offsets_to_transaction({ANSWERS: OffsetAndMetadata(7, "")}, "d")
    (line,) = [record for record in caplog.records if "sender routine" in record.message]
    assert line.exc_info is None
    assert "the broker is gone" in line.message


async def test_a_batch_that_is_to_be_sent_again_when_its_producer_fails_leaves_no_traceback(producer):
    said, loop, accumulator = [], asyncio.get_running_loop(), producer._message_accumulator
    loop.set_exception_handler(lambda _, context: said.append(context))
    answer = await accumulator.add_message(ANSWERS, None, b"an answer", 1)
    accumulator.reenqueue(accumulator._pop_batch(ANSWERS))

    async def fails():
        raise KafkaConnectionError("the broker is gone")

    failing = asyncio.create_task(fails())
    failing.add_done_callback(producer._sender._fail_all)
    with pytest.raises(KafkaConnectionError, match="the broker is gone"):
        await answer
    await asyncio.sleep(0)
    assert not said


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("TxnOffsetCommitRequest", lambda of: of.send_offsets_to_transaction({ANSWERS: OffsetAndMetadata(7, "")}, "d")),
        ("EndTxnRequest", lambda of: of.commit_transaction()),
    ],
)
@pytest.mark.parametrize("error", [KafkaConnectionError, CorrelationIdError, TimeoutError])
async def test_what_ends_a_transaction_is_not_sent_again_after_an_error(producer, monkeypatch, name, end, error):
    sent = []

    def send(request, **_):
        sent.append(type(request).__name__)
        broken = asyncio.get_running_loop().create_future()
        broken.set_exception(error("the connection was cut"))
        return broken

    async def answer(*_, **__):
        return 1

    connection = SimpleNamespace(send=send, close=lambda reason: None)
    monkeypatch.setattr(producer.client, "_conns", defaultdict(lambda: connection))
    monkeypatch.setattr(producer.client, "ready", answer)
    monkeypatch.setattr(producer.client, "coordinator_lookup", answer)
    producer._txn_manager.consumer_group_added("d")
    await producer._sender.start()
    with pytest.raises(Doubt):
        async with doubting(5, "committing"):
            await end(producer)
    assert sent == [name]


@pytest.fixture
def steps(producer, monkeypatch):
    """The requests of a transaction by which its partition, its group and its offset get to the broker, in order."""
    manager, sent = producer._txn_manager, []

    def step(name, then):
        async def run(*_):
            sent.append(name)
            then()

        monkeypatch.setattr(producer._sender, f"_do_{name}", run)

    step("add_offsets_to_txn", lambda: manager.consumer_group_added("d"))
    step("add_partitions_to_txn", lambda: manager.partition_added(ANSWERS))
    step("txn_offset_commit", lambda: manager.offset_committed(OFFSET, 7, "d"))
    return sent


async def send_all(producer):
    while (task := producer._sender._maybe_do_transactional_request()) is not None:
        await task


async def send_offset(producer):
    sent = asyncio.ensure_future(producer.send_offsets_to_transaction({OFFSET: OffsetAndMetadata(7, "")}, "d"))
    await asyncio.sleep(0)
    await send_all(producer)
    await sent


async def test_a_partition_is_added_before_the_group_and_the_offset_is_sent_last(producer, steps):
    add_to_transaction(producer, ANSWERS)
    await send_offset(producer)
    assert steps == ["add_partitions_to_txn", "add_offsets_to_txn", "txn_offset_commit"]


async def test_a_partition_that_is_added_has_the_group_added_once_too_before_there_is_an_offset(producer, steps):
    await send_all(producer)
    assert steps == []
    add_to_transaction(producer, ANSWERS)
    await send_all(producer)
    assert steps == ["add_partitions_to_txn", "add_offsets_to_txn"]
    await send_offset(producer)
    assert steps == ["add_partitions_to_txn", "add_offsets_to_txn", "txn_offset_commit"]


async def test_records_are_sent_whole_and_in_order_in_batches_that_the_topic_takes(producer, monkeypatch):
    batches = []

    async def send_batch(batch, *_, **__):
        batches.append((batch.record_count(), bytes(batch._build())))
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(producer, "send_batch", send_batch)
    given = [(b"key %d" % n, b"x" * n, [("source", b"%d" % n)]) for n in [*range(20), 1_000, 1]] + [(None, None, [])]
    await Outbox(producer, SETTINGS, 0, 300).write(given, [])
    assert all(len(content) <= 300 or count == 1 for count, content in batches)
    sent = [(r.key, r.value, list(r.headers)) for _, content in batches for r in MemoryRecords(content).next_batch()]
    assert sent == given
    assert sum(count for count, _ in batches) == len(given)
    assert len(batches) < len(given) / 2


async def test_the_sequence_of_a_partition_goes_on_at_0_behind_the_largest(producer):
    manager = producer._txn_manager
    manager._sequence_numbers[ANSWERS] = 2**31 - 2
    manager.increment_sequence_number(ANSWERS, 1)
    assert manager.sequence_number(ANSWERS) == 2**31 - 1
    manager.increment_sequence_number(ANSWERS, 3)
    assert manager.sequence_number(ANSWERS) == 2
