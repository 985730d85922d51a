"""A misspelt deployment, and one that is to be forgotten, on a real Kafka."""

import pytest

from harness.fleet import messages
from hotswap.client.client import Client
from hotswap.client.deployments import deployments
from hotswap.client.forget import forget
from hotswap.errors import StartError, UsageError


async def test_a_command_for_a_misspelt_deployment_is_not_written_and_asks_what_was_meant(deployment):
    misspelt = deployment.settings.model_copy(update={"deployment": f"{deployment.name}x"})
    async with Client(misspelt) as client:
        with pytest.raises(StartError, match=f"did you mean '{deployment.name}'"):
            await client.pause()
    assert await deployments(deployment.settings) == []


async def test_a_deployment_is_forgotten_only_without_workers_and_answers(deployment):
    settings = deployment.settings
    async with deployment.client() as client:
        await client.pause()
        await client.resume()
    assert await deployments(settings) == [deployment.name]
    await forget(settings)
    assert await deployments(settings) == []

    await deployment.serve("iris_gbm")
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    with pytest.raises(UsageError, match=r"live \(w1\): stop them first"):
        await forget(settings)
    assert await deployment.stop() == 0
    with pytest.raises(UsageError, match="has answered requests"):
        await forget(settings)
    assert await deployments(settings) == [deployment.name]
