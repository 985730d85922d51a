"""Runs the gateway: binds its port, serves until a signal, and lets the calls in hand end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from types import FrameType
from typing import Protocol, TypeAlias

import uvicorn
from starlette.types import Receive, Scope, Send

from hotswap.errors import StartError, UsageError
from hotswap.gateway.app import make_app, make_console_app
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import Limits
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_DRAIN_S = 30
_IDLE_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a gateway serves; see the command's help."""

    host: str
    port: int
    timeout_s: float
    max_waiting: int
    body_bytes: int
    hosts: int
    is_foreign_code_allowed: bool


class Console(Protocol):
    """A console, as an application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""

    async def close(self) -> None:
        """End its streams, for nothing else would: a browser follows them for hours."""


MakeConsole: TypeAlias = Callable[[Mapping[str, Deployment], Limits], Console]


def serve(
    settings: Sequence[Settings], options: Options, make_console: MakeConsole | None = None, *, is_alone: bool = False
) -> None:
    """Serve deployments until SIGTERM or SIGINT, with a console, too, or with the console alone.

    Raises:
        UsageError: others than this machine could reach the address, and nothing would tell who they are.
        StartError: the port cannot be bound, or Kafka or a deployment's topics are not there.

    """
    asyncio.run(_serve(settings, options, make_console, is_alone=is_alone))


async def _serve(
    settings: Sequence[Settings], options: Options, make_console: MakeConsole | None, *, is_alone: bool
) -> None:
    with _bind(options.host, options.port) as listening:
        deployments = [
            Deployment(one, most_waiting=options.max_waiting, timeout_s=options.timeout_s) for one in settings
        ]
        limits = Limits(
            body_bytes=options.body_bytes,
            artifact_bytes=settings[0].max_artifact_bytes,
            hosts=options.hosts,
            is_foreign_code_allowed=options.is_foreign_code_allowed,
        )
        console = make_console({one.name: one for one in deployments}, limits) if make_console else None
        try:
            for deployment in deployments:
                await deployment.start()
            if console and is_alone:
                app, event = make_console_app(deployments, console), "console.started"
            else:
                app, event = make_app(deployments, limits, console), "gateway.started"
            config = uvicorn.Config(
                app,
                access_log=False,
                lifespan="off",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=_DRAIN_S,
                timeout_keep_alive=_IDLE_S,
            )
            host, port = listening.getsockname()[:2]
            names = [one.deployment for one in settings]
            log.info(event, extra={"address": f"http://{host}:{port}", "deployments": names})
            await _Server(config, console).serve(sockets=[listening])
        finally:
            if console:
                await console.close()
            for deployment in deployments:
                await deployment.stop()


class _Server(uvicorn.Server):
    """Ends as a worker does: with exit code 0, once the calls in hand have ended; a second signal cuts them off."""

    def __init__(self, config: uvicorn.Config, console: Console | None) -> None:
        super().__init__(config)
        self._console = console
        self._closing: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End what would not end by itself, too."""
        super().handle_exit(sig, frame)
        if self._console and not self._closing:
            self._closing = asyncio.create_task(self._console.close())

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


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StartError(f"{host} is no address of this machine: {error.strerror}") from error
    if not ip_address(address[0]).is_loopback:
        raise UsageError(
            f"{host} can be reached from other machines, and whoever reaches the gateway may use it: leave out --host, "
            "and put a proxy that authenticates its clients before it"
        )
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise StartError(
            f"cannot serve on {host}:{port} ({error.strerror}): choose another --port, or 0 for any"
        ) from error
    return listening
