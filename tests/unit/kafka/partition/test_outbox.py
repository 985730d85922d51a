"""What a partition's answers become: record batches whose state follows everything that was written before."""

import pytest
from aiokafka.record.memory_records import MemoryRecords

from fakes.transactions import ANSWERS, FakeBrokers, FakeGroup, producing
from hotswap.batch import Alike, RecordBatch
from hotswap.codec.packed import Packed, pack
from hotswap.kafka.partition.outbox import Outbox
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.wire.messages import Produce
from hotswap.settings import Settings


async def outbox(brokers, batch_bytes=300, **settings):
    producers = Alternating([await producing(brokers, name) for name in ("a", "b")], FakeGroup())
    return Outbox(producers, Settings(deployment="d", **settings), 0, batch_bytes), producers


@pytest.mark.parametrize("is_sent", [False, True])
async def test_the_stamp_follows_what_was_written_however_much_of_it_is_sent(is_sent):
    box, producers = await outbox(FakeBrokers(1))
    producers.now._sequences[ANSWERS] = (1 << 31) - 4
    assert box.stamp == (7, 3, (1 << 31) - 4, True, 300)
    box.write([RecordBatch(memoryview(bytes(100)), 3)], [(None, b"refused", [])])
    box.write([(None, b"answer", [])], [])
    if is_sent:
        await box.acknowledged()
    assert box.stamp.sequence == 0
    box.write([RecordBatch(memoryview(bytes(100)), 5)], [])
    assert box.stamp.sequence == 5
    await box.acknowledged()


async def test_at_least_once_a_record_batch_is_outside_of_any_transaction():
    box, _ = await outbox(FakeBrokers(), delivery="at_least_once")
    assert not box.stamp.is_transactional


async def test_records_are_sent_whole_and_in_order_in_batches_that_the_topic_takes():
    brokers = FakeBrokers()
    box, _ = await outbox(brokers)
    given = [(b"key %d" % n, b"x" * n, [("source", b"%d" % n)]) for n in [*range(20), 1_000, 1]] + [(None, None, [])]
    box.write(given, [])
    await box.acknowledged()
    batches = []
    for request in brokers.of(Produce):
        ((topic, ((partition, data, _),), _),) = request.topics
        assert (topic, partition) == ANSWERS
        batches.append((list(MemoryRecords(bytes(data)).next_batch()), len(data)))
    assert all(size <= 300 or len(records) == 1 for records, size in batches)
    assert [(r.key, r.value, list(r.headers)) for records, _ in batches for r in records] == given
    assert len(batches) < len(given) / 2


async def test_whether_a_transaction_has_answers_is_known_until_it_is_acknowledged():
    box, _ = await outbox(FakeBrokers())
    box.write([], [])
    assert not box.has_answers
    box.write([], [(None, b"refused", [])])
    box.write([], [])
    assert box.has_answers
    await box.acknowledged()
    assert not box.has_answers


async def test_answers_that_are_alike_are_one_record_batch_with_the_stamp_of_the_producer():
    brokers = FakeBrokers()
    box, _ = await outbox(brokers, 900_000)
    headers = [("generation", b"1"), ("operation", b"score")]
    values = [b"%d" % offset for offset in range(4_000)]
    box.write(Alike([None] * 4_000, Packed(pack(values)), range(4_000), headers, b"d.requests-0-"), [])
    assert box.has_answers
    await box.acknowledged()
    (request,) = brokers.of(Produce)
    ((_, ((_, data, _),), _),) = request.topics
    assert [record.value for record in MemoryRecords(bytes(data)).next_batch()] == values
