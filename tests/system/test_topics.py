"""What becomes of a deployment's topics, on a real Kafka that creates topics by itself, as Kafka does by default."""

import asyncio
import urllib.error
import urllib.request

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from harness.fleet import Deployment, messages
from harness.kafkas import local_kafka
from hotswap.kafka.topics.admin import Admin

NOTICED_S = 30


@pytest.fixture(scope="module")
def creating_kafka(nothing_left_behind):
    with local_kafka(settings={"auto.create.topics.enable": "true"}) as local:
        yield local


@pytest.fixture
async def deployment(creating_kafka, tmp_path):
    made = Deployment(creating_kafka, tmp_path)
    await made.create(partitions=2)
    yield made
    made.close()


@pytest.fixture
async def admin(creating_kafka):
    made = AIOKafkaAdminClient(bootstrap_servers=creating_kafka.bootstrap)
    await made.start()
    yield made
    await made.close()


async def problems(deployment):
    async with deployment.client() as client:
        return (await client.status()).problems


async def says(deployment, text):
    """Wait until `hotswap status` has a problem with this text."""
    async with asyncio.timeout(NOTICED_S):
        while not any(text in line for line in await problems(deployment)):
            await asyncio.sleep(0.2)


async def held_for(deployment, why):
    """Return the partitions that are held for this reason."""
    async with deployment.client() as client:
        rows = [part for worker in (await client.status()).live for part in worker.partitions]
    return [part.partition for part in rows if why in part.held]


def unready(deployment):
    """Return why the worker is not ready; nothing if it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{deployment.port()}/readyz", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def metrics(deployment):
    with urllib.request.urlopen(f"http://127.0.0.1:{deployment.port()}/metrics", timeout=5) as answer:
        return answer.read().decode()


async def publish_to(deployment, partition, count):
    """Publish so many requests to one partition."""
    values = messages("iris")[0]
    async with deployment.client() as client:
        writer, topic = client._writer, deployment.settings.topics.requests
        for value in values[:count]:
            await writer.append(topic, value, partition=partition)


async def test_commands_are_kept_for_ever_with_the_broker_s_time_and_of_reports_the_last(deployment, admin):
    topics = deployment.settings.topics
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (topics.control, topics.status)]
    (answer,) = await admin.describe_configs(asked)
    told = {resource[3]: {entry[0]: entry[1] for entry in resource[4]} for resource in answer.resources}
    control, status = told[topics.control], told[topics.status]
    kept = ("cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type")
    assert [control[name] for name in kept] == ["delete", "-1", "-1", "LogAppendTime"]
    assert status["cleanup.policy"] == "compact"


async def test_added_partitions_are_read_once_their_answers_have_a_place_and_until_then_status_says_why(
    deployment, admin
):
    topics = deployment.settings.topics
    await deployment.serve("iris_gbm")
    await admin.create_partitions({topics.requests: NewPartitions(3)})
    await says(deployment, f"topic {topics.predictions} has 2 partitions, fewer than {topics.requests} with 3")
    await publish_to(deployment, 2, 50)
    why = f"topic {topics.predictions} has 2 partitions, and no partition 2"
    async with asyncio.timeout(NOTICED_S):
        while (held := await held_for(deployment, why)) != [2]:
            assert held == []
            await asyncio.sleep(0.1)

    await admin.create_partitions({name: NewPartitions(3) for name in (topics.predictions, topics.dead_letters)})
    await deployment.drained(NOTICED_S)
    assert await problems(deployment) == ()
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop() == 0


async def test_a_topic_that_is_deleted_stays_away_is_named_and_all_goes_on_once_it_is_back(deployment, admin):
    topics = deployment.settings.topics
    await deployment.serve("iris_gbm")
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    await admin.delete_topics([topics.predictions])
    await says(deployment, f"topic {topics.predictions} does not exist")
    async with asyncio.timeout(NOTICED_S):
        while "does not exist" not in await asyncio.to_thread(unready, deployment):
            await asyncio.sleep(0.1)
    await deployment.publish(messages("iris")[0])
    async with asyncio.timeout(NOTICED_S):
        while f"topic {topics.predictions} does not exist" not in deployment.log():
            await asyncio.sleep(0.1)
    assert topics.predictions not in await admin.list_topics()

    async with Admin.connect(deployment.settings) as ours:
        assert await ours.create_topics(2) == [topics.predictions]
    await deployment.drained(2 * NOTICED_S)
    async with asyncio.timeout(NOTICED_S):
        while await asyncio.to_thread(unready, deployment):
            await asyncio.sleep(0.1)
    assert await problems(deployment) == ()
    assert await deployment.stop() == 0
    assert len((await deployment.audit()).predictions) == 150


async def test_requests_that_are_deleted_unread_are_counted_and_named_and_the_rest_is_answered(deployment):
    topics = deployment.settings.topics
    await deployment.serve("iris_gbm")
    await publish_to(deployment, 0, 10)
    await deployment.drained()
    assert await deployment.stop() == 0
    await publish_to(deployment, 0, 40)
    admin = AdminClient({"bootstrap.servers": deployment.kafka.bootstrap})
    for deleted in admin.delete_records([TopicPartition(topics.requests, 0, 30)]).values():
        assert (await asyncio.to_thread(deleted.result, 10)).low_watermark == 30
    deployment.start()
    await deployment.drained()
    async with deployment.client() as client, asyncio.timeout(NOTICED_S):
        while not (warnings := (await client.status()).warnings):
            await asyncio.sleep(0.2)
    assert warnings[0] == "partition 0: the requests from offset 10 to 29 were deleted before they were read"
    exported = await asyncio.to_thread(metrics, deployment)
    assert f'hotswap_requests_deleted_total{{deployment="{deployment.name}"}} 20.0' in exported
    assert await deployment.stop() == 0
    assert len((await deployment.audit()).predictions) == 30
