"""Accepts connections, as many as there are places for: a new one takes the place of the one that is idle longest.

So those who only hold connections open shut nobody out, and a probe is answered however many there are. A connection
with a call in hand keeps its place.
"""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from heapq import nsmallest
from operator import itemgetter
from time import monotonic
from types import FrameType
from typing import Any, TypeAlias

import uvicorn

from hotswap.gateway.connections import HEAD_S, Connection

CONNECTIONS = 2_048
_BACKLOG = 2_048
_NO_DESCRIPTOR_S = 0.5
_SWEEP_S = 1.0
_REPLACED = 32

Close: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Server(uvicorn.Server):
    """Ends as a worker does: with exit code 0, once the calls in hand have ended; a second signal cuts them off."""

    def __init__(self, config: uvicorn.Config, close: Close | None) -> None:
        """Call `close` on a signal: it ends endless streams."""
        super().__init__(config)
        self._close = close
        self._closing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._greeted: dict[asyncio.Task[None], float] = {}  # each with its time, in their order
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._places = CONNECTIONS if files == resource.RLIM_INFINITY else min(CONNECTIONS, files // 2)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on the sockets."""
        await super().startup(sockets=[])
        for listening in sockets or ():
            listening.setblocking(False)
            listening.listen(_BACKLOG)
            self._tasks.append(asyncio.create_task(self._accept(listening)))
        self._tasks.append(asyncio.create_task(self._sweep()))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and wait for the calls in hand."""
        *accepting, sweeping = self._tasks
        for task in (*accepting, *self._greeted):
            task.cancel()
        await asyncio.gather(*accepting, *self._greeted, return_exceptions=True)
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError:  # out of file descriptors, or the client has already left
                await asyncio.sleep(_NO_DESCRIPTOR_S)
                continue
            if len(self.server_state.connections) + len(self._greeted) >= self._places and not self._has_replaced():
                connection.close()
            else:
                task = asyncio.create_task(self._greet(connection))
                self._greeted[task] = monotonic()
                task.add_done_callback(lambda done: self._greeted.pop(done, None))
            await asyncio.sleep(0)  # nothing above suspends while connections are pending

    async def _greet(self, connection: socket.socket) -> None:
        """Begin a connection, after the handshake of TLS, if it is on."""
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(
                self._connection, connection, ssl=tls, ssl_handshake_timeout=HEAD_S if tls else None
            )

    def _connection(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _has_replaced(self) -> bool:
        """End the longest idle connections, several at once to save searches; return whether there were any."""
        idle: list[tuple[float, Callable[[], object]]]
        idle = [(one.since, one.transport.abort) for one in self._connections() if one.is_idle]
        idle += [(since, task.cancel) for task, since in self._greeted.items()]
        longest = nsmallest(_REPLACED, idle, key=itemgetter(0))
        for _, end in longest:
            end()
        return bool(longest)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = monotonic()
            for connection in self._connections():
                connection.overdue(now)

    def _connections(self) -> list[Connection]:
        return [one for one in self.server_state.connections if isinstance(one, Connection)]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End endless streams, too."""
        super().handle_exit(sig, frame)
        if self._close and not self._closing:
            self._closing = asyncio.create_task(self._close())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals while serving; uvicorn's own handlers would raise them again at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
