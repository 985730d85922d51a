"""Model hosts with Spark inside: jobs and jars in a serving one, and a warm standby."""

import asyncio

import pytest
from google.protobuf import json_format

from fakes.examples import COLD
from fakes.jars import jar
from harness.spark_lab import assert_same, proto_of, read_rows
from hotswap.batch import Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost
from hotswap.host.standby import Standbys

pytestmark = pytest.mark.spark


async def score_in_a_host(kind, model, proto, rows, **runtime):
    """Return the answers of a freshly started model host, as JSON objects."""
    (operation,) = compile_proto(proto).operations.values()
    load = Load(
        generation=1,
        kind=kind,
        model=model,
        proto=proto,
        is_descriptor_set=False,
        configuration=Configuration(runtime=runtime),
        samples=(),
        heap_mb=512,
    )
    host = ModelHost(load=load, deadline_s=60, on_restart=pytest.fail, on_unknown=pytest.fail)
    await host.start()
    try:
        answers = await host.score([operation.input(**row).SerializeToString() for row in rows])
    finally:
        await host.stop()
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    return [json_format.MessageToDict(operation.output.FromString(answer)) for answer in answers]


async def test_a_jar_that_uses_spark_has_an_active_session(tmp_path):
    path = tmp_path / "squares.jar"
    path.write_bytes(jar("spark"))
    proto = proto_of([{"x": 1.0}], [{"value": 1.0}])

    squares = await score_in_a_host(
        "spark-jar", path, proto, [{"x": 1.5}, {"x": -3}], **{"class": "sessions.Squares", "method": "square"}
    )

    assert squares == [{"value": 2.25}, {"value": 9}]


async def test_a_serving_host_can_still_run_a_job(unpacked):
    rows, expected = read_rows("ratings", "input"), read_rows("ratings", "pred")

    answers = await score_in_a_host("spark", unpacked("ratings"), proto_of(rows, expected), rows, fallback="dataframe")

    assert_same(answers, expected)


@pytest.fixture
async def standbys(monkeypatch):
    monkeypatch.setattr("hotswap.host.standby._PAUSE_SECONDS", 0.0)
    made = Standbys(heap_mb=512, child=COLD)
    yield made
    await made.stop()


def host_of(name, model, **options):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")
    load = Load(
        generation=1,
        kind="spark",
        model=model,
        proto=proto_of(rows, expected),
        is_descriptor_set=False,
        configuration=Configuration(),
        samples=(),
        heap_mb=512,
    )
    return ModelHost(load=load, deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=COLD, **options)


async def answers_of(host, name, times):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")
    operation = compile_proto(proto_of(rows, expected)).operations["f"]
    answers = await host.score([operation.input(**row).SerializeToString() for row in rows] * times)
    assert not any(isinstance(answer, Refusal) for answer in answers)
    return [
        {"probability": list(message.probability), "prediction": message.prediction}
        for message in map(operation.output.FromString, answers)
    ]


async def test_a_host_and_a_standby_answer_alike_and_a_standby_skips_javas_start(unpacked, standbys):
    expected = [{key: row[key] for key in ("probability", "prediction")} for row in read_rows("forest", "pred")]
    standbys.keep("spark")
    async with asyncio.timeout(120):
        while not standbys.ready:
            await asyncio.sleep(0.05)
    hosts = [host_of("forest", unpacked("forest"), take_standby=standbys.take), host_of("forest", unpacked("forest"))]
    try:
        warm, cold = [await host.start() for host in hosts]
        for host in hosts:
            given = await answers_of(host, "forest", 50)
            assert_same(given[:60], expected)
            assert given[-60:] == given[:60]
    finally:
        for host in hosts:
            await host.stop()

    assert warm.phase_seconds["start"] < cold.phase_seconds["start"]
    assert warm.phase_seconds["load"] < cold.phase_seconds["load"] / 2
