"""What a loop may rely on in its partition: the same promises of the fake in memory and of a real Kafka."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from fakes.data_plane import FakePartition, FakeRequest, FakeSource
from faults.one_partition import DAMAGED, batch, on_kafka
from faults.raw_batches import codecs_of
from harness.fleet import Deployment
from hotswap.batch import BatchAnswers, Code, Position, Transaction
from hotswap.errors import DamagedBatch, Doubt
from hotswap.kafka.client.internals import Cutter


class InMemory:
    """A partition of the fakes."""

    def __init__(self):
        self._partition = FakePartition([], Position(0))

    def source(self):
        return FakeSource(of=self._partition)

    async def publish(self, *values, is_transaction=False):
        first = self._partition.end
        if DAMAGED in values:
            self._partition.damaged[first] = first + len(values)
        made = [FakeRequest(first + n, value, b"key") for n, value in enumerate(values)]
        self._partition.publish(*made, markers=int(is_transaction))

    async def committed(self):
        return self._partition.committed

    async def answers(self):
        return [value for made in self._partition.transactions for _, value, _ in made.predictions]

    async def letters(self):
        return [value for made in self._partition.transactions for _, value, _ in made.dead_letters]


@pytest.fixture(params=["fake", "kafka"])
async def partition(request, monkeypatch, tmp_path):
    if request.param == "fake":
        yield InMemory()
        return
    deployment = await Deployment(request.getfixturevalue("kafka"), tmp_path).create(partitions=1)
    async with on_kafka(deployment.settings, monkeypatch) as made:
        yield made


async def next_of(source):
    async with asyncio.timeout(30):
        return await source.wait()


async def begun(call):
    """A call that has got as far as it gets by itself."""
    task = asyncio.create_task(call)
    for _ in range(10):
        await asyncio.sleep(0)
    return task


def values(requests):
    return [request.value for request in requests]


async def test_a_loop_that_is_woken_has_the_place_where_it_stands_and_may_commit_it(partition):
    source = partition.source()
    await source.open()
    await partition.publish(b"a")
    await next_of(source)
    source.take(10, None)
    await source.commit(batch(Position(1, 1), b"a"))
    source.wake()
    assert await next_of(source) == 1
    assert not source.take(10, None)
    await source.commit(Transaction((), (), 1, 2, 1))
    assert await partition.committed() == Position(1, 2)
    assert (await begun(source.wait())).cancel(), "there is nothing more"
    await source.close()


async def test_a_partition_opens_at_its_beginning_and_then_where_the_last_commit_led(partition):
    source = partition.source()
    assert await source.open() == Position(0, 0)
    await source.commit(batch(Position(2, 7), b"1", b"2"))
    await source.close()
    assert await source.open() == Position(2, 7)
    await source.close()
    other = partition.source()
    assert await other.open() == Position(2, 7)
    await other.close()


async def test_requests_are_taken_in_order_no_more_than_the_limit_and_none_from_the_cut_on(partition):
    await partition.publish(*(b"%d" % n for n in range(5)))
    source = partition.source()
    await source.open()
    assert await next_of(source) == 0
    taken = source.take(2, None)
    assert [(r.offset, r.key, r.value, list(r.headers)) for r in taken] == [
        (0, b"key", b"0", []),
        (1, b"key", b"1", []),
    ]
    assert await next_of(source) == 2
    assert values(source.take(9, 4)) == [b"2", b"3"]
    assert await next_of(source) == 4
    assert values(source.take(9, None)) == [b"4"]
    assert list(source.take(9, None)) == []
    await source.close()


async def test_requests_that_come_later_are_waited_for(partition):
    source = partition.source()
    await source.open()
    waiting = await begun(next_of(source))
    assert not waiting.done()
    await partition.publish(b"late")
    assert await waiting == 0
    assert values(source.take(1, None)) == [b"late"]
    await source.close()


async def test_a_batch_that_is_committed_is_visible_whole_with_its_position(partition):
    source = partition.source()
    await source.open()
    await source.commit(batch(Position(3, 1), b"a", b"b", refused=[b"c"]))
    await source.commit(batch(Position(4, 2), b"d"))
    assert await partition.answers() == [b"a", b"b", b"d"]
    assert await partition.letters() == [b"c"]
    assert await partition.committed() == Position(4, 2)
    await source.close()


async def test_a_batch_that_was_given_up_leaves_nothing_and_is_taken_again(partition):
    await partition.publish(b"a", b"b")
    source = partition.source()
    for _ in range(2):
        assert await source.open() == Position(0, 0)
        assert await next_of(source) == 0
        assert values(source.take(9, None)) == [b"a", b"b"]
        await source.close()
    assert await partition.answers() == []
    assert await partition.committed() == Position(0, 0)


@pytest.mark.parametrize("is_begun", [False, True])
async def test_whoever_opens_a_partition_shuts_out_its_earlier_owner(partition, is_begun):
    zombie, heir = partition.source(), partition.source()
    await zombie.open()
    if is_begun:
        zombie.write(BatchAnswers([(b"key", b"of the zombie", [])], []))
    assert await heir.open() == Position(0, 0)
    with pytest.raises(Doubt):
        await zombie.commit(batch(Position(1, 1), b"of the zombie"))
    await heir.commit(batch(Position(1, 2), b"of the heir"))
    assert await partition.answers() == [b"of the heir"]
    assert await partition.committed() == Position(1, 2)
    await zombie.close()
    await heir.close()


async def test_a_marker_at_the_end_is_gone_past_without_a_request(partition):
    await partition.publish(b"a", is_transaction=True)
    source = partition.source()
    await source.open()
    assert await next_of(source) == 0
    assert values(source.take(9, None)) == [b"a"]
    assert await next_of(source) == 2
    assert list(source.take(9, None)) == []
    await source.close()


async def test_a_damaged_batch_is_refused_offset_by_offset_once_it_is_skipped_and_not_before(partition):
    await partition.publish(b"a", b"b")
    await partition.publish(b"c", DAMAGED)
    await partition.publish(b"e")
    source = partition.source()
    await source.open()
    assert await next_of(source) == 0
    assert values(source.take(9, None)) == [b"a", b"b"]
    for _ in range(2):
        with pytest.raises(DamagedBatch) as damage:
            await next_of(source)
        assert damage.value.offset == 2
    source.skip("somebody said so")
    assert await next_of(source) == 2
    assert [(r.offset, r.value, r.refusal) for r in source.take(2, None)] == [
        (n, None, (Code.UNREADABLE, "somebody said so")) for n in (2, 3)
    ]
    assert await next_of(source) == 4
    assert values(source.take(9, None)) == [b"e"]
    await source.close()


async def test_a_source_that_is_stopped_gives_no_request_any_more(partition):
    await partition.publish(b"a")
    source = partition.source()
    await source.open()
    assert await next_of(source) == 0
    source.stop()
    assert await next_of(source) is None
    await source.close()


async def test_a_stop_ends_the_wait_for_a_request(partition):
    source = partition.source()
    await source.open()
    waiting = await begun(next_of(source))
    source.stop()
    assert await waiting is None
    await source.close()


async def test_answers_have_the_codec_of_the_settings_and_any_reader_gets_them(monkeypatch, tmp_path, kafka):
    deployment = await Deployment(kafka, tmp_path).create(partitions=1)
    codecs = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
    async with on_kafka(deployment.settings, monkeypatch) as made:
        for done, codec in enumerate(codecs):
            source = made.source(compression=codec)
            await source.open()
            await source.commit(batch(Position(done + 1, 1), *[b"alike" * 20] * 50, refused=[b"alike" * 200]))
            await source.close()
        assert await made.answers() == [b"alike" * 20] * 50 * len(codecs)
        assert await made.letters() == [b"alike" * 200] * len(codecs)
    for topic in (deployment.settings.topics.predictions, deployment.settings.topics.dead_letters):
        assert await codecs_in(kafka.bootstrap, topic) == [*codecs.values()]


async def codecs_in(bootstrap, topic):
    """The codec of each record batch of the topic's first partition."""
    found, partition = [], TopicPartition(topic, 0)

    def cut(fetch):
        found.extend(codecs_of(fetch.data))
        fetch.next_fetch_offset = end
        yield from ()

    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, value_deserializer=Cutter(cut)) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        async with asyncio.timeout(30):
            while await consumer.position(partition) < end:
                await consumer.getmany(timeout_ms=100)
    return found


async def test_a_source_may_be_closed_as_often_as_one_likes(partition):
    source = partition.source()
    await source.close()
    await source.open()
    await source.close()
    await source.close()
    assert await source.open() == Position(0, 0)
    await source.close()
