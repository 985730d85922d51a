"""Generations that are staged before they are cut, on a real Kafka: promoted at once, by parts, and abandoned."""

import asyncio
import contextlib
import time
from collections import Counter
from fractions import Fraction

import pytest

from harness.audit import generation, source
from harness.fleet import EXAMPLES, messages
from hotswap.client.answers import Outgoing
from hotswap.client.change import Change, Rollout
from hotswap.errors import NotReady, SwapError, UsageError

MODELS, PROTOS = EXAMPLES / "models", EXAMPLES / "protos"
CANCER = Change(model=MODELS / "cancer_gbm.zip", proto=PROTOS / "cancer.proto", rollout=Rollout())
WORKERS = ("w1", "w2")


async def publish(deployment, values):
    """Publish them by key: a key stays with its partition."""
    async with deployment.client() as client:
        return await client.publish(Outgoing(value, key=b"%d" % (number % 20)) for number, value in enumerate(values))


async def ended(deployment, workers=WORKERS):
    await deployment.drained()
    assert [await deployment.stop(worker) for worker in workers] == [0] * len(workers)
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    return {source(message): generation(message) for message in result.predictions}


async def test_a_swap_to_another_proto_is_staged_on_all_workers_and_cut_where_the_stream_was_when_they_were_ready(
    deployment,
):
    await deployment.serve("iris_gbm", workers=WORKERS)
    irises, _, _ = messages("iris")
    cancers, _, _ = messages("cancer")
    told = []
    async with deployment.client() as client:
        receipt = await client.swap(CANCER)
        assert (dict(receipt.cut), receipt.rollout) == ({}, Rollout())
        old = await publish(deployment, irises)
        answer = await client.await_swap(receipt, on_told=told.append)
    assert answer.is_good, answer
    assert {(one.worker, one.outcome) for one in told} >= {(worker, "READY") for worker in WORKERS}
    new = await publish(deployment, cancers)
    by_source = await ended(deployment)
    assert {by_source[place.partition, place.offset] for place in old} == {1}
    assert {by_source[place.partition, place.offset] for place in new} == {2}


async def test_a_canary_scores_its_partitions_alone_until_it_is_promoted(deployment):
    await deployment.serve("iris_gbm", workers=WORKERS)
    values, _, _ = messages("iris")
    async with deployment.client() as client:
        with pytest.raises(UsageError, match="1/3 of 4 partitions"):
            await client.swap(Change(model=MODELS / "iris_glm.zip", rollout=Rollout(canary=Fraction(1, 3))))
        receipt = await client.swap(Change(model=MODELS / "iris_glm.zip", rollout=Rollout(canary=Fraction(1, 4))))
        steps = []
        assert (await client.await_swap(receipt, on_step=steps.append)).is_good
        assert steps == ["generation 2 scores partitions 0"]
        during = await publish(deployment, values)
        await deployment.drained()
        assert (await client.await_swap(await client.promote())).is_good
        after = await publish(deployment, values)
    by_source = await ended(deployment)
    scored = {place.partition: by_source[place.partition, place.offset] for place in during}
    assert scored == {0: 2, 1: 1, 2: 1, 3: 1}
    assert {by_source[place.partition, place.offset] for place in after} == {2}


async def test_what_is_abandoned_leaves_its_partitions_and_reaches_no_others(deployment):
    await deployment.serve("iris_gbm", workers=WORKERS)
    values, _, _ = messages("iris")
    async with deployment.client() as client:
        receipt = await client.swap(Change(model=MODELS / "iris_glm.zip", rollout=Rollout(canary=Fraction(1, 4))))
        assert (await client.await_swap(receipt)).is_good
        await publish(deployment, values)
        await deployment.drained()
        ended_by = await client.abandon()
        answer = await client.await_swap(ended_by)
        assert answer.is_good, answer
        with pytest.raises(UsageError, match="no generation that is staged"):
            await client.promote()
        after = await publish(deployment, values)
    by_source = await ended(deployment)
    assert {place.partition: by_source[place.partition, place.offset] for place in after} == {0: 3, 1: 1, 2: 1, 3: 1}
    assert Counter(by_source.values())[2] > 0


async def test_a_generation_for_a_time_answers_nothing_from_before_it(deployment):
    await deployment.serve("iris_gbm", workers=WORKERS)
    values, _, _ = messages("iris")
    at_s = time.time() + 6
    async with deployment.client() as client:
        receipt = await client.swap(Change(model=MODELS / "iris_glm.zip", rollout=Rollout(at_s=at_s)))
        early = await publish(deployment, values)
        assert (await client.await_swap(receipt)).is_good
        assert time.time() > at_s
        late = await publish(deployment, values)
    by_source = await ended(deployment)
    assert {by_source[place.partition, place.offset] for place in early} == {1}
    assert {by_source[place.partition, place.offset] for place in late} == {2}


async def test_a_wrong_golden_answer_refuses_a_swap_on_every_worker_and_nothing_else_changes(deployment, tmp_path):
    await deployment.serve("iris_gbm", workers=WORKERS)
    values, _, _ = messages("iris")
    golden = tmp_path / "golden.csv"
    async with deployment.client() as client:
        for species, is_good in (("virginica", False), ("setosa", True)):
            golden.write_text(f"sepal_length,sepal_width,petal_length,petal_width,species\n5.1,3.5,1.4,0.2,{species}\n")
            answer = await client.await_swap(
                await client.swap(Change(model=MODELS / "iris_glm.zip", golden=golden, rollout=Rollout()))
            )
            assert answer.is_good is is_good, answer
            assert {told.code for told in answer.told.values()} == ({""} if is_good else {"GOLDEN_MISMATCH"})
            assert set(answer.told) == set(WORKERS)
            said = next(iter(answer.told.values())).message
            assert is_good or all(word in said for word in ("row 1", "species", "virginica", "setosa")), said
            await publish(deployment, values)
            await deployment.drained()
        with pytest.raises(UsageError, match="--golden inherit"):
            await client.swap(Change(model=MODELS / "iris_gbm.zip"))
    by_source = await ended(deployment)
    assert Counter(by_source.values()) == {1: len(values), 3: len(values)}


async def test_a_generation_that_fails_on_a_worker_is_abandoned_and_nothing_that_serves_changes(deployment, tmp_path):
    await deployment.serve("iris_gbm", workers=WORKERS)
    values, _, _ = messages("iris")
    (tmp_path / "garbage.zip").write_bytes(b"not a model at all")
    steps = []
    async with deployment.client() as client:
        change = Change(model=tmp_path / "garbage.zip", kind="h2o", rollout=Rollout(is_barrier=True))
        answer = await client.await_swap(await client.swap(change), on_step=steps.append)
        assert {told.outcome for told in answer.told.values()} == {"FAILED"}
        assert steps == ["generation 2 failed on w1, w2 and was abandoned: nothing that serves has changed"]
        await publish(deployment, values)
        await deployment.drained()
        assert (await client.await_swap(await client.swap(Change(model=MODELS / "iris_glm.zip")))).is_good
    by_source = await ended(deployment)
    assert set(by_source.values()) == {1}


async def promoted(client, number):
    """Promote it as soon as it is ready everywhere."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(NotReady):
                return await client.promote(number)
            await asyncio.sleep(0.2)


async def test_a_publisher_that_dies_after_staging_leaves_what_another_promotes(deployment):
    await deployment.serve("iris_gbm", workers=WORKERS)
    async with deployment.client() as client:
        staged = await client.swap(CANCER)
    async with deployment.client() as other:
        receipt = await promoted(other, staged.generation)
        assert (await other.await_swap(receipt)).is_good
        with pytest.raises(UsageError, match="is cut everywhere"):
            await other.promote()
        with pytest.raises((UsageError, SwapError)):
            await other.abandon()
    cancers, _, _ = messages("cancer")
    places = await publish(deployment, cancers)
    by_source = await ended(deployment)
    assert {by_source[place.partition, place.offset] for place in places} == {2}
