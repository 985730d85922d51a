"""Who may call what: each route by each role, tokens that come and go, and what a page may have a browser send."""

import logging
from hashlib import sha256

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from hotswap.errors import UsageError
from hotswap.gateway.access import Access, role_of
from hotswap.gateway.callers import CallerRole, Callers
from hotswap.gateway.problems import Problem
from hotswap.gateway.tls import subject_of

OWN = {"origin": "http://localhost"}
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def token_of(*roles):
    return "token-of-" + "-".join(roles)


def bearer(*roles):
    return {"authorization": f"Bearer {token_of(*roles)}"}


def entry(*roles):
    digest = sha256(token_of(*roles).encode()).hexdigest()
    return f'[[token]]\nname = "{"+".join(roles)}"\nsha256 = "{digest}"\nroles = {list(roles)}\n'


@pytest.fixture
def tokens(tmp_path):
    """Return a file with a token for each role and for the rest of them, one for two, and a certificate."""
    path = tmp_path / "tokens.toml"
    every = [role.value for role in CallerRole]
    named = [[role] for role in every] + [[other for other in every if other != role] for role in every]
    text = "".join(entry(*roles) for roles in [*named, ["score", "swap"]])
    path.write_text(text + '[[certificate]]\nsubject = "CN=etl,O=Acme"\nroles = ["read", "swap"]\n')
    return path


@pytest.fixture
def guarded(gateway, tokens):
    """Return what starts a gateway for the callers of the file."""
    return lambda **told: gateway(access=Access(Callers(tokens)), **told)


def every_call(client):
    """Return method, path and role of each route of a gateway."""
    found = [
        (method, route.path_format) for route in client.app._app.routes for method in sorted(route.methods - {"HEAD"})
    ]
    return [(method, path, role_of(method, path)) for method, path in found]


def place(path):
    return path.format(deployment="d", operation="one", partition=0, offset=0, prediction_id="0", version=1)


async def test_each_route_is_for_those_only_who_have_its_role(guarded):
    async with guarded(timeout_s=0.01) as client:
        calls = [call for call in every_call(client) if call[2]]
        assert {role for _, _, role in calls} == set(CallerRole)
        for method, path, role in calls:
            nobody = await client.request(method, place(path))
            others = await client.request(
                method, place(path), headers=bearer(*(one for one in CallerRole if one != role))
            )
            let_in = await client.request(method, place(path), headers=bearer(role))
            assert (nobody.status_code, others.status_code) == (401, 403), path
            assert nobody.headers["www-authenticate"] == "Bearer", path
            assert others.json()["role"] == role, path
            assert let_in.status_code not in (401, 403), let_in.text


async def test_probes_metrics_and_the_login_are_for_everybody(guarded):
    async with guarded() as client:
        free = {f"{method} {path}" for method, path, role in every_call(client) if role is None}
        assert free >= {"GET /livez", "GET /readyz", "GET /metrics", "GET /login", "POST /login", "POST /logout"}
        for path in ("/livez", "/readyz", "/metrics", "/login"):
            assert (await client.get(path)).status_code == 200
            assert (await client.get(path, headers={"authorization": "Bearer wrong"})).status_code == 200


def answer(_):
    return PlainTextResponse("ok")


@pytest.mark.parametrize(
    "route",
    [
        Route("/new", answer),
        Route("/v1", answer, methods=["GET", "POST"]),
        Mount("/new", PlainTextResponse("ok")),
        Mount("/v1", routes=[Route("/new", answer)]),
    ],
)
def test_with_a_route_without_a_role_no_gateway_starts(route):
    with pytest.raises(KeyError):
        Access().guard([route])


def test_the_pages_of_the_console_are_read_and_its_changes_are_swaps():
    assert role_of("GET", "/console") is role_of("GET", "/console/d/{generation}") is CallerRole.READ
    assert role_of("POST", "/console/d/swap") is CallerRole.SWAP
    with pytest.raises(KeyError):
        role_of("GET", "/consoles")


@pytest.mark.parametrize(
    "mount",
    [
        Mount("/console", PlainTextResponse("ok")),
        Mount("/", PlainTextResponse("ok")),
        Mount("/console", routes=[Route("/{page:path}", answer, methods=["GET", "POST", "OPTIONS"])]),
    ],
)
async def test_what_is_mounted_is_guarded_by_method(tokens, mount):
    app = Starlette(routes=[mount], exception_handlers={Problem: lambda _, problem: problem.response()})
    Access(Callers(tokens)).guard(app.routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for method, role in (("GET", "read"), ("HEAD", "read"), ("POST", "swap")):
            for other in CallerRole:
                reply = await client.request(method, "/console/d", headers=bearer(other))
                assert reply.status_code == (200 if other == role else 403), (method, other)
            assert (await client.request(method, "/console/d")).status_code == 401
        assert (await client.options("/console/d", headers=bearer("read"))).status_code in (403, 405)


async def test_a_model_of_the_calls_own_is_activated_by_those_only_who_may_swap(guarded):
    async with guarded() as client:
        files = {"csvFile": b"age\n1\n", "model": b"no model", "proto": b"no proto"}

        async def call(*roles):
            told = {"data": {"activate": "true"}, "files": files, "headers": bearer(*roles)}
            return await client.post("/transformCSV", **told)

        refused, let_in = await call("score"), await call("score", "swap")
    assert (refused.status_code, refused.json()["role"]) == (403, "swap")
    assert let_in.status_code == 422, let_in.text


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer token-of-rea", "Bearer token-of-read2", "Basic token-of-read", "token-of-read"],
)
async def test_what_is_no_token_of_the_file_lets_nobody_in(guarded, header):
    async with guarded() as client:
        reply = await client.get("/v1", headers={"authorization": header, "cookie": "hotswap="})
    assert reply.status_code == 401
    assert "token-of-" not in reply.text


async def test_the_token_of_nothing_lets_nobody_in(guarded, tokens):
    tokens.write_text(tokens.read_text().replace(sha256(b"token-of-read").hexdigest(), sha256(b"").hexdigest()))
    async with guarded() as client:
        for headers in ({}, {"authorization": "Bearer "}, {"cookie": "hotswap="}):
            assert (await client.get("/v1", headers=headers)).status_code == 401


async def test_a_token_stops_once_it_is_removed_and_a_new_one_begins(guarded, tokens):
    async with guarded() as client:
        assert (await client.get("/v1", headers=bearer("read"))).status_code == 200
        tokens.write_text(entry("swap", "read"))
        assert (await client.get("/v1", headers=bearer("read"))).status_code == 401
        assert (await client.get("/v1", headers=bearer("swap", "read"))).status_code == 200
        tokens.write_text("token = []")
        assert (await client.get("/v1", headers=bearer("swap", "read"))).status_code == 401


async def test_a_broken_file_leaves_the_callers_as_they_are_and_is_logged_once(guarded, tokens, caplog):
    async with guarded() as client:
        for break_it in (lambda: tokens.write_text("[[token]"), lambda: tokens.write_text(""), tokens.unlink):
            caplog.clear()
            break_it()
            for _ in range(3):
                assert (await client.get("/v1", headers=bearer("read"))).status_code == 200
            (kept,) = [record for record in caplog.records if record.message == "gateway.callers_kept"]
            assert (kept.levelno, str(tokens) in kept.reason) == (logging.ERROR, True)
        tokens.write_text(entry("swap"))
        assert (await client.get("/v1", headers=bearer("read"))).status_code == 401


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (entry("read", "admin"), "[[token]] 1 (read+admin): 'admin' is no role: there are predict, score, swap, read"),
        (entry("read") + entry(), "[[token]] 2: roles: Frozenset should have at least 1 item"),
        (entry("read") + entry("swap", "read") + entry("read"), "[[token]] 3: sha256 repeats that of [[token]] 1"),
        (entry("read").replace("sha256", "token"), "[[token]] 1 (read): sha256: Field required"),
        (entry("read").replace("name", "nam"), "[[token]] 1: name: Field required"),
        ('[[token]]\nname = "a"\nsha256 = "s3cret"\nroles = ["read"]', "[[token]] 1 (a): sha256 is not the SHA-256"),
        ('[[certificate]]\nsubject = "CN=a"\n', "[[certificate]] 1 (CN=a): roles: Field required"),
        ('[[tokens]]\nname = "a"\n', "tokens: Extra inputs are not permitted"),
        ('token = ["s3cret"]', "[[token]] 1: Input should be"),
        ('token = "s3cret"', "token: Input should be a valid tuple"),
        ("s3cret", "is not a TOML file"),
        ("\udcff", "is not a TOML file"),
        ("# nothing\n", "has neither a [[token]] nor a [[certificate]]"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_entry_and_never_quoted(tmp_path, text, told):
    path = tmp_path / "tokens.toml"
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError) as refused:
        Callers(path)
    assert str(refused.value).startswith(str(path))
    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)


async def test_the_log_names_who_called_and_never_a_token(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    async with guarded() as client:
        said = [await client.get("/v1", headers=bearer(*roles)) for roles in (["read"], ["swap"], ["nobody"])]
        said.append(await client.post("/login", data={"token": token_of("nobody")}, headers=OWN))
        said.append(await client.post("/login", data={"token": token_of("read")}, headers=OWN))
    calls = [record for record in caplog.records if record.message == "gateway.call"]
    told = [(record.status, getattr(record, "caller", None)) for record in calls]
    assert told == [(200, "read"), (403, "swap"), (401, None), (401, None), (303, "read")]
    assert "token-of-" not in "".join(str(vars(record)) for record in calls) + "".join(one.text for one in said)


async def test_a_browser_gives_its_token_once(guarded):
    async with guarded() as client, guarded(proto=None) as other:
        led = await client.get("/v1?a=b", headers=PAGE)
        assert (led.status_code, led.headers["location"]) == (303, "/login?to=%2Fv1%3Fa%3Db")
        form = await client.get(led.headers["location"])
        assert 'name="to" value="/v1?a=b"' in form.text
        policy = form.headers["content-security-policy"]
        assert policy == "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

        entered = await client.post("/login", data={"token": token_of("read"), "to": "/v1?a=b"}, headers=OWN)
        assert (entered.status_code, entered.headers["location"]) == (303, "/v1?a=b")
        cookie = entered.headers["set-cookie"]
        assert cookie == f"hotswap={token_of('read')}; HttpOnly; Path=/; SameSite=strict"
        assert (await client.get("/v1", headers=PAGE)).status_code == 200
        assert "You are read (read)." in (await client.get("/login")).text
        assert (await other.get("/v1", headers={"cookie": cookie.partition(";")[0]})).status_code == 200

        left = await client.post("/logout", headers=OWN)
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert (await client.get("/v1")).status_code == 401


async def test_over_tls_the_cookie_is_sent_over_tls_only(gateway, tokens):
    async with gateway(access=Access(Callers(tokens), is_secure=True)) as client:
        told = {"data": {"token": token_of("swap")}, "headers": {"origin": "https://localhost"}}
        cookie = (await client.post("/login", **told)).headers["set-cookie"]
        assert cookie.endswith("; SameSite=strict; Secure")
        headers = {"cookie": cookie.partition(";")[0]}
        own, plain = ({"origin": f"{scheme}://localhost"} | headers for scheme in ("https", "http"))
        assert (await client.post("/v1/d/pause", headers=plain)).status_code == 403
        assert (await client.post("/v1/d/pause", headers=own)).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8080", "http://localhost:8080", 200),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", 200),
        ("localhost:8080", "http://localhost:81", 403),
        ("hotswap.example", "http://hotswap.example", 403),
        ("hotswap.example", "https://hotswap.example", 200),
    ],
)
async def test_behind_a_proxy_a_browser_on_this_machine_may_pass_it_by(gateway, tokens, host, origin, status):
    async with gateway(access=Access(Callers(tokens), is_behind_proxy=True)) as client:
        headers = {"cookie": f"hotswap={token_of('swap')}", "host": host, "origin": origin}
        assert (await client.post("/v1/d/pause", headers=headers)).status_code == status


@pytest.mark.parametrize("token", ["", "wrong", token_of("read") + "x", "a b", "é", "x" * 2_000])
async def test_a_login_without_a_known_token_sets_no_cookie(guarded, token):
    async with guarded() as client:
        reply = await client.post("/login", data={"token": token, "to": '"><script>'}, headers=OWN)
    assert (reply.status_code, reply.headers.get("set-cookie")) == (401, None)
    assert "<script>" not in reply.text
    assert (token or "wrong") not in reply.text


@pytest.mark.parametrize(
    "to", ["//a.example", "/\\a.example", "https://a.example", "/\t/a.example", "a", "", "/\r\nA: b"]
)
async def test_a_login_leads_to_this_gateway_only(guarded, to):
    async with guarded() as client:
        reply = await client.post("/login", data={"token": token_of("read"), "to": to}, headers=OWN)
    assert reply.headers["location"] == "/login"


async def test_a_long_login_is_refused(guarded):
    async with guarded() as client:
        assert (await client.post("/login", content=b"token=" + b"a" * 5_000, headers=OWN)).status_code == 413


@pytest.mark.parametrize("origin", ["https://localhost", "http://localhost:81", "http://a.example", "null", None])
async def test_a_page_of_another_site_has_no_browser_change_anything(guarded, cluster, origin):
    headers = {"origin": origin} if origin else {}
    async with guarded() as client:
        cookie = {"cookie": f"hotswap={token_of('swap')}"}
        assert (await client.post("/v1/d/pause", headers=headers | cookie)).status_code == 403
        if origin:
            assert (await client.post("/login", data={"token": token_of("swap")}, headers=headers)).status_code == 403
            assert (await client.post("/logout", headers=headers)).status_code == 403
        assert len(cluster.topics["d.control"][0]) == 1
        assert (await client.post("/v1/d/pause", headers=OWN | cookie)).status_code == 200
        assert (await client.post("/v1/d/resume", headers=headers | bearer("swap"))).status_code == 200


async def test_a_certificate_has_the_roles_of_its_subject(guarded, caplog):
    caplog.set_level(logging.INFO)
    async with guarded() as client:

        async def call(method, path, subject, **headers):
            async def app(scope, receive, send):
                await client.app(scope | {"state": {"subject": subject}}, receive, send)

            async with type(client)(transport=type(client._transport)(app), base_url="http://localhost") as other:
                return (await other.request(method, path, headers=headers)).status_code

        assert await call("GET", "/v1", "CN=etl,O=Acme") == 200
        assert await call("POST", "/v1/d/pause", "CN=etl,O=Acme") == 200
        assert await call("POST", "/v1/d/pause", "CN=etl,O=Acme", origin="https://a.example") == 403
        assert await call("POST", "/v1/d/predict", "CN=etl,O=Acme") == 403
        assert await call("GET", "/v1", "CN=etl") == 403
        assert await call("GET", "/v1", "CN=etl", **bearer("read")) == 200
    told = [record.caller for record in caplog.records if record.message == "gateway.call"]
    assert told == ["CN=etl,O=Acme"] * 4 + ["CN=etl", "read"]


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        (((("organizationName", "Acme"),), (("commonName", "etl"),)), "CN=etl,O=Acme"),
        (((("commonName", "a"), ("emailAddress", "b@c")),), "CN=a+emailAddress=b@c"),
        (((("commonName", "a,O=Acme"),),), "CN=a\\,O=Acme"),
        (((("commonName", '#a+"b"<c>;\\'),),), '#a\\+\\"b\\"\\<c\\>\\;\\\\'.replace("#", "CN=\\#")),
        (((("commonName", " a "),),), "CN=\\ a\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        ((), ""),
    ],
)
def test_a_subject_is_written_as_openssl_writes_it(subject, told):
    assert subject_of({"subject": subject}) == told
