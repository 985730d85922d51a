"""`hotswap gateway`: serve deployments over HTTP."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hotswap.cli.late import late
from hotswap.cli.shared import Command, kafka_option, local_file, make_settings
from hotswap.errors import StartError, UsageError

with late:
    from hotswap import logs
    from hotswap.settings import Settings
    from hotswap.trust.keys import Signer

if TYPE_CHECKING:
    from hotswap.gateway.server import MakeConsole

_EXTRA = ("httptools", "jinja2", "python_multipart", "starlette", "uvicorn")


_FILES = {
    "--tokens": "Callers: tokens, certificates and their roles (TOML).",
    "--certificate": "Serve over TLS with this certificate and its chain, PEM.",
    "--key": "The certificate's key, unless it is in the same file.",
    "--key-password": "A file with the password of the key.",
    "--client-ca": "CA certificates for verifying clients, PEM.",
}
_ACCESS = ("tokens", "certificate", "key", "key_password", "client_ca", "is_behind_tls_proxy")

changes_option = click.option("--allow-changes", is_flag=True, help="Let the console change deployments.")


def access_options(command: Command) -> Command:
    """Add the options for authentication and TLS."""
    text = "Remote callers come through a proxy that terminates TLS."
    command = click.option("--behind-tls-proxy", "is_behind_tls_proxy", is_flag=True, help=text)(command)
    for name, text in reversed(_FILES.items()):
        command = click.option(name, type=local_file, metavar="FILE", help=text)(command)
    return command


def access_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the `access_options`."""
    return {name: options[name] for name in _ACCESS}


def settings_of(deployments: Sequence[str], kafka: str | None) -> list[Settings]:
    """Return the settings of each deployment to serve, and set up the log.

    Raises:
        StartError: the extra is not installed.
        UsageError: a deployment is named twice, a setting is wrong, or the signing key cannot be read.

    """
    if missing := missing_extra():
        raise StartError(f"the gateway and the console need {', '.join(missing)}: install hotswap[gateway]")
    if len(set(deployments)) < len(deployments):
        raise UsageError("a deployment is named twice")
    settings = [make_settings(deployment=name, kafka=kafka) for name in deployments]
    if key := settings[0].sign_with:
        Signer.read(key)  # fail now, not at the first swap
    logs.set_up(level=settings[0].log_level, style=settings[0].log_format)
    return settings


def console_of(options: Mapping[str, Any]) -> MakeConsole:
    """Return the console's factory."""
    from hotswap.console.app import Console  # noqa: PLC0415 - an extra

    return partial(Console, is_changing=options["allow_changes"])


@click.command()
@click.argument("deployments", metavar="DEPLOYMENT...", nargs=-1, required=True)
@kafka_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Loopback without --tokens.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, metavar="N", help="0: any.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="S",
    help="The time-out for an answer.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    metavar="N",
    help="The maximum of a deployment's requests in flight.",
)
@click.option(
    "--max-body",
    "body_mib",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="MIB",
    help="The largest body of rows.",
)
@click.option(
    "--hosts",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="The maximum of concurrent calls that score by their own model.",
)
@click.option("--allow-foreign-code", is_flag=True, help="Let such a model be a jar or a Spark pipeline, too.")
@changes_option
@access_options
def gateway(deployments: tuple[str, ...], **options: Any) -> None:
    """Serve deployments over HTTP until SIGTERM or Ctrl-C; needs the extra `gateway`.

    The first deployment has the endpoints of Acumos's model runner, all have those below /v1/; the console is at
    /console. Without --tokens anybody who reaches the port may use them, so the address must be a loopback address.

    SIGHUP reloads HOTSWAP_LOG_LEVEL from the file of settings, and the trust file, without a restart.
    """
    settings = settings_of(deployments, options["kafka"])
    from hotswap.gateway.server import GatewayOptions, serve  # noqa: PLC0415 - an extra

    gateway_options = GatewayOptions(
        host=options["host"],
        port=options["port"],
        timeout_s=options["timeout_s"],
        max_waiting=options["max_waiting"],
        body_bytes=options["body_mib"] << 20,
        hosts=options["hosts"],
        is_foreign_code_allowed=options["allow_foreign_code"],
        **access_of(options),
    )
    serve(settings, gateway_options, console_of(options))


def missing_extra() -> list[str]:
    """Return the modules of the extra `gateway` that are not installed."""
    return [name for name in _EXTRA if importlib.util.find_spec(name) is None]
