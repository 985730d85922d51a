"""The plain API over logs in memory."""

import asyncio

import pytest

from fakes.answering import answer_requests
from fakes.kafka_logs import FakeWorker
from fakes.later import of_unknown_kind
from hotswap.client.change import Change, Rollout
from hotswap.client.client import Client
from hotswap.errors import StartError
from hotswap.gateway.deployment import Deployment
from hotswap.generation import Model, Proto
from hotswap.swap.command import VERSION

ONE = {"operation": "one"}
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


async def test_one_row_is_a_prediction_with_its_generation_and_source(gateway, cluster, settings):
    answer_requests(cluster, settings, generation=7)
    async with gateway() as client:
        reply = await client.post("/v1/d/predict", json={"age": 4}, params=ONE, headers={"request-id": "r1"})
    told = reply.json()
    assert (reply.status_code, told["generation"], told["prediction"]) == (200, 7, {"age": 4.0, "name": ""})
    _, partition, offset = told["source"].rsplit("-", 2)
    record = cluster.topics["d.requests"][int(partition)][int(offset)]
    assert dict(record.headers)["request-id"] == b"r1"


async def test_of_a_table_each_row_has_a_prediction_or_a_reason(gateway, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda value: b"b" in value)
    async with gateway() as client:
        rows = [{"name": "a"}, {"age": "x"}, {"name": "b"}]
        reply = await client.post("/v1/d/predict", json=rows, params=ONE)
        good, bad, refused = reply.json()["predictions"]
        assert (reply.status_code, reply.json()["refused"]) == (200, 2)
        assert (good["row"], good["prediction"]["name"]) == (1, "a")
        assert bad["row"] == 2
        assert "age" in bad["detail"]
        assert (refused["row"], refused["code"], refused["detail"]) == (
            3, "UNDECODABLE", "row 3: UNDECODABLE: is no message",
        )  # fmt: skip
        reply = await client.post("/v1/d/predict", json=rows[1:], params=ONE)
        assert (reply.status_code, reply.json()["refused"]) == (422, 2)


async def test_a_message_and_a_table_come_back_in_the_format_that_is_accepted(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway() as client:
        value = client.deployment.operation("one").input(age=1.5, name="é").SerializeToString()
        kind = {"content-type": "application/x-protobuf"}
        reply = await client.post("/v1/d/predict", content=value, params=ONE, headers=kind)
        assert (reply.content, reply.headers["hotswap-generation"]) == (value, "1")
        for accept, text in (
            ("application/json", '{"age": 1.5, "name": "\\u00e9"}'),
            ("text/csv;q=0.5", "age,name\n1.5,é\n"),
        ):
            reply = await client.post("/v1/d/predict", content=value, params=ONE, headers={**kind, "accept": accept})
            assert reply.text == text
        reply = await client.post("/v1/d/predict", content=b"<x/>", headers={"content-type": "text/xml"})
        assert reply.status_code == 415
        reply = await client.post("/v1/d/predict", json={}, params=ONE, headers={"accept": "image/png"})
        assert reply.status_code == 406


async def test_rows_are_encoded_again_if_another_proto_comes_to_serve_meanwhile(gateway, cluster, settings, proto_text):
    later = Proto.inline(proto_text.replace("double age = 1", "double age = 3"))
    FakeWorker(cluster, settings)
    async with gateway() as client:
        old = client.deployment.served.proto_sha256.encode()

        def react(record):
            if record.topic != "d.requests":
                return
            source = ("source", f"{record.topic}-{record.partition}-{record.offset}".encode())
            code = ("code", b"PROTO_MISMATCH")
            is_old = dict(record.headers)["proto-digest"] == old
            topic, more = ("d.dead-letters", [code]) if is_old else ("d.predictions", [])
            cluster.append(topic, record.value, headers=[source, *more], partition=record.partition)

        cluster.on_append.append(react)
        calling = asyncio.create_task(client.post("/v1/d/predict", json={"age": 4}, params=ONE))
        while not any(cluster.topics["d.dead-letters"]):
            await asyncio.sleep(0)
        async with Client(settings) as other:
            await other.swap(Change(proto=later))
        reply = await calling
    assert (reply.status_code, reply.json()["prediction"]["age"]) == (200, 4.0)


async def test_what_is_not_answered_in_time_is_a_504_with_its_source_by_which_it_can_be_fetched(
    gateway, cluster, settings
):
    async with gateway(timeout_s=0.01) as client:
        reply = await client.post("/v1/d/predict", json={"age": 4}, params=ONE)
        assert reply.status_code == 504
        (source,) = reply.json()["sources"]
        _, partition, offset = source.rsplit("-", 2)
        path = f"/v1/d/predictions/{partition}/{offset}"
        early = await client.get(path)
        assert (early.status_code, early.headers["retry-after"]) == (404, "1")
        headers = [("source", source.encode()), ("generation", b"3")]
        cluster.append("d.predictions", b"late", headers=headers, partition=int(partition))
        late = await client.get(path)
        assert (late.status_code, late.content, late.headers["hotswap-generation"]) == (200, b"late", "3")
        cluster.topics["d.predictions"] = [[], []]
        cluster.committed[int(partition)] = int(offset) + 1
        assert (await client.get(path)).status_code == 410


async def test_what_serves_is_shown_and_commands_are_carried_out(gateway, proto_text):
    async with gateway() as client:
        assert (await client.get("/v1")).json() == {"deployments": ["d"]}
        shown = (await client.get("/v1/d")).json()
        assert (shown["generation"], shown["model"]["name"], shown["proto"]["text"]) == (1, "m", proto_text)
        assert shown["operations"]["one"] == {"input": "Row", "output": "Row", "reads": []}
        reply = await client.post("/v1/d/swap", files={"proto": proto_text.encode() + b"// 2"})
        assert (reply.status_code, reply.json()["generation"]) == (200, 2)
        reply = await client.post("/v1/d/rollback")
        assert reply.json()["generation"] == 3
        assert (await client.get("/v1/d")).json()["proto"]["text"] == proto_text
        for command in ("pause", "resume"):
            assert (await client.post(f"/v1/d/{command}")).json()["status"] == "ok"
        assert (await client.post("/v1/d/rollback", params={"to": "x"})).status_code == 400
        assert (await client.post("/v1/d/swap", files={"other": b""})).status_code == 400
        assert (await client.get("/v1/e")).json()["detail"] == "this gateway has no deployment 'e': it has d"


async def test_a_swap_to_another_proto_is_staged_promoted_or_abandoned_over_http(gateway, cluster, proto_text):
    async with gateway() as client:
        cluster.worker.speak(generation=1, loaded=[1], contract=2)
        reply = await client.post("/v1/d/swap", files={"proto": proto_text.replace(" age =", " years =").encode()})
        assert (reply.status_code, reply.json().get("generation")) == (200, 2), reply.text
        for command in ("promote", "abandon"):
            reply = await client.post(f"/v1/d/{command}")
            assert reply.status_code == 422
            assert "no generation that is staged: the newest one, 2, is cut everywhere" in reply.json()["detail"]
        assert (await client.post("/v1/d/promote", params={"partitions": "0;1"})).status_code == 400
        for command, params, scored in (
            ("promote", {"partitions": "1"}, {0: 2, 1: 3}),
            ("abandon", {}, {0: 2, 1: 4}),
        ):
            if command == "promote":
                async with Client(client.deployment.settings) as other:
                    await other.swap(Change(model=Model("file:///n", "b" * 64), rollout=Rollout(is_barrier=True)))
            reply = await client.post(f"/v1/d/{command}", params=params)
            assert (reply.status_code, cluster.scored) == (200, scored), reply.text


async def test_a_swap_that_a_live_worker_cannot_load_is_a_conflict_and_writes_nothing(gateway, cluster, proto_text):
    async with gateway() as client:
        cluster.worker.speak(generation=1, kinds={"h2o": "x is not installed here: install hotswap[x]"})
        reply = await client.post("/v1/d/swap", files={"proto": proto_text.encode() + b"// 2"})
        assert (reply.status_code, reply.json()["code"]) == (409, "KIND_MISSING")
        assert "worker (x is not installed here" in reply.json()["detail"].replace(cluster.worker.name, "worker")
        assert len(cluster.topics["d.control"][0]) == 1
        cluster.worker.speak(generation=1, kinds={"h2o": ""})
        reply = await client.post("/v1/d/swap", files={"proto": proto_text.encode() + b"// 2"})
        assert (reply.status_code, reply.json()["generation"]) == (200, 2)


async def test_a_body_beyond_the_bound_is_refused_also_if_its_length_is_not_told(gateway):
    async def parts():
        for _ in range(3):
            yield b"[" + b" " * 50

    async with gateway(body_bytes=100) as client:
        for content in (b" " * 101, parts()):
            kind = {"content-type": "application/json"}
            reply = await client.post("/v1/d/predict", content=content, params=ONE, headers=kind)
            assert (reply.status_code, reply.json()["limit"]) == (413, 100)


async def test_a_body_that_does_not_come_is_given_up(gateway, monkeypatch):
    monkeypatch.setattr("hotswap.gateway.bodies._SILENT_S", 0.01)

    async def parts():
        yield b"{"
        await asyncio.Event().wait()

    async with gateway() as client:
        kind = {"type": "http", "method": "POST", "path": "/v1/d/predict", "query_string": b"", "headers": HEADERS}
        pieces, said = parts(), []

        async def receive():
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}

        async def send(message):
            said.append(message)

        await client.app(kind, receive, send)
    assert said[0]["status"] == 408


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://localhost:81"},
        {"origin": "http://["},
        {"host": "elsewhere.example"},
        {"host": "elsewhere.example", "origin": "http://elsewhere.example"},
        {"host": "10.0.0.1:8080"},
        {"host": "[::1"},
    ],
)
async def test_a_page_of_another_site_can_do_nothing(gateway, cluster, headers):
    async with gateway() as client:
        reply = await client.post("/v1/d/pause", headers=headers)
    assert reply.status_code == 403
    assert len(cluster.topics["d.control"][0]) == 1


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
async def test_a_page_of_the_gateways_own_address_may_call(gateway, host):
    async with gateway() as client:
        assert (await client.get("/v1/d", headers={"host": host, "origin": f"http://{host}"})).status_code == 200


async def test_each_call_is_counted_by_its_endpoint_and_status(gateway):
    async with gateway() as client:
        await client.get("/v1/d")
        await client.get("/nowhere")
        text = (await client.get("/metrics")).text
    assert 'hotswap_http_requests_total{endpoint="/v1/{deployment}",status="200"}' in text
    assert 'hotswap_http_requests_total{endpoint="other",status="404"}' in text


async def test_a_gateway_that_is_too_old_for_the_control_log_asks_and_commands_nothing(gateway, cluster, settings):
    async with gateway() as client:
        cluster.append(settings.topics.control, of_unknown_kind())
        await client.deployment._until(lambda: not client.deployment.is_serving, 20)
        for path, given in (("predict", {"json": {"age": 4}, "params": ONE}), ("pause", {})):
            reply = await client.post(f"/v1/d/{path}", **given)
            assert reply.status_code == 503
            assert (
                f"offset 1 of the control topic has a command that needs version {VERSION + 1}"
                in reply.json()["detail"]
            )
        assert (await client.get("/readyz")).status_code == 503
        (newest, _) = (await client.get("/v1/d/history")).json()["commands"]
        assert (newest["title"], newest["verdict"]) == (f"needs version {VERSION + 1}", "HELD")
    assert cluster.ends("d.requests") == {0: 0, 1: 0}
    assert len(cluster.topics[settings.topics.control][0]) == 2


async def test_a_gateway_without_the_topics_of_its_deployment_does_not_start(cluster, settings):
    del cluster.topics[settings.topics.status]
    deployment = Deployment(settings, most_waiting=1, timeout_s=1)
    with pytest.raises(StartError, match=r"hotswap\.status does not exist"):
        await deployment.start()
    await deployment.stop()
