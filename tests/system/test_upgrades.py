"""A command that needs a later version, on a real Kafka: who is too old holds, and who is upgraded goes on."""

import asyncio
import json
import urllib.error
import urllib.request

from confluent_kafka import Producer

from fakes.later import later
from harness.audit import generation, source
from harness.command import hotswap
from harness.fleet import messages
from hotswap.swap import RollbackCommand

UPGRADED = "from hotswap.swap import Timeline; Timeline.version = 2\n"
"""A worker that knows version 2 of the contract."""
NEEDS = "has a command that needs version 2 of its contract"


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


async def held(deployment, worker):
    """Whether a worker says that it is too old, and holds all of its partitions for that."""
    async with deployment.client() as client:
        view = next(one for one in (await client.status()).workers if one.worker == worker)
    return NEEDS in view.held and bool(view.partitions) and all(NEEDS in part.held for part in view.partitions)


async def test_a_worker_that_is_too_old_holds_says_so_and_one_that_is_upgraded_answers_what_waits(deployment):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    before = await deployment.publish(values)
    await deployment.drained()

    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    command = later(RollbackCommand(command_id="later", generation=2, to=1), deployment=deployment.name)
    producer.produce(deployment.settings.topics.control, command)
    await asyncio.to_thread(producer.flush, 10)
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
    await until(lambda: asyncio.to_thread(lambda: "worker.does_not_join" in deployment.log("w2")))
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
