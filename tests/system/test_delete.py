"""A deployment that is deleted on a real Kafka: never under a worker or a shadow, and then its data is gone."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from harness.command import hotswap
from harness.fleet import messages
from hotswap.client.delete import delete, read_plan
from hotswap.client.deployments import deployments
from hotswap.errors import Doubt, UsageError
from hotswap.kafka.topics.removal import Remover


async def joined(settings, group, topic):
    """Return a consumer that is a member of a group, and has an offset on a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    await consumer.commit({TopicPartition(topic, 0): 1})
    return consumer


async def test_a_deployment_is_deleted_with_the_topics_that_no_shadow_reads_and_not_under_a_worker(deployment):
    settings, topics, name = deployment.settings, deployment.settings.topics, deployment.name
    await deployment.serve("iris_gbm")
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    with pytest.raises(UsageError, match=r"live \(w1\): stop them first"):
        await delete(settings, await read_plan(settings))
    assert await deployment.stop() == 0

    shadow = await joined(settings, f"{name}-shadow", topics.requests)
    kept = await read_plan(settings)
    assert (kept.group, kept.topics) == (name, ())
    async with Remover.connect(settings) as admin:
        with pytest.raises(Doubt, match="NonEmptyGroup"):
            await admin.delete_group(f"{name}-shadow")
        await shadow.stop()
        await admin.delete_group(f"{name}-shadow")
        with pytest.raises(UsageError, match="has changed meanwhile"):
            await delete(settings, kept)

        stdout, _ = await hotswap(deployment, "delete", name, "--yes")
        assert f"  topic {topics.control}: it knows" in stdout.decode()
        counts = await admin.counts(topics)
        assert [topic for topic in topics if counts[topic]] == [topics.control, topics.status]
        assert not {name, f"{name}-shadow"} & set(await admin.groups())
    assert await deployments(settings) == []
