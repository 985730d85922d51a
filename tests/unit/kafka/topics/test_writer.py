"""Where a log's records go, in which batches, and what becomes of those whose batch failed or is in doubt."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.partitioner import DefaultPartitioner

from fakes.transactions import OFFSET, FakeBrokers, settled
from hotswap.errors import Denied, Doubt
from hotswap.kafka.topics import writer as module
from hotswap.kafka.topics.writer import LogWriter
from hotswap.kafka.wire.batches import records_of
from hotswap.kafka.wire.messages import InitProducerId, Produce
from hotswap.recordbatch.header import Header
from hotswap.settings import Settings

TOO_LARGE, OUT_OF_ORDER = 10, 45
SETTINGS = Settings(deployment="d", call_timeout_s=5.0)


class Brokers(FakeBrokers):
    """Brokers of a topic with some partitions, of which some have a leader; `held` answers wait for an event."""

    def __init__(self, numbers=(0,), available=None):
        super().__init__()
        self.numbers, self.available = list(numbers), list(available or numbers)
        self.held = None

    async def partitions(self, topic):
        return self.numbers, self.available

    async def ask(self, node, request):
        answer = await super().ask(node, request)
        if self.held and isinstance(request, Produce):
            await self.held.wait()
        return answer

    @property
    def sent(self):
        """Of each record batch: its partition, producer id, base sequence, and the values of its records."""
        found = []
        for request in self.of(Produce):
            ((_, ((partition, data, _),), _),) = request.topics
            header, values = Header.read(data), [record.value for record in records_of(bytes(data))]
            found.append((partition, header.producer_id, header.base_sequence, values))
        return found


def items(*values, key=None):
    return [(key, value, []) for value in values]


async def test_a_record_is_at_the_place_that_the_broker_tells():
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    assert await writer.append("d.status", b"v", key=b"k", headers=[("h", b"1")], partition=0) == (0, OFFSET)
    (request,) = brokers.of(Produce)
    assert (request.transactional_id, request.acks) == (None, -1)
    ((topic, ((_, data, _),), _),) = request.topics
    (record,) = records_of(bytes(data))
    assert (topic, record.key, record.value, list(record.headers)) == ("d.status", b"k", b"v", [("h", b"1")])
    assert not Header.read(data).attributes & 0x10, "it is in no transaction"


async def test_records_without_a_key_go_round_robin_to_those_partitions_that_have_a_leader(monkeypatch):
    monkeypatch.setattr(module, "randrange", lambda _: 0)
    brokers = Brokers(range(4), available=(1, 3))
    writer = LogWriter(SETTINGS, brokers)
    written = await writer.append_many("t", items(b"a", b"b", b"c"))
    assert sorted((one.partition, list(one.records)) for one in written) == [(1, [0, 2]), (3, [1])]
    assert sorted((partition, values) for partition, *_, values in brokers.sent) == [(1, [b"a", b"c"]), (3, [b"b"])]


async def test_records_with_a_key_go_where_kafkas_own_clients_send_them_also_without_a_leader():
    brokers = Brokers(range(4), available=(0,))
    writer = LogWriter(SETTINGS, brokers)
    keys = [f"key-{number}".encode() for number in range(20)]
    written = await writer.append_many("t", [(key, b"v", []) for key in keys])
    where = {at: one.partition for one in written for at in one.records}
    assert where == {at: DefaultPartitioner()(key, [0, 1, 2, 3], [0]) for at, key in enumerate(keys)}
    assert len(set(where.values())) == 4


async def test_a_batch_is_no_larger_than_it_may_be_unless_one_record_is_and_the_sequence_goes_on():
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    values = [b"x" * 100_000] * 5 + [b"y" * 300_000]
    written = await writer.append_many("t", items(*values))
    assert [len(values) for *_, values in brokers.sent] == [2, 2, 1, 1]
    assert [sequence for _, _, sequence, _ in brokers.sent] == [0, 2, 4, 5]
    assert [list(one.records) for one in written] == [[0, 1], [2, 3], [4], [5]]


async def test_after_a_batch_that_failed_a_partition_has_another_producer_and_the_others_go_on():
    brokers = Brokers((0, 1))
    writer = LogWriter(SETTINGS, brokers)
    for partition in (0, 1):
        await writer.append("t", b"first", partition=partition)
    brokers.script[Produce] = [TOO_LARGE]
    with pytest.raises(Doubt, match="writing to t: MessageSizeTooLarge"):
        await writer.append("t", b"large", partition=0)
    for partition in (0, 1):
        await writer.append("t", b"then", partition=partition)
    assert [(partition, sequence, value) for partition, _, sequence, (value,) in brokers.sent] == [
        (0, 0, b"first"),
        (1, 0, b"first"),
        (0, 1, b"large"),
        (0, 0, b"then"),
        (1, 1, b"then"),
    ]
    assert len(brokers.of(InitProducerId)) == 3


async def test_what_is_behind_a_batch_that_failed_fails_with_it_and_is_not_sent():
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    brokers.held, brokers.script[Produce] = asyncio.Event(), [OUT_OF_ORDER]
    both = [asyncio.create_task(writer.append("t", value, partition=0)) for value in (b"1", b"2")]
    await settled()
    brokers.held.set()
    assert [type(error) for error in await asyncio.gather(*both, return_exceptions=True)] == [Doubt, Doubt]
    assert len(brokers.sent) == 1


async def test_who_gives_up_waiting_takes_nothing_from_those_behind():
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    brokers.held = asyncio.Event()
    first, second = (asyncio.create_task(writer.append("t", value, partition=0)) for value in (b"1", b"2"))
    await settled()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    brokers.held.set()
    assert await second == (0, OFFSET)
    assert [values for *_, values in brokers.sent] == [[b"1"], [b"2"]]


async def test_what_is_not_acknowledged_in_time_is_in_doubt_and_is_sent_no_more():
    brokers = Brokers()
    writer = LogWriter(SETTINGS.model_copy(update={"call_timeout_s": 0.05}), brokers)
    brokers.held = asyncio.Event()
    with pytest.raises(Doubt, match="no answer within"):
        await writer.append("t", b"late", partition=0)
    brokers.held.set()
    assert await writer.append("t", b"next", partition=0) == (0, OFFSET)
    assert [(sequence, values) for _, _, sequence, values in brokers.sent] == [(0, [b"late"]), (0, [b"next"])]
    assert len(brokers.of(InitProducerId)) == 2


@pytest.mark.parametrize("kind", [InitProducerId, Produce], ids=lambda kind: kind.__name__)
async def test_who_may_not_write_is_told_which_right_is_missing_and_may_as_soon_as_it_is_granted(kind):
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    denied = {InitProducerId: ClusterAuthorizationFailedError, Produce: TopicAuthorizationFailedError}[kind]
    brokers.script[kind] = [denied.errno]
    with pytest.raises(Denied, match="Write"):
        await writer.append("t", b"v", partition=0)
    assert await writer.append("t", b"v", partition=0) == (0, OFFSET)


async def test_a_connection_that_breaks_is_no_failure():
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    brokers.script[Produce] = [KafkaConnectionError("closed")]
    assert await writer.append("t", b"v", partition=0) == (0, OFFSET)


async def test_a_stop_sends_what_is_pending():
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    sent = await writer.send_many("t", [None], [b"v"], [[]])
    await writer.stop()
    assert (await sent[0].offset, sent[0].key) == (OFFSET, TopicPartition("t", 0))


async def test_a_stop_waits_two_seconds_at_most(monkeypatch):
    monkeypatch.setattr(module, "_FLUSH_S", 0.01)
    brokers = Brokers()
    writer = LogWriter(SETTINGS, brokers)
    brokers.held = asyncio.Event()
    sent = await writer.send_many("t", [None], [b"v"], [[]])
    await writer.stop()
    assert sent[0].offset.cancelled()
