"""No redirect leads to a host that the caller has named, nor to one that a path begins with."""

from hashlib import sha256

import httpx
import pytest
from starlette.responses import PlainTextResponse

from hotswap.console.app import Console
from hotswap.gateway.access import Access
from hotswap.gateway.app import make_app, make_console_app
from hotswap.gateway.callers import Callers
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits

TOKEN = {"authorization": "Bearer t"}
HOSTS = ("evil.example", "localhost@evil.example", "evil.example/x?y#", "[::1", "evil.example:x", "", "a\\b")
FORWARDED = {
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-prefix": "//evil.example",
    "x-forwarded-port": "81",
    "forwarded": "host=evil.example;proto=https",
    "x-original-url": "//evil.example/",
    "x-rewrite-url": "//evil.example/",
}


@pytest.fixture
async def apps(cluster, settings, tmp_path):
    """Return a gateway with a console, and a console alone, for the caller with the token `t`."""
    path = tmp_path / "tokens.toml"
    digest = sha256(b"t").hexdigest()
    path.write_text(f'[[token]]\nname = "t"\nsha256 = "{digest}"\nroles = ["read", "swap", "predict", "score"]\n')
    deployment = Deployment(settings, most_waiting=1, timeout_s=1)
    limits = GatewayLimits(body_bytes=1_000, artifact_bytes=1_000, hosts=1, is_foreign_code_allowed=False)
    console = Console({"d": deployment}, limits, is_changing=True)
    await deployment.start()
    yield (
        make_app([deployment], limits, console, Access(Callers(path))),
        make_console_app([deployment], console, Access(Callers(path))),
    )
    await console.close()
    await deployment.stop()


def at(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


PATHS = [
    ("GET", "/console", "/console/"),
    ("GET", "/console?a=b&c=//evil.example", "/console/?a=b&c=//evil.example"),
    ("GET", "/v1/", "/v1"),
    ("GET", "/v1/d/", "/v1/d"),
    ("GET", "/v1/a%0d%0aSet-Cookie:%20b/", "/v1/a%0D%0ASet-Cookie%3A%20b"),
    ("GET", "/v1/a%3Fb%23c/", "/v1/a%3Fb%23c"),
    ("GET", "/v1/%5Cevil.example//", "/v1/%5Cevil.example"),
    ("PUT", "/model/", "/model"),
    ("POST", "/v1/d/predict/?operation=one", "/v1/d/predict?operation=one"),
    ("GET", "/login/", "/login"),
    ("GET", "/console/d/d/models/", "/console/d/d/models"),
    ("GET", "/console/d/d/", "/console/d/d"),
]


@pytest.mark.parametrize("host", HOSTS)
async def test_the_slash_at_the_end_is_added_or_removed_on_this_host(apps, host):
    gateway, _ = apps
    async with at(gateway) as client:
        for method, path, to in PATHS:
            reply = await client.request(method, path, headers=TOKEN | FORWARDED | {"host": host})
            assert (reply.status_code, reply.headers["location"]) == (307, to), (method, path)
            assert "evil.example" not in reply.text


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example", "/\\evil.example/", "/%5Cevil.example/", "/nowhere/"]
)
async def test_what_is_not_there_with_or_without_a_slash_is_not_found(apps, path):
    for app in apps:
        async with at(app) as client:
            reply = await client.request("GET", httpx.URL("http://localhost", raw_path=path.encode()), headers=TOKEN)
            assert (reply.status_code, reply.headers.get("location")) == (404, None), path


@pytest.mark.parametrize("host", HOSTS)
async def test_a_browser_is_led_to_the_login_and_back_on_this_host(apps, host):
    headers = {"accept": "text/html", "host": host} | FORWARDED
    gateway, console = apps
    for app, path in ((gateway, "/console/"), (console, "/"), (console, "/d/d")):
        async with at(app) as client:
            reply = await client.get(path, headers=headers)
            assert (reply.status_code, reply.headers["location"]) == (303, f"/login?to={path.replace('/', '%2F')}")


async def test_a_path_that_begins_with_a_host_leads_to_none(apps):
    _, console = apps
    async with at(console) as client:
        for path in (b"//evil.example/d/d/", b"//evil.example//", b"///evil.example/", b"/console//evil.example/"):
            reply = await client.get(httpx.URL("http://localhost", raw_path=path), headers=TOKEN)
            location = reply.headers.get("location", "/")
            assert (location[:1], location[1:2] in ("/", "\\")) == ("/", False), path


@pytest.mark.parametrize(("is_secure", "said"), [(True, "http"), (False, "https")])
async def test_whether_cookies_need_tls_is_for_the_operator_to_say(cluster, settings, is_secure, said):
    deployment = Deployment(settings, most_waiting=1, timeout_s=1)
    limits = GatewayLimits(body_bytes=1_000, artifact_bytes=1_000, hosts=1, is_foreign_code_allowed=False)
    console = Console({"d": deployment}, limits, is_changing=True)
    app = make_console_app([deployment], console, Access(is_secure=is_secure))
    async with at(app) as client:
        client.base_url = f"{said}://localhost"  # what X-Forwarded-Proto would make of it
        reply = await client.get("/d/none", headers={"x-forwarded-proto": said})
    assert ("; Secure" in reply.headers["set-cookie"]) is is_secure
    await console.close()


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["evil.example", "localhost"], ["localhost"] * 2])
async def test_a_call_of_this_machine_names_one_host(cluster, settings, hosts):
    limits = GatewayLimits(body_bytes=1_000, artifact_bytes=1_000, hosts=1, is_foreign_code_allowed=False)
    app, said = make_app([Deployment(settings, most_waiting=1, timeout_s=1)], limits), []

    async def send(message):
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": "/livez", "query_string": b"", "headers": []}
    for given, status in ((hosts, 403), (["localhost"], 200)):
        said.clear()
        await app({**scope, "headers": [(b"host", host.encode()) for host in given]}, None, send)
        assert said[0]["status"] == status


async def test_the_root_leads_to_the_console(monkeypatch):
    monkeypatch.setattr("hotswap.gateway.app.routes_of", lambda *_: [])
    app = make_app([], None, PlainTextResponse("ok"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        reply = await client.get("/")
    assert (reply.status_code, reply.headers["location"]) == (307, "/console")
