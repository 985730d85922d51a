"""Bodies as no good client sends them: slow, endless, cut off, or broken anywhere; each on a socket of its own."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import NamedTuple

from harness.fleet import EXAMPLES

_WAIT_S = 60.0
_DRIP_S = 0.5
_PIECE = b"x" * 65_536
_FORM = "multipart/form-data; boundary=cut"
_ROWS = b"sepal_length,sepal_width\n5.1,3.5\n"
_PROTO = (EXAMPLES / "protos" / "iris.proto").read_bytes()


class Call(NamedTuple):
    """A call whose body is sent as `senders` please."""

    method: str
    path: str
    kind: str
    body: bytes

    def head(self, *more: str) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost", f"Content-Type: {self.kind}", *more]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def calls(deployment: str) -> list[Call]:
    """Return a good call of each way in which the gateway takes a body."""
    v1, v2 = f"/v1/{deployment}", f"/v2/models/{deployment}"
    tensor = b'{"inputs":[{"name":"sepal_length","datatype":"FP64","shape":[1],"data":[5.1]}]}'
    return [
        Call("POST", f"{v1}/predict", "application/json", b'{"sepal_length": 5.1}'),
        Call("POST", f"{v1}/predict", "text/csv", _ROWS),
        Call("POST", f"{v2}/infer", "application/json", tensor),
        Call("POST", "/model/methods/Classify", "application/octet-stream", b""),
        Call("POST", "/transformCSVDefault", _FORM, form(csvFile=_ROWS)),
        Call("POST", "/getBinary", _FORM, form(csvFile=_ROWS, proto=_PROTO)),
        Call("POST", "/transformCSV", _FORM, form(csvFile=_ROWS, model=b"no model", proto=_PROTO)),
        Call("PUT", "/proto", _FORM, form(proto=b"no proto")),
        Call("POST", f"{v1}/swap", _FORM, form(model=b"no model")),
    ]


def form(**parts: bytes) -> bytes:
    """Return a multipart body of these parts, each a file."""
    head = b'--cut\r\nContent-Disposition: form-data; name="%b"; filename="a.b"\r\n\r\n%b\r\n'
    return b"".join(head % (name.encode(), part) for name, part in parts.items()) + b"--cut--\r\n"


async def endless(port: int, call: Call) -> str:
    """Send chunks until there is a reply."""
    async with _open(port) as (reader, writer):
        begin = call.body[:-9] if call.kind == _FORM else b""
        writer.write(call.head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (len(begin), begin) * bool(begin))
        reply = asyncio.create_task(_status(reader))
        with contextlib.suppress(OSError):
            while not reply.done():
                writer.write(b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE))
                await writer.drain()
                await asyncio.sleep(0)
        return await reply


async def slow(port: int, call: Call, until: asyncio.Event) -> str:
    """Send a byte now and then, until it is over; then the rest. A reply ends it before: it is 408 for slow bodies."""
    async with _open(port) as (reader, writer):
        writer.write(call.head(f"Content-Length: {len(call.body)}"))
        reply = asyncio.create_task(_status(reader))
        rest = call.body
        while rest[1:] and not until.is_set() and not reply.done():
            writer.write(rest[:1])
            rest = rest[1:]
            await asyncio.sleep(_DRIP_S)
        if not reply.done():
            writer.write(rest)
        return await reply


async def cut(port: int, call: Call, dice: random.Random) -> str:
    """Say how much will come, send less, and leave, now and then without a good-bye."""
    async with _open(port) as (_, writer):
        whole = call.head(f"Content-Length: {len(call.body)}") + call.body
        writer.write(whole[: dice.randrange(1, len(whole) + 1)])
        with contextlib.suppress(OSError):
            await writer.drain()
        if dice.random() < 0.5:
            writer.transport.abort()
    return "left"


async def broken(port: int, call: Call, dice: random.Random) -> str:
    """Send a body of which something is missing, twice there, or another byte."""
    body = call.body
    for _ in range(dice.randrange(1, 4)):
        at, size = dice.randrange(len(body) + 1), dice.randrange(1, 30)
        body = dice.choice(
            [
                body[:at] + body[at + size :],
                body[:at] + body[max(0, at - size) :],
                body[:at] + dice.randbytes(size) + body[at:],
                body[:at]
                + dice.choice([b"\r\n", b"--cut", b"--cut--", b'"', b"\0", b"; filename*=x''%ff"])
                + body[at:],
            ]
        )
    async with _open(port) as (reader, writer):
        writer.write(call.head(f"Content-Length: {len(body)}") + body)
        return await _status(reader)


@contextlib.asynccontextmanager
async def _open(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _status(reader: asyncio.StreamReader) -> str:
    """Return the status of the reply; a connection that ends without one is told."""
    line = b""
    try:
        async with asyncio.timeout(_WAIT_S):
            line = await reader.readline()
            await reader.read()
    except TimeoutError:
        return "no reply"
    except OSError:
        pass  # a sender that goes on has its connection reset after the reply
    return line.split(b" ")[1].decode() if line else "closed"
