"""What one connection may send, and how long it may take: bytes on sockets of a real server. Needs no Kafka."""

import asyncio
import shutil
import signal
import socket
import subprocess
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hotswap.gateway import connections, listening
from hotswap.gateway.app import _CallLog
from hotswap.gateway.server import run
from hotswap.gateway.tls import Files, make_context

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
REPLY_BYTES = 32 << 20


class Served:
    """A server of a few routes, and what its applications have seen."""

    def __init__(self, port):
        self.port = port
        self.headers, self.bodies, self.left, self.begun = [], [], asyncio.Event(), 0

    async def ask(self, *parts, reads=True):
        """Send parts on a connection of their own; return all that comes back, or nothing if it is cut off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            with suppress(OSError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
            with suppress(OSError):
                return await asyncio.wait_for(reader.read(), 30) if reads else b""
            return b""
        finally:
            writer.close()

    async def is_there(self):
        return (await self.ask(HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")


@asynccontextmanager
async def serving(tls=None):
    """Serve `/`, `/body`, which reads its body, and `/large`, whose reply is long."""
    sock = socket.create_server(("127.0.0.1", 0))
    served = Served(sock.getsockname()[1])

    async def small(request):
        served.headers.append(request.headers.raw)
        return PlainTextResponse("ok")

    async def body(request):
        served.begun += 1
        served.bodies.append(await request.body())
        served.headers.append(request.headers.raw)
        return PlainTextResponse("ok")

    class Large:
        async def __call__(self, scope, receive, send):
            try:
                await PlainTextResponse("x" * REPLY_BYTES)(scope, receive, send)
            finally:
                served.left.set()

    app = Starlette(routes=[Route("/", small), Route("/body", body, methods=["POST"]), Route("/large", Large())])
    running = asyncio.create_task(run(_CallLog(app), sock, tls))
    await asyncio.sleep(0)
    try:
        yield served
    finally:
        signal.raise_signal(signal.SIGTERM)
        await running


@pytest.fixture
def soon(monkeypatch):
    """Let every bound on time be a fraction of a second."""
    for name in ("HEAD_S", "IDLE_S", "_REST_S", "_STUCK_S"):
        monkeypatch.setattr(connections, name, 0.3)
    monkeypatch.setattr(listening, "HEAD_S", 0.3)
    monkeypatch.setattr(listening, "_SWEEP_S", 0.1)


async def test_a_head_of_many_headers_and_bytes_is_answered_up_to_the_bounds_and_refused_beyond_them():
    many = b"".join(b"A%d: b\r\n" % number for number in range(connections.HEADERS - 2))
    async with serving() as served:
        for more, status in [
            (b"X: " + b"x" * (connections.HEAD_BYTES - 200) + b"\r\n", b"200"),
            (b"X: " + b"x" * (connections.HEAD_BYTES + 2 * connections._PIECE) + b"\r\n", b"431"),
            (many, b"200"),
            (many + b"B: c\r\n", b"431"),
        ]:
            reply = await served.ask(HEAD + more + b"Connection: close\r\n\r\n")
            assert reply.split(b" ")[1] == status


@pytest.mark.parametrize(
    "endless",
    [
        HEAD + b"X: ",
        b"GET /",
        b"\r\n\r\n",
        HEAD,
        CHUNKED + b"1;",
        CHUNKED + b"1\r\nx\r\n0\r\nT: ",
        CHUNKED + b"1\r\nx\r\n0\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=[
        "header",
        "path",
        "newlines",
        "headers",
        "extension",
        "trailer",
        "trailers",
        "extension-to-one-that-reads-none",
    ],
)
async def test_what_never_ends_is_cut_off_after_some_bytes(monkeypatch, endless):
    monkeypatch.setattr(connections, "_REST_S", 0.3)
    monkeypatch.setattr(listening, "_SWEEP_S", 0.1)
    piece = b"T: t\r\n" * 1_000 if endless.endswith(b"\n") and endless != b"\r\n\r\n" else b"\r\n" * 3_000
    piece = piece if endless.endswith(b"\n") else b"x" * 6_000
    most = 400 * len(piece)
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(endless)
        sent = 0
        with suppress(OSError):
            while sent < most and not reader.at_eof():
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.close()
        assert sent < most
        assert await served.is_there()


async def test_who_sends_a_head_that_is_too_large_can_read_why():
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD + b"X: " + b"x" * (8 << 20))  # more than the sockets hold: it never ends
        reply = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        writer.transport.abort()
    assert reply.startswith(b"HTTP/1.1 431")


async def test_small_chunks_make_a_body_and_trailers_make_no_headers():
    chunks = b"".join(b"1;a=b\r\nx\r\n" for _ in range(50_000))
    async with serving() as served:
        reply = await served.ask(
            CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + chunks, b"0\r\nAuthorization: me\r\n\r\n"
        )
    assert reply.startswith(b"HTTP/1.1 200")
    assert served.bodies == [b"x" * 50_000]
    assert b"authorization" not in dict(served.headers[-1])


async def test_the_body_of_an_upgrade_is_never_read_as_a_request():
    hidden = HEAD + b"X-Hidden: 1\r\n\r\n"
    head = (
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    )
    async with serving() as served:
        for parts in ([head % len(hidden) + hidden], [head % len(hidden), hidden]):
            reply = await served.ask(*parts)
            assert reply.count(b"HTTP/1.1") == 1
    assert all(b"x-hidden" not in dict(headers) for headers in served.headers)


async def test_requests_ahead_of_their_replies_are_answered_in_turn_up_to_a_bound():
    async with serving() as served:
        some = await served.ask((HEAD + b"\r\n") * 50 + HEAD + b"Connection: close\r\n\r\n")
        assert some.count(b"HTTP/1.1 200") == 51
        await served.ask((HEAD + b"\r\n") * 100_000)
        assert await served.is_there()
    assert len(served.headers) < 10_000


async def test_the_next_request_may_come_along_with_the_end_of_a_long_body_that_nobody_has_read():
    body = b"x" * (2 * connections._FRAMING_BYTES + 1_000)
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 405")
        writer.write(body + HEAD + b"Connection: close\r\n\r\n")
        assert b"HTTP/1.1 200" in await asyncio.wait_for(reader.read(), 30)
        writer.close()


async def test_a_request_and_the_longest_head_after_it_are_both_answered():
    longest = HEAD + b"X: " + b"x" * (connections.HEAD_BYTES - 200) + b"\r\nConnection: close\r\n\r\n"
    small = HEAD + b"X: " + b"x" * (connections._PIECE - 100) + b"\r\n\r\n"
    async with serving() as served:
        assert (await served.ask(small, longest[:60_000], longest[60_000:])).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        HEAD,
        HEAD + b"\r\n",
        HEAD + b"Content-Length: 9\r\n\r\nx",
        b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["nothing", "half-a-line", "half-a-head", "kept", "half-a-body-that-nobody-reads", "reads-no-reply"],
)
async def test_a_connection_that_waits_for_its_client_too_long_is_closed(soon, sent):
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1)
        writer.write(sent)
        if b"large" in sent:
            await asyncio.wait_for(served.left.wait(), 30)  # the server has given up; what it sent is still here
        with suppress(OSError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()


async def test_a_handshake_that_never_ends_is_closed(soon, tmp_path):
    async with serving(_tls(tmp_path)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"\x16\x03\x01")
        with suppress(OSError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()


def _tls(folder):
    if not shutil.which("openssl"):
        pytest.skip("makes a certificate with openssl")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=g"]
    command += ["-days", "2", "-noenc", "-keyout", "g.key", "-out", "g.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return make_context(Files(certificate=folder / "g.pem", key=folder / "g.key"))


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD], ids=["nothing", "half-a-line", "half-a-head"])
async def test_connections_that_ask_nothing_give_way_to_those_that_do(monkeypatch, sent):
    monkeypatch.setattr(listening, "CONNECTIONS", 50)
    async with serving() as served:
        held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(50)]
        for _, writer in held:
            writer.write(sent)
        for number in range(100):
            held.append(await asyncio.open_connection("127.0.0.1", served.port))
            if number % 20 == 0:
                assert await served.is_there()
        for _, writer in held:
            writer.close()


async def test_a_call_in_hand_keeps_its_place_and_those_beyond_all_places_are_closed(monkeypatch):
    monkeypatch.setattr(listening, "CONNECTIONS", 3)
    async with serving() as served:
        begun = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(CHUNKED + b"1\r\nx\r\n")
            begun.append((reader, writer))
        while served.begun < 3:
            await asyncio.sleep(0.01)
        assert not await served.is_there()
        for _, writer in begun:
            writer.write(b"0\r\n\r\n")
        for reader, writer in begun:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        async with asyncio.timeout(30):
            while not await served.is_there():
                await asyncio.sleep(0.01)
