"""A new deployment gets a control topic of its own, and one with a history in the shared topic goes on there."""

import asyncio

import pytest

from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment, messages
from hotswap.client.change import Change
from hotswap.client.deployments import deployments
from hotswap.client.doctor import examine
from hotswap.errors import StartError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import SHARED, settled

GLM = EXAMPLES / "models" / "iris_glm.zip"


@pytest.fixture
async def made(kafka, tmp_path):
    """Return a function that makes a deployment; what it started ends with the test."""
    all_ = []

    def make(**settings):
        folder = tmp_path / str(len(all_))
        folder.mkdir()
        all_.append(Deployment(kafka, folder, **settings))
        return all_[-1]

    yield make
    for one in all_:
        one.close()


async def test_a_deployment_goes_on_where_its_history_is_and_a_new_one_beside_it_has_a_topic_of_its_own(made):
    # As a version that knew the shared topic only has left it.
    old = await made(control_topic=SHARED, status_topic="hotswap.status").create(2)
    async with old.client() as client:
        await client.swap(Change(model=EXAMPLES / "models" / "iris_gbm.zip", proto=EXAMPLES / "protos" / "iris.proto"))
    old.settings = old.settings.model_copy(update={"control_topic": ""})
    old.start()
    async with old.client() as client:
        receipt = await client.swap(Change(model=GLM))
        assert receipt.generation == 2
        assert (await client.await_swap(receipt)).is_good
    await old.publish(messages("iris")[0][:10])
    await old.drained()
    assert f'"topic": "{SHARED}"' in old.log()
    assert "deployments share this control topic" in "".join([one.what async for one in examine(old.settings)])

    fresh = made(control_topic="", status_topic="hotswap.status")
    printed, _ = await hotswap(fresh, "topics", "create", fresh.name)
    assert printed.count(f"{fresh.name}.control  created".encode()) == 1
    await fresh.serve("iris_gbm")
    async with Admin.connect(fresh.settings) as admin:
        assert await admin.end_offset(f"{fresh.name}.control", 0) == 1
    assert {old.name, fresh.name} <= set(await deployments(fresh.settings.model_copy(update={"deployment": ""})))


async def test_members_of_a_new_deployment_that_start_together_take_the_same_topic_and_nobody_guesses_later(made):
    shared = await made(control_topic=SHARED).create(1)
    new = made(control_topic="")
    await asyncio.gather(*(hotswap(new, "topics", "create", new.name) for _ in range(3)))
    # A client of an older version knows only the shared topic, and so nobody knows which of the two counts.
    old = made(name=new.name, control_topic=SHARED, status_topic=new.settings.status_topic)
    async with old.client() as client:
        await client.pause()
    with pytest.raises(StartError, match=r"is empty, and hotswap\.control has commands for"):
        await settled(new.settings)
    _, told = await hotswap(new, "run", new.name, code=3)
    assert "is empty, and hotswap.control" in told
    async with made(name=new.name, control_topic=f"{new.name}.control").client() as client:
        await client.pause()
    assert (await settled(new.settings)).topics.control == f"{new.name}.control"
    assert shared.settings.topics.control == SHARED
