"""A deployment whose numbers are used up continues under another name, and each request is answered once."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from harness.audit import generation, read, source
from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment, messages
from hotswap.artifacts.store import Store
from hotswap.batch import BatchAnswers, Position, Transaction
from hotswap.client.change import Change
from hotswap.commands import encode_command
from hotswap.errors import Doubt, SwapError, UsageError
from hotswap.generation import MOST, Model, Proto
from hotswap.kafka.partition.moving import _Nobody, carry_over
from hotswap.kafka.partition.partition import Cluster, KafkaPartition
from hotswap.kafka.partition.tail import AnswersTail
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import Committed
from hotswap.kafka.topics.writer import LogWriter
from hotswap.kafka.wire.brokers import Brokers
from hotswap.swap.command import SwapCommand

MODEL, PROTO = EXAMPLES / "models" / "iris_gbm.zip", EXAMPLES / "protos" / "iris.proto"


async def commit(settings, partition, offset, metadata):
    where = TopicPartition(settings.topics.requests, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, group_id=settings.group_id, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([where])
    await consumer.commit({where: OffsetAndMetadata(offset, metadata)})
    await consumer.stop()


async def command(deployment, generation):
    """A swap as a publisher of an earlier version, or a foreign one, writes it: without a mark."""
    model = Model(*await Store(deployment.settings).upload(MODEL))
    swap = SwapCommand(
        command_id=f"c{generation}", generation=generation, model=model, proto=Proto.inline(PROTO.read_text())
    )
    writer = LogWriter(deployment.settings)
    await writer.start()
    await writer.append(deployment.settings.topics.control, encode_command(deployment.name, swap), partition=0)
    await writer.stop()


async def test_a_deployment_whose_numbers_are_used_up_continues_under_another_name(kafka, deployment, tmp_path):
    values, _, _ = messages("iris")
    deployment.start()
    await command(deployment, MOST)
    before = await deployment.publish(values)
    await deployment.drained()
    async with deployment.client() as client:
        with pytest.raises(SwapError, match="hotswap move"):
            await client.swap(Change(model=MODEL))
    name = f"{deployment.name}-2"
    _, stderr = await hotswap(deployment, "move", deployment.name, name, code=2)
    assert "has members" in stderr
    assert await deployment.stop() == 0
    # For one partition, a lone broker lost the marker of the last offset, as if its answers had not been committed.
    await commit(deployment.settings, 0, 1, json.dumps({"generation": MOST}))
    behind = await deployment.publish(values)

    stdout, _ = await hotswap(deployment, "move", deployment.name, name, "--json")
    said = json.loads(stdout)
    ends = {str(n): 1 + max(place.offset for place in before if place.partition == n) for n in range(4)}
    assert said["offsets"] == {n: pytest.approx(end, abs=3) for n, end in ends.items()}  # markers have offsets too
    _, stderr = await hotswap(deployment, "move", deployment.name, name, code=2)
    assert "has offsets" in stderr
    topics = {key.removeprefix("HOTSWAP_").lower(): value for key, value in said["settings"].items()}
    new = Deployment(kafka, tmp_path, name=name)
    new.settings = deployment.settings.model_copy(update={"deployment": name} | topics)
    try:
        await new.serve("iris_gbm")
        await new.drained()
        faults, answered = await answered_by(new)
        assert await new.stop() == 0
    finally:
        new.close()
    # The numbers start again, once on each partition; nothing else breaks the promise.
    assert faults.keys() == {"went_back"}
    assert answered == {MOST: {tuple(place)[1:] for place in before}, 1: {tuple(place)[1:] for place in behind}}
    async with deployment.client() as client:
        assert (await client.status()).is_paused


async def answered_by(deployment):
    """Return the breaches of the promise, and generation -> the requests that it answered, (partition, offset)."""
    result, answered = await deployment.audit(), {}
    for message in result.predictions:
        answered.setdefault(generation(message), set()).add(source(message))
    return result.faults, answered


@pytest.fixture
async def cluster(deployment):
    settings, tail = deployment.settings, AnswersTail(deployment.settings)
    async with Admin.connect(settings) as admin:
        await tail.start()
        brokers = await Brokers(settings).start()
        around = {"membership": _Nobody(settings), "admin": admin, "tail": tail, "brokers": brokers}
        yield Cluster(settings=settings, **around, batch_bytes=900_000)
        await brokers.stop()
        await tail.stop()


@pytest.fixture
async def renewed(cluster):
    """The same under another name."""
    settings = renamed(cluster.settings)
    async with Admin.connect(settings) as admin:
        yield replace(cluster, settings=settings, admin=admin, membership=_Nobody(settings))


def renamed(settings):
    topics = {f"{role}_topic": getattr(settings.topics, role) for role in ("requests", "predictions", "dead_letters")}
    return settings.model_copy(update={"deployment": f"{settings.deployment}-2"} | topics)


def one_answer(settings, offset, number):
    headers = [("source", f"{settings.topics.requests}-0-{offset}".encode()), ("generation", b"%d" % number)]
    return Transaction([(None, b"answer", headers)], [], offset + 1, number, None)


async def test_a_worker_that_was_paused_in_a_transaction_commits_nothing_once_its_partition_is_carried_over(cluster):
    settings, new = cluster.settings, renamed(cluster.settings)
    paused = KafkaPartition(cluster, 0)
    await paused.open()
    await paused.commit(one_answer(settings, 0, 7))
    paused.write(BatchAnswers(one_answer(settings, 1, 7).predictions, []))
    await paused._producers.now.acknowledged()
    assert await carry_over(settings, new) == {0: 1, 1: 0, 2: 0, 3: 0}
    with pytest.raises(Doubt):
        await paused.commit(one_answer(settings, 1, 7))
    await paused.close()
    topic, kafka = settings.topics.predictions, settings.kafka
    assert len(await asyncio.to_thread(read, kafka, topic)) == 1
    committed = await cluster.admin.committed(new.group_id, new.topics.requests)
    assert committed[0] == Committed(1, 0, is_ours=True)
    assert committed[1] == Committed(0, 0, is_ours=False)


async def test_the_answers_of_the_old_numbers_set_no_floor_for_the_new_ones(cluster, renewed):
    settings = cluster.settings
    for at, opened, answer in (
        (cluster, Position(0, 0), one_answer(settings, 0, MOST)),
        (renewed, Position(1, 0), one_answer(settings, 1, 1)),
        (renewed, Position(2, 1), one_answer(settings, 2, 2)),
    ):
        if at is renewed and opened.offset == 1:
            await carry_over(settings, renewed.settings)
        partition = KafkaPartition(at, 0)
        assert await partition.open() == opened
        await partition.commit(answer)
        await partition.close()


async def test_an_offset_that_an_operator_has_reset_is_carried_over_and_obeyed(cluster, renewed):
    settings = cluster.settings
    source_of = KafkaPartition(cluster, 0)
    await source_of.open()
    await source_of.commit(one_answer(settings, 4, MOST))
    await source_of.close()
    await commit(settings, 0, 2, "")
    assert (await carry_over(settings, renewed.settings))[0] == 2
    moved = KafkaPartition(renewed, 0)
    assert await moved.open() == Position(2, 0)
    await moved.close()


async def test_a_group_that_has_members_or_offsets_is_not_moved_to(cluster):
    settings, new = cluster.settings, renamed(cluster.settings)
    with pytest.raises(UsageError, match="both deployments use the group"):
        await carry_over(settings, settings)
    await commit(new, 2, 0, "")
    with pytest.raises(UsageError, match=r"already has offsets on .* \(partitions 2\)"):
        await carry_over(settings, new)
