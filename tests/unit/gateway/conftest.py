"""A gateway over logs in memory: whatever is asked of the deployment is echoed."""

from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.routing import Match

from fakes.kafka_logs import FakeWorker
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.gateway.app import make_app, routes_of
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.openapi import document
from hotswap.generation import Model, Proto

PROTO = """
syntax = "proto3";
message Row { double age = 1; string name = 2; }
message Frame { repeated Row rows = 1; }
service Echo { rpc echo(Frame) returns (Frame); rpc one(Row) returns (Row); }
"""


@pytest.fixture
def proto_text():
    return PROTO


def documented(deployments, limits):
    """Return a hook that checks each response against the OpenAPI document: its status, and its content type."""
    routes = routes_of(deployments, limits)
    paths = document(routes, [deployment.name for deployment in deployments])["paths"]

    async def check(response):
        call = {"type": "http", "method": response.request.method, "path": response.request.url.path}
        for route in routes:
            is_led = response.has_redirect_location  # a browser, to /login
            if route.matches(call)[0] is Match.FULL and call["method"] != "HEAD" and not is_led:
                responses = paths[route.path_format][call["method"].lower()]["responses"]
                told = response.headers["content-type"].partition(";")[0]
                assert told in responses[str(response.status_code)]["content"], f"{call} {response.status_code} {told}"

    return check


@pytest.fixture
def gateway(cluster, settings):
    """Return what starts a gateway and yields a client of it; a generation serves, unless told otherwise."""

    @asynccontextmanager
    async def start(*, proto=PROTO, most_waiting=1_000, timeout_s=20.0, body_bytes=100_000, access=None):
        cluster.worker = FakeWorker(cluster, settings)
        if proto:
            async with Client(settings) as client:
                await client.swap(Change(model=Model("file:///m", "a" * 64, name="m"), proto=Proto.inline(proto)))
        deployment = Deployment(settings, most_waiting=most_waiting, timeout_s=timeout_s)
        limits = GatewayLimits(body_bytes=body_bytes, artifact_bytes=100_000, hosts=1, is_foreign_code_allowed=False)
        await deployment.start()
        try:
            app = make_app([deployment], limits, access=access)
            transport = httpx.ASGITransport(app)
            hooks = {"response": [documented([deployment], limits)]}
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", event_hooks=hooks) as client:
                client.deployment, client.app, client.limits = deployment, app, limits
                yield client
        finally:
            await deployment.stop()
            await limits.close()

    return start
