"""What a gateway takes on of a caller: bodies, calls, and no work for those who have left."""

import asyncio
import json

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from fakes.answering import answer_requests
from hotswap.client import protos
from hotswap.gateway import bodies, limits
from hotswap.gateway.callers import Caller
from hotswap.gateway.converters import Converters
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.problems import Problem

ROWS = json.dumps([{"age": 1.5}] * 1_000).encode()
KIND = [(b"content-type", b"application/json"), (b"host", b"localhost")]


def scope_of(path="/v1/d/predict", **more):
    return {"type": "http", "method": "POST", "path": path, "query_string": b"operation=one", "headers": KIND, **more}


class Client:
    """A client of an application that sends a body in parts, and leaves when it likes."""

    def __init__(self, *parts):
        self._parts = [*parts]
        self.has_left = asyncio.Event()
        self.sent = []

    async def receive(self):
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]


@pytest.fixture
def kept():
    return GatewayLimits(body_bytes=1 << 20, artifact_bytes=1 << 20, hosts=1, is_foreign_code_allowed=False)


def request_of(caller, client):
    return Request(scope_of(caller=Caller(caller, frozenset())), client.receive)


async def read(request):
    return PlainTextResponse(str(len(await bodies.body(request, 1 << 20))))


async def test_reading_rows_ends_when_their_caller_leaves(gateway, monkeypatch):
    began, ended = asyncio.Event(), asyncio.Event()

    async def do(*_):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(Converters, "do", do)
    async with gateway() as client:
        caller = Client(ROWS)
        calling = asyncio.create_task(client.app(scope_of(), caller.receive, caller.send))
        await began.wait()
        caller.has_left.set()
        await calling
    assert ended.is_set()
    assert caller.status == 499


async def test_what_waits_for_its_answers_waits_no_more_when_its_caller_leaves(gateway, cluster):
    async with gateway() as client:
        caller = Client(b'{"age": 1.5}')
        calling = asyncio.create_task(client.app(scope_of(), caller.receive, caller.send))
        while not any(cluster.topics["d.requests"]):
            await asyncio.sleep(0)
        caller.has_left.set()
        await calling
        assert client.deployment.router.waiting == 0
    assert caller.status == 499


async def test_who_leaves_amidst_a_body_is_found_where_it_is_read(kept):
    client = Client(b"a", b"b")
    client._parts = [b"a"] * 2
    client.has_left.set()

    async def receive():
        if client._parts:
            return {"type": "http.request", "body": client._parts.pop(), "more_body": True}
        return {"type": "http.disconnect"}

    with pytest.raises(Problem, match="disconnected before the body was complete"):
        await kept.fair(read)(Request(scope_of(), receive))


async def test_calls_of_a_caller_are_bounded_and_those_of_another_are_not(kept, monkeypatch):
    monkeypatch.setattr(limits, "CALLS", 2)
    go = asyncio.Event()

    async def wait(_):
        await go.wait()
        return PlainTextResponse("ok")

    answer = kept.fair(wait)
    held = [asyncio.create_task(answer(request_of("a", Client(b"")))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="2 calls of this caller") as refused:
        await answer(request_of("a", Client(b"")))
    assert (refused.value.status, refused.value.retry_after_s) == (429, 1)
    other = asyncio.create_task(answer(request_of("b", Client(b""))))
    go.set()
    assert [(await one).status_code for one in (*held, other)] == [200] * 3
    assert (await answer(request_of("a", Client(b"")))).status_code == 200


async def test_bodies_of_a_caller_are_bounded_together_and_small_ones_are_free(kept):
    go, answer = asyncio.Event(), None
    reading = 0

    async def hold(request):
        nonlocal reading
        await bodies.body(request, 1 << 20)
        reading += 1
        await go.wait()
        return PlainTextResponse("ok")

    answer = kept.fair(hold)
    half = bytes(700 << 10)
    held = [asyncio.create_task(answer(request_of("a", Client(half)))) for _ in range(2)]
    while reading < 2:
        await asyncio.sleep(0)
    with pytest.raises(Problem, match="of this caller's calls are too large") as refused:
        await answer(request_of("a", Client(half, half)))
    assert refused.value.status == 429
    held += [asyncio.create_task(answer(request_of("a", Client(bytes(60_000)))))]
    held += [asyncio.create_task(answer(request_of(name, Client(half)))) for name in "bcdefghij"]
    while reading < 12:
        await asyncio.sleep(0)
    with pytest.raises(Problem, match="of all calls are too large") as refused:
        await answer(request_of("z", Client(bytes(1 << 20), b"")))
    assert refused.value.status == 503
    go.set()
    await asyncio.gather(*held)
    assert not kept._held._of
    assert (await answer(request_of("a", Client(half)))).status_code == 200


async def test_a_body_that_comes_too_slowly_is_given_up(kept, monkeypatch):
    monkeypatch.setattr(bodies, "_SILENT_S", 0.2)

    async def receive():
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Problem, match="16,384 bytes/s at least") as refused:
        await kept.fair(read)(Request(scope_of(), receive))
    assert refused.value.status == 408


async def test_callers_are_told_apart_by_name_and_those_without_one_by_their_address():
    named = Request(scope_of(caller=Caller("etl", frozenset()), state={"peer": "10.0.0.1"}))
    nameless = Request(scope_of(caller=Caller("", frozenset()), state={"peer": "10.0.0.1"}, client=("6.6.6.6", 1)))
    assert [limits.caller_of(one) for one in (named, nameless)] == ["etl", "10.0.0.1"]


async def test_a_table_of_a_thousand_rows_has_an_item_for_each_in_their_order(gateway, cluster, settings):
    answer_requests(cluster, settings, refuse=lambda value: not value)
    text = "\n".join(["age", *("x" if at % 7 == 0 else str(at % 5) for at in range(1_000))])
    async with gateway() as client:
        url = "/v1/d/predict?operation=one"
        reply = await client.post(url, content=text, headers={"content-type": "text/csv"})
    items = reply.json()["predictions"]
    assert [item["row"] for item in items] == list(range(1, 1_001))
    for at, item in enumerate(items):
        assert ("reason" in item, item.get("code")) == (at % 7 == 0, None if at % 7 == 0 or at % 5 else "UNDECODABLE")
        if "prediction" in item:
            assert item["prediction"]["age"] == at % 5
    assert reply.json()["refused"] == sum("prediction" not in item for item in items)


async def test_protos_of_one_caller_are_compiled_one_at_a_time_and_to_their_ends_though_it_leaves(kept, monkeypatch):
    begun, ends = asyncio.Queue(), {}

    async def compile_proto(source):
        ends[source] = asyncio.Event()
        begun.put_nowait(source)
        await ends[source].wait()
        return source

    monkeypatch.setattr(protos, "compile", compile_proto)
    calls = [
        asyncio.create_task(kept.compile(request_of(caller, Client()), source))
        for caller, source in [("a", b"1"), ("a", b"2"), ("b", b"3")]
    ]
    assert [await begun.get(), await begun.get()] == [b"1", b"3"]
    calls[0].cancel()  # its caller leaves: its process goes on, and has its place
    await asyncio.wait(calls[:1])
    assert calls[0].cancelled()
    assert begun.empty()
    ends[b"1"].set()
    assert await begun.get() == b"2"
    for end in ends.values():
        end.set()
    assert await asyncio.gather(*calls[1:]) == [b"2", b"3"]


async def test_a_model_larger_than_the_largest_table_is_no_more_than_its_callers_share(kept):
    """`kept` takes tables of 1 MiB; a form has up to 8 MiB in memory."""
    model = b"x" * (5 << 20)
    client = Client(
        b'--x\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\n' + model + b"\r\n--x--\r\n"
    )
    scope = scope_of(caller=Caller("a", frozenset())) | {
        "headers": [(b"content-type", b"multipart/form-data; boundary=x")]
    }

    async def save(request):
        async with bodies.form(request, 16 << 20) as form:
            return PlainTextResponse(str(len(await form.content("model"))))

    assert (await kept.fair(save)(Request(scope, client.receive))).body == b"%d" % len(model)
