"""One standing deployment, swapped from H2O to Spark to Java and back, under a stream on a real Kafka."""

import asyncio
import json
from dataclasses import dataclass, replace
from itertools import cycle

import pytest

from fakes.examples import EAGER
from harness.audit import generation, source
from harness.fleet import EXAMPLES, ROOT, messages
from harness.spark_lab import MODELS, proto_of, read_rows
from hotswap.client.answers import Outgoing
from hotswap.client.change import Change, Cut
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Proto, frozen

pytestmark = pytest.mark.spark

PARTITIONS = 4
PAUSE_S = 0.1
"""Between two requests: the stream goes on for the minutes that Spark takes to start, and each is a transaction."""


@dataclass
class Leg:
    """A stretch of the stream: the change that begins it, its requests, and the expected answers."""

    change: Change
    values: list
    output: type
    expected: list


def spark_leg(name):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")
    proto = proto_of(rows, expected)
    operation = compile_proto(proto).operations["f"]
    change = Change(model=MODELS / f"{name}.zip", kind="spark", proto=Proto.inline(proto))
    return Leg(change, [operation.input(**row).SerializeToString() for row in rows], operation.output, expected)


def h2o_leg():
    values, _, operation = messages("iris")
    change = Change(model=EXAMPLES / "models" / "iris_glm.zip", proto=EXAMPLES / "protos" / "iris.proto")
    return Leg(change, values, operation.output, [])


def java_leg():
    proto = """syntax = "proto3"; message Row { double a = 1; double b = 2; } message Long { int64 n = 1; }
        service S { rpc next(Row) returns (Long); }"""
    operation = compile_proto(proto.encode()).operations["next"]
    configuration = Configuration(runtime=frozen({"class": "numbers.Numbers"}))
    jar = ROOT / "tests" / "jars" / "numbers.jar"
    change = Change(model=jar, kind="java", proto=Proto.inline(proto), configuration=configuration)
    return Leg(change, [operation.input(a=a, b=1).SerializeToString() for a in range(60)], operation.output, [])


class Stream:
    """Publishes the requests of the current leg until stopped; `sent` has the place of each."""

    def __init__(self, deployment, client, leg):
        self._deployment = deployment
        self._client = client
        self._leg = leg
        self._between = asyncio.Lock()
        self._is_stopped = False
        self.sent = {}
        self._task = asyncio.create_task(self._run())

    async def swap(self, leg):
        """Swap, and publish the next leg's requests from the cut on, which is between two requests.

        A worker that has not read the command yet would answer them with the serving generation.
        """
        async with self._between:
            receipt = await self._client.swap(replace(leg.change, cut=Cut.AFTER_BACKLOG))
            await self._deployment.reported(self._client, receipt)
            self._leg = leg
        answer = await self._client.await_swap(receipt, timeout_s=120)
        assert answer.is_good, answer

    async def stop(self):
        # Not cancelled: the place of a request that is being published would be unknown.
        self._is_stopped = True
        await self._task

    async def _run(self):
        for number in cycle(range(60)):
            async with self._between:
                leg = self._leg
                value = leg.values[number % len(leg.values)]
                (place,) = await self._client.publish([Outgoing(value, key=b"%d" % number)])
                self.sent[place.partition, place.offset] = leg, number % len(leg.values)
            if self._is_stopped:
                return
            await asyncio.sleep(PAUSE_S)


def told(deployment, event):
    lines = [line for line in deployment.log().splitlines() if line.startswith("{")]
    return [facts for facts in map(json.loads, lines) if facts.get("event") == event]


async def test_swaps_from_h2o_to_spark_to_java_and_back_lose_nothing_and_give_sparks_own_predictions(deployment):
    deployment.start(child=EAGER)
    await deployment.serve("iris_gbm", workers=())
    first, forest, churn = h2o_leg(), spark_leg("forest"), spark_leg("churn")
    last = h2o_leg()
    last = replace(last, change=replace(last.change, configuration=Configuration()))
    async with deployment.client() as client:
        stream = Stream(deployment, client, first)
        async with asyncio.timeout(30):
            while len({partition for partition, _ in stream.sent}) < PARTITIONS:
                await asyncio.sleep(0.01)
        await stream.swap(forest)
        async with asyncio.timeout(300):
            while not told(deployment, "standby.ready"):
                await asyncio.sleep(0.1)
        for leg in (churn, java_leg(), last):
            await stream.swap(leg)
        await stream.stop()
    await deployment.drained()
    assert await deployment.stop() == 0

    hosts = {facts["generation"]: facts["pid"] for facts in told(deployment, "host.ready")}
    assert hosts[3] == told(deployment, "standby.ready")[0]["pid"], (
        "the second Spark generation was loaded in the standby"
    )
    result = await deployment.audit()
    assert result.faults == {}
    assert result.dead_letters == []
    scored = {}
    for message in result.predictions:
        leg, number = stream.sent[source(message)]
        scored.setdefault(id(leg), set()).add(generation(message))
    assert sorted(map(sorted, scored.values())) == [[1], [2], [3], [4], [5]]
    for message in result.predictions:
        leg, number = stream.sent[source(message)]
        if leg.expected:
            answer, expected = leg.output.FromString(message.value()), leg.expected[number]
            assert (answer.prediction, list(answer.probability)) == (expected["prediction"], expected["probability"])
