"""A model that never returns, on a real Kafka: what frees its partition, and what is reported meanwhile."""

import asyncio
import json
from datetime import datetime

from fakes.hostile_child import NEVER_RETURNS
from harness.audit import generation, header, source
from harness.fleet import EXAMPLES, HOSTILE, messages
from hotswap.client.change import Change, Cut
from hotswap.client.overview import read_fleet
from hotswap.generation import Configuration

FOR_MINUTES = Configuration(deadline_ms=600_000)
FOR_A_SECOND = Configuration(deadline_ms=1_000)


async def held(deployment, *words):
    """Wait until a partition is reported as held, with these words."""
    async with asyncio.timeout(30):
        while True:
            (worker,) = (await read_fleet(deployment.settings)).workers.values()
            if any(all(word in partition.held for word in words) for partition in worker.partitions):
                return
            await asyncio.sleep(0.1)


def events(deployment, name):
    """Return when the worker logged such an event."""
    lines = (json.loads(line) for line in deployment.log().splitlines() if line.startswith("{"))
    return [datetime.fromisoformat(line["time"]) for line in lines if line["event"] == name]


def seconds_until_freed(deployment, event):
    """Return the seconds from the last event of that name until the batch in the model was abandoned."""
    return (events(deployment, "partition.recycled")[-1] - events(deployment, event)[-1]).total_seconds()


async def swap(deployment, configuration, cut):
    async with deployment.client() as client:
        answer = await client.await_swap(await client.swap(Change(configuration=configuration, cut=cut)))
        assert answer.is_good, (answer, deployment.log()[-3000:])


async def test_a_model_that_never_returns_keeps_no_partition_from_a_pause_a_newer_generation_or_a_stop(deployment):
    values, _, operation = messages("iris")
    endless = operation.input(sepal_length=NEVER_RETURNS).SerializeToString()
    deployment.start(child=HOSTILE, HOTSWAP_STOP_TIMEOUT_S="4")
    async with deployment.client() as client:
        change = Change(
            model=EXAMPLES / "models" / "iris_gbm.zip",
            proto=EXAMPLES / "protos" / "iris.proto",
            configuration=FOR_MINUTES,
        )
        assert (await client.await_swap(await client.swap(change))).is_good
        first = await deployment.publish([endless, *values[:20]])
        await held(deployment, "waits for the model of generation 1", "600 s", "rollback", "--at-once")

        await client.pause()
        await held(deployment, "paused by command")
        assert seconds_until_freed(deployment, "command.received") < 3
        await client.resume()
        await held(deployment, "waits for the model of generation 1")

    await swap(deployment, FOR_A_SECOND, Cut.AT_ONCE)
    await deployment.drained()
    assert seconds_until_freed(deployment, "swap.ready") < 3

    before = await deployment.publish([values[0], endless, *values[:6], endless, values[1]])
    await swap(deployment, FOR_MINUTES, Cut.AFTER_BACKLOG)
    after = await deployment.publish(values[:20])
    await deployment.drained()

    check_who_answered(await deployment.audit(), first[0], before, after)
    await deployment.publish([endless])
    await held(deployment, "waits for the model of generation 3")
    assert await deployment.stop() == 0


def check_who_answered(result, first, before, after):
    assert result.faults == {}
    answers = {source(message): message for message in [*result.predictions, *result.dead_letters]}
    by = {place: generation(message) for place, message in answers.items()}
    assert {by[place.partition, place.offset] for place in before} == {2}
    assert {by[place.partition, place.offset] for place in after} == {3}
    assert by[first.partition, first.offset] == 2
    codes = {source(message): header(message, "code") for message in result.dead_letters}
    endings = [first, before[1], before[8]]
    assert codes == {(place.partition, place.offset): "HOST_TOO_SLOW" for place in endings}
