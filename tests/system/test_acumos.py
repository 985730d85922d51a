"""Acumos's own model, read in place; these tests are skipped if ../shared is absent."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.audit import source
from hotswap.cli.main import main
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto

ACUMOS = Path(__file__).parents[3] / "shared" / "models" / "acumos"
COLUMNS = ("sepal_len", "sepal_wid", "petal_len", "petal_wid", "iris_type")


pytestmark = pytest.mark.skipif(not ACUMOS.is_dir(), reason="../shared/models/acumos is not here")


def as_files(folder):
    """Its rows as a CSV with a header, as JSON, and as JSON of the whole message."""
    text = ",".join(COLUMNS) + "\n" + (ACUMOS / "irisdata5.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    contents = {"rows.csv": text, "rows.json": json.dumps(rows), "whole.json": json.dumps({"rows": rows})}
    for name, content in contents.items():
        (folder / name).write_text(content)
    return [folder / name for name in contents]


def test_encode_gives_exactly_the_bytes_of_acumos_getbinary_of_csv_and_of_json(tmp_path):
    for file in as_files(tmp_path):
        done = CliRunner().invoke(main, ["encode", str(file), "--proto", str(ACUMOS / "irisdata5.proto")])
        assert (done.exit_code, done.stdout_bytes) == (0, (ACUMOS / "iris5.bin").read_bytes()), file


async def test_the_acumos_iris_model_gets_148_of_150_right_through_kafka(deployment, tmp_path):
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
    texts = [path.read_bytes() for path in as_files(tmp_path)]
    for value, content in zip(texts, (b"text/csv", b"application/json", b"application/json"), strict=True):
        places += await deployment.publish([value], content_type=content, accept=b"application/x-protobuf")
    await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    said = {source(m): list(operation.output.FromString(m.value()).prediction) for m in result.predictions}
    answers = [said[place.partition, place.offset] for place in places]
    known = [row["iris_type"] for row in rows]
    assert sum(answer == [truth] for answer, truth in zip(answers[:150], known, strict=True)) == 148
    for answer in answers[150:]:  # all rows in one request: protobuf, CSV, JSON
        assert sum(label == truth for label, truth in zip(answer, known, strict=True)) == 148
    assert len(answers) == 154
