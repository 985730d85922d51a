"""A model host's process as the worker drives it: starts it, exchanges frames, kills it, and leaves nothing behind.

On Linux a supervisor stands between the two and ends everything that the host starts (supervisor.py).
"""

import asyncio
import contextlib
import logging
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from hotswap.host.facts import Shut, read_shut
from hotswap.host.frames import (
    LENGTH,
    MAX_FRAME_BYTES,
    OUT_OF_MEMORY,
    Frame,
    FrameError,
    Kind,
    check_size,
    parse_frame,
)
from hotswap.host.printed import Printed
from hotswap.host.spawn import spawn
from hotswap.local.children import has_ended
from hotswap.local.lifeline import signal_name

log = logging.getLogger(__name__)

_SOCKET_BYTES: Final = 4 << 20
_BUFFER_BYTES: Final = 256 << 10
_FRAME_BYTES: Final = 256  # of memory per frame, on top of its payload
_REPORT_BYTES: Final = 1 << 10
_REAP_SECONDS: Final = 5.0
_LAST_OUTPUT: Final = 500  # characters
_JAVA_OUT_OF_MEMORY: Final = 3  # the exit code of -XX:+ExitOnOutOfMemoryError


class HostGone(Exception):
    """Start another host: this one died, or could not be started."""


class _Connection(asyncio.BufferedProtocol):
    """Splits the child's stream into frames, in one buffer that only grows.

    The buffer is mapped, and unmapped with its host. On the heap, whatever was allocated beside it kept the next host's
    from taking its place: on a busy machine a worker grew by 2.2 MiB in 80 swaps, none of which was in use.
    """

    def __init__(self) -> None:
        self._end: Exception | None = None
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES))
        self._filled = 0
        self._frames: list[Frame] = []
        self._kept = 0
        self._waiter: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        if self._filled == len(self._buffer):
            # Grow by what has arrived, not by what a header announces.
            grown = memoryview(mmap.mmap(-1, 2 * len(self._buffer)))
            grown[: self._filled] = self._buffer
            self._buffer = grown
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        start = 0
        while self._filled - start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._buffer, start)
            begin = start + LENGTH.size
            end = begin + size
            try:
                # Checked by its first bytes, before waiting for the rest.
                check_size(size, self._buffer[begin] if begin < self._filled else None)
                if end > self._filled:
                    break
                self._keep(parse_frame(bytes(self._buffer[begin:end])))
            except FrameError as error:
                self._fail(error)
                return
            start = end
        if start:
            rest = self._filled - start
            self._buffer[:rest] = self._buffer[start : self._filled]
            self._filled = rest
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(HostGone(f"its connection was lost ({exc or 'it hung up'})"))

    async def receive(self) -> Frame:
        while not self._frames:
            if self._end:
                raise self._end
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frame = self._frames.pop(0)
        self._kept -= len(frame.payload) + _FRAME_BYTES
        return frame

    def _keep(self, frame: Frame) -> None:
        # Nobody may be receiving: frames that were not asked for must not pile up.
        self._kept += len(frame.payload) + _FRAME_BYTES
        if self._frames and self._kept > MAX_FRAME_BYTES:
            raise FrameError("it sent more than it was asked for")
        self._frames.append(frame)

    def _fail(self, end: Exception) -> None:
        self._end = self._end or end
        if self.transport:
            self.transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class HostProcess:
    """One child process with its connection, its output, and its own working folder."""

    uncontained: ClassVar[str] = ""
    """What may outlive a host on this machine, for people to read; known once a host has been started."""
    shut: ClassVar[dict[str, Shut]] = {}
    """For each kind of model, how the host that was started last is shut in."""

    def __init__(self, *, process: subprocess.Popen[bytes], printed: int, folder: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._pid = process.pid
        self._connection = _Connection()
        self._folder = folder
        self.printed: Final = Printed(printed)
        self._is_disposed = False
        self._has_received = False

    @classmethod
    async def start(cls, child: Sequence[str], *, behind_s: float = 0.0) -> "HostProcess":
        """Start the command `child`, adding its last arguments; for `behind_s` at most, its session is behind others.

        Raises HostGone if it cannot be started.
        """
        try:
            with contextlib.ExitStack() as ends:
                ours, theirs, hears, reports = map(ends.enter_context, (*socket.socketpair(), *socket.socketpair()))
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
                for end in (ours, hears):
                    end.setblocking(False)
                host = cls(**spawn(child, theirs.fileno(), reports.fileno(), behind_s))
                try:
                    # The transport gets its own descriptor, so that the `with` may close ours on every path.
                    await host._loop.create_connection(lambda: host._connection, sock=ours.dup())
                    reports.close()
                    if sys.platform == "linux":
                        await host._read_report(hears)
                except BaseException:
                    host.dispose()
                    raise
        except OSError as error:
            # No program, no free descriptor, no room for its folder: fails this host, not the worker.
            raise HostGone(f"it could not be started: {error}") from error
        return host

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._pid

    @property
    def is_alive(self) -> bool:
        """Whether its connection is still open."""
        transport = self._connection.transport
        return transport is not None and not transport.is_closing()

    @property
    def tail(self) -> str:
        """The last 8 KiB of its output."""
        return self.printed.tail

    @property
    def last_output(self) -> str:
        """The end of its output as the end of a message; empty if it printed nothing."""
        return f"; its last output: {tail[-_LAST_OUTPUT:]}" if (tail := self.tail) else ""

    def send(self, frame: bytes) -> None:
        """Send a frame; bytes that the child is not ready to read are buffered here."""
        if self._connection.transport:
            self._connection.transport.write(frame)

    async def receive(self) -> Frame:
        """Wait for the next frame. Raises HostGone or FrameError, after all frames received before it."""
        frame = await self._connection.receive()
        # Only as the first one: later, a model might have written it.
        if frame.kind is Kind.SHUT_IN and not self._has_received:
            self._keep(read_shut(frame.payload))
            frame = await self._connection.receive()
        self._has_received = True
        return frame

    def kill(self) -> None:
        """Kill it, with everything that it started."""
        if sys.platform == "linux":
            self._process.send_signal(signal.SIGTERM)  # to the supervisor, which kills the rest
            self._process.send_signal(signal.SIGCONT)
            return
        # It leads its own session. Signalled even after it exited: processes that it started may have outlived it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def remove_folder(self) -> None:
        """Remove the folder that it started in; a ready host has left it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def close(self, timeout_s: float = 0.0) -> int:
        """Close the connection, give it `timeout_s` to exit, then kill it; return its exit code (negative: a signal).

        Leaves no process, descriptor or folder behind.
        """
        if self._connection.transport:
            self._connection.transport.abort()
        try:
            if not await has_ended(self._process, timeout_s):
                self.kill()
                if not await has_ended(self._process, _REAP_SECONDS):
                    self._process.kill()
        finally:
            self.dispose()
        return self._process.returncode or 0

    def dispose(self) -> None:
        """Kill it and clean up without awaiting anything, e.g. in an exception handler."""
        if self._is_disposed:
            return
        self._is_disposed = True
        if self._connection.transport and not self._loop.is_closed():
            self._connection.transport.abort()
        self.kill()
        try:
            self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.printed.close()
        self.remove_folder()

    async def _read_report(self, reports: socket.socket) -> None:
        pid, _, uncontained = (await self._loop.sock_recv(reports, _REPORT_BYTES)).decode().partition(" ")
        if not pid:
            raise HostGone(f"it could not be started: {self.tail}")
        self._pid = int(pid)
        if uncontained != HostProcess.uncontained:
            HostProcess.uncontained = uncontained
            log.warning("host.uncontained", extra={"why": uncontained})

    @classmethod
    def layers(cls) -> str:
        """Return the active parts of the sandbox for each kind of model, for people to read."""
        kinds = (f"{kind}: {', '.join(shut.holds) or 'nothing'}" for kind, shut in cls.shut.items())
        return "; ".join(kinds) or "no model host yet"

    @classmethod
    def warnings(cls) -> list[str]:
        """Return the forbidden actions that this system does not prevent."""
        missing = [f"{kind}: not shut in: {why}" for kind, shut in cls.shut.items() for why in shut.missing]
        return [cls.uncontained, *missing] if cls.uncontained else missing

    def _keep(self, shut: Shut) -> None:
        if HostProcess.shut.get(shut.kind) != shut:
            HostProcess.shut[shut.kind] = shut
            level = logging.WARNING if shut.missing else logging.INFO
            log.log(level, "host.sandboxed", extra={"kind": shut.kind, "active": shut.holds, "missing": shut.missing})


def ended(code: int) -> str:
    """Say how a process with this exit code ended (negative: by a signal)."""
    if code == _JAVA_OUT_OF_MEMORY:
        return "out of memory (the Java heap)"
    if code == OUT_OF_MEMORY:
        return "out of memory"
    if code == -signal.SIGXFSZ:
        return "it wrote more to its folder than it may (HOTSWAP_SANDBOX_FOLDER_MB)"
    if code < 0:
        return f"killed by signal {signal_name(-code)}"
    return f"exit code {code}"
