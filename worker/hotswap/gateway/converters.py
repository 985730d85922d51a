"""The processes that read and write rows for the calls of a gateway, started as they are needed."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar, TypeVarTuple

from hotswap.gateway.converter import LENGTH, WORK_S, dumps, loads
from hotswap.gateway.problems import Problem

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_READ_BYTES = 1 << 20


class Converters:
    """Processes of `converter`: as many as work at a time, and those are kept that have ended their work well."""

    def __init__(self) -> None:
        self._idle: list[_Converter] = []

    async def do(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return the result of a module's function, called in another process; cancelling this ends it.

        Raises:
            Problem: as the function; 413, it needs more memory than there is for what it was given, or too long.

        """
        content = dumps((function, args))
        converter = await self._next()
        try:
            async with asyncio.timeout(WORK_S):
                answer = await converter.ask(content)
        except TimeoutError:
            await converter.end()
            detail = f"reading or writing the rows takes more than {WORK_S} s: send fewer at a time"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail) from None
        except (asyncio.IncompleteReadError, OSError):
            code = await converter.end()
            detail = f"the process that reads and writes the rows has ended with {code}: send other rows, or fewer"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
        except BaseException:
            await converter.end()
            raise
        kind, result, is_last = loads(answer)
        if is_last:
            await converter.end()
        else:
            self._idle.append(converter)
        if kind == "problem":
            status, detail, retry_after_s, facts = result
            raise Problem(status, detail, retry_after_s=retry_after_s, **facts)
        if kind == "bug":
            raise RuntimeError(result)
        done: T = result
        return done

    async def start(self) -> None:
        """Start a first process."""
        self._idle.append(await _Converter.start())

    async def _next(self) -> "_Converter":
        while self._idle:
            if not (converter := self._idle.pop()).has_ended:
                return converter
            await converter.end()
        return await _Converter.start()

    async def close(self) -> None:
        """End the processes that are idle; the others end with their calls."""
        while self._idle:
            await self._idle.pop().end()


class _Converter:
    """A process of `converter`."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls) -> "_Converter":
        """Start one."""
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-P", "-m", "hotswap.gateway.converter"]
            process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
                command, stdin=its.fileno(), stdout=subprocess.DEVNULL, env={**os.environ, **_ENVIRONMENT}
            )
        return cls(process, *await asyncio.open_connection(sock=ours, limit=_READ_BYTES))

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself, or was killed."""
        return self._reader.at_eof() or self._process.poll() is not None

    async def ask(self, content: bytes) -> bytes:
        """Send a request, and return its answer.

        Raises:
            OSError, IncompleteReadError: it has ended.

        """
        self._writer.write(LENGTH.pack(len(content)))
        self._writer.write(content)
        await self._writer.drain()
        return await self._reader.readexactly(*LENGTH.unpack(await self._reader.readexactly(LENGTH.size)))

    async def end(self) -> int:
        """End it at once, and return its exit code; negative: the signal that ended it."""
        code = self._process.poll()
        self._writer.close()
        self._process.kill()
        last = await asyncio.shield(asyncio.to_thread(self._process.wait))  # it may have much memory to give back
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        return last if code is None else code
