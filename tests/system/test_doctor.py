"""Each check of `hotswap doctor`, red once and green once, on a real Kafka."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from harness.fleet import Deployment
from harness.kafkas import local_kafka
from hotswap.client.doctor import examine
from hotswap.client.findings import Level
from hotswap.client.overview import overview
from hotswap.kafka.client.acls import rights_of
from hotswap.kafka.client.roles import KafkaRole
from hotswap.kafka.topics.admin import Admin
from hotswap.v1 import control_pb2 as wire

GOOD = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
GOOD |= {"message.timestamp.type": "LogAppendTime"}


@pytest.fixture
async def admin(deployment):
    made = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await made.start()
    yield made
    await made.close()


async def alter(admin, topic, **settings):
    named = {name.replace("_", "."): value for name, value in settings.items()}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])


async def found(deployment, level):
    """Return what is found at this level, what it is about first."""
    return [f"{one.about}: {one.what}" async for one in examine(deployment.settings) if one.level is level]


async def comes(deployment, level, *beginnings):
    """Wait until there is a finding of this level with each beginning: a broker takes its time with a change."""
    async with asyncio.timeout(20):
        while True:
            told = await found(deployment, level)
            if all(any(line.startswith(one) for line in told) for one in beginnings):
                return
            await asyncio.sleep(0.1)


async def test_a_deployment_that_is_well_has_no_fault_and_its_workers_tell_of_their_machines(deployment):
    await deployment.serve("iris_gbm")
    async with asyncio.timeout(30):
        while "; java " not in "".join(well := await found(deployment, Level.OK)):
            await asyncio.sleep(0.2)
    assert await found(deployment, Level.FAULT) == []
    assert well[:3] == [
        f"kafka: 1 brokers at {deployment.settings.kafka}",
        "acls: this user has all rights of a worker",
        "topics: all five exist and fit each other",
    ]
    worker = next(line for line in well if line.startswith("w1: "))
    assert "serves generation 1; cache " in worker
    assert "; transactions version 2" in worker
    assert "transactions: version 2: a late copy of an ended transaction is refused" in well
    assert '"transactions": "version 2"' in deployment.log()
    assert "GiB free" in worker
    assert "stores: the generations' artifacts are in the allowed stores" in well
    assert "artifacts: 1 of 1 that are needed are in their stores" in well
    elsewhere = deployment.settings.model_copy(update={"allowed_stores": "s3://models"})
    (outside,) = [one.what async for one in examine(elsewhere) if one.about == "stores"]
    assert outside.startswith(f"generation 1: {deployment.settings.store}/")
    store = Path(deployment.settings.store.removeprefix("file://"))
    store.rename(store.with_name("lost"))
    assert not any(line.startswith("stores: ") for line in await found(deployment, Level.OK))
    warnings = await found(deployment, Level.WARNING)
    assert any(
        line.startswith("artifacts: the model of generation 1 (serves) is not there: file://") for line in warnings
    )
    copies = [line for line in await found(deployment, Level.WARNING) if "has 1 of 3 copies" in line]
    assert len(copies) == 5
    assert await deployment.stop() == 0


async def test_what_is_wrong_with_a_topic_is_a_line_with_its_remedy(deployment, admin):
    topics = deployment.settings.topics
    assert await found(deployment, Level.FAULT) == ["fleet: no worker is live"]

    await admin.create_partitions({topics.requests: NewPartitions(5)})
    await alter(admin, topics.control, **GOOD | {"cleanup_policy": "compact", "retention_ms": "1000"})
    await alter(admin, topics.status, cleanup_policy="delete")
    await comes(deployment, Level.FAULT, "fleet: no worker is live", f"{topics.control}: is compacted")
    assert await found(deployment, Level.FAULT) == [
        f"topics: topic {topics.predictions} has 4 partitions, fewer than {topics.requests} with 5",
        f"topics: topic {topics.dead_letters} has 4 partitions, fewer than {topics.requests} with 5",
        f"{topics.control}: is compacted, which rewrites the history of commands",
        f"{topics.control}: forgets commands: a worker that starts later lacks them",
        "fleet: no worker is live",
    ]
    await comes(deployment, Level.WARNING, f"{topics.status}: is not compacted: it grows, or forgets workers")

    await alter(admin, topics.control, **GOOD | {"message_timestamp_type": "CreateTime"})
    await comes(deployment, Level.WARNING, f"{topics.control}: has its publishers' timestamps, so their clocks decide")

    await admin.delete_topics([topics.dead_letters])
    await comes(deployment, Level.FAULT, f"topics: topic {topics.dead_letters} does not exist")


async def test_a_clock_that_is_ahead_and_a_misspelt_variable_are_warnings(deployment, monkeypatch):
    said = wire.WorkerStatus(deployment=deployment.name, worker="w7", warnings=["no namespaces"])
    said.at.FromSeconds(int(time.time()) + 60)
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    producer.produce(deployment.settings.topics.status, wire.Status(worker=said).SerializeToString(), key="w7")
    assert await asyncio.to_thread(producer.flush, 10) == 0
    monkeypatch.setenv("HOTSWAP_LINGERMS", "1")
    told = await found(deployment, Level.WARNING)
    assert told[0] == "settings: HOTSWAP_LINGERMS is no setting of this version"
    assert "fleet: w7: no namespaces" in told
    assert any(line.startswith("w7: its clock is ") and "s ahead" in line for line in told)


async def test_requests_that_no_worker_has_have_an_age_and_transactions_that_were_aborted_have_none(deployment):
    topic, old_ms = deployment.settings.topics.requests, int(time.time() * 1000) - 7_200_000
    aborting = Producer({"bootstrap.servers": deployment.kafka.bootstrap, "transactional.id": deployment.name})
    plain = Producer({"bootstrap.servers": deployment.kafka.bootstrap})

    def publish():
        aborting.init_transactions(10)
        aborting.begin_transaction()
        aborting.produce(topic, b"", partition=0, timestamp=old_ms)
        aborting.flush(10)
        aborting.abort_transaction(10)
        plain.produce(topic, b"", partition=1, timestamp=old_ms)
        plain.produce(topic, b"", partition=1)
        plain.flush(10)

    await asyncio.to_thread(publish)
    seen = await overview(deployment.settings)
    assert [lag.requests for lag in seen.lags] == [2, 2, 0, 0]
    assert seen.ages == {1: pytest.approx(7_200, abs=60)}


SECURED = {
    "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.plaintext.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="admin" password="a" user_admin="a" user_worker="w";'
    ),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:admin;User:ANONYMOUS",
}


@pytest.fixture
def secured():
    with local_kafka(settings=SECURED) as local:
        yield local


async def test_what_a_worker_does_and_this_user_may_not_is_a_warning_for_each_topic_and_the_group(secured, tmp_path):
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    made = Deployment(secured, tmp_path, **login, sasl_username="admin", sasl_password="a")
    await made.create()
    assert "acls: this user has all rights of a worker" in await found(made, Level.OK)
    admin = AdminClient(
        {
            "bootstrap.servers": secured.bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "admin",
            "sasl.password": "a",
        }
    )
    topics = made.settings.topics
    theirs = made.settings.model_copy(update={"sasl_username": "worker", "sasl_password": "w"})
    needed = rights_of(KafkaRole.WORKER, theirs)
    lines = [f"{right.resource}: this user may not {right.operation} it, as a worker does" for right in needed]
    async with aclosing(examine(theirs)) as findings:
        told = [f"{one.about}: {one.what}" for one in [await anext(findings) for _ in range(1 + len(needed))]]
    assert told[1:] == lines

    rights = [(ResourceType.TOPIC, topics.requests, AclOperation.READ)]
    rights += [(ResourceType.TOPIC, topics.predictions, AclOperation.WRITE)]
    rights += [(ResourceType.GROUP, made.name, AclOperation.READ)]
    acls = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:worker", "*", operation, AclPermissionType.ALLOW)
        for kind, name, operation in rights
    ]
    for done in admin.create_acls(acls).values():
        await asyncio.to_thread(done.result)
    async with asyncio.timeout(60), Admin.connect(theirs) as asking:
        while len(missing := await asking.missing_rights()) > len(needed) - len(rights):
            await asyncio.sleep(0.1)
    granted = {("Read", topics.requests), ("Write", topics.predictions), ("Read", made.name)}
    assert missing == [right for right in needed if (right.operation, right.name) not in granted]


async def test_an_unreachable_kafka_is_a_fault_and_the_last_line(deployment):
    nowhere = deployment.settings.model_copy(update={"kafka": "127.0.0.1:9", "call_timeout_s": 1.0})
    (fault,) = [one async for one in examine(nowhere)]
    assert (fault.level, fault.what.startswith("no Kafka answers at 127.0.0.1:9")) == (Level.FAULT, True)
