"""Model hosts with Spark inside: a jar with a session, and jobs in a serving host and in a warm standby."""

import asyncio
import re

import pytest
from google.protobuf import json_format

from fakes.examples import COLD, EAGER, READING
from fakes.jars import jar
from harness.spark_lab import assert_same, proto_of, read_rows
from hotswap.batch import Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost
from hotswap.host.standby import Standbys

pytestmark = pytest.mark.spark


def host_of(kind, model, proto, options, **given):
    load = Load(
        generation=1,
        kind=kind,
        model=model,
        proto=proto,
        is_descriptor_set=False,
        configuration=Configuration(runtime=options),
        samples=(),
        heap_mb=512,
        sandbox=READING,
    )
    return ModelHost(load=load, deadline_s=60, on_restart=pytest.fail, on_unknown=pytest.fail, child=COLD, **given)


async def answers_of(host, proto, rows):
    """Return a host's answers, as JSON objects."""
    (operation,) = compile_proto(proto).operations.values()
    answers = await host.score([operation.input(**row).SerializeToString() for row in rows])
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    return [json_format.MessageToDict(operation.output.FromString(answer)) for answer in answers]


async def test_a_jar_that_uses_spark_has_an_active_session(tmp_path):
    path = tmp_path / "squares.jar"
    path.write_bytes(jar("spark"))
    proto = proto_of([{"x": 1.0}], [{"value": 1.0}])
    host = host_of("spark-jar", path, proto, {"class": "sessions.Squares", "method": "square"})
    description = await host.start()
    assert re.fullmatch(r"Spark 4\.[0-9.]+, Java [0-9.]+", description.runtime)
    try:
        assert await answers_of(host, proto, [{"x": 1.5}, {"x": -3}]) == [{"value": 2.25}, {"value": 9}]
    finally:
        await host.stop()


@pytest.fixture
async def standbys(monkeypatch):
    monkeypatch.setattr("hotswap.host.standby._PAUSE_SECONDS", 0.0)
    made = Standbys(heap_mb=512, child=EAGER, sandbox=READING)
    yield made
    await made.stop()


async def test_serving_hosts_can_still_run_jobs_and_a_standby_skips_javas_start(unpacked, standbys):
    rows, expected = read_rows("ratings", "input"), read_rows("ratings", "pred")
    given = ("spark", unpacked("ratings"), proto_of(rows, expected), {"fallback": "dataframe"})
    standbys.keep("spark")
    async with asyncio.timeout(600):
        while not standbys.ready:
            await asyncio.sleep(0.05)
    hosts = [host_of(*given, take_standby=standbys.take), host_of(*given)]
    try:
        warm, cold = [await host.start() for host in hosts]
        for host in hosts:
            assert_same(await answers_of(host, given[2], rows), expected)
    finally:
        for host in hosts:
            await host.stop()

    assert warm.runtime == cold.runtime
    assert re.fullmatch(r"Spark 4\.[0-9.]+, Java [0-9.]+", cold.runtime)
    assert warm.phase_seconds["start"] < cold.phase_seconds["start"]
    assert warm.phase_seconds["load"] < cold.phase_seconds["load"] / 2
