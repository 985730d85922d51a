"""A console over logs in memory."""

import re
from contextlib import asynccontextmanager

import httpx
import pytest

from fakes.kafka_logs import FakeWorker
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.console.app import Console
from hotswap.gateway.app import make_console_app
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits
from hotswap.generation import Model, Proto

PROTO = """
syntax = "proto3";
// <script>alert("a comment")</script>
message Row { double age = 1; string name = 2; }
message Frame { repeated Row rows = 1; }
service Echo { rpc echo(Frame) returns (Frame); rpc one(Row) returns (Row); }
"""


class Browser(httpx.AsyncClient):
    """Keeps cookies, and sends forms with the token of the page that it saw last."""

    async def see(self, path):
        reply = await self.get(path)
        self.token = re.search(r'name="token" value="([^"]+)"', reply.text)
        return reply

    async def submit(self, path, fields=(), files=(), *, token=None):
        token = token if token is not None else self.token[1]
        # httpx sends a form as multipart only if there is a file.
        parts = {name: (None, value) for name, value in {**dict(fields), "token": token}.items()}
        return await self.post(path, files=parts | dict(files))


@pytest.fixture
def proto_text():
    return PROTO


@pytest.fixture
def console(cluster, settings, monkeypatch):
    """Return what starts a console and yields a browser at it; a generation serves, unless told otherwise."""
    monkeypatch.setattr("hotswap.client.overview._TURN_S", 0.001)

    @asynccontextmanager
    async def start(*, is_changing=True, proto=PROTO, model="m", is_foreign_code_allowed=False):
        cluster.worker = FakeWorker(cluster, settings)
        if proto:
            async with Client(settings) as client:
                await client.swap(Change(model=Model("file:///m", "a" * 64, name=model), proto=Proto.inline(proto)))
        cluster.worker.speak(generation=1, model_name=model, loaded=[1], partitions={0: "", 1: ""})
        deployment = Deployment(settings, most_waiting=100, timeout_s=20.0)
        limits = GatewayLimits(
            body_bytes=100_000, artifact_bytes=100_000, hosts=1, is_foreign_code_allowed=is_foreign_code_allowed
        )
        await deployment.start()
        made = Console({"d": deployment}, limits, is_changing=is_changing)
        try:
            transport = httpx.ASGITransport(make_console_app([deployment], made))
            async with Browser(transport=transport, base_url="http://localhost") as browser:
                browser.console, browser.deployment = made, deployment
                yield browser
        finally:
            await made.close()
            await deployment.stop()
            await limits.close()

    return start
