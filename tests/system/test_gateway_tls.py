"""A gateway's TLS as its clients see it: certificates of both sides, and their renewal. Needs no Kafka."""

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from hotswap.errors import UsageError
from hotswap.gateway.access import Access
from hotswap.gateway.callers import Callers
from hotswap.gateway.problems import Problem
from hotswap.gateway.redirects import redirect_slashes
from hotswap.gateway.server import run
from hotswap.gateway.tls import Files, make_context

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")

ODD = r"""/DC=example/O=Acme, Inc./CN=#ät\+l \\ "x";<"""
PASSWORD = "open sesame"


@pytest.fixture
def pki(tmp_path):
    """Return what makes certificates in a folder: <name>.pem and <name>.key, signed by `by`, or by themselves."""

    def make(name, subject, by=None, *extra):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-utf8"]
        command += ["-subj", subject, "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        command += ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-addext", "basicConstraints=critical,CA:false"] * bool(
            by
        )
        command += ["-addext", "subjectAltName=IP:127.0.0.1"] * bool(by) + list(extra or ["-noenc"])
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    make("ca", "/CN=authority")
    make("gateway", "/CN=gateway", "ca")
    make("etl", ODD, "ca")
    make("stranger", ODD)
    printed = subprocess.check_output(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb", "-in", "etl.pem"],
        cwd=tmp_path,
        text=True,
    )
    subject = printed.removeprefix("subject=").rstrip("\n")
    (tmp_path / "tokens.toml").write_text(f"[[certificate]]\nsubject = '{subject}'\nroles = ['read']\n")
    make.folder = tmp_path
    return make


@asynccontextmanager
async def serving(folder, **files):
    """Serve one route, for those who may read, and yield what calls it with the client's certificate of a name."""

    async def name(request):
        return PlainTextResponse(request.scope["caller"].name)

    routes = [Route("/v1", name), Route("/v1/{deployment}/swap", name, methods=["POST"])]
    Access(Callers(folder / "tokens.toml"), is_secure=True).guard(routes)
    listening = socket.create_server(("127.0.0.1", 0))
    files = {name: folder / file for name, file in files.items()}
    app = Starlette(routes=routes, exception_handlers={Problem: lambda _, problem: problem.response()})
    serving = asyncio.create_task(run(app, listening, make_context(Files(**files))))

    async def call(certificate=None, method="GET", path="/v1"):
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        if certificate:
            context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
        async with httpx.AsyncClient(verify=context, timeout=60) as client:
            stream = client.stream(method, f"https://127.0.0.1:{listening.getsockname()[1]}{path}")
            async with stream as reply:
                served = reply.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
                return reply.status_code, (await reply.aread()).decode(), served["serialNumber"]

    await call()
    try:
        yield call
    finally:
        signal.raise_signal(signal.SIGTERM)
        await serving


async def test_what_a_proxy_on_this_machine_has_over_tls_is_led_on_over_tls():
    listening = socket.create_server(("127.0.0.1", 0))
    console = Starlette(routes=[Route("/", lambda request: PlainTextResponse(request.url.scheme))])
    app = redirect_slashes(Starlette(routes=[Mount("/console", console)]))
    serving = asyncio.create_task(run(app, listening, None))
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(timeout=60) as client:
            proxied = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}
            reply = await client.get(f"http://{host}/console", headers=proxied)
            scheme = (await client.get(f"http://{host}/console/", headers=proxied)).text
    finally:
        signal.raise_signal(signal.SIGTERM)
        await serving
    assert (
        httpx.URL("https://proxy.example/console").join(reply.headers["location"]) == "https://proxy.example/console/"
    )
    assert scheme == "http"  # as it came: the header may be anybody's


async def test_a_client_is_known_by_the_subject_that_openssl_prints(pki):
    async with serving(pki.folder, certificate="gateway.pem", key="gateway.key", client_ca="ca.pem") as call:
        status, name, _ = await call("etl")
        assert (status, name.endswith("O=Acme\\, Inc.,DC=example")) == (200, True), name
        assert (await call("etl", "POST", "/v1/d/swap"))[0] == 403
        assert (await call())[0] == 401
        with pytest.raises(httpx.TransportError):
            await call("stranger")


async def test_a_certificate_without_an_authority_for_clients_tells_nothing(pki):
    async with serving(pki.folder, certificate="gateway.pem", key="gateway.key") as call:
        assert (await call("etl"))[0] == 401


async def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(pki, caplog):
    async with serving(pki.folder, certificate="gateway.pem", key="gateway.key", client_ca="ca.pem") as call:
        _, _, first = await call("etl")
        caplog.set_level("INFO")
        shutil.copy(pki.folder / "etl.pem", pki.folder / "gateway.pem")
        for _ in range(2):
            assert (await call("etl"))[::2] == (200, first)
        assert caplog.messages.count("gateway.certificate_kept") == 1

        pki("gateway", "/CN=gateway", "ca")
        status, _, second = await call("etl")
        assert (status, second != first) == (200, True)
        assert "gateway.certificate_renewed" in caplog.messages


async def test_authorities_of_clients_that_have_changed_hold_for_new_connections(pki):
    shutil.copy(pki.folder / "ca.pem", pki.folder / "clients.pem")
    async with serving(pki.folder, certificate="gateway.pem", key="gateway.key", client_ca="clients.pem") as call:
        assert (await call("etl"))[0] == 200
        shutil.copy(pki.folder / "stranger.pem", pki.folder / "clients.pem")
        with pytest.raises(httpx.TransportError):
            await call("etl")


async def test_a_key_may_have_a_password_and_openssl_never_asks_for_it(pki):
    pki("locked", "/CN=gateway", "ca", "-passout", f"pass:{PASSWORD}")
    (pki.folder / "password").write_text(f"{PASSWORD}\n")
    files = {"certificate": "locked.pem", "key": "locked.key"}
    async with serving(pki.folder, **files, key_password="password") as call:
        assert (await call())[0] == 401
    with pytest.raises(UsageError, match="locked\\.key"):
        make_context(Files(**{name: pki.folder / file for name, file in files.items()}))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"certificate": "none.pem"}, "No such file"),
        ({"certificate": "gateway.pem"}, "gateway.pem: no certificate and its key"),
        ({"certificate": "gateway.pem", "key": "etl.key"}, "gateway.pem, .*etl.key: no certificate and its key"),
        ({"certificate": "gateway.pem", "key": "gateway.key", "client_ca": "none"}, "none .*No such file"),
        (
            {"certificate": "gateway.pem", "key": "gateway.key", "client_ca": "etl.key"},
            "etl.key contains no CA certificate",
        ),
    ],
)
def test_files_that_do_not_fit_are_named(pki, files, told):
    with pytest.raises(UsageError, match=told):
        make_context(Files(**{name: pki.folder / file for name, file in files.items()}))
