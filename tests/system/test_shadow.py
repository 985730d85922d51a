"""A shadow on a real Kafka: another model on a deployment's requests, past and live, to topics of its own."""

import asyncio
import json
import os
import signal
import sys

import pytest

from harness.audit import read, source
from harness.command import hotswap, variables
from harness.fleet import EXAMPLES, ROOT, Deployment, messages
from hotswap.client.deployments import deployments
from hotswap.errors import StartError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.swap.sample import Sampling

GLM = EXAMPLES / "models" / "iris_glm.zip"


@pytest.fixture
async def champion(kafka, tmp_path):
    """A deployment that serves, with the control topic that it has by its name."""
    made = await Deployment(kafka, tmp_path, control_topic="").create(4)
    await made.serve("iris_gbm")
    yield made
    made.close()


@pytest.fixture
def shadow_of(kafka, tmp_path):
    """Return a function that makes the deployment of a shadow by its name alone."""
    made = []

    def make(champion):
        folder = tmp_path / "shadow"
        folder.mkdir(exist_ok=True)
        shared = {key: getattr(champion.settings, key) for key in ("status_topic", "store")}
        name = f"{champion.name}.shadow"
        made.append(Deployment(champion.kafka, folder, name=name, control_topic="", **shared))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def answered(settings):
    """Return the sources of the predictions, those of each partition in order, once every request is passed."""
    async with asyncio.timeout(60), Admin.connect(settings) as admin:
        while any(lag.requests for lag in await admin.lags(settings.group_id, settings.topics.requests)):
            await asyncio.sleep(0.1)
    return [source(one) for one in await asyncio.to_thread(read, settings.kafka, settings.topics.predictions)]


async def test_a_shadow_answers_past_and_live_requests_once_beside_the_deployment_and_ends_with_its_topics(
    champion, shadow_of
):
    places = [*await champion.publish(messages("iris")[0])]
    await champion.drained()
    said, _ = await hotswap(champion, "shadow", champion.name, "--model", GLM, "--from-beginning", "--no-run")
    assert b"answers the requests of" in said
    shadow = shadow_of(champion)
    shadow.start("s1")
    places += await champion.publish(messages("iris")[0][:50])
    await champion.drained()
    own = await settled(shadow.settings)
    assert own.topics.requests == champion.settings.topics.requests
    everything = sorted((place.partition, place.offset) for place in places)
    assert sorted(await answered(own)) == everything
    assert sorted(await answered(champion.settings)) == everything

    told, _ = await hotswap(shadow, "status", shadow.name, "--json")
    (status,) = json.loads(told)
    assert status["shadow_of"] == champion.name
    assert [one["generation"] for one in status["generations"]] == [1]
    _, why = await hotswap(shadow, "predict", shadow.name, EXAMPLES / "data" / "iris.csv", code=3)
    assert f"{shadow.name} is a shadow, which answers the requests of another deployment" in why
    with pytest.raises(StartError, match="is a shadow"):
        await shadow.publish([b""])
    _, why = await hotswap(champion, "shadow", champion.name, "--records", "1%", "--no-run", code=2)
    assert f"`hotswap delete {shadow.name}` ends it" in why

    await shadow.stop("s1")
    kept, _ = await hotswap(shadow, "delete", shadow.name, "--yes")
    assert f"topic {champion.settings.topics.requests}: its name is not the default".encode() in kept
    async with Admin.connect(own) as admin:
        counts = await admin.counts([*own.topics, champion.settings.topics.predictions])
    assert sorted(topic for topic, count in counts.items() if count) == sorted(
        [champion.settings.topics.requests, champion.settings.topics.status, champion.settings.topics.predictions]
    )
    there = await deployments(champion.settings.model_copy(update={"deployment": ""}))
    assert champion.name in there
    assert shadow.name not in there


async def test_a_shadow_of_a_sample_answers_that_alone_and_passes_the_others(champion, shadow_of):
    await champion.publish(messages("iris")[0] * 4)
    await champion.drained()
    words = ("--model", GLM, "--from-beginning", "--partitions", "1/2", "--records", "30%")
    _, said = await hotswap(champion, "shadow", champion.name, *words, "--no-run")
    assert "the shadow has 2 of 4 partitions" in said
    shadow = shadow_of(champion)
    shadow.start("s1")
    own = await settled(shadow.settings)
    found = await answered(own)
    counted = {}
    for partition, offset in found:
        counted.setdefault(partition, []).append(offset)
    async with Admin.connect(own) as admin:
        ends = await admin.end_offsets(own.topics.requests)
    assert len(counted) == 2
    assert await answered(champion.settings)
    for partition, offsets in counted.items():
        chosen = Sampling(per_million=300_000).chosen(partition, range(ends[partition]))
        assert offsets == [offset for offset, is_in in enumerate(chosen) if is_in]


async def test_a_shadow_begins_where_it_is_told_to_and_its_command_runs_a_worker(champion, shadow_of):
    await champion.publish(messages("iris")[0])
    await champion.drained()
    environment = os.environ | variables(champion) | {"HOTSWAP_WORKER_ID": "s1"}
    command = [sys.executable, "-m", "hotswap", "shadow", champion.name, "--model", str(GLM)]
    run = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            while f"hotswap run {champion.name}.shadow" not in (await run.stdout.readline()).decode():
                pass
        places = await champion.publish(messages("iris")[0][:20])
        shadow = shadow_of(champion)
        own = await settled(shadow.settings)
        found = await answered(own)
        run.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.wait(), 20) == 0
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    assert sorted(found) == sorted((place.partition, place.offset) for place in places)


async def test_nothing_begins_where_it_could_not_be_compared(champion, shadow_of):
    proto = EXAMPLES / "protos" / "cancer.proto"
    model = EXAMPLES / "models" / "cancer_gbm.zip"
    words = ("--model", model, "--proto", proto, "--no-run")
    _, why = await hotswap(champion, "shadow", champion.name, *words, code=2)
    assert f"the proto cannot read the requests of {champion.name}" in why
    _, why = await hotswap(champion, "shadow", champion.name, "--no-run", code=2)
    assert f"{champion.name}.shadow has no generation yet" in why
    _, why = await hotswap(champion, "shadow", champion.name, "--model", GLM, "--name", champion.name, code=2)
    assert "a shadow has a name of its own" in why
    async with Admin.connect(champion.settings) as admin:
        assert not [topic for topic in await admin.topics() if topic.startswith(f"{champion.name}.shadow")]
