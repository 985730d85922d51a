"""Table I over logs in memory: names, methods, parts and replies, and what is refused instead of the ancestor's 200."""

import io
import json
import keyword
import zipfile
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from fakes.answering import answer_requests
from hotswap.codec.proto import compile as compile_proto

CSV = b"age,name\n1.5,a\n2,b\n"
ACUMOS = Path(__file__).parents[4] / "shared" / "models" / "acumos"
JSON = b'[{"age": 1.5, "name": "a"}, {"age": 2, "name": "b"}]'
FILES = {"csvFile": CSV, "jsonFile": JSON}
FRAME = {"operation": "echo"}


def mojo():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.ini", "")
    return file.getvalue()


@pytest.fixture
def frame(proto_text):
    operation = compile_proto(proto_text.encode()).operations["echo"]
    return operation.input(rows=[{"age": 1.5, "name": "a"}, {"age": 2, "name": "b"}]).SerializeToString()


@pytest.mark.parametrize(("path", "part"), [("", "csvFile"), ("JSON", "jsonFile")])
async def test_binaries_are_the_input_message_and_nothing_is_published(gateway, cluster, proto_text, frame, path, part):
    async with gateway() as client:
        given = await client.post(f"/getBinary{path}Default", files={part: FILES[part]}, data=FRAME)
        files = {part: FILES[part], "proto": proto_text.encode()}
        own = await client.post(f"/getBinary{path}", files=files, params=FRAME)
    assert (given.status_code, given.content, given.headers["content-type"]) == (200, frame, "application/octet-stream")
    assert (own.status_code, own.content) == (200, frame)
    assert not any(cluster.topics["d.requests"])


@pytest.mark.parametrize(("path", "part"), [("CSV", "csvFile"), ("JSON", "jsonFile")])
async def test_each_row_is_a_request_and_the_reply_is_one_output_message(gateway, cluster, settings, frame, path, part):
    answer_requests(cluster, settings)
    async with gateway() as client:
        binary = await client.post(f"/transform{path}Default", files={part: FILES[part]}, data=FRAME)
        assert (binary.status_code, binary.content) == (200, frame)
        assert sum(map(len, cluster.topics["d.requests"])) == 2
        text = await client.post(
            f"/transform{path}Default", files={part: FILES[part]}, data=FRAME, headers={"accept": "text/csv"}
        )
        assert (text.text, text.headers["content-type"]) == ("age,name\n1.5,a\n2.0,b\n", "text/csv; charset=utf-8")


async def test_a_message_is_scored_as_it_is_even_an_empty_one(gateway, cluster, settings, frame):
    answer_requests(cluster, settings)
    async with gateway() as client:
        for content in (frame, b""):
            for kind in ("application/x-protobuf", "application/vnd.google.protobuf", "application/octet-stream"):
                reply = await client.post("/model/methods/echo", content=content, headers={"content-type": kind})
                assert (reply.status_code, reply.content) == (200, content)


@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
async def test_a_body_that_says_it_is_no_message_is_not_taken_for_one(gateway, cluster, settings, frame, kind):
    async with gateway() as client:
        reply = await client.post("/model/methods/echo", content=frame, headers={"content-type": kind})
    told = reply.json()["detail"]
    assert (reply.status_code, told) == (
        415,
        f"the body is {kind}: this endpoint takes one message in application/x-protobuf",
    )
    assert not any(cluster.topics["d.requests"])


async def test_putting_a_part_swaps_that_part_and_replies_once_the_fleet_serves_it(gateway, proto_text):
    async with gateway() as client:
        served = client.deployment.served.generation
        reply = await client.put("/model", files={"model": ("churn.zip", mojo())})
        assert (reply.status_code, reply.json()) == (200, {"status": "ok", "generation": 2, "workers": ["w1"]})
        now = client.deployment.served.generation
        assert (now.model.name, now.model.kind, now.proto) == ("churn", "h2o", served.proto)
        reply = await client.put("/proto", files={"proto": proto_text.encode() + b"// 2"})
        assert reply.json()["generation"] == 3
        assert client.deployment.served.generation.model == now.model
        options = b"modelClassName=a.B\nmodelMethod=score\n"
        assert (await client.put("/model/configuration", files={"modelConfig": options})).json()["generation"] == 4
        now = client.deployment.served.generation
        assert dict(now.configuration.runtime) == {"modelClassName": "a.B", "modelMethod": "score"}


async def test_a_failed_swap_says_why_and_what_still_serves(gateway, cluster):
    async with gateway() as client:
        cluster.worker.outcomes = ("STAGING", "FAILED")
        cluster.worker.code, cluster.worker.message = "SCHEMA_MISMATCH", "no column x"
        reply = await client.put("/model", files={"model": ("m.zip", mojo())})
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    told = reply.json()
    assert told["detail"] == "SCHEMA_MISMATCH: no column x"
    assert (told["code"], told["generation"], told["serving"]) == ("SCHEMA_MISMATCH", 2, 1)


@pytest.mark.parametrize(
    ("call", "status", "detail"),
    [
        (
            ("PUT", "/model", {"model": ("m.zip", b"garbage")}),
            422,
            "the part 'model' is no model but text",
        ),
        (("PUT", "/model", {"model": ("m.zip", b"")}), 400, "the part 'model' is empty"),
        (("PUT", "/model", {"proto": b"x"}), 400, "Required request part 'model' is not present"),
        (("PUT", "/proto", {"proto": b"message"}), 422, "model.proto:1:8"),
        (("PUT", "/model/configuration", {"modelConfig": b'{"x": 1}'}), 422, "unknown fields x"),
        (("POST", "/model", {"model": b"x"}), 405, "Method Not Allowed"),
        (("POST", "/putModel", {"model": b"x"}), 404, "Not Found"),
        (("POST", "/transformCSVDefault", {"jsonFile": CSV}), 400, "Required request part 'csvFile' is not present"),
        (("POST", "/transformCSVDefault", {"csvFile": b""}), 400, "the part 'csvFile' is empty"),
        (("POST", "/transformCSVDefault", {"csvFile": b"age,name\n"}), 422, "the request has no rows"),
        (("POST", "/transformCSVDefault", {"csvFile": b"x,y\n1,2\n"}), 422, "none of the CSV's columns (x, y)"),
        (("POST", "/transformJSONDefault", {"jsonFile": b"\xff"}), 422, "the text is not UTF-8"),
        (("POST", "/getBinary", {"csvFile": CSV}), 400, "Required request part 'proto' is not present"),
        (("POST", "/getBinary", {"csvFile": CSV, "proto": b"nonsense"}), 422, "model.proto:1:1"),
        (("POST", "/transformCSV", {"csvFile": CSV, "model": b"x"}), 422, "is no model but text"),
        (("POST", "/transformCSV", {"csvFile": CSV, "model": ("m.jar", b"x"), "proto": b"x"}), 403, "kind java"),
    ],
)
async def test_what_the_ancestor_answers_with_200_is_refused_with_the_reason(gateway, cluster, call, status, detail):
    method, path, files = call
    async with gateway() as client:
        reply = await client.request(method, path, files=files, data=FRAME)
    assert reply.status_code == status, reply.text
    assert reply.json()["status"] == status
    assert detail in reply.json()["detail"]
    assert len(cluster.topics["d.control"][0]) == 1
    assert not any(cluster.topics["d.requests"])


async def test_scoring_by_models_of_the_calls_own_is_bounded(gateway, proto_text):
    async with gateway() as client, client.limits.host():
        files = {"csvFile": CSV, "model": ("m.zip", mojo()), "proto": proto_text.encode()}
        reply = await client.post("/transformCSV", files=files, data=FRAME)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "2")


@pytest.mark.skipif(not ACUMOS.is_dir(), reason="../shared/models/acumos is not here")
async def test_binaries_are_acumos_golden_bytes(gateway):
    rows = b"sepal_len,sepal_wid,petal_len,petal_wid,iris_type\n" + (ACUMOS / "irisdata5.csv").read_bytes()
    proto = (ACUMOS / "irisdata5.proto").read_bytes()
    async with gateway(proto=proto.decode()) as client:
        given = await client.post("/getBinaryDefault", files={"csvFile": rows})
        own = await client.post("/getBinary", files={"csvFile": rows, "proto": proto})
    assert given.content == own.content == (ACUMOS / "iris5.bin").read_bytes()


async def test_a_bad_row_refuses_the_table_by_its_number_and_nothing_is_published(gateway, cluster):
    rows = b"age,name\n1,a\nx,b\n3,c\n,\xff\n"
    async with gateway() as client:
        reply = await client.post("/transformCSVDefault", files={"csvFile": rows}, data=FRAME)
    assert reply.status_code == 422
    told = reply.json()
    assert told["detail"] == "row 2, column age: 'x' is not a number (and 1 more)"
    assert [(bad["row"], bad["column"]) for bad in told["rows"]] == [(2, "age"), (4, "name")]
    assert not any(cluster.topics["d.requests"])


async def test_a_request_that_the_fleet_refuses_says_why_and_where_it_is(gateway, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda _: True)
    async with gateway() as client:
        reply = await client.post(
            "/model/methods/echo", content=b"\xff", headers={"content-type": "application/x-protobuf"}
        )
    told = reply.json()
    assert (reply.status_code, told["code"], told["detail"]) == (422, "UNDECODABLE", "UNDECODABLE: is no message")
    assert told["source"].startswith("d.requests-")


async def test_an_unknown_operation_and_an_ambiguous_one_list_those_that_there_are(gateway):
    async with gateway() as client:
        reply = await client.post("/model/methods/transform", content=b"")
        assert (reply.status_code, reply.json()["detail"]) == (
            404, "there is no operation 'transform': the proto has echo, one",
        )  # fmt: skip
        reply = await client.post("/transformCSVDefault", files={"csvFile": CSV})
        assert reply.status_code == 404
        assert "name one of the proto's operations by the parameter `operation`: echo, one" in reply.json()["detail"]


async def test_rows_for_a_message_of_one_row_are_a_table_or_a_list_and_no_message(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway() as client:
        call = {"files": {"csvFile": CSV}, "data": {"operation": "one"}}
        reply = await client.post("/transformCSVDefault", **call)
        assert reply.status_code == 406
        reply = await client.post("/transformCSVDefault", **call, headers={"accept": "application/json"})
        assert reply.json() == [{"age": 1.5, "name": "a"}, {"age": 2.0, "name": "b"}]


async def test_without_a_generation_every_call_that_needs_one_is_told_so(gateway):
    async with gateway(proto=None) as client:
        for path in ("/transformCSVDefault", "/getBinaryDefault"):
            reply = await client.post(path, files={"csvFile": CSV})
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200


NAMES = {*dir(descriptor_pb2.FileDescriptorSet()), *keyword.kwlist, "self"}
NUMBERS = {name: float(at) for at, name in enumerate(sorted(NAMES))}
ODD = f"""
syntax = "proto3";
message Row {{ {" ".join(f"optional double {name} = {at};" for at, name in enumerate(NUMBERS, 1))} }}
message Frame {{ repeated Row SerializeToString = 1; }}
service DESCRIPTOR {{ rpc FromString(Frame) returns (Frame); rpc one(Row) returns (Row); }}
"""
TABLE = f"{','.join(NUMBERS)}\n{','.join(map(str, NUMBERS.values()))}\n"


async def test_fields_that_are_called_as_protobufs_methods_are_fields_like_others(gateway, cluster, settings):
    operations, asked = compile_proto(ODD.encode()).operations, {"operation": "FromString"}
    frame = operations["FromString"].input(SerializeToString=[NUMBERS])
    value, told = type(frame).SerializeToString(frame), json.dumps([NUMBERS])
    answer_requests(cluster, settings)
    async with gateway(proto=ODD) as client:
        for path, part, text in (("CSV", "csvFile", TABLE), ("JSON", "jsonFile", told)):
            binary, files = f"/getBinary{path.removeprefix('CSV')}", {part: text.encode()}
            reply = await client.post(f"{binary}Default", files=files, data=asked)
            assert (reply.status_code, reply.content) == (200, value), reply.text
            reply = await client.post(binary, files={**files, "proto": ODD.encode()}, data=asked)
            assert (reply.status_code, reply.content) == (200, value), reply.text
            reply = await client.post(
                f"/transform{path}Default", files=files, data=asked, headers={"accept": "text/csv"}
            )
            assert (reply.status_code, reply.text) == (200, TABLE)
        headers = {"content-type": "application/json"}
        reply = await client.post("/v1/d/predict?operation=one", content=told, headers=headers)
        assert reply.json()["predictions"][0]["prediction"] == NUMBERS
        inputs = [{"name": name, "datatype": "FP64", "shape": [1], "data": [at]} for name, at in NUMBERS.items()]
        reply = await client.post("/v2/models/d/infer?operation=one", json={"inputs": inputs})
        assert {one["name"]: one["data"][0] for one in reply.json()["outputs"]} == NUMBERS
