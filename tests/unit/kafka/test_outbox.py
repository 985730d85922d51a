"""What a finished record batch must bear to follow everything that its producer has been given."""

import asyncio
from types import SimpleNamespace

import pytest

from hotswap.batch import RecordBatch
from hotswap.kafka.outbox import Outbox
from hotswap.settings import Settings


class Producer:
    """A producer that sends nothing by itself; `take` is what aiokafka does when it takes a batch from its queue."""

    def __init__(self, sequence):
        self.sequence, self.queue = sequence, []
        self._txn_manager = SimpleNamespace(
            producer_id=7, producer_epoch=2, sequence_number=lambda _: self.sequence % (1 << 31)
        )

    def create_batch(self):
        return SimpleNamespace(_builder=SimpleNamespace(append=lambda *_: True), record_count=lambda: 1)

    async def send_batch(self, batch, topic, *, partition):
        self.queue.append((topic, batch.record_count()))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def take(self):
        topic, count = self.queue.pop(0)
        self.sequence += count if topic == "d.predictions" else 0


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_the_stamp_follows_what_was_written_however_much_of_it_is_sent(taken):
    producer = Producer((1 << 31) - 4)
    outbox = Outbox(producer, Settings(deployment="d"), 0, 300)
    assert outbox.stamp == (7, 2, (1 << 31) - 4, True, 300)
    await outbox.write([RecordBatch(memoryview(bytes(100)), 3)], [(None, b"refused", [])])
    await outbox.write([(None, b"answer", [])], [])
    for _ in range(taken):
        producer.take()
    assert outbox.stamp.sequence == 0
    while producer.queue:
        producer.take()
    await outbox.acknowledged()
    assert outbox.stamp.sequence == 0
    await outbox.write([RecordBatch(memoryview(bytes(100)), 5)], [])
    assert outbox.stamp.sequence == 5


async def test_at_least_once_a_record_batch_is_outside_of_any_transaction():
    settings = Settings(deployment="d", delivery="at_least_once")
    assert not Outbox(Producer(0), settings, 0, 300).stamp.is_transactional
