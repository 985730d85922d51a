"""Atomic swaps on a real Kafka: under a stream, through a kill, to another domain, and refused."""

import asyncio
import itertools
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

from harness.audit import generation, source
from harness.fleet import EXAMPLES, messages
from hotswap.artifacts.store import Store
from hotswap.client.answers import Outgoing
from hotswap.client.change import Change, Cut
from hotswap.errors import SwapError
from hotswap.generation import Model, Proto

SWAPS = 12
TABLE = (EXAMPLES / "protos" / "iris.proto").read_text().replace(
    "Iris) returns (Species", "Table) returns (Answers"
) + ("message Table { repeated Iris rows = 1; } message Answers { repeated Species rows = 1; }")


async def stream(deployment, values, stop, per_second=200):
    """Publish values in a cycle until told to stop."""
    async with deployment.client() as client:
        for chunk in itertools.cycle([values[start : start + 10] for start in range(0, len(values), 10)]):
            if stop.is_set():
                return
            await client.publish(Outgoing(value, key=b"%d" % index) for index, value in enumerate(chunk))
            await asyncio.sleep(len(chunk) / per_second)


async def descriptors(process):
    """Count a worker's open descriptors, once the old generation's host is gone: one host and the fetcher remain."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    async with asyncio.timeout(10):
        while len(children.read_text().split()) != 2:
            await asyncio.sleep(0.05)
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


async def test_many_swaps_under_a_stream_with_a_worker_killed_lose_nothing_and_answer_nothing_twice(deployment):
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    values, _, _ = messages("iris")
    stop = asyncio.Event()
    publishing = asyncio.create_task(stream(deployment, values, stop))
    early = None
    async with deployment.client() as client:
        for number in range(SWAPS):
            if number == SWAPS // 2:
                deployment.kill("w2")
                deployment.start("w3")
            model = EXAMPLES / "models" / ("iris_glm.zip" if number % 2 == 0 else "iris_gbm.zip")
            receipt = await client.swap(Change(model=model))
            answer = await client.await_swap(receipt)
            assert "SERVING" in str(answer), (number, answer)
            if number == SWAPS // 10:
                early = await descriptors(deployment.workers["w1"])
    late = await descriptors(deployment.workers["w1"])
    stop.set()
    await publishing
    await deployment.drained()
    assert late <= early + 8, f"descriptors grew from {early} to {late}"
    assert [await deployment.stop(worker) for worker in ("w1", "w3")] == [0, 0]
    result = await deployment.audit()
    assert result.faults == {}
    assert len({generation(message) for message in result.predictions}) > SWAPS // 2
    assert list((deployment.folder / "cache" / "artifacts").glob("*tmp*")) == []


@pytest.mark.usefixtures("workers_by_command")
async def test_a_swap_after_the_backlog_never_decodes_old_requests_with_the_new_proto(deployment):
    await deployment.serve("iris_gbm")
    irises, _, _ = messages("iris")
    cancers, _, _ = messages("cancer")
    await deployment.stop("w1")
    old = await deployment.publish(irises * 4)
    async with deployment.client() as client:
        models, protos = EXAMPLES / "models", EXAMPLES / "protos"
        deployment.start("w2")
        receipt = await client.swap(Change(model=models / "cancer_gbm.zip", proto=protos / "cancer.proto"))
        assert receipt.cut, "another proto is cut after the backlog by default"
        await deployment.reported(client, receipt)
        new = await deployment.publish(cancers)
        assert (await client.await_swap(receipt)).is_good
    await deployment.drained()
    result = await deployment.audit()
    assert result.faults == {}
    assert result.dead_letters == []
    by_source = {source(message): generation(message) for message in result.predictions}
    assert {by_source[place.partition, place.offset] for place in old} == {1}
    assert {by_source[place.partition, place.offset] for place in new} == {2}
    assert await deployment.stop("w2") == 0


async def test_requests_to_an_empty_topic_after_a_swap_to_another_proto_wait_for_it(deployment):
    await deployment.serve("iris_gbm")
    cancers, _, _ = messages("cancer")
    async with deployment.client() as client:
        change = Change(model=EXAMPLES / "models" / "cancer_gbm.zip", proto=EXAMPLES / "protos" / "cancer.proto")
        receipt = await client.swap(change)
        assert set(receipt.cut.values()) == {0}
        await deployment.reported(client, receipt)
        await deployment.publish(cancers)
        assert (await client.await_swap(receipt)).is_good
    await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    assert Counter(generation(message) for message in result.predictions) == {2: len(cancers)}


async def test_a_backlog_of_transactions_ends_in_a_marker_and_is_cut_all_the_same(deployment):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    topic = deployment.settings.topics.requests
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap, "transactional.id": deployment.name})
    producer.init_transactions()
    for ends in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % 4)
        producer.flush()
        ends()
    async with deployment.client() as client:
        change = Change(model=EXAMPLES / "models" / "iris_glm.zip", cut=Cut.AFTER_BACKLOG)
        receipt = await client.swap(change)
        answer = await client.await_swap(receipt, timeout_s=20)
        assert answer.is_good, answer
    await until_retired(deployment, 1)
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert result.faults == {}
    assert Counter(generation(message) for message in result.predictions) == {1: len(values)}


async def until_retired(deployment, number):
    async with asyncio.timeout(20):
        while f'"event": "swap.retired", "logger": "hotswap.staging", "generation": {number}' not in deployment.log():
            await asyncio.sleep(0.05)


async def test_every_kind_of_bad_swap_is_refused_with_its_code_and_the_old_generation_continues(deployment, tmp_path):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    models = EXAMPLES / "models"
    (tmp_path / "garbage.zip").write_bytes(b"not a model at all")
    (tmp_path / "truncated.zip").write_bytes((models / "iris_glm.zip").read_bytes()[:-200])
    with zipfile.ZipFile(tmp_path / "no_mojo.zip", "w") as file:
        file.writestr("readme.txt", "a zip, and no MOJO")
    glm, digest = await Store(deployment.settings).upload(models / "iris_glm.zip")
    broken = Proto.inline('syntax = "proto3"; message Oops { double x = ; }')
    other = Proto.inline('syntax = "proto3"; message A { double b = 1; }')
    changes = {
        "ARTIFACT_INVALID": Change(model=tmp_path / "garbage.zip", kind="h2o"),
        "ARTIFACT_INVALID again": Change(model=tmp_path / "truncated.zip", kind="h2o"),
        "MODEL_INVALID": Change(model=tmp_path / "no_mojo.zip", kind="h2o"),
        "DIGEST_MISMATCH": Change(model=Model(glm, "0" * 64)),
        "ARTIFACT_UNREACHABLE": Change(model=Model(f"{deployment.settings.store}/nothing.zip", "0" * 64)),
        "URI_DENIED": Change(model=Model((models / "iris_glm.zip").as_uri(), digest)),
        "KIND_MISSING": Change(model=models / "iris_glm.zip", kind="abacus"),
        "SCHEMA_MISMATCH": Change(model=models / "cancer_gbm.zip"),
        "PROTO_INVALID": Change(proto=broken, cut=Cut.AT_ONCE),
        "NO_OPERATION": Change(proto=other, cut=Cut.AT_ONCE),
        # 120 kB of rows without a value, and an answer of more than a topic accepts.
        "SAMPLE_REFUSED": Change(proto=Proto.inline(TABLE), samples=(b"\x0a\x00" * 60_000,), cut=Cut.AT_ONCE),
    }
    said = {}
    async with deployment.client() as client:
        for name, change in changes.items():
            try:
                answer = await client.await_swap(await client.swap(change))
            except SwapError as error:  # the client detects it before any worker
                said[name] = error.code, error.message
                continue
            assert not answer.is_good, name
            (told,) = answer.told.values()
            said[name] = told.code, told.message
    assert {name: code for name, (code, _) in said.items()} == {name: name.split()[0] for name in changes}
    assert "HOTSWAP_ALLOWED_STORES" in said["URI_DENIED"][1], said
    assert "mean_radius" in said["SCHEMA_MISMATCH"][1], said
    assert "ANSWER_TOO_LARGE" in said["SAMPLE_REFUSED"][1], said
    places = await deployment.publish(values)
    await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert result.faults == {}
    assert Counter(generation(message) for message in result.predictions) == {1: len(places)}


async def test_what_serves_survives_an_upgrade_after_which_its_uri_lies_outside_of_the_allowed_stores(deployment):
    await deployment.serve("iris_gbm")
    values, _, _ = messages("iris")
    await deployment.publish(values)
    await deployment.drained()
    assert await deployment.stop() == 0
    deployment.start(HOTSWAP_ALLOWED_STORES="s3://elsewhere")
    places = await deployment.publish(values)
    await deployment.drained()
    async with deployment.client() as client:
        answer = await client.await_swap(await client.swap(Change(model=EXAMPLES / "models" / "iris_glm.zip")))
    assert {told.code for told in answer.told.values()} == {"URI_DENIED"}
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    assert Counter(generation(message) for message in result.predictions) == {1: 2 * len(places)}
