"""Runs the gateway: binds its port, serves until a signal, and lets the calls in hand end."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, TypeAlias

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from hotswap.errors import StartError, UsageError
from hotswap.gateway.access import Access
from hotswap.gateway.app import make_app, make_console_app
from hotswap.gateway.callers import Callers
from hotswap.gateway.connections import IDLE_S, Connection
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.listening import Server
from hotswap.gateway.tls import Files, make_context
from hotswap.local.signals import listen_for_changes
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_DRAIN_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """How a gateway serves; see the command's help."""

    host: str
    port: int
    timeout_s: float
    max_waiting: int
    body_bytes: int
    hosts: int
    is_foreign_code_allowed: bool
    tokens: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: Path | None = None
    client_ca: Path | None = None
    is_behind_tls_proxy: bool = False

    def files(self) -> Files | None:
        """Return the files of TLS, if it is on. Raises UsageError: files without the one that they belong to."""
        if self.client_ca and not self.tokens:
            raise UsageError("--client-ca needs --tokens, whose file says which certificates have which roles")
        if self.certificate:
            return Files(
                certificate=self.certificate, key=self.key, key_password=self.key_password, client_ca=self.client_ca
            )
        if needless := [name for name in ("key", "key_password", "client_ca") if getattr(self, name)]:
            raise UsageError(f"--{needless[0].replace('_', '-')} needs --certificate: without it there is no TLS")
        return None


class ConsoleApplication(Protocol):
    """A console, as an application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""

    async def close(self) -> None:
        """End its streams, for nothing else would: a browser follows them for hours."""


MakeConsole: TypeAlias = Callable[[Mapping[str, Deployment], GatewayLimits], ConsoleApplication]


def serve(
    settings: Sequence[Settings],
    options: GatewayOptions,
    make_console: MakeConsole | None = None,
    *,
    is_alone: bool = False,
) -> None:
    """Serve deployments until SIGTERM or SIGINT, with a console, too, or with the console alone.

    SIGHUP has it read its log level and its trust file again.

    Raises:
        UsageError: others than this machine could reach the address, and nothing would tell who they are or keep their
            tokens secret; or a file of tokens or of TLS is wrong.
        StartError: the port cannot be bound, or Kafka or a deployment's topics are not there.

    """
    asyncio.run(_serve(settings, options, make_console, is_alone=is_alone))


async def _serve(
    settings: Sequence[Settings], options: GatewayOptions, make_console: MakeConsole | None, *, is_alone: bool
) -> None:
    files = options.files()
    tls = make_context(files) if files else None
    callers = Callers(options.tokens) if options.tokens else None
    access = Access(callers, is_secure=tls is not None, is_behind_proxy=options.is_behind_tls_proxy)
    with _bind(options) as listening:
        deployments = [
            Deployment(one, most_waiting=options.max_waiting, timeout_s=options.timeout_s) for one in settings
        ]
        limits = GatewayLimits(
            body_bytes=options.body_bytes,
            artifact_bytes=settings[0].max_artifact_bytes,
            hosts=options.hosts,
            is_foreign_code_allowed=options.is_foreign_code_allowed,
        )
        console = make_console({one.name: one for one in deployments}, limits) if make_console else None
        try:
            await limits.start()
            listen_for_changes(lambda: deployments)
            for deployment in deployments:
                await deployment.start()
            if console and is_alone:
                app, event = make_console_app(deployments, console, access), "console.started"
            else:
                app, event = make_app(deployments, limits, console, access), "gateway.started"
            host, port = listening.getsockname()[:2]
            address = f"{'https' if tls else 'http'}://{host}:{port}"
            listening.listen()  # so that the logged address accepts connections
            log.info(event, extra={"address": address, "deployments": [one.deployment for one in settings]})
            await run(app, listening, tls, console)
        finally:
            if console:
                await console.close()
            for deployment in deployments:
                await deployment.stop()
            await limits.close()


async def run(
    app: ASGIApp, listening: socket.socket, tls: ssl.SSLContext | None, console: ConsoleApplication | None = None
) -> None:
    """Serve an application on a socket until SIGTERM or SIGINT, which end the console's streams."""
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        access_log=False,
        lifespan="off",
        log_config=None,
        proxy_headers=False,  # X-Forwarded-…: of who calls and over what, nothing is believed that a caller may say
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=int(IDLE_S),
        ssl_context_factory=(lambda _, __: tls) if tls else None,
    )
    await Server(config, console.close if console else None).serve(sockets=[listening])


def _bind(options: GatewayOptions) -> socket.socket:
    host, port = options.host, options.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StartError(f"{host} is no address of this machine: {error.strerror}") from error
    if not ip_address(address[0]).is_loopback:
        _check_open(options)
    # asyncio turns Nagle's algorithm off where the protocol is named; with it, each reply would wait 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise StartError(
            f"cannot serve on {host}:{port} ({error.strerror}): choose another --port, or 0 for any"
        ) from error
    return listening


def _check_open(options: GatewayOptions) -> None:
    """Raise UsageError unless callers from other machines are known, and their tokens are sent in secret."""
    reached = f"{options.host} can be reached from other machines"
    if not options.tokens:
        raise UsageError(
            f"{reached}, and whoever reaches the gateway may use it: say who may with --tokens, or leave out --host, "
            "and put a proxy that authenticates its clients before it"
        )
    if not options.certificate and not options.is_behind_tls_proxy:
        raise UsageError(
            f"{reached}, which would send their tokens in clear text: give --certificate and --key, or say with "
            "--behind-tls-proxy that they come through a proxy that speaks TLS"
        )
