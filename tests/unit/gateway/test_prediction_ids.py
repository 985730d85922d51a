"""Who is shown an answer later: its caller, by an id that nobody can guess; by its source, who may read everything."""

import logging
import re
from hashlib import sha256

import pytest

from fakes.answering import answer_requests
from hotswap.client.answers import ID_HEADER
from hotswap.client.finding import PredictionId
from hotswap.client.refusals import as_request
from hotswap.gateway.access import Access
from hotswap.gateway.callers import Callers

ONE = {"operation": "one"}
ID = re.compile(r"[0-9a-f]{32}-[0-9]+-[0-9]+")
FORGED = "0" * 32


@pytest.fixture
def guarded(gateway, tmp_path):
    """Return what starts a gateway with a caller for each of two roles; each one's token is the role."""
    path = tmp_path / "tokens.toml"
    tokens = [(role, sha256(role.encode()).hexdigest()) for role in ("predict", "read")]
    path.write_text("".join(f'[[token]]\nname = "{r}"\nsha256 = "{d}"\nroles = ["{r}"]\n' for r, d in tokens))
    return lambda **told: gateway(access=Access(Callers(path)), **told)


def asked(cluster):
    return [record for partition in cluster.topics["d.requests"] for record in partition]


def tokens_of(record):
    return [value for name, value in record.headers if name == ID_HEADER]


async def by_id(client, prediction_id, **told):
    return await client.get(f"/v1/d/predictions/{prediction_id}", **told)


def shown(reply):
    """Return all that a caller can tell a reply by."""
    return reply.status_code, reply.content, sorted(reply.headers.items())


def test_an_id_is_read_as_it_is_written_and_nothing_else_is_one():
    one = PredictionId("0123456789abcdef" * 2, 7, (1 << 63) - 1)
    assert PredictionId.parse(str(one)) == one
    for text in (
        "",
        "7-1",
        f"{one}-1",
        f"{one.token.upper()}-0-1",
        f"{one.token}-0-²",
        f"{one}\n",
        f" {one}",
        "0-" * 99,
    ):
        assert PredictionId.parse(text) is None, text
    assert PredictionId.masked(f"/v1/d/predictions/{one}/x") == f"/v1/d/predictions/…-7-{one.offset}/x"


async def test_each_reply_has_the_id_by_which_its_answer_is_fetched_again(gateway, cluster, settings):
    answer_requests(cluster, settings, generation=7, refuse=lambda value: b"bad" in value)
    async with gateway() as client:
        row = (await client.post("/v1/d/predict", json={"age": 4}, params=ONE)).json()
        table = await client.post("/v1/d/predict", json=[{"age": 5}, {"name": "bad"}, {"age": "x"}], params=ONE)
        good, refused, unread = table.json()["predictions"]
        kind = {"content-type": "application/x-protobuf"}
        message = await client.post("/v1/d/predict", content=b"", params=ONE, headers=kind)
        bad = await client.post("/v1/d/predict", json={"name": "bad"}, params=ONE)
        ids = [row["prediction_id"], good["prediction_id"], message.headers["hotswap-prediction-id"]]
        for prediction_id, age in zip(ids, (4.0, 5.0, 0.0), strict=True):
            reply = await by_id(client, prediction_id)
            assert (reply.status_code, reply.headers["hotswap-prediction-id"]) == (200, prediction_id)
            assert (reply.headers["hotswap-generation"], reply.headers["cache-control"]) == ("7", "no-store")
            assert client.deployment.operation("one").output.FromString(reply.content).age == age
            assert reply.headers["hotswap-source"] == f"d.requests-{prediction_id.partition('-')[2]}"
        for prediction_id in (refused["prediction_id"], bad.json()["prediction_id"]):
            reply = await by_id(client, prediction_id)
            assert (reply.status_code, reply.json()["code"]) == (422, "UNDECODABLE")
            assert reply.json()["prediction_id"] == prediction_id
        assert "prediction_id" not in unread
    assert len({prediction_id.partition("-")[0] for prediction_id in ids}) == 3


async def test_the_gateway_makes_the_token_of_a_call_whatever_the_caller_sends(gateway, cluster, settings):
    answer_requests(cluster, settings)
    mine = {"request-id": FORGED, ID_HEADER: FORGED, "hotswap-prediction-id": f"{FORGED}-0-0", "prediction-id": FORGED}
    async with gateway() as client:
        for _ in range(2):
            await client.post("/v1/d/predict", json=[{"age": 4}, {"age": 5}], params=ONE, headers=mine)
        kind = {"content-type": "application/x-protobuf"}
        await client.post("/v1/d/predict", content=b"", params=ONE, headers=mine | kind)
        await client.post("/transformCSVDefault", files={"csvFile": b"age\n1\n"}, params=ONE, headers=mine)
        await client.post("/model/methods/one", content=b"", headers=mine)
        records = asked(cluster)
        assert len(records) == 7
        tokens = [token.decode() for record in records for token in tokens_of(record)]
        assert len(tokens) == 7  # one in each
        assert all(ID.fullmatch(f"{token}-0-0") and token != FORGED for token in tokens)
        assert len(set(tokens)) == 5  # one a call
        for record in records:
            assert (await by_id(client, f"{FORGED}-{record.partition}-{record.offset}")).status_code == 404


async def test_the_open_inference_protocols_id_is_the_callers_and_no_id_of_ours(gateway, cluster, settings, proto_text):
    flat = 'syntax = "proto3"; message Row { double age = 1; } service Echo { rpc one(Row) returns (Row); }'
    answer_requests(cluster, settings)
    async with gateway(proto=flat) as client:
        given = {"name": "age", "datatype": "FP64", "shape": [3], "data": [1.5, 2.5, 3.5]}
        reply = await client.post("/v2/models/d/infer", json={"id": FORGED, "inputs": [given]})
        assert reply.json()["id"] == FORGED
        found = re.fullmatch(
            r"([0-9a-f]{32})-([0-9]+)-([0-9]+)\.\.([0-9]+)", reply.json()["parameters"]["prediction_ids"]
        )
        assert found[1] != FORGED
        second = await by_id(client, f"{found[1]}-{found[2]}-{int(found[3]) + 1}")
        assert client.deployment.operation("one").output.FromString(second.content).age == 2.5
        assert (await by_id(client, f"{FORGED}-{found[2]}-{found[3]}")).status_code == 404


async def test_a_wrong_token_has_the_reply_of_a_request_that_there_is_not(guarded, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda value: b"bad" in value)
    caller = {"authorization": "Bearer predict"}
    async with guarded() as client:
        other = {"request-id": "r1"}
        good, bad = [
            (await client.post("/v1/d/predict", json={"name": name}, params=ONE, headers=caller | other)).json()
            for name in ("good", "bad")
        ]
        token, partition, offset = good["prediction_id"].split("-")
        for at in range(2):  # answers of others, which have no token, or several, or one that is no text
            for headers in (
                [],
                [(ID_HEADER, FORGED.encode())] * 2,
                [(ID_HEADER, b"\xff")],
                [(ID_HEADER, b"")],
                [(ID_HEADER, None)],
            ):
                place = f"d.requests-{at}-{len(cluster.topics['d.predictions'][at])}"
                cluster.append("d.predictions", b"s", headers=[*headers, ("source", place.encode())], partition=at)
        ends = cluster.ends("d.predictions")
        nothing = await by_id(client, f"{FORGED}-{partition}-{10**9}", headers=caller)
        assert (nothing.status_code, nothing.headers["retry-after"]) == (404, "1")
        guesses = [f"{FORGED}-{at}-{offset}" for at, end in ends.items() for offset in range(end)]
        guesses += [
            f"{bad['prediction_id'].partition('-')[0]}-{partition}-{offset}",
            f"{token}-{partition}-{int(offset) + 9}",
        ]
        guesses += [f"{token[:-1]}{'0' if token[-1] != '0' else '1'}-{partition}-{offset}", f"{token.upper()}-0-0"]
        guesses += [
            f"{token}-2-0",
            f"{token}-{(1 << 31)}-0",
            f"{token}-0-{1 << 64}",
            "r1",
            FORGED,
            "%00",
            "²",
            "9" * 5_000,
        ]
        for guess in guesses:
            if guess != good["prediction_id"]:
                assert shown(await by_id(client, guess, headers=caller)) == shown(nothing), guess
        assert (await by_id(client, good["prediction_id"], headers=caller)).status_code == 200
        assert (await by_id(client, bad["prediction_id"], headers=caller)).status_code == 422


async def test_both_topics_are_searched_whether_or_not_the_token_is_right(gateway, cluster, settings, monkeypatch):
    answer_requests(cluster, settings)
    from hotswap.client import finding  # noqa: PLC0415 - what is counted

    searched, find = [], finding._find

    async def counted(settings, topic, place):
        searched.append(topic)
        return await find(settings, topic, place)

    async with gateway() as client:
        made = (await client.post("/v1/d/predict", json={"age": 4}, params=ONE)).json()
        monkeypatch.setattr("hotswap.client.finding._find", counted)
        place = made["prediction_id"].partition("-")[2]
        counts = []
        for prediction_id in (made["prediction_id"], f"{FORGED}-{place}", f"{FORGED}-0-{10**9}"):
            cluster.looks, searched[:] = 0, []
            await by_id(client, prediction_id)
            counts.append((sorted(searched), cluster.looks))
    assert {tuple(topics) for topics, _ in counts} == {("d.dead-letters", "d.predictions")}
    assert counts[0] == counts[1]


async def test_by_its_source_an_answer_is_for_those_who_may_read_all(guarded, cluster, settings):
    answer_requests(cluster, settings)
    async with guarded() as client:
        predict, read = ({"authorization": f"Bearer {role}"} for role in ("predict", "read"))
        made = (await client.post("/v1/d/predict", json={"age": 4}, params=ONE, headers=predict)).json()
        path = f"/v1/d/predictions/{'/'.join(made['source'].rsplit('-', 2)[1:])}"
        refused = await client.get(path, headers=predict)
        assert (refused.status_code, refused.json()["role"]) == (403, "read")
        assert refused.json()["detail"].endswith(
            "by the `prediction_id` of the reply to it, at /v1/{deployment}/predictions/{prediction_id}"
        )
        reply = await client.get(path, headers=read)
        assert (reply.status_code, reply.headers["hotswap-source"]) == (200, made["source"])
        assert "hotswap-prediction-id" not in reply.headers
        mine = await by_id(client, made["prediction_id"], headers=predict)
        assert mine.content == reply.content
        assert (await by_id(client, made["prediction_id"], headers=read)).status_code == 403
        assert (await by_id(client, made["prediction_id"])).status_code == 401


async def test_what_is_not_answered_in_time_is_fetched_by_its_id_later(gateway, cluster, settings):
    async with gateway(timeout_s=0.01) as client:
        late = (await client.post("/v1/d/predict", json=[{"age": 4}, {"age": 5}], params=ONE)).json()
        first, second = late["prediction_ids"]
        assert "GET /v1/d/predictions/ID" in late["detail"]
        assert (await by_id(client, second)).status_code == 404
        for record in asked(cluster):
            source = ("source", f"d.requests-{record.partition}-{record.offset}".encode())
            headers = [*record.headers, source, ("generation", b"3")]
            cluster.append("d.predictions", record.value, headers=headers, partition=record.partition)
        reply = await by_id(client, second)
        assert client.deployment.operation("one").output.FromString(reply.content).age == 5.0
        assert (await by_id(client, first)).headers["hotswap-source"] == late["sources"][0]


async def test_a_request_that_somebody_publishes_again_cannot_be_fetched_by_the_first_callers_token(
    guarded, cluster, settings
):
    answer_requests(cluster, settings, refuse=lambda value: b"bad" in value)
    caller = {"authorization": "Bearer predict"}
    async with guarded() as client:
        call = {"json": {"name": "bad"}, "params": ONE, "headers": caller | {"request-id": "r1"}}
        made = (await client.post("/v1/d/predict", **call)).json()
        (letter,) = [record for partition in cluster.topics["d.dead-letters"] for record in partition]
        again = as_request(letter)
        assert dict(again.headers)["request-id"] == b"r1"
        assert not tokens_of(again)
        listed = await client.get("/v1/d/dead-letters", headers={"authorization": "Bearer read"})
    assert made["prediction_id"].partition("-")[0] not in listed.text
    assert "r1" in listed.text


async def test_callers_with_the_same_request_id_get_their_own_answers(gateway, cluster, settings):
    answer_requests(cluster, settings)
    async with gateway() as client:
        same = {"request-id": "the-same"}
        made = [
            (await client.post("/v1/d/predict", json={"age": age}, params=ONE, headers=same)).json() for age in (4, 5)
        ]
        assert [one["prediction"]["age"] for one in made] == [4.0, 5.0]
        for one in made:
            reply = await by_id(client, one["prediction_id"])
            assert client.deployment.operation("one").output.FromString(reply.content).age == one["prediction"]["age"]
        crossed = made[0]["prediction_id"].partition("-")[0] + "-" + made[1]["prediction_id"].partition("-")[2]
        assert (await by_id(client, crossed)).status_code == 404


async def test_no_log_has_a_token(gateway, cluster, settings, caplog):
    caplog.set_level(logging.DEBUG)
    answer_requests(cluster, settings)
    async with gateway() as client:
        made = (await client.post("/v1/d/predict", json={"age": 4}, params=ONE)).json()
        for path in ("", "/", "/x", "?a=b"):
            await client.get(f"/v1/d/predictions/{made['prediction_id']}{path}")
    token, _, place = made["prediction_id"].partition("-")
    calls = [record.path for record in caplog.records if record.message == "gateway.call"]
    assert f"/v1/d/predictions/…-{place}" in calls
    assert not any(token in str(vars(record)) for record in caplog.records if record.name.startswith("hotswap"))
