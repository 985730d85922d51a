"""The last answers of partitions that open side by side, read from a real Kafka."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from hotswap.errors import Doubt, TopicMismatch
from hotswap.kafka.partition import tail
from hotswap.kafka.partition.tail import AnswersTail, Tail
from hotswap.kafka.partition.witness import KnownAnswers, LastAnswer
from hotswap.kafka.topics import fetched

DAMAGED = b"damaged on the broker's disk"


@pytest.fixture
async def answers(deployment):
    reader = await AnswersTail(deployment.settings).start()
    yield reader
    await reader.stop()


class Writer:
    """Writes answers as the worker that has a transactional id does, and as others do."""

    def __init__(self, settings):
        self._settings = settings
        self.producer = None

    async def write(self, topic, partition, *offsets, value=b"", is_aborted=False, by=""):
        async with self._transactional(by) as producer:
            await producer.begin_transaction()
            for offset in offsets:
                await producer.send(topic, value, partition=partition, headers=self.headers(partition, offset))
            await (producer.abort_transaction() if is_aborted else producer.commit_transaction())
        async with self._transactional(by) as producer:
            # It has waited for the transaction's markers: a commit returns before they are written.
            if not by:
                self.producer = producer._txn_manager.producer_id

    async def forge(self, topic, partition, *offsets):
        async with AIOKafkaProducer(bootstrap_servers=self._settings.kafka, linger_ms=5) as producer:
            sent = [
                await producer.send(topic, b"", partition=partition, headers=self.headers(partition, offset))
                for offset in offsets
            ]
            await asyncio.gather(*sent)

    def headers(self, partition, offset):
        source = f"{self._settings.topics.requests}-{partition}-{offset}".encode()
        return [("source", source), ("generation", b"%d" % (offset + 1))]

    def _transactional(self, by):
        return AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka, transactional_id=f"{self._settings.deployment}{by}"
        )

    def known(self, partition, **known):
        source = f"{self._settings.topics.requests}-{partition}-".encode()
        return KnownAnswers(source=source, producers={self.producer}, **known)


@pytest.fixture
def writer(deployment):
    return Writer(deployment.settings)


async def read(answers, writer, *partitions, **known):
    asked = [answers.read(number, writer.known(number, **known)) for number in partitions]
    return await asyncio.gather(*asked, return_exceptions=True)


async def last(answers, writer, *partitions):
    return [tail.last for tail in await read(answers, writer, *partitions)]


async def test_each_partition_gets_its_own_last_answer_however_far_back_that_lies(deployment, answers, writer):
    predictions, dead_letters = deployment.settings.topics.predictions, deployment.settings.topics.dead_letters
    await writer.write(predictions, 0, 0, 1, 2)
    await writer.write(predictions, 0, *range(3, 3 + 2 * tail._FIRST_LOOK), is_aborted=True)
    await writer.write(predictions, 1, 5)
    await writer.write(dead_letters, 1, 6)
    await writer.write(predictions, 3, 8, is_aborted=True)
    expected = [LastAnswer(2, 3), LastAnswer(6, 7), None, None]
    assert await last(answers, writer, 0, 1, 2, 3) == expected
    await writer.write(predictions, 2, 9)
    assert await last(answers, writer, 2, 1) == [LastAnswer(9, 10), LastAnswer(6, 7)]


async def test_the_first_request_behind_the_last_answer_whose_own_was_aborted_is_told(deployment, answers, writer):
    predictions, dead_letters = deployment.settings.topics.predictions, deployment.settings.topics.dead_letters
    await writer.write(predictions, 0, 0, 1, is_aborted=True)
    await writer.write(predictions, 0, 0, 1)
    await writer.write(predictions, 0, *range(2, 2 + 2 * tail._FIRST_LOOK), is_aborted=True)
    await writer.write(dead_letters, 0, 2, is_aborted=True)
    await writer.write(dead_letters, 1, 5, 6, is_aborted=True)
    await writer.write(predictions, 2, 7, is_aborted=True)
    await writer.write(predictions, 2, 7)
    assert await read(answers, writer, 0, 1, 2, 3) == [
        Tail(LastAnswer(1, 2), 2, is_all=True),
        Tail(None, 5, is_all=True),
        Tail(LastAnswer(7, 8), None, is_all=True),
        Tail(None, None, is_all=True),
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(dead_letters, 1): RecordsToDelete(before_offset=1)})
    await admin.close()
    (found,) = await read(answers, writer, 1)
    assert not found.is_all, "what was removed may have been committed"


async def test_answers_that_are_damaged_are_a_doubt_about_their_own_partition(deployment, answers, writer, monkeypatch):
    is_sound = fetched.is_sound
    monkeypatch.setattr(fetched, "is_sound", lambda batch, crc: DAMAGED not in bytes(batch) and is_sound(batch, crc))
    await writer.write(deployment.settings.topics.predictions, 0, 0, value=DAMAGED)
    await writer.write(deployment.settings.topics.predictions, 1, 1)
    damaged, sound = await read(answers, writer, 0, 1)
    assert isinstance(damaged, Doubt)
    assert sound.last == LastAnswer(1, 2)


@pytest.mark.parametrize("by", ["", "a stranger"], ids=["plainly", "in transactions"])
async def test_however_many_answers_others_forge_ours_are_found_behind_them(deployment, answers, writer, by):
    predictions, dead_letters = deployment.settings.topics.predictions, deployment.settings.topics.dead_letters
    await writer.write(predictions, 0, 0, 1)
    await writer.write(dead_letters, 0, 2)
    forged = range(2, 2 + 3 * tail._FIRST_LOOK)
    for topic in (predictions, dead_letters):
        await (writer.write(topic, 0, *forged, by=by) if by else writer.forge(topic, 0, *forged))
    await writer.write(predictions, 0, 3, is_aborted=True)
    (found,) = await read(answers, writer, 0)
    assert (found.last, found.aborted, found.foreign) == (LastAnswer(2, 3), 3, 2 * len(forged))
    (again,) = await read(answers, writer, 0)
    assert (again.last, again.aborted, again.foreign) == (LastAnswer(2, 3), 3, 0)


async def test_a_strangers_open_transaction_hides_no_answer_of_ours(deployment, answers, writer):
    predictions = deployment.settings.topics.predictions
    stranger = AIOKafkaProducer(bootstrap_servers=deployment.settings.kafka, transactional_id="stranger")
    async with stranger:
        await stranger.begin_transaction()
        await stranger.send_and_wait(predictions, b"", partition=0, headers=writer.headers(0, 9))
        await writer.write(predictions, 0, 0, 1)
        (found,) = await read(answers, writer, 0)
        assert (found.last, found.open) == (LastAnswer(1, 2), {})
        await stranger.abort_transaction()


async def test_old_answers_are_not_looked_through_for_a_producer_that_has_written_none(deployment, answers, writer):
    predictions = deployment.settings.topics.predictions
    await writer.write(predictions, 0, 0)
    await writer.forge(predictions, 0, *range(1, 1 + 2 * tail._FIRST_LOOK))
    (found,) = await read(answers, writer, 0, is_new=True)
    assert found.last is None


async def test_more_foreign_answers_than_can_be_passed_over_in_time_hold_the_partition_which_says_why(
    deployment, writer, monkeypatch
):
    monkeypatch.setattr(tail, "_MANY", 2 * tail._FIRST_LOOK)
    settings = deployment.settings.model_copy(update={"call_timeout_s": 1.0})
    reader = await AnswersTail(deployment.settings).start()
    try:
        await writer.write(settings.topics.predictions, 0, 0)
        await writer.forge(settings.topics.predictions, 0, *range(1, 1 + 4 * tail._FIRST_LOOK))
        reader._settings = settings
        never = asyncio.Event()
        look = tail._look

        async def slow(*place):
            await look(*place)
            if place[3] - place[2] > tail._FIRST_LOOK:
                await never.wait()

        monkeypatch.setattr(tail, "_look", slow)
        with pytest.raises(TopicMismatch, match=r"ends with records that no worker .*: \d+ were passed over"):
            await reader.read(0, writer.known(0))
    finally:
        await reader.stop()
