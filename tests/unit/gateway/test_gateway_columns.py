"""The names of a model's columns over HTTP: they fill its fields, and what no column fills is told."""

import json

import pytest

from fakes.answering import answer_requests
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.generation import Configuration, frozen
from hotswap.v1 import control_pb2 as wire

PROTO = """
syntax = "proto3";
message Row { optional double age = 1; optional double age_2 = 2; optional string a_b = 3; }
service Echo { rpc one(Row) returns (Row); }
"""
SAID = {"age": 1.0, "age_2": 2.0, "a_b": "x"}


@pytest.fixture
async def client(gateway, cluster, settings):
    """A gateway of a model with the columns `Age`, `age` and `a b`, of which one is the workers' to tell."""
    answer_requests(cluster, settings)
    async with gateway(proto=PROTO) as made, Client(settings) as other:
        cluster.worker.reads = {"one": wire.FieldPaths(paths=["age", "age_2", "a_b"], columns={"a b": "a_b"})}
        columns = frozen({"Age": "age", "age": "age_2"})
        await other.swap(Change(configuration=Configuration(columns=columns)))
        async with made.deployment._changed:
            await made.deployment._changed.wait_for(lambda: made.deployment.served.fields)
        yield made


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"Age,age,a b\n1,2,x\n", "text/csv"),
        (b'[{"Age": 1, "age": 2, "a b": "x"}]', "application/json"),
        (b"age,age_2,a_b\n1,2,x\n", "text/csv"),
    ],
)
async def test_tables_have_the_models_names_or_the_protos(client, text, kind):
    reply = await client.post("/v1/d/predict", content=text, headers={"content-type": kind})
    (item,) = reply.json()["predictions"]
    assert (item["prediction"], reply.json()["notes"], "hotswap-notes" in reply.headers) == (SAID, [], False)


async def test_tensors_have_the_models_names_or_the_protos(client):
    async def infer(*inputs):
        given = [{"name": name, "datatype": kind, "shape": [1], "data": [value]} for name, kind, value in inputs]
        reply = await client.post("/v2/models/d/infer", json={"inputs": given})
        return reply.json().get("error") or {one["name"]: one["data"][0] for one in reply.json()["outputs"]}

    assert await infer(("Age", "FP64", 1), ("age", "FP64", 2), ("a b", "BYTES", "x")) == SAID
    assert await infer(("age", "FP64", 1), ("age_2", "FP64", 2), ("a_b", "BYTES", "x")) == SAID
    assert (await infer(("a_b", "BYTES", "y"), ("a b", "BYTES", "x")))["a_b"] == "x"
    assert "there is no input 'b'" in await infer(("b", "BYTES", "y"))
    assert "row 1, input Age: 'x' is no FP64" in await infer(("Age", "FP64", "x"))


@pytest.mark.parametrize(
    ("text", "kind", "notes"),
    [
        (b"Age,a-b\n1,x\n", "text/csv", ["ignored 1 of 2 columns", "no column fills `age_2`, `a_b`, which the model"]),
        (b'[{"Age": 1}, {"age": null}]', "application/json", ["no column fills `a_b`, which the model reads"]),
    ],
)
async def test_what_fills_no_field_and_which_field_has_no_column_is_noted(client, text, kind, notes):
    headers = {"content-type": kind}
    reply = await client.post("/v1/d/predict", content=text, headers=headers)
    said = reply.json()["notes"]
    assert [note[: len(start)] for note, start in zip(said, notes, strict=True)] == notes
    table = await client.post("/v1/d/predict", content=text, headers={**headers, "accept": "text/csv"})
    assert json.loads(table.headers["hotswap-notes"]) == json.loads(reply.headers["hotswap-notes"]) == said
    part = {"text/csv": "csvFile", "application/json": "jsonFile"}[kind]
    for path in ("transformCSVDefault",) if part == "csvFile" else ("transformJSONDefault",):
        accept = {"accept": "*/*" if path.startswith("getBinary") else "text/csv"}
        reply = await client.post(f"/{path}", files={part: text}, headers=accept)
        assert json.loads(reply.headers["hotswap-notes"]) == said, reply.text
