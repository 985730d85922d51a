"""The last answers of partitions that open side by side, read from a real Kafka."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from hotswap.errors import Doubt
from hotswap.kafka import fetched, tail
from hotswap.kafka.tail import AnswersTail, LastAnswer, Tail

DAMAGED = b"damaged on the broker's disk"


@pytest.fixture
async def answers(deployment):
    reader = await AnswersTail(deployment.settings).start()
    yield reader
    await reader.stop()


@pytest.fixture
def writer(deployment):
    settings = deployment.settings

    async def write(topic, partition, *offsets, value=b"", is_aborted=False):
        async with transactional_producer(settings) as producer:
            await producer.begin_transaction()
            for offset in offsets:
                source = f"{settings.topics.requests}-{partition}-{offset}".encode()
                headers = [("source", source), ("generation", b"%d" % (offset + 1))]
                await producer.send(topic, value, partition=partition, headers=headers)
            await (producer.abort_transaction() if is_aborted else producer.commit_transaction())
        async with transactional_producer(settings):
            pass  # It has waited for the transaction's markers: a commit returns before they are written.

    return write


def transactional_producer(settings):
    return AIOKafkaProducer(bootstrap_servers=settings.kafka, transactional_id=settings.deployment)


async def last(answers, *partitions):
    return await asyncio.gather(*map(answers.last, partitions), return_exceptions=True)


async def test_each_partition_gets_its_own_last_answer_however_far_back_that_lies(deployment, answers, writer):
    predictions, dead_letters = deployment.settings.topics.predictions, deployment.settings.topics.dead_letters
    await writer(predictions, 0, 0, 1, 2)
    await writer(predictions, 0, *range(3, 3 + 2 * tail._FIRST_LOOK), is_aborted=True)
    await writer(predictions, 1, 5)
    await writer(dead_letters, 1, 6)
    await writer(predictions, 3, 8, is_aborted=True)
    expected = [LastAnswer(2, 3), LastAnswer(6, 7), None, None]
    assert await last(answers, 0, 1, 2, 3) == expected
    await writer(predictions, 2, 9)
    assert await last(answers, 2, 1) == [LastAnswer(9, 10), LastAnswer(6, 7)]


async def test_the_first_request_behind_the_last_answer_whose_own_was_aborted_is_told(deployment, answers, writer):
    predictions, dead_letters = deployment.settings.topics.predictions, deployment.settings.topics.dead_letters
    await writer(predictions, 0, 0, 1, is_aborted=True)
    await writer(predictions, 0, 0, 1)
    await writer(predictions, 0, *range(2, 2 + 2 * tail._FIRST_LOOK), is_aborted=True)
    await writer(dead_letters, 0, 2, is_aborted=True)
    await writer(dead_letters, 1, 5, 6, is_aborted=True)
    await writer(predictions, 2, 7, is_aborted=True)
    await writer(predictions, 2, 7)
    assert await answers.read(0) == Tail(LastAnswer(1, 2), 2)
    assert await answers.read(1) == Tail(None, 5)
    assert await answers.read(2) == Tail(LastAnswer(7, 8), None)
    assert await answers.read(3) == Tail(None, None)


async def test_answers_that_are_damaged_are_a_doubt_about_their_own_partition(deployment, answers, writer, monkeypatch):
    is_sound = fetched._is_sound
    monkeypatch.setattr(fetched, "_is_sound", lambda batch: DAMAGED not in bytes(batch) and is_sound(batch))
    await writer(deployment.settings.topics.predictions, 0, 0, value=DAMAGED)
    await writer(deployment.settings.topics.predictions, 1, 1)
    damaged, sound = await last(answers, 0, 1)
    assert isinstance(damaged, Doubt)
    assert sound == LastAnswer(1, 2)
