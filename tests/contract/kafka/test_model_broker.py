"""The model's Kafka answers as a real one does: the same made-up histories leave the same logs, ends and offsets.

A history is drawn from its seed: producers of two transactional ids, each with a partition of its own and one that they
share, write, send offsets, commit and abort; new producers of an id shut out the old ones, which go on all the same.
After every step both brokers must say the same. (What only a lone broker that is killed does, lost markers, is the
model's own: no client can order it.)

    HOTSWAP_TEST_HISTORIES=200 pytest tests/contract/kafka/test_model_broker.py
"""

import asyncio
import gc
import os
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from hotswap.kafka.client.connection import end
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import committed_at
from model.broker import OFFSETS, Broker, Place

HISTORIES = int(os.environ.get("HOTSWAP_TEST_HISTORIES", "8"))
STEPS = 40
SHARED = 2
"""The partition that both ids write to; each id's own has the id's number."""


class ModelProducer:
    def __init__(self, broker, name):
        self._broker, self._name = broker, name
        self._epoch = broker.init(name)
        self._sequences = Counter()

    def write(self, place, item):
        sequence = self._sequences[place]
        self._sequences[place] += 1
        self._broker.write(self._name, self._epoch, place, [item], sequence)

    def finish(self, *, is_commit):
        self._broker.finish(self._name, self._epoch, is_commit=is_commit)


class RealProducer:
    def __init__(self, settings, name):
        self._requests, self._group = settings.topics.requests, settings.group_id
        self.client = AIOKafkaProducer(
            bootstrap_servers=settings.kafka, transactional_id=f"{settings.deployment}-{name}"
        )
        self._is_open = False

    async def write(self, place, item):
        if not self._is_open:
            await self.client.begin_transaction()
            self._is_open = True
        if place.topic != OFFSETS:
            await self.client.send_and_wait(place.topic, item, partition=place.partition)
            return
        key = TopicPartition(self._requests, place.partition)
        await self.client.send_offsets_to_transaction({key: committed_at(*item)}, self._group)

    async def finish(self, *, is_commit):
        await (self.client.commit_transaction() if is_commit else self.client.abort_transaction())
        self._is_open = False


class Brokers:
    """The model's and a real one, to which the same is done."""

    def __init__(self, settings, admin, clients):
        self.topic = settings.topics.predictions
        self._settings, self._admin, self._clients = settings, admin, clients
        self._model = Broker(partitions=0, shared=(), on_commit=lambda _: None)
        self._places = [Place(self.topic, number) for number in range(SHARED + 1)]

    async def init(self, name):
        real = RealProducer(self._settings, name)
        self._clients.push_async_callback(end, real.client)
        await real.client.start()
        return ModelProducer(self._model, name), real

    async def do(self, pair, method, *arguments, **options):
        """Whether both take it; neither may take what the other one refuses."""
        model, real = pair
        try:
            getattr(model, method)(*arguments, **options)
            is_taken = True
        except ProducerFenced:
            is_taken = False
        refused = None
        try:
            await getattr(real, method)(*arguments, **options)
        except (KafkaError, AssertionError) as error:  # the latter is aiokafka's word for: fenced a while ago
            refused = error
        assert is_taken == (refused is None), f"{method}: the real broker says {refused!r}"
        return is_taken

    async def agree(self):
        """Ends, last stable offsets and committed offsets are the same, once the markers are there."""
        expected = self._model_facts()
        until = asyncio.get_running_loop().time() + 10
        while (found := await self._real_facts()) != expected and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.005)
        assert found == expected

    def _model_facts(self):
        ends, stable = (
            [self._model.written(place, read_committed=read_committed) for place in self._places]
            for read_committed in (False, True)
        )
        return ends, stable, [self._model.offsets.get(number, (-1, 0)) for number in range(SHARED)]

    async def _real_facts(self):
        admin, settings, numbers = self._admin, self._settings, range(SHARED + 1)
        ends = [
            await admin.end_offsets(self.topic, numbers, read_committed=read_committed)
            for read_committed in (False, True)
        ]
        committed = await admin.committed(settings.group_id, settings.topics.requests, range(SHARED))
        return (
            *([found[number] for number in numbers] for found in ends),
            [(committed[number].offset, committed[number].generation) for number in range(SHARED)],
        )

    async def read(self, *, is_committed):
        """What a consumer gets of the model's and of the real one, partition by partition."""
        model = [self._model.read(place, is_committed=is_committed) for place in self._places]
        isolation = "read_committed" if is_committed else "read_uncommitted"
        keys = [TopicPartition(*place) for place in self._places]
        real = [[] for _ in keys]
        async with AIOKafkaConsumer(bootstrap_servers=self._settings.kafka, isolation_level=isolation) as consumer:
            consumer.assign(keys)
            await consumer.seek_to_beginning()
            ends = [self._model.written(place, read_committed=is_committed) for place in self._places]
            async with asyncio.timeout(20):
                while [await consumer.position(key) for key in keys] != ends:
                    for key, records in (await consumer.getmany(timeout_ms=20)).items():
                        real[key.partition] += [record.value for record in records]
        return model, real


async def play(brokers, seed):
    """A history: what is done to both, step by step."""
    chance = random.Random(seed)
    living = [(number, await brokers.init(f"{seed}-{number}")) for number in range(SHARED)]
    written, opened = 0, set()
    for _ in range(STEPS):
        number, pair = chance.choice(living)
        step = chance.choices(["write", "offset", "finish", "init"], [6, 2, 4, 1])[0]
        if step == "init":
            living.append((number, await brokers.init(f"{seed}-{number}")))
            is_taken = True
        elif step == "finish":
            if pair not in opened:
                continue
            opened.discard(pair)
            is_taken = await brokers.do(pair, "finish", is_commit=chance.random() < 0.7)
        else:
            written += 1
            opened.add(pair)
            place = Place(brokers.topic, chance.choice([number, SHARED]))
            item = b"%d" % written
            if step == "offset":
                place, item = Place(OFFSETS, number), (written, chance.randrange(1, 9))
            is_taken = await brokers.do(pair, "write", place, item)
        if not is_taken:
            living.remove((number, pair))
        await brokers.agree()


@pytest.fixture
async def no_word_of_what_is_fenced():
    """aiokafka leaves the futures of a zombie's offsets to nobody; each would say so when it is collected."""
    loop, said = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: said.append(context.get("exception")))
    yield
    gc.collect()
    assert {type(error) for error in said} <= {ProducerFenced}


@pytest.mark.usefixtures("no_word_of_what_is_fenced")
@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_a_history_leaves_the_same_in_the_models_broker_and_in_a_real_one(deployment, seed):
    async with Admin.connect(deployment.settings) as admin, AsyncExitStack() as clients:
        brokers = Brokers(deployment.settings, admin, clients)
        await play(brokers, seed)
        for is_committed in (True, False):
            model, real = await brokers.read(is_committed=is_committed)
            assert model == real
