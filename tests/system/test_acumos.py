"""The real model of the ancestor, read where it lies: the one test that is skipped where ../shared is absent."""

import csv
from pathlib import Path

import pytest
from harness.audit import source

from worker.change import Change
from worker.codec.proto import compile as compile_proto

ACUMOS = Path(__file__).parents[3] / "shared" / "models" / "acumos"
COLUMNS = ("sepal_len", "sepal_wid", "petal_len", "petal_wid", "iris_type")


@pytest.mark.skipif(not ACUMOS.is_dir(), reason="../shared/models/acumos is not here")
async def test_the_acumos_iris_model_gets_148_of_150_right_through_kafka(deployment):
    with (ACUMOS / "irisdata5.csv").open(newline="") as file:
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in csv.reader(file)]
    operation = compile_proto((ACUMOS / "irisdata5.proto").read_bytes(), False).operations["predict"]
    whole = operation.input(rows=rows).SerializeToString()
    assert whole == (ACUMOS / "iris5.bin").read_bytes()
    deployment.start()
    async with deployment.client() as client:
        change = Change(model=ACUMOS / "iris_drf.zip", proto=ACUMOS / "irisdata5.proto")
        answer = await client.await_swap(await client.swap(change))
        assert answer.is_good, (answer, deployment.log()[-3000:])
    single = [operation.input(rows=[row]).SerializeToString() for row in rows]
    places = await deployment.publish([*single, whole])
    await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    said = {source(m): list(operation.output.FromString(m.value()).prediction) for m in result.predictions}
    answers = [said[place.partition, place.offset] for place in places]
    known = [row["iris_type"] for row in rows]
    assert sum(answer == [truth] for answer, truth in zip(answers[:150], known, strict=True)) == 148
    assert sum(label == truth for label, truth in zip(answers[150], known, strict=True)) == 148
