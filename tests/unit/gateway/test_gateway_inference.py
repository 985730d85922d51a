"""The Open Inference Protocol over logs in memory."""

import asyncio
import json
import struct

import pytest

from fakes.answering import answer_requests
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.gateway.converters import Converters
from hotswap.generation import Proto

FLAT = """
syntax = "proto3";
message Row { optional double age = 1; string name = 2; }
service Echo { rpc one(Row) returns (Row); }
"""
TYPES = """
syntax = "proto2";
enum Colour { RED = 0; BLUE = 1; }
message Row {
  optional bool b = 1; optional int32 i = 2; optional sint64 l = 3; optional uint32 u = 4; optional fixed64 w = 5;
  optional float f = 6; optional double d = 7; optional string s = 8; optional bytes r = 9; optional Colour e = 10;
}
service Echo { rpc one(Row) returns (Row); }
"""
AGE, NAME = ({"name": name, "datatype": kind, "shape": [-1]} for name, kind in (("age", "FP64"), ("name", "BYTES")))
# What tritonclient 2.73.0 sends: by default all values are binary, and so is what it asks for.
_AGE = b'{"name":"age","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}'
_NAME = b'{"name":"name","shape":[2,1],"datatype":"BYTES",'
TRITON = (
    b'{"id":"r1","inputs":[%b,%b"parameters":{"binary_data_size":11}}],"parameters":{"binary_data_output":true}}'
    % (_AGE, _NAME),
    b"\x00\x00\x00\x00\x00\x00\xf8?\x00\x00\x00\x00\x00\x00\x00\xc0\x01\x00\x00\x00a\x02\x00\x00\x00\xc3\xa9",
)
MIXED = (
    b'{"inputs":[%b,%b"data":["a","\\u00E9"]}],"outputs":[{"name":"name","parameters":{"binary_data":false}},%b]}'
    % (_AGE, _NAME, b'{"name":"age","parameters":{"binary_data":true}}'),
    b"\x00\x00\x00\x00\x00\x00\xf8?\x00\x00\x00\x00\x00\x00\x00\xc0",
)
LENGTH = str(len(TRITON[0]))


def tensor(name, datatype, *data, shape=None, **more):
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": list(data), **more}


async def infer(client, *inputs, path="", headers=None, **document):
    body = json.dumps({"inputs": list(inputs), **document}).encode()
    return await client.post(f"/v2/models/d{path}/infer", content=body, headers=headers)


async def test_the_server_and_a_model_describe_themselves(gateway):
    async with gateway(proto=FLAT) as client:
        told = (await client.get("/v2")).json()
        assert (told["name"], told["extensions"]) == ("hotswap", ["binary_tensor_data"])
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/d/ready", "/v2/models/d/versions/1/ready"):
            assert (await client.get(path)).status_code == 200
        for path in ("/v2/models/d", "/v2/models/d/versions/1"):
            told = (await client.get(path)).json()
            assert (told["name"], told["versions"], told["inputs"], told["outputs"]) == (
                "d", ["1"], [AGE, NAME], [AGE, NAME],
            )  # fmt: skip


async def test_each_row_is_a_request_and_the_outputs_are_columns(gateway, cluster, settings):
    answer_requests(cluster, settings, generation=7)
    async with gateway(proto=FLAT) as client:
        reply = await infer(client, tensor("age", "FP64", 1.5, None), tensor("name", "BYTES", "a", "é"), id="r1")
    first = next(record for partition in cluster.topics["d.requests"] for record in partition)
    token = dict(first.headers)["prediction-token"].decode()
    places = {"sources": "d.requests", "prediction_ids": token}
    assert reply.json() == {
        "model_name": "d", "model_version": "7", "id": "r1",
        "parameters": {name: f"{prefix}-{first.partition}-0..1" for name, prefix in places.items()},
        "outputs": [tensor("age", "FP64", 1.5, None), tensor("name", "BYTES", "a", "é")],
    }  # fmt: skip
    records = [record for partition in cluster.topics["d.requests"] for record in partition]
    assert [dict(record.headers)["request-id"] for record in records] == [b"r1", b"r1"]


async def test_the_reply_names_the_request_of_each_row_where_others_publish_between_them(gateway, cluster, settings):
    answer_requests(cluster, settings)

    def interrupt(record):
        if record.topic == "d.requests" and b"b" in record.value:
            cluster.append("d.requests", b"", partition=record.partition)

    cluster.on_append.append(interrupt)
    async with gateway(proto=FLAT) as client:
        reply = await infer(client, tensor("name", "BYTES", "a", "b", "c", "bb", "d"))
    found = [record for partition in cluster.topics["d.requests"] for record in partition if record.value]
    assert [record.offset for record in found] == [0, 1, 3, 4, 6]
    place = f"d.requests-{found[0].partition}"
    given = reply.json()["parameters"]
    assert given["sources"] == f"{place}-0..1,{place}-3..4,{place}-6"
    token = dict(found[0].headers)["prediction-token"].decode()
    assert given["prediction_ids"] == given["sources"].replace("d.requests", token)


async def test_an_optional_input_may_be_left_out_and_a_column_may_be_nested(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway(proto=FLAT) as client:
        name = tensor("name", "BYTES", ["a"], ["b"], shape=[2, 1])
        reply = await infer(client, name, outputs=[{"name": "age"}])
        assert reply.json()["outputs"] == [tensor("age", "FP64", None, None)]
        assert "id" not in reply.json()


async def test_tritonclient_is_understood_byte_by_byte(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway(proto=FLAT) as client:
        for (header, binary), size, data in (
            (TRITON, 27, TRITON[1]),
            (MIXED, 16, MIXED[1]),
        ):
            length = {"inference-header-content-length": str(len(header))}
            reply = await client.post("/v2/models/d/infer", content=header + binary, headers=length)
            assert (reply.status_code, reply.headers["content-type"]) == (200, "application/octet-stream"), reply.text
            at = int(reply.headers["inference-header-content-length"])
            outputs = json.loads(reply.content[:at])["outputs"]
            assert sum(one.get("parameters", {}).get("binary_data_size", 0) for one in outputs) == size
            assert reply.content[at:] == data
        assert outputs[0] == tensor("name", "BYTES", "a", "é")


@pytest.mark.parametrize("is_binary", [False, True])
async def test_each_scalar_type_comes_back_as_it_went(gateway, cluster, settings, is_binary):
    answer_requests(cluster, settings)
    inputs = [
        tensor("b", "BOOL", True, False),
        tensor("i", "INT32", -(1 << 31), (1 << 31) - 1),
        tensor("l", "INT64", -(1 << 63), (1 << 63) - 1),
        tensor("u", "UINT32", 0, (1 << 32) - 1),
        tensor("w", "UINT64", 0, (1 << 64) - 1),
        tensor("f", "FP32", 0.1, "-Infinity"),
        tensor("d", "FP64", "NaN", 1),
        tensor("s", "BYTES", "", "é"),
        tensor("r", "BYTES", "é", "x"),
        tensor("e", "INT32", 1, 0),
    ]
    async with gateway(proto=TYPES) as client:
        reply = await infer(client, *inputs, parameters={"binary_data_output": is_binary})
        if is_binary:  # what came as binary values goes back as such
            at = int(reply.headers["inference-header-content-length"])
            outputs = json.loads(reply.content[:at])["outputs"]
            body = json.dumps({"inputs": outputs}).encode()
            length = {"inference-header-content-length": str(len(body))}
            reply = await client.post("/v2/models/d/infer", content=body + reply.content[at:], headers=length)
        assert reply.json()["outputs"] == inputs
        nothing = await infer(client, tensor("b", "BOOL", None), parameters={"binary_data_output": True})
        at = int(nothing.headers["inference-header-content-length"])
        empty = struct.pack("<?iqIQ", False, 0, 0, 0, 0)
        assert nothing.content[at:].startswith(empty)
        assert nothing.content[at + len(empty) :] == struct.pack("<fdiii", float("nan"), float("nan"), 0, 0, 0)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "input name is missing"),
        ([tensor("name", "BYTES")], "at least one"),
        ([tensor("zz", "FP64", 1)], "there is no input 'zz': the proto has age, name"),
        ([tensor(["age"], "FP64", 1)], "there is no input ['age']"),
        ([tensor("age", "FP64", 1)], "input name is missing, and the proto does not call it optional"),
        ([tensor("age", "FP32", 1)], "input age is FP64, not 'FP32'"),
        ([tensor("age", "FP64", 1)] * 2, "input age is there twice"),
        ([tensor("age", "FP64", 1, shape=[2])], "input age has 1 values in `data`, but the shape [2]"),
        ([tensor("age", "FP64", 1, shape=[1, 2])], "has the shape [rows] or [rows, 1]"),
        ([tensor("age", "FP64", 1, shape=["1"])], "has the shape [rows] or [rows, 1]"),
        ([tensor("age", "FP64", 1), tensor("name", "BYTES", "a", "b")], "age has 1, name has 2"),
        ([tensor("age", "FP64", 1, "x")], "row 2, input age: 'x' is no FP64"),
        ([tensor("age", "FP64", 10**400)], "is larger than any FP64"),
        ([tensor("age", "FP64", True)], "row 1, input age: True is no FP64"),
        ([tensor("name", "BYTES", 1)], "row 1, input name: 1 is no text"),
        ([tensor("name", "BYTES", None)], "row 1, input name: None is no text"),
        ([tensor("name", "BYTES", "\ud800")], "is not UTF-8"),
        ([{"name": "age", "datatype": "FP64", "shape": [1]}], "input age has 0 values"),
        ([{"name": "age", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}], "has no 8 bytes"),
        ([7], "`inputs` is a list of tensors"),
    ],
)
async def test_a_tensor_that_does_not_fit_is_refused_with_the_reason(gateway, cluster, inputs, said):
    async with gateway(proto=FLAT) as client:
        reply = await infer(client, *inputs)
    assert reply.status_code == 400
    assert said in reply.json()["error"]
    assert not any(cluster.topics["d.requests"])


@pytest.mark.parametrize(
    ("body", "length", "said"),
    [
        (b"[]", None, "must be a JSON object"),
        (b"{", None, "the body is no JSON"),
        (b"[" * 100_000, None, "the body is no JSON"),
        (b"\xff", None, "the body is no JSON"),
        (b'{"id": 7}', None, "`id` must be a string"),
        (b'{"inputs": 7}', None, "`inputs` is a list"),
        (b'{"inputs": [], "outputs": [{"name": "x"}]}', None, "there is no output 'x': the proto has age, name"),
        (b"{}", "3", "the length of the JSON in a body of 2 bytes, not '3'"),
        (b"{}", "x", "the length of the JSON"),
        (
            TRITON[0] + TRITON[1][:-1],
            LENGTH,
            "input name has no 11 bytes after the JSON, where 10 are left",
        ),
        (TRITON[0] + TRITON[1] + b"x", LENGTH, "there are 28 bytes, of which the inputs name 27"),
        (TRITON[0] + TRITON[1][:-1] + b"\xff", LENGTH, "row 2, input name: it is not UTF-8"),
        (TRITON[0] + TRITON[1][:16] + b"\xff" * 11, LENGTH, "11 bytes are not 2 values of BYTES"),
        (TRITON[0].replace(b"[2]", b"[3]") + TRITON[1], LENGTH, "3 values of FP64 have 24"),
    ],
)
async def test_a_body_that_is_no_inference_request_is_refused(gateway, cluster, body, length, said):
    async with gateway(proto=FLAT) as client:
        headers = {} if length is None else {"inference-header-content-length": length}
        reply = await client.post("/v2/models/d/infer", content=body, headers=headers)
        assert (reply.status_code, said in reply.json()["error"]) == (400, True), reply.text
        reply = await client.post("/v2/models/d/infer", content=body, headers={"content-encoding": "gzip"})
        assert reply.status_code == 415
    assert not any(cluster.topics["d.requests"])


async def test_a_row_that_is_refused_fails_the_call_by_its_number(gateway, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda value: b"b" in value)
    async with gateway(proto=FLAT) as client:
        reply = await infer(client, tensor("name", "BYTES", "a", "b"))
    assert reply.status_code == 422
    assert reply.json()["error"] == "row 2: UNDECODABLE: is no message"


async def test_only_the_generation_that_serves_is_a_version(gateway, cluster, settings):
    answer_requests(cluster, settings, generation=2)
    async with gateway(proto=FLAT) as client:
        name = tensor("name", "BYTES", "a")
        assert (await infer(client, name, path="/versions/1")).status_code == 409
        reply = await infer(client, name, path="/versions/2")
        assert (reply.status_code, reply.json()["error"]) == (404, "version '2' does not serve: generation 1 does")
        reply = await client.get("/v2/models/d/versions/2/ready")
        assert (reply.status_code, reply.json()["ready"]) == (404, False)
        assert (await client.get("/v2/models/e")).json()["error"] == "this gateway has no deployment 'e': it has d"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("repeated double x = 1;", "Row.x is repeated"),
        ("Row x = 1;", "Row.x is a message"),
        ("oneof y { double x = 1; double z = 2; }", "Row.x belongs to a oneof"),
        ("", "Row has no fields"),
    ],
)
async def test_a_proto_that_is_not_flat_is_not_ready_and_says_why(gateway, row, why):
    proto = f'syntax = "proto3"; message Row {{ {row} }} service Echo {{ rpc one(Row) returns (Row); }}'
    async with gateway(proto=proto) as client:
        ready = await client.get("/v2/models/d/ready")
        assert (ready.status_code, ready.json()["ready"]) == (501, False)
        for reply in (ready, await client.get("/v2/models/d"), await infer(client)):
            assert (reply.status_code, why in reply.json()["error"]) == (501, True), reply.text


async def test_an_operation_is_named_by_a_parameter_where_there_are_several(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway() as client:
        reply = await client.get("/v2/models/d")
        assert (reply.status_code, "one of the proto's operations" in reply.json()["error"]) == (404, True)
        reply = await client.get("/v2/models/d", params={"operation": "one"})
        assert reply.json()["inputs"] == [AGE, NAME]
        body = json.dumps({"inputs": [tensor("name", "BYTES", "a"), tensor("age", "FP64", 1)]})
        reply = await client.post("/v2/models/d/infer", content=body, params={"operation": "one"})
        assert reply.json()["outputs"] == [tensor("age", "FP64", 1.0), tensor("name", "BYTES", "a")]


async def test_where_nothing_serves_nothing_is_ready(gateway):
    async with gateway(proto=None) as client:
        for path in ("/v2/health/ready", "/v2/models/d/ready", "/v2/models/d"):
            assert (await client.get(path)).status_code == 503
        reply = await infer(client)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert (await client.get("/v2/health/live")).status_code == 200
        reply = await client.post("/v2")
        assert (reply.status_code, "error" in reply.json()) == (405, True)


async def test_rows_are_encoded_again_if_another_proto_comes_to_serve_meanwhile(gateway, cluster, settings):
    async with gateway(proto=FLAT) as client:
        old = client.deployment.served.proto_sha256.encode()

        def react(record):
            if record.topic != "d.requests":
                return
            source = ("source", f"{record.topic}-{record.partition}-{record.offset}".encode())
            is_old = dict(record.headers)["proto-digest"] == old
            topic, more = ("d.dead-letters", [("code", b"PROTO_MISMATCH")]) if is_old else ("d.predictions", [])
            cluster.append(topic, record.value, headers=[source, *more], partition=record.partition)

        cluster.on_append.append(react)
        calling = asyncio.create_task(infer(client, tensor("name", "BYTES", "a")))
        while not any(cluster.topics["d.dead-letters"]):
            await asyncio.sleep(0)
        async with Client(settings) as other:
            await other.swap(Change(proto=Proto.inline(FLAT.replace("name = 2", "name = 7"))))
        assert (await calling).json()["outputs"][1] == tensor("name", "BYTES", "a")


async def test_many_values_are_read_and_written_beside_the_calls_of_others(gateway, cluster, settings, monkeypatch):
    answer_requests(cluster, settings)
    aside, do = [], Converters.do

    async def spy(self, function, *given):
        aside.append(function.__name__)
        return await do(self, function, *given)

    monkeypatch.setattr(Converters, "do", spy)
    names = [f"n{at}" for at in range(10_000)]
    async with gateway(proto=FLAT) as client:
        reply = await infer(client, tensor("name", "BYTES", *names), outputs=[{"name": "name"}])
    assert reply.json()["outputs"] == [tensor("name", "BYTES", *names)]
    assert aside == ["read", "write"]


async def test_bytes_that_json_cannot_hold_are_to_be_asked_for_as_binary(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway(proto=TYPES) as client:
        given = {"name": "r", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
        body = json.dumps({"inputs": [given]}).encode()
        length = {"inference-header-content-length": str(len(body))}
        reply = await client.post("/v2/models/d/infer", content=body + b"\1\0\0\0\xff", headers=length)
        assert (reply.status_code, "binary_data" in reply.json()["error"]) == (400, True), reply.text
        closed = await infer(client, tensor("e", "INT32", 7))
        assert (closed.status_code, closed.json()["error"][:5]) == (400, "row 1")
