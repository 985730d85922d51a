"""The topics of a deployment, as a real Kafka has them."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType


async def test_commands_are_kept_for_ever_with_the_broker_s_time_and_of_reports_the_last(deployment):
    topics = deployment.settings.topics
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    try:
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (topics.control, topics.status)]
        control, status = [
            {entry[0]: entry[1] for entry in answer.resources[0][4]} for answer in await admin.describe_configs(asked)
        ]
    finally:
        await admin.close()
    kept = ("cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type")
    assert [control[name] for name in kept] == ["delete", "-1", "-1", "LogAppendTime"]
    assert status["cleanup.policy"] == "compact"
