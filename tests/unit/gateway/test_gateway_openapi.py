"""The OpenAPI document, and the odd calls that a fuzzer found."""

import pytest

from fakes.answering import answer_requests
from hotswap.gateway.app import routes_of
from hotswap.gateway.openapi import Endpoint


async def test_the_document_has_every_endpoint_and_nothing_else(gateway):
    async with gateway() as client:
        reply = await client.get("/openapi.json")
        routes = routes_of([client.deployment], client.limits)
    document = reply.json()
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert (reply.status_code, document["openapi"]) == (200, "3.1.0")
    assert all(isinstance(route, Endpoint) for route in routes)
    assert told == {(route.method, route.path_format) for route in routes}
    ids = [item["operationId"] for path in document["paths"].values() for item in path.values()]
    assert len(set(ids)) == len(ids)


async def test_each_reply_is_described_with_a_schema_that_is_there(gateway):
    async with gateway() as client:
        document = (await client.get("/openapi.json")).json()

    def references(item):
        if isinstance(item, dict):
            yield from [item["$ref"]] if "$ref" in item else []
            for value in item.values():
                yield from references(value)
        elif isinstance(item, list):
            for value in item:
                yield from references(value)

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document["paths"])) == known
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
            assert all(reply["content"] and reply["description"] for reply in operation["responses"].values())
            assert "200" in operation["responses"]


async def test_only_the_body_that_may_be_an_empty_message_may_be_left_out(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway() as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.post("/model/methods/one")).status_code == 200
    bodies = {
        path: one["requestBody"]["required"]
        for path, item in document["paths"].items()
        for one in item.values()
        if "requestBody" in one
    }
    assert [path for path, is_required in bodies.items() if not is_required] == ["/model/methods/{operation}"]


HUGE = "9" * 5_000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/v1/d/predictions/0/{HUGE}", 404),
        ("GET", f"/v1/d/predictions/{HUGE}/0", 404),
        ("GET", f"/v1/d/predictions/0/{1 << 63}", 404),
        ("GET", "/v1/d/predictions/2/0", 404),
        ("GET", "/v1/d/predictions/-1/0", 404),
        ("GET", "/v1/d/predictions/²/0", 404),
        ("POST", f"/v1/d/rollback?to={HUGE}", 400),
        ("POST", f"/v1/d/rollback?to={1 << 64}", 400),
        ("POST", "/v1/d/rollback?to=0", 400),
        ("POST", "/v1/d/rollback?to=²", 400),
        ("POST", "/v1/d/rollback?to=99", 422),
        ("GET", "/v1/%00", 404),
        ("GET", "/v1/%FF/history", 404),
        ("GET", "/v2/models/%ED%A0%80/ready", 404),
        ("POST", "/v1/d/predict?operation=%FF", 404),
        ("POST", "/model/methods/%00", 404),
        ("PUT", "/v1/d/swap", 405),
        ("POST", "/v2/models/d/infer?operation=one", 400),
    ],
)
async def test_an_odd_call_is_refused_and_nothing_breaks(gateway, cluster, settings, method, path, status):
    answer_requests(cluster, settings)
    async with gateway() as client:
        kind = {"content-type": "application/x-protobuf"} if "methods" in path else {"content-type": "application/json"}
        reply = await client.request(method, path, content=b"\xff{", headers=kind)
    assert reply.status_code == status, reply.text
    assert "error" in reply.json() if path.startswith("/v2") else "detail" in reply.json()


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v1/d/predict", "application/json", b'[{"\\ud800": 1, "age": 1}, {"age": "\\ud800"}]'),
        ("/v1/d/predict", "application/json", b'{"age": "\\ud800"}'),
        ("/v1/d/predict", "application/json", b'[{"name": "\\ud800"}]'),
        ("/v1/d/predict", "text/csv", b"name,\xff\na,b\n"),
        ("/v1/d/predict", "text/csv", b"\xff,\xff\na,b\n"),
        ("/v1/d/predict", "text/csv", b"name,age\n\xff,\xff\n"),
        ("/v2/models/d/infer", "application/json", b'{"inputs": [{"name": "\\ud800"}]}'),
        ("/v2/models/d/infer", "application/json", b'{"outputs": [{"name": "\\ud800"}]}'),
    ],
)
async def test_what_a_call_quotes_need_not_be_utf8(gateway, cluster, settings, path, kind, body):
    answer_requests(cluster, settings)
    async with gateway() as client:
        call = {"content": body, "headers": {"content-type": kind}, "params": {"operation": "one"}}
        reply = await client.post(path, **call)
    assert reply.status_code in (200, 400, 422), reply.text
    assert reply.content.decode()
