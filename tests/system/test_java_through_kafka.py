"""Jars on a real Kafka: swapped under a stream for one with the same class name, refused, and hostile."""

import asyncio
from collections import Counter

from fakes.jars import jar
from harness.audit import generation, header, source
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError
from hotswap.generation import Configuration, Proto, frozen

FLOWERS = """
syntax = "proto3";
message Row { double petal_len = 1; }
message Rows { repeated Row rows = 1; }
message Labels { repeated string prediction = 1; }
service Model { rpc predict (Rows) returns (Labels); }
"""
WORDS = """
syntax = "proto3";
message What { string what = 1; }
message Said { string said = 1; }
service Model { rpc act (What) returns (Said); }
"""
HARMS = {"exit": "HOST_CRASHED", "heap": "HOST_CRASHED", "loop": "HOST_TOO_SLOW", "raise": "MODEL_ERROR"}


def put(folder, name):
    path = folder / f"{name}.jar"
    path.write_bytes(jar(name))
    return path


def java(class_name, **serving):
    return Configuration(runtime=frozen({"class": class_name}), **serving)


async def swap(deployment, **change):
    async with deployment.client() as client:
        receipt = await client.swap(Change(kind="java", **change))
        return receipt, await client.await_swap(receipt)


def expect_labels(flowers, predicted, places):
    """The first generation labels each flower, the second says only that it is the second."""
    for place, label in zip(places, ["setosa", "versicolor", "virginica"] * 200, strict=True):
        message = predicted[place.partition, place.offset]
        expected = label if generation(message) == 1 else "second"
        said = list(flowers.output.FromString(message.value()).prediction)
        assert said == [expected], (place, message.value(), generation(message), message.headers())


async def test_jars_are_swapped_and_refused_under_a_stream_and_a_hostile_one_costs_only_the_requests_it_harms(
    deployment, tmp_path
):
    flowers = compile_proto(FLOWERS.encode()).operations["predict"]
    asked = [flowers.input(rows=[{"petal_len": length}]).SerializeToString() for length in (1, 3, 5)] * 100
    texts, proto = put(tmp_path, "texts"), Proto.inline(FLOWERS)
    deployment.start()
    _, first = await swap(deployment, model=texts, proto=proto, configuration=java("iris.Model"))
    assert first.is_good, (first, deployment.log()[-3000:])

    # The same class name, other code; then one that exits while it is loaded, and one that lacks the method.
    streaming = asyncio.create_task(deployment.publish(asked))
    receipt, second = await swap(deployment, model=put(tmp_path, "texts_v2"))
    assert second.is_good, second
    before = await streaming
    assert await codes(deployment, model=put(tmp_path, "hostile"), configuration=java("hostile.ExitsAtStart")) == {
        "HOST_FAILED"
    }
    assert await codes(deployment, model=put(tmp_path, "numbers"), configuration=java("numbers.Numbers")) == {
        "SCHEMA_MISMATCH"
    }
    after = await deployment.publish(asked)

    # Another proto and a harmful jar: cut after the backlog.
    words = compile_proto(WORDS.encode()).operations["act"]
    hostile = java("hostile.Hostile", deadline_ms=4_000)
    _, last = await swap(deployment, model=tmp_path / "hostile.jar", proto=Proto.inline(WORDS), configuration=hostile)
    assert last.is_good, last
    spoken = [f"word {number}" for number in range(20)]
    for number, harm in enumerate(HARMS):
        spoken.insert(5 * number + 2, harm)
    said = await deployment.publish([words.input(what=what).SerializeToString() for what in spoken])
    await deployment.drained(timeout=120)
    assert await deployment.stop() == 0

    result = await deployment.audit()
    assert result.faults == {}
    predicted = {source(message): message for message in result.predictions}
    by_generation = Counter(generation(predicted[place.partition, place.offset]) for place in after)
    assert by_generation == {receipt.generation: len(after)}
    expect_labels(flowers, predicted, [*before, *after])
    refused = {source(message): header(message, "code") for message in result.dead_letters}
    told = {what: refused.get((place.partition, place.offset)) for place, what in zip(said, spoken, strict=True)}
    assert told == {what: HARMS.get(what) for what in spoken}


async def codes(deployment, **change):
    """Return the codes with which the client or the worker refuses a swap."""
    try:
        _, answer = await swap(deployment, **change)
    except SwapError as error:
        return {error.code}
    assert not answer.is_good, answer
    return {told.code for told in answer.told.values()}
