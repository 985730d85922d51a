"""Serves /metrics for Prometheus and the probes /livez and /readyz, in a thread of its own.

Anyone who reaches the port may connect, so connections are bounded: 32 at a time, each for at most 5 s in total. A new
connection replaces one that has its response already, or else the oldest one. So a probe, which sends its request at
once, is answered at once, however many idle connections are open.
"""

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hotswap.errors import StartError
from hotswap.metrics import REGISTRY

STUCK_S = 15.0
"""/livez fails once the event loop has been blocked for longer than this, seconds."""
CONNECTIONS = 32
WHOLE_S = 5.0
_WAITING = 1_024
_HEAD_BYTES = 8_192
_LATE_PARTS = 16
_NO_DESCRIPTOR_S = 0.5
_TEXT = "text/plain; charset=utf-8"
_END = b"\r\n\r\n"


class Health:
    """HTTP server for the three paths, in a thread so that it can report a blocked event loop."""

    def __init__(self, host: str, port: int, *, readiness: Callable[[], str]) -> None:
        self._host = host
        self._port = port
        self._readiness = readiness
        self._beat = monotonic()
        self._listening: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()
        self._served: OrderedDict[asyncio.Task[None], None] = OrderedDict()  # in the order of replacement

    @property
    def port(self) -> int:
        """The bound port; 0 before `start`."""
        return int(self._listening.getsockname()[1]) if self._listening else 0

    def beat(self) -> None:
        """Record that the event loop is running; call it about every second."""
        self._beat = monotonic()

    def start(self) -> None:
        """Bind the port and start the thread.

        Raises:
            StartError: the port cannot be bound.

        """
        try:
            self._listening = socket.create_server((self._host, self._port), backlog=_WAITING)
        except OSError as error:
            raise StartError(
                f"cannot serve /metrics on {self._host}:{self._port} ({error.strerror}): set HOTSWAP_HTTP_PORT to a "
                "free port, or to 0 for any"
            ) from error
        self._listening.setblocking(False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all its connections."""
        if self._listening and self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._listening.close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return the status code, content type and body for a path; a query (`/readyz?verbose`) changes nothing."""
        path = path.partition("?")[0]
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        if path == "/livez":
            silent = monotonic() - self._beat
            return (200, _TEXT, b"ok\n") if silent < STUCK_S else (503, _TEXT, b"stuck for %d s\n" % silent)
        if path == "/readyz":
            why = self._readiness()
            return (503, _TEXT, f"{why}\n".encode()) if why else (200, _TEXT, b"ok\n")
        return 404, _TEXT, b"the paths are /metrics, /livez and /readyz\n"

    # ---- the thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        # The runner cancels the remaining tasks at its end, which closes their connections.
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        accepting = asyncio.create_task(self._accept())
        await self._stopping.wait()
        accepting.cancel()

    async def _accept(self) -> None:
        assert self._listening
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError:  # out of file descriptors, or the peer has already disconnected
                await asyncio.sleep(_NO_DESCRIPTOR_S)
                continue
            connection.setblocking(False)
            if len(self._served) >= CONNECTIONS:
                first, _ = self._served.popitem(last=False)
                first.cancel()
            self._served[task := asyncio.create_task(self._serve(connection))] = None
            task.add_done_callback(lambda done: self._served.pop(done, None))
            # Nothing above suspends while connections are pending: yield to the other tasks.
            await asyncio.sleep(0)

    async def _serve(self, connection: socket.socket) -> None:
        loop, head = asyncio.get_running_loop(), b""
        with connection, contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(WHOLE_S):
                while _END not in head and len(head) < _HEAD_BYTES:
                    part = await loop.sock_recv(connection, _HEAD_BYTES)
                    if not part:
                        return
                    head += part
                await loop.sock_sendall(connection, self._respond(head))
                connection.shutdown(socket.SHUT_WR)
                self._replace_first(asyncio.current_task())
                # Drain what is unread (a body): closing before that resets the connection, and the response is lost.
                for _ in range(_LATE_PARTS):
                    if not await loop.sock_recv(connection, 1 << 16):
                        break

    def _replace_first(self, task: asyncio.Task[None] | None) -> None:
        if task and task in self._served:
            self._served.move_to_end(task, last=False)

    def _respond(self, head: bytes) -> bytes:
        method, path, version, *more = [*head.partition(b"\r\n")[0].decode("latin-1").split(" "), "", "", ""][:4]
        allow = ""
        if _END not in head:
            code, kind, body = 431, _TEXT, b"the request's head may have at most %d bytes\n" % _HEAD_BYTES
        elif any(more) or not version.startswith("HTTP/1."):
            code, kind, body = 400, _TEXT, b"this is not an HTTP/1.1 request\n"
        elif method not in ("GET", "HEAD"):
            code, kind, body = 405, _TEXT, b"the method must be GET or HEAD\n"
            allow = "Allow: GET, HEAD\r\n"
        else:
            code, kind, body = self.answer(path)
        lines = (
            f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"{allow}Connection: close\r\n\r\n"
        )
        return lines.encode() + (b"" if method == "HEAD" else body)
