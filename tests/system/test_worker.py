"""A worker's life on a real Kafka: ready, recovered, held where it must not score, and at least once on request."""

import asyncio
import shutil
import socket
import urllib.error
import urllib.request

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from harness.audit import read
from harness.fleet import EXAMPLES, Deployment, messages
from hotswap.client.change import Change

TELLING = """
import sys
from hotswap import service
service._RETURN_S = 0.05
service.return_free_memory = lambda: print("memory returned", file=sys.stderr)
"""


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def backlog(port):
    """Return the sum of what the worker exports as waiting."""
    lines = get(port, "/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("hotswap_backlog{"))


async def until(what, timeout=30):
    async with asyncio.timeout(timeout):
        while not what():
            await asyncio.sleep(0.05)


async def test_a_worker_returns_its_free_memory_again_and_again(deployment):
    deployment.start(prelude=TELLING)
    await until(lambda: deployment.log().count("memory returned") >= 3)


@pytest.mark.usefixtures("workers_by_command")
async def test_a_worker_is_ready_only_once_it_can_score_and_counts_what_it_answers(deployment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    deployment.start(HOTSWAP_HTTP_PORT=str(port))
    await until(lambda: get(port, "/livez")[0] == 200)
    status, why = get(port, "/readyz")
    assert (status, why) == (503, "no generation is ready on this worker\n")
    await deployment.publish([b""] * 5)
    await until(lambda: backlog(port) == 5)
    async with deployment.client() as client:
        problem, *_ = (await client.status()).problems  # it may not have reported yet
        assert problem.startswith("5 requests wait, and no generation has been accepted")
        change = Change(model=EXAMPLES / "models" / "iris_gbm.zip", proto=EXAMPLES / "protos" / "iris.proto")
        await client.await_swap(await client.swap(change))
    await until(lambda: get(port, "/readyz")[0] == 200)
    values, _, _ = messages("iris")
    await deployment.publish([*values, b"\xff\xff"])
    await deployment.drained()
    await until(lambda: backlog(port) == 0)
    body = get(port, "/metrics")[1]
    name = deployment.name
    assert f'hotswap_requests_total{{deployment="{name}",outcome="answered"}} 155.0' in body
    assert f'hotswap_requests_total{{deployment="{name}",outcome="UNDECODABLE"}} 1.0' in body
    assert f'hotswap_swaps_total{{code="",deployment="{name}",outcome="serving"}} 1.0' in body
    assert f'hotswap_in_flight_requests{{deployment="{name}"}} 0.0' in body
    assert await deployment.stop() == 0


async def test_answers_are_sent_in_parts_that_the_output_topics_accept(deployment):
    topics = deployment.settings.topics
    most = {topics.requests: 300_000, topics.predictions: 370_000, topics.dead_letters: 370_000}
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka)
    await admin.start()
    for topic, count in most.items():
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(count)})])
    await admin.close()
    values, _, _ = messages("iris")
    # As a backlog, so that a batch is many times what a topic accepts at once.
    await deployment.publish(120 * [*values, b"\xff\xff"])
    await deployment.serve("iris_gbm")
    await deployment.drained()
    assert await deployment.stop() == 0
    kafka = deployment.settings.kafka
    assert len(read(kafka, topics.predictions)) == 120 * len(values)
    assert len(read(kafka, topics.dead_letters)) == 120


async def test_a_worker_that_starts_later_serves_the_newest_generation_that_loads(deployment, tmp_path):
    await deployment.serve("iris_gbm")
    garbage = tmp_path / "garbage.zip"
    garbage.write_bytes(b"no model")
    async with deployment.client() as client:
        answer = await client.await_swap(await client.swap(Change(model=garbage, kind="h2o")))
        assert not answer.is_good
    assert await deployment.stop() == 0
    places = await deployment.publish(messages("iris")[0])
    deployment.start("w2")
    await deployment.drained()
    result = await deployment.audit()
    assert (result.faults, len(result.predictions)) == ({}, len(places))
    assert await deployment.stop("w2") == 0


async def test_a_partition_is_held_and_never_scored_with_an_older_generation_than_before(deployment):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    async with deployment.client() as client:
        receipt = await client.swap(Change(model=EXAMPLES / "models" / "iris_glm.zip"))
        assert (await client.await_swap(receipt)).is_good
    await deployment.publish(values)
    await deployment.drained()
    assert await deployment.stop() == 0
    # The next worker cannot reach the newest model: it could only load the previous generation.
    digest = next(
        line.split()[0]
        for line in (EXAMPLES / "models" / "DIGESTS").read_text().splitlines()
        if line.endswith("iris_glm.zip")
    )
    stored = deployment.folder / "store" / digest
    hidden = stored.rename(deployment.folder / "hidden")
    shutil.rmtree(deployment.folder / "cache")
    await deployment.publish(values)
    deployment.start("w2")
    await held_for(deployment, "w2", "generation 2")
    assert len((await deployment.audit()).predictions) == len(values)
    hidden.rename(stored)
    await deployment.drained()
    result = await deployment.audit()
    assert (result.faults, len(result.predictions)) == ({}, 2 * len(values))
    assert await deployment.stop("w2") == 0


async def held_for(deployment, worker, why):
    """Wait until the fleet's status shows that all of the worker's partitions are held, with the reason."""
    async with asyncio.timeout(30), deployment.client() as client:
        while True:
            views = {view.worker: view.partitions for view in (await client.status()).workers}
            if len(held := views.get(worker, ())) == 4 and all(why in partition.held for partition in held):
                return
            await asyncio.sleep(0.2)


async def test_at_least_once_answers_every_request_through_a_kill(kafka, tmp_path):
    made = await Deployment(kafka, tmp_path, delivery="at_least_once").create()
    try:
        await made.serve("iris_gbm")
        values, _, _ = messages("iris")
        await made.publish(values * 20)
        made.kill()
        made.start("w2")
        await made.drained()
        result = await made.audit()
        assert (result.lost, result.phantom, result.asked) == (set(), set(), 20 * len(values))
        assert await made.stop("w2") == 0
    finally:
        made.close()
