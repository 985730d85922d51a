"""A command that needs a later version, on a real Kafka: who is too old holds, and who is upgraded goes on."""

import asyncio
import json
import urllib.error
import urllib.request

from confluent_kafka import Producer

from fakes.later import later, of_unknown_kind
from harness.audit import generation, source
from harness.command import hotswap
from harness.fleet import Deployment, messages
from hotswap.swap.command import MOST_VERSION, VERSION, RollbackCommand

UPGRADED = f"from hotswap.swap.timeline import Timeline; Timeline.version = {VERSION + 1}\n"
"""A worker that knows the next version of the contract."""
NEEDS = f"has a command that needs version {VERSION + 1} of its contract"


def readiness(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def until(holds, seconds=30):
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.05)


async def write(deployment, command):
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    producer.produce(deployment.settings.topics.control, command)
    await asyncio.to_thread(producer.flush, 10)


async def held(deployment, worker):
    """Whether a worker says that it is too old, and holds all of its partitions for that."""
    async with deployment.client() as client:
        view = next(one for one in (await client.status()).workers if one.worker == worker)
    return (
        "has a command that needs version" in view.held
        and bool(view.partitions)
        and all(part.held == view.held for part in view.partitions)
    )


async def test_a_worker_that_is_too_old_holds_says_so_and_one_that_is_upgraded_answers_what_waits(deployment):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    before = await deployment.publish(values)
    await deployment.drained()

    await write(deployment, later(RollbackCommand(command_id="later", generation=2, to=1), deployment=deployment.name))
    await until(lambda: asyncio.to_thread(lambda: NEEDS in readiness(deployment.port())))
    behind = await deployment.publish(values)
    await until(lambda: held(deployment, "w1"))
    told, _ = await hotswap(deployment, "status", deployment.name, "--json", code=1)
    (view,) = json.loads(told)
    assert [NEEDS in problem for problem in view["problems"]] == [True, True]
    assert view["commands"][-1]["workers"]["w1"]["outcome"] == "HELD"
    _, refusal = await hotswap(deployment, "pause", deployment.name, code=3)
    assert NEEDS in refusal

    assert await deployment.stop() == 0
    late = deployment.start("w2")  # the same version: it takes no partition
    await until(lambda: asyncio.to_thread(lambda: "worker.join_deferred" in deployment.log("w2")))
    assert late.poll() is None
    assert await deployment.stop("w2") == 0
    deployment.start("w3", prelude=UPGRADED)
    await deployment.drained()
    assert await deployment.stop("w3") == 0
    result = await deployment.audit()
    assert result.faults == {}
    answered = {}
    for message in result.predictions:
        answered.setdefault(generation(message), set()).add(source(message))
    assert answered == {1: {tuple(place)[1:] for place in before}, 2: {tuple(place)[1:] for place in behind}}


async def test_one_that_is_held_by_a_version_that_does_not_exist_goes_on_under_another_name(deployment, tmp_path):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    await deployment.publish(values)
    await deployment.drained()
    await write(deployment, of_unknown_kind(version=MOST_VERSION, deployment=deployment.name))
    await until(lambda: asyncio.to_thread(lambda: "needs version 1000" in readiness(deployment.port())))
    await deployment.publish(values)
    await until(lambda: held(deployment, "w1"))
    assert await deployment.stop() == 0

    name = f"{deployment.name}-2"
    said, _ = await hotswap(deployment, "move", deployment.name, name, "--json")
    topics = {key.removeprefix("HOTSWAP_").lower(): value for key, value in json.loads(said)["settings"].items()}
    new = Deployment(deployment.kafka, tmp_path, name=name)
    new.settings = deployment.settings.model_copy(update={"deployment": name} | topics)
    try:
        await new.serve("iris_gbm")
        await new.drained()
        result = await new.audit()
        assert await new.stop() == 0
    finally:
        new.close()
    assert result.faults == {}
    assert len(result.predictions) == 2 * len(values)
