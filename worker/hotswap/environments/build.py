"""The worker's end of the process that makes an environment: starts it, waits for it, and kills it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from hotswap.environments.recipe import EnvironmentRequest
from hotswap.errors import SwapCode, SwapError
from hotswap.local.children import has_ended

_READ_BYTES: Final = 64 << 10
_REAP_SECONDS: Final = 5.0


class Builds:
    """Starts a process for each environment. Belongs to one event loop."""

    def __init__(self, log: Mapping[str, str], clean_up: Callable[[], None]) -> None:
        """`log`: the level and the style of its log; `clean_up` removes what a killed one left, and may block."""
        self._log = json.dumps(dict(log))
        self._clean_up = clean_up
        self._ending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def build(self, request: EnvironmentRequest) -> AsyncIterator[None]:
        """Have an environment in the cache, verified, and held there until the block ends.

        Cancelled, it kills the process with all that this started, at once. Raises SwapError: what `install` raises
        there; CACHE_FAILED if the cache cannot be written; ENVIRONMENT_INVALID if the process died.
        """
        answer: dict[str, str] = {}
        try:
            with self._started() as connection:
                answer = await _ask(connection, request)
                if not answer:
                    yield
        except OSError as error:
            why = f"the packages of {request.recipe.file} were not installed (the process that does it failed: {error})"
            raise SwapError(
                SwapCode.ENVIRONMENT_INVALID, f"{why}: check the logs of this worker and of the system"
            ) from error
        if answer.get("code") == SwapCode.CACHE_FAILED:
            raise SwapError(SwapCode.CACHE_FAILED, unkept(Path(request.root), answer["message"]))
        if answer:
            raise SwapError(SwapCode(answer["code"]), answer["message"])

    async def stop(self) -> None:
        """Wait until those that were killed are gone, with what they left, for a bounded time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REAP_SECONDS):
                await asyncio.gather(*self._ending)

    @contextlib.contextmanager
    def _started(self) -> Iterator[socket.socket]:
        """Start a process, on the loop's thread: Linux takes the death of the *thread* for the parent's."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-m", "hotswap.environments.child"),
                        *(str(theirs.fileno()), str(os.getpid()), self._log),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                    start_new_session=True,
                )
            try:
                ours.setblocking(False)
                yield ours
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                self._end(process, self._clean_up)
                raise
        self._end(process, None)

    def _end(self, process: subprocess.Popen[bytes], clean_up: Callable[[], None] | None) -> None:
        async def end() -> None:
            await has_ended(process)
            if clean_up:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(clean_up)

        task = asyncio.create_task(end(), name="reap-environment")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def unkept(root: Path, why: str) -> str:
    """Return the message for environments that cannot be kept in the folder `root`."""
    return (
        f"the environments of Python models cannot be kept in {root}: {why}: free space there, or set HOTSWAP_CACHE to "
        "a folder on a local disk that the worker may write to"
    )


async def _ask(connection: socket.socket, request: EnvironmentRequest) -> dict[str, str]:
    """Send the request and return the reply. Raises OSError if the process is gone."""
    loop, line = asyncio.get_running_loop(), b""
    await loop.sock_sendall(connection, json.dumps(asdict(request)).encode() + b"\n")
    while not line.endswith(b"\n"):
        read = await loop.sock_recv(connection, _READ_BYTES)
        if not read:
            raise ConnectionResetError("it ended before it was done")
        line += read
    answer: dict[str, str] = json.loads(line)
    return answer


def _environment() -> dict[str, str]:
    """Return the worker's environment without its settings and its user's for Python, but with the path of our code."""
    foreign = ("HOTSWAP_", "PYTHON", "PIP_", "UV_")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    code = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(code)}
