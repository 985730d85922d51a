"""The defects of Acumos that concern a whole deployment, on a real Kafka; tests/contract has the others."""

import asyncio
import hashlib
import itertools

from harness.audit import generation, source
from harness.fleet import EXAMPLES, messages
from hotswap.client.answers import Outgoing
from hotswap.client.change import Change, Cut
from hotswap.codec.proto import compile as compile_proto

PROTOS = {name: (EXAMPLES / "protos" / f"{name}.proto").read_bytes() for name in ("iris", "cancer")}
LABELS = {"iris": {"setosa", "versicolor", "virginica"}, "cancer": {"malignant", "benign"}}

PAUSE_S = 0.05
"""Between two chunks of requests, 400 a second: each that is sent has to be answered and checked."""


async def swap(deployment, **change):
    async with deployment.client() as client:
        return await client.await_swap(await client.swap(Change(**change)))


async def test_garbage_for_a_model_or_a_proto_is_refused_and_the_serving_generation_continues(deployment, tmp_path):
    await deployment.serve("iris_gbm")
    values, known, operation = messages("iris")
    (tmp_path / "garbage.zip").write_bytes(b"garbage" * 1_000)
    (tmp_path / "half.zip").write_bytes((EXAMPLES / "models" / "iris_glm.zip").read_bytes()[:-500])

    codes = {}
    for name in ("garbage.zip", "half.zip"):
        answer = await swap(deployment, model=tmp_path / name, kind="h2o")
        codes[name] = {told.code for told in answer.told.values()}
    answer = await swap(deployment, proto=EXAMPLES / "protos" / "cancer.proto")
    codes["proto"] = {told.code for told in answer.told.values()}
    await deployment.publish(values)
    await deployment.drained()

    assert codes == {
        "garbage.zip": {"ARTIFACT_INVALID"},
        "half.zip": {"ARTIFACT_INVALID"},
        "proto": {"SCHEMA_MISMATCH"},
    }
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    assert {generation(message) for message in result.predictions} == {1}
    said = [operation.output.FromString(message.value()).species for message in result.predictions]
    assert sum(label in known for label in said) == len(values)
    assert len(set(said)) == len(set(known))


async def test_a_request_in_flight_is_never_scored_by_the_new_model_under_the_old_proto(deployment):
    await deployment.serve("iris_gbm")
    given = {name: messages(name) for name in ("iris", "cancer")}
    stop, sent = asyncio.Event(), {}

    async def publish():
        # Requests of both kinds at any time; each says for which proto it was made.
        async with deployment.client() as client:
            for number in itertools.count():
                if stop.is_set():
                    return
                name = ("iris", "cancer")[number % 2]
                digest = (("proto-digest", hashlib.sha256(PROTOS[name]).hexdigest().encode()),)
                chunk = given[name][0][:20]
                places = await client.publish(Outgoing(value, headers=digest) for value in chunk)
                sent.update({(place.partition, place.offset): name for place in places})
                await asyncio.sleep(PAUSE_S)

    publishing = asyncio.create_task(publish())
    for name in ("cancer", "iris", "cancer", "iris"):
        answer = await swap(
            deployment,
            model=EXAMPLES / "models" / f"{name}_gbm.zip",
            proto=EXAMPLES / "protos" / f"{name}.proto",
            cut=Cut.AT_ONCE,
        )
        assert answer.is_good, answer
    stop.set()
    await publishing
    await deployment.drained()
    assert await deployment.stop() == 0

    result = await deployment.audit()
    assert result.faults == {}
    assert len(scored_by(result.predictions, sent)) >= 3
    assert {dict(message.headers())["code"] for message in result.dead_letters} == {b"PROTO_MISMATCH"}


def scored_by(predictions, sent):
    """Return the generations that answered, after checking each answer's kind and label."""
    outputs = {name: compile_proto(text).operations for name, text in PROTOS.items()}
    seen = set()
    for message in predictions:
        name = sent[source(message)]
        # Generations 1, 3 and 5 are of irises, 2 and 4 of cancers: no request was scored by the other's.
        assert name == ("cancer", "iris")[generation(message) % 2]
        (operation,) = outputs[name].values()
        answer = operation.output.FromString(message.value())
        assert LABELS[name] & {value for _, value in answer.ListFields() if isinstance(value, str)}
        seen.add(generation(message))
    return seen
