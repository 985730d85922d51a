"""Fetches for a worker in a process that can be killed when a store hangs: a blocked thread cannot be ended.

    python -m hotswap.artifacts.fetcher FD PARENT SETTINGS

It is started ahead of the first fetch, since that takes 0.2 s. FD is its end of a socket pair that carries lines of
JSON: an artifact to it; `{}` back once that is in the cache, or the SwapError; then a line to it once the worker holds
the entry as well, because until then only this process keeps it from being pruned. `{"find": …}` to it only looks for
an artifact, and is answered in the same way, without a third line. SETTINGS are those that fetching needs; the stores,
whose URLs may have passwords, come with each artifact, since everybody on this machine may read a command line. Its
environment is the worker's, which configures the stores (proxies, AWS_...), without HOTSWAP_*, which holds Kafka's
password. It ends when the worker closes the connection or dies.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hotswap import logs
from hotswap.artifacts.cache import Cache
from hotswap.artifacts.places import without_secrets
from hotswap.artifacts.store import Artifact, fetch_now
from hotswap.artifacts.transfer import find
from hotswap.errors import SwapCode, SwapError
from hotswap.failpoints import arm
from hotswap.local.children import has_ended
from hotswap.local.lifeline import die_with

if TYPE_CHECKING:  # see artifacts/store.py
    from hotswap.settings import Settings

_READ_BYTES: Final = 64 << 10
_REAP_SECONDS: Final = 1.0
_FIND_SECONDS: Final = 20.0


class Fetcher:
    """Fetches in a separate process; `fetch` is a `store.Fetch`. Belongs to one event loop."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = json.dumps(
            {
                "cache": str(settings.artifacts),
                "max_bytes": settings.cache_max_bytes,
                "log": {"level": settings.log_level, "style": settings.log_format},
                "failpoints": settings.failpoints,
            }
        )
        self._stores = settings.stores
        self._idle: _Process | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the process, so that no swap has to wait for it."""
        # If that fails (no descriptors or memory left), the next fetch tries again and reports it.
        with contextlib.suppress(OSError):
            self._idle = self._idle or _Process(self._settings)

    async def stop(self) -> None:
        """End the process, and wait for those killed before, for a bounded time."""
        if self._idle:
            self._end(self._idle)
            self._idle = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REAP_SECONDS):
                await asyncio.gather(*self._ending)

    @contextlib.asynccontextmanager
    async def fetch(self, artifact: Artifact) -> AsyncIterator[None]:
        """Fetch the artifact into the cache, and hold it there until the block ends.

        Cancelling a fetch kills the process, whatever it is waiting for. Raises SwapError: what `fetch_now` raises
        there, or ARTIFACT_UNREACHABLE if the process died.
        """
        answer: dict[str, str] = {}
        try:
            async with self._lent() as process:
                answer = await process.ask(asdict(replace(artifact, is_patient=True)))
                if not answer:
                    yield
                    process.tell({})
        except OSError as error:
            why = f"{without_secrets(artifact.uri)} was not fetched: the worker's fetching process failed: {error}"
            raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, why) from error
        if answer:
            raise SwapError(SwapCode(answer["code"]), answer["message"])

    async def find(self, uri: str) -> str:
        """Return why an artifact is not where its URI says, for a person; empty if it is."""
        try:
            async with asyncio.timeout(_FIND_SECONDS), self._lent() as process:
                return (await process.ask({"find": {"uri": uri, "stores": self._stores}})).get("message", "")
        except TimeoutError:
            return f"{without_secrets(uri)} was not found within {_FIND_SECONDS:g} s"
        except OSError as error:
            return f"{without_secrets(uri)} was not looked for: the worker's fetching process failed: {error}"

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator["_Process"]:
        """Lend a process; it is killed if the block fails or is cancelled. Raises OSError."""
        process, self._idle = self._idle, None
        try:
            if process and process.has_ended:
                self._end(process)
                process = None
            process = process or _Process(self._settings)
            yield process
        except BaseException:
            if process:
                self._end(process)
            self.start()
            raise
        if self._idle:  # started while two were at work at once
            self._end(self._idle)
        self._idle = process

    def _end(self, process: "_Process") -> None:
        process.kill()
        task = asyncio.create_task(process.reap(), name="reap-fetcher")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Process:
    """A fetching process, and the connection to it."""

    def __init__(self, settings: str) -> None:
        """Start it, on the loop's thread: Linux takes the death of the *thread* for the parent's. Raises OSError."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo, theirs:
            undo.callback(ours.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hotswap.artifacts.fetcher", str(theirs.fileno()), str(os.getpid()), settings],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a file system's library prints belongs in the log
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,
            )
            undo.pop_all()
        ours.setblocking(False)
        self._connection = ours

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, such as killed while idle."""
        return self._process.poll() is not None

    async def ask(self, order: dict[str, Any]) -> dict[str, str]:
        """Send a line and return the reply. Raises OSError if the process is gone."""
        loop, line = asyncio.get_running_loop(), b""
        await loop.sock_sendall(self._connection, _line(order))
        while not line.endswith(b"\n"):
            read = await loop.sock_recv(self._connection, _READ_BYTES)
            if not read:
                raise ConnectionResetError(
                    "it ended before it was done: check the logs of this worker and of the system"
                )
            line += read
        answer: dict[str, str] = json.loads(line)
        return answer

    def tell(self, order: dict[str, Any]) -> None:
        """Send a short line that has no reply; it fits into the socket's buffer, so this does not block."""
        self._connection.sendall(_line(order))

    def kill(self) -> None:
        """Kill it and the children that a store's library started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._connection.close()

    async def reap(self) -> None:
        """Wait until the killed process is gone, however long a hanging network file system keeps it."""
        await has_ended(self._process)


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("HOTSWAP_")}
    code = [str(Path(__file__).parents[2]), *filter(None, [inherited.get("PYTHONPATH")])]
    return inherited | {"PYTHONPATH": os.pathsep.join(code)}


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def main() -> None:
    """Fetch until the worker closes the connection."""
    descriptor, parent = map(int, sys.argv[1:3])
    die_with(parent)
    settings = json.loads(sys.argv[3])
    logs.set_up(**settings["log"])
    arm(settings["failpoints"], victim=parent)
    cache = Cache(Path(settings["cache"]), max_bytes=settings["max_bytes"])
    cache.sweep()
    # A worker that is killed resets the connection if it had not read all that it was sent; a store's errors are
    # SwapErrors by then.
    with (
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
        socket.socket(fileno=descriptor) as connection,
    ):
        _serve(connection, cache)


def _serve(connection: socket.socket, cache: Cache) -> None:
    lines = connection.makefile("rb")
    while line := lines.readline():
        order, path = json.loads(line), None
        try:
            if "find" in order:
                find(**order["find"])
            else:
                path = fetch_now(cache, Artifact(**order), threading.Event())
        except SwapError as error:
            connection.sendall(_line({"code": error.code, "message": error.message}))
            continue
        connection.sendall(_line({}))
        if path:
            lines.readline()
            cache.release(path)


if __name__ == "__main__":
    main()
