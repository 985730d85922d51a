"""Answers that somebody else has written make a worker lose, repeat and hold nothing, on a real Kafka."""

import asyncio
import random
import re

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from harness.fleet import messages
from harness.forging import Forger
from hotswap.client.overview import overview
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.transactions.alternating import Alternating
from hotswap.kafka.transactions.producer import Nobody
from hotswap.kafka.wire.brokers import Brokers

SEED = 46


@pytest.fixture
async def forger(deployment):
    made = Forger(deployment.settings)
    yield made
    await asyncio.to_thread(made.close)


async def answered(deployment):
    """Serve a model, have requests of each partition answered, and stop; return the ends of the requests."""
    await deployment.serve("iris_gbm")
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    assert await deployment.stop() == 0
    return await ends(deployment)


async def ends(deployment):
    async with Admin.connect(deployment.settings) as admin:
        return await admin.end_offsets(deployment.settings.topics.requests)


async def goes_on(deployment, worker):
    """Start a worker, and publish more; return what it has logged once all is answered."""
    deployment.start(worker)
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    return deployment.log(worker)


async def test_forged_answers_ahead_behind_far_and_of_the_last_generation_lose_repeat_stop_and_hold_nothing(
    deployment, forger
):
    end = await answered(deployment)
    forger.plainly([forger.claim(0, end[0] + 29)])
    forger.plainly([forger.claim(1, 0)] * 70)
    forger.in_a_transaction([forger.claim(1, end[1] - 1)], "abort")
    forger.plainly([forger.claim(2, 2**62), forger.claim(2, 2**62, is_letter=True)])
    forger.in_a_transaction([forger.claim(3, end[3] - 1, 2**64 - 1)], "commit")
    log = await goes_on(deployment, "w2")
    assert (await deployment.audit()).faults == {}
    counted = re.findall(r'"partition.foreign_answers".*?"partition": (\d), "records": (\d+)', log)
    assert {int(partition): int(count) for partition, count in counted} == {0: 1, 1: 71, 2: 2, 3: 1}
    assert "partition.offset_was_lost" not in log
    assert "partition.answers_were_lost" not in log
    async with asyncio.timeout(30):
        while not (warnings := (await overview(deployment.settings)).warnings):
            await asyncio.sleep(0.2)
    assert [warning for warning in warnings if "71 records in partition 1" in warning]
    assert await deployment.stop("w2") == 0


async def test_a_mix_of_forged_answers_and_a_strangers_open_transaction_change_nothing(deployment, forger):
    end, dice = await answered(deployment), random.Random(SEED)
    await asyncio.to_thread(forger.mix, dice, 3_000, end)
    forger.in_a_transaction([forger.claim(number, 0) for number in end], "open")
    deployment.start("w2")
    await deployment.publish(messages("iris")[0])
    async with asyncio.timeout(60):
        while deployment.log("w2").count('"partition.opened"') < len(end):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(forger.close)
    await deployment.drained()
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


@pytest.mark.parametrize("is_found", [True, False], ids=["its marker was lost", "its marker was not"])
async def test_behind_forged_answers_the_position_is_that_of_our_own_last_answer(deployment, forger, is_found):
    end = await answered(deployment)
    if is_found:
        await commit(deployment, 0, end[0] - 20, '{"generation": 1}')
    forger.plainly([forger.claim(0, end[0] + 29)] * 200)
    log = await goes_on(deployment, "w2")
    assert ("partition.offset_was_lost" in log) == is_found
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


async def test_an_offset_whose_metadata_names_the_last_possible_generation_holds_nothing(deployment):
    end = await answered(deployment)
    await commit(deployment, 0, end[0], f'{{"generation": {2**64 - 1}}}')
    log = await goes_on(deployment, "w2")
    assert "which no command can have created" in log
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


async def test_a_committed_offset_names_the_producer_that_answered_and_a_restart_keeps_it(deployment):
    end = await answered(deployment)
    first = await producers(deployment)
    brokers = await Brokers(deployment.settings).start()
    both = Alternating.of_partition(deployment.settings, brokers, Nobody(deployment.name), 0)
    await both.init()
    await brokers.stop()
    assert first[0] in {producer.id for producer in both.producers}
    deployment.start("w2")
    async with asyncio.timeout(60):
        while deployment.log("w2").count('"partition.opened"') < len(end):
            await asyncio.sleep(0.05)
    assert await deployment.stop("w2") == 0
    assert await producers(deployment) == first


async def producers(deployment):
    async with Admin.connect(deployment.settings) as admin:
        found = await admin.committed(deployment.name, deployment.settings.topics.requests)
    return {number: at.producer for number, at in found.items()}


async def commit(deployment, partition, offset, metadata):
    """Commit an offset of the deployment's group from outside."""
    where = TopicPartition(deployment.settings.topics.requests, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.settings.kafka, group_id=deployment.name, enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([where])
        await consumer.commit({where: OffsetAndMetadata(offset, metadata)})
