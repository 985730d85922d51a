"""How a producer of a log behaves as kafka/internals.py changes it: its sequence numbers."""

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from hotswap.kafka.writer import LogWriter
from hotswap.settings import Settings

STATUS = TopicPartition("d.status", 0)


@pytest.fixture
async def producer():
    """The producer of a log that is not connected."""
    made: AIOKafkaProducer = LogWriter(Settings(deployment="d"))._producer
    yield made
    made._closed = True


async def test_the_sequence_of_a_partition_goes_on_at_0_behind_the_largest(producer):
    manager = producer._txn_manager
    manager._sequence_numbers[STATUS] = 2**31 - 2
    manager.increment_sequence_number(STATUS, 1)
    assert manager.sequence_number(STATUS) == 2**31 - 1
    manager.increment_sequence_number(STATUS, 3)
    assert manager.sequence_number(STATUS) == 2
