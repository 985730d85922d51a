"""The verifier on a real Kafka: silent if all is well, and not deceived when a broker or a worker errs."""

import asyncio
from contextlib import asynccontextmanager

from confluent_kafka import Producer

from faults.oracle import Oracle
from faults.publisher import Publisher
from faults.verifier import Names, Verifier
from faults.watcher import Watcher
from harness.audit import read
from harness.fleet import EXAMPLES, Deployment
from hotswap.client.change import Change, Cut

ORACLE = Oracle(EXAMPLES)


@asynccontextmanager
async def published(deployment):
    """Publish 300 requests a second, some of them bad, until stopped."""
    publisher = Publisher(
        bootstrap=deployment.kafka.bootstrap,
        topic=deployment.settings.topics.requests,
        partitions=4,
        per_second=300,
        journal=deployment.folder / "journal",
        seed=7,
        bad_share=0.05,
    )
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()


@asynccontextmanager
async def verified(deployment, **settings):
    """A verifier, and the watcher that feeds it."""
    topics = Names(*deployment.settings.topics)
    verifier = Verifier(topics=topics, deployment=deployment.name, oracle=ORACLE, **settings)
    watcher = Watcher(
        bootstrap=deployment.kafka.bootstrap,
        names=topics,
        group=deployment.settings.group_id,
        verifier=verifier,
        journal=deployment.folder / "journal",
    )
    watcher.start()
    try:
        yield verifier, watcher
    finally:
        watcher.stop()


@asynccontextmanager
async def deployed(kafka, folder, **settings):
    made = await Deployment(kafka, folder, **settings).create()
    try:
        yield made
    finally:
        made.close()


async def settled(publisher, watcher, timeout_s=60):
    await asyncio.to_thread(publisher.stop)
    return [str(finding) for finding in await watcher.settle(timeout_s)]


async def until(what, seconds=30):
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.05)


async def test_swaps_under_load_give_no_finding_and_an_answer_that_is_written_again_gives_one(kafka, tmp_path):
    async with deployed(kafka, tmp_path) as deployment:
        await deployment.serve("iris_gbm", workers=("w1", "w2"))
        async with (
            published(deployment) as publisher,
            verified(deployment) as (verifier, watcher),
            deployment.client() as client,
        ):
            for model, cut in (("iris_glm", Cut.AFTER_BACKLOG), ("iris_gbm", Cut.AT_ONCE)):
                await publisher.reach(300)
                receipt = await client.swap(Change(model=EXAMPLES / "models" / f"{model}.zip", cut=cut))
                assert (await client.await_swap(receipt)).is_good
            await until(lambda: 3 in verifier.generations)
            assert await settled(publisher, watcher) == []
            assert verifier.asked == publisher.acknowledged == verifier.answered + verifier.refused
            assert set(verifier.generations) == {1, 2, 3}
            assert verifier.refused > 0
            message = read(kafka.bootstrap, deployment.settings.topics.predictions)[10]
            producer = Producer({"bootstrap.servers": kafka.bootstrap})
            topic, partition = message.topic(), message.partition()
            producer.produce(topic, message.value(), message.key(), partition, headers=message.headers())
            producer.flush()
            await settled(publisher, watcher)
            assert verifier.counts == {"twice": 1}


async def test_the_verifier_of_exactly_once_detects_an_at_least_once_worker_that_dies(kafka, tmp_path):
    async with deployed(kafka, tmp_path, delivery="at_least_once") as deployment:
        await deployment.serve("iris_gbm")
        async with (
            published(deployment) as publisher,
            verified(deployment) as (strict, watcher),
            verified(deployment, delivery="at_least_once") as (lenient, second),
        ):
            await publisher.reach(100)
            await deployment.stop()
            process = deployment.start("w2", HOTSWAP_FAILPOINTS="commit.acknowledged=kill@10")
            await asyncio.to_thread(process.wait, 60)
            deployment.start("w3")
            await settled(publisher, watcher)
            assert strict.counts.keys() == {"twice"}
            assert await second.settle(60) == []
            assert lenient.repeated == strict.counts["twice"] > 0


async def test_the_verifier_survives_a_killed_broker_and_detects_a_hanging_transaction(own_kafka, tmp_path):
    async with deployed(own_kafka, tmp_path) as deployment:
        deployment.start(HOTSWAP_CALL_TIMEOUT_S="2")  # the worker's alone: a new broker may keep the client waiting
        await deployment.serve("iris_gbm", workers=())
        async with published(deployment) as publisher, verified(deployment) as (verifier, watcher):
            await publisher.reach(300)
            await asyncio.to_thread(own_kafka.kill)
            await asyncio.to_thread(own_kafka.start)
            await publisher.reach(300)
            assert await settled(publisher, watcher) == []
            producer = Producer({"bootstrap.servers": own_kafka.bootstrap, "transactional.id": "a stranger"})
            producer.init_transactions(30)
            producer.begin_transaction()
            producer.produce(deployment.settings.topics.predictions, b"", partition=1)
            producer.flush()
            await settled(publisher, watcher, timeout_s=2)
            assert verifier.counts == {"hanging": 1}
            producer.abort_transaction(30)
            assert await settled(publisher, watcher) == []
