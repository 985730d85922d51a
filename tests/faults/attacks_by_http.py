"""What strangers can send to a gateway, before it knows them and after, beside another caller of the same gateway."""

import asyncio
import contextlib
import json
import time

import numpy as np
import psutil

from harness.calls import Connection, CutOff, Gateway

_ROW = json.dumps({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}).encode()
_APART_S = 0.02
_QUIET_S = 5.0
_TIMES = 3.0
_NOISE_MS = 50.0
"""What a quiet gateway's p99 varies by from one second to the next: less is no effect of an attack."""
_MOST_MB = 512
"""What an attack may add to the memory of a gateway and its processes."""
_WAIT_S = 60
_ENDLESS_BYTES = 64 << 20
_OPEN_S = 45
_HEAD = b"Host: localhost\r\n"


class Beside:
    """A gateway of the stage's deployment, and another caller of it: how long its calls take, and what it is told."""

    def __init__(self, stage):
        self._gateway = Gateway(stage.deployment, "gateway", code=stage.code)
        self._path = f"/v1/{stage.deployment.name}/predict"
        self._stage = stage
        self._is_over = False
        self.calls = []
        """When each began, how long it took, and its status."""

    async def __aenter__(self):
        await self._gateway.start()
        self._process = psutil.Process(self._gateway.process.pid)
        self._calling = asyncio.create_task(self._call())
        await asyncio.sleep(_QUIET_S / 2)  # everything is warm
        self._quiet = time.time()
        await asyncio.sleep(_QUIET_S)
        self._before = self._peak = self._memory()
        self._began = time.time()
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_):
        self._is_over = True
        await asyncio.gather(self._calling, self._looking)
        self._gateway.kill()

    async def _call(self):
        connection = Connection(self._gateway)
        while not self._is_over:
            began, status = time.time(), 0
            with contextlib.suppress(CutOff):
                status = (await connection.post(self._path, _ROW)).status
            self.calls.append((began, (time.time() - began) * 1_000, status))
            await asyncio.sleep(_APART_S)
        connection.close()

    async def _look(self):
        while not self._is_over:
            self._peak = max(self._peak, self._memory())
            await asyncio.sleep(0.1)

    def _memory(self):
        whole = 0
        for one in (self._process, *self._process.children()):
            with contextlib.suppress(psutil.Error):
                whole += one.memory_info().rss
        return whole >> 20

    async def works(self):
        """Return whether the gateway and its processes use half a core, which the other caller's calls do not."""
        before, began = self._cpu_s(), time.monotonic()
        await asyncio.sleep(0.5)
        return self._cpu_s() - before > (time.monotonic() - began) / 2

    def _cpu_s(self):
        whole = 0.0
        for one in (self._process, *self._process.children()):
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                whole += times.user + times.system
        return whole

    def verdict(self, seen, is_held):
        """Return what was seen, with the effect on the other caller and on memory, and whether that is held."""
        quiet = [took for began, took, _ in self.calls if self._quiet <= began < self._began]
        during = [(took, status) for began, took, status in self.calls if began >= self._began]
        before, after = (float(np.percentile(times, 99)) for times in (quiet, [took for took, _ in during]))
        failed, grown = sum(status != 200 for _, status in during), self._peak - self._before
        seen += f"; another caller: {len(during)} calls, {failed} failed, p99 {before:.0f} → {after:.0f} ms"
        seen += f"; {grown} MB more"
        is_good = after <= max(_TIMES * before, before + _NOISE_MS) and not failed and grown <= _MOST_MB
        return seen, is_held and is_good

    def open(self):
        """Return a connection of the attacker's."""
        return asyncio.open_connection("127.0.0.1", self._gateway.port)

    async def post(self, body, *, leaves=False):
        """Send a list of rows; leave once it has been sent, or return the status of the reply."""
        reader, writer = await self.open()
        head = f"POST {self._path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            writer.write(head.encode() + _HEAD + b"\r\n" + body)
            await writer.drain()
            if leaves:
                while writer.transport.get_write_buffer_size():
                    await asyncio.sleep(0.01)
                return "left"
            return (await asyncio.wait_for(reader.readline(), 4 * _WAIT_S)).split(b" ")[1].decode()
        except (OSError, IndexError):
            return "closed"
        finally:
            writer.transport.abort()

    async def endless(self, begin, piece):
        """Send the same over and over, as long as it is taken; return how many bytes were, and the reply's status."""
        reader, writer = await self.open()
        sent, reply = len(begin), asyncio.create_task(reader.readline())
        with contextlib.suppress(OSError):
            writer.write(begin)
            while not reply.done() and sent < _ENDLESS_BYTES:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
        line = b""
        with contextlib.suppress(OSError, TimeoutError):
            line = await asyncio.wait_for(reply, 1 if sent >= _ENDLESS_BYTES else _WAIT_S)
        writer.transport.abort()
        return sent, line.split(b" ")[1].decode() if line else "closed"


async def _endless(stage, what, begin, piece):
    async with Beside(stage) as beside:
        told = [await beside.endless(begin, piece) for _ in range(3)]
        await asyncio.sleep(_QUIET_S)
    most = max(sent for sent, _ in told)
    seen = f"cut off after {most:,} bytes of {what}, {told[-1][1]}"
    return beside.verdict(seen, most < _ENDLESS_BYTES // 4)


async def one_header(stage):
    """An HTTP header of 58 MB, from nobody known."""
    return await _endless(stage, "a header", b"GET / HTTP/1.1\r\n" + _HEAD + b"X: ", b"x" * 65_536)


async def many_headers(stage):
    """Three million HTTP headers, from nobody known."""
    return await _endless(stage, "headers", b"GET / HTTP/1.1\r\n" + _HEAD, b"A: b\r\n" * 10_000)


async def extensions(stage):
    """A chunk of a body whose extension never ends."""
    begin = b"POST /v1/x/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + _HEAD + b"\r\n1;"
    return await _endless(stage, "an extension", begin, b"x" * 65_536)


async def half_requests(stage):
    """3,000 half HTTP requests that never go on."""
    async with Beside(stage) as beside:
        held = []
        for _ in range(3_000):
            with contextlib.suppress(OSError):
                reader, writer = await beside.open()
                writer.write(b"GET / HTTP/1.1\r\n" + _HEAD)
                held.append((reader, writer))
        began = time.monotonic()
        closing = [asyncio.create_task(_closed(reader)) for reader, _ in held]
        _, still = await asyncio.wait(closing, timeout=_OPEN_S)
        took = time.monotonic() - began
        for one in still:
            one.cancel()
        for _, writer in held:
            writer.transport.abort()
    return beside.verdict(f"{len(held)} open, {len(still)} still after {took:.0f} s", not still)


async def _closed(reader):
    with contextlib.suppress(OSError):
        await reader.read()


async def bodies_left(stage):
    """Eight bodies of 2 MB of `[{},{},…]` whose callers have left."""
    body = b"[" + b"{}," * 699_000 + b"{}]"
    async with Beside(stage) as beside:
        told = await asyncio.gather(*(beside.post(body, leaves=True) for _ in range(8)))
        began = time.monotonic()
        while time.monotonic() - began < _WAIT_S and await beside.works():
            pass
        took = time.monotonic() - began
        await asyncio.sleep(max(0.0, _QUIET_S - took))
    return beside.verdict(f"{told.count('left')} left; {took:.1f} s later nothing works for them", took < _WAIT_S / 2)


async def bodies_read(stage):
    """Four bodies of 4 MB of `[{},{},…]` whose callers wait."""
    body = b"[" + b"{}," * 1_398_000 + b"{}]"
    async with Beside(stage) as beside:
        began = time.monotonic()
        told = await asyncio.gather(*(beside.post(body) for _ in range(4)))
        took = time.monotonic() - began
    return beside.verdict(f"{', '.join(sorted(told))} after {took:.0f} s", set(told) <= {"413", "429"})


async def tables(stage):
    """Six tables of 20,000 rows at once."""
    body = b"[" + (_ROW + b",") * 19_999 + _ROW + b"]"
    async with Beside(stage) as beside:
        began = time.monotonic()
        told = await asyncio.gather(*(beside.post(body) for _ in range(6)))
        took = time.monotonic() - began
    return beside.verdict(f"{', '.join(sorted(told))} after {took:.0f} s", set(told) <= {"200", "429"})


async def slow_bodies(stage):
    """500 bodies that come a byte at a time."""
    head = f"POST /v1/{stage.deployment.name}/predict HTTP/1.1\r\nContent-Type: application/json\r\n".encode()
    async with Beside(stage) as beside:
        held = [await beside.open() for _ in range(500)]
        for _, writer in held:
            writer.write(head + _HEAD + b"Content-Length: 60000\r\n\r\n[")
        began, closing = time.monotonic(), [asyncio.create_task(reader.readline()) for reader, _ in held]
        while time.monotonic() - began < _OPEN_S and not all(one.done() for one in closing):
            for (_, writer), one in zip(held, closing, strict=True):
                if not one.done():
                    writer.write(b" ")
            await asyncio.sleep(0.5)
        still = sum(not one.done() for one in closing)
        took = time.monotonic() - began
        for (_, writer), one in zip(held, closing, strict=True):
            one.cancel()
            writer.transport.abort()
        await asyncio.gather(*closing, return_exceptions=True)
    return beside.verdict(f"{still} of {len(held)} still taken after {took:.0f} s", not still)
