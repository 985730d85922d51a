"""`hotswap gateway`: deployments over HTTP."""

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

_NEEDED = ("httptools", "jinja2", "python_multipart", "starlette", "uvicorn")


_FILES = {
    "--tokens": "Who may call: tokens, certificates and their roles (TOML).",
    "--certificate": "Serve over TLS: its certificate with the chain, PEM.",
    "--key": "The certificate's key, unless the same file has it.",
    "--key-password": "A file with the password of the key.",
    "--client-ca": "The authorities of clients' certificates, PEM.",
}
_ACCESS = ("tokens", "certificate", "key", "key_password", "client_ca", "is_behind_tls_proxy")

changes_option = click.option(
    "--allow-changes", is_flag=True, help="Let the console change deployments, not only show."
)


def access_options(command: Command) -> Command:
    """Add the options that say who may call."""
    told = "Callers of other machines come through a proxy, and to it over TLS."
    command = click.option("--behind-tls-proxy", "is_behind_tls_proxy", is_flag=True, help=told)(command)
    for name, told in reversed(_FILES.items()):
        command = click.option(name, type=local_file, metavar="FILE", help=told)(command)
    return command


def access_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what these options say."""
    return {name: given[name] for name in _ACCESS}


def settings_of(deployments: Sequence[str], kafka: str | None) -> list[Settings]:
    """Return the settings of each deployment to serve, and set up the log.

    Raises:
        StartError: the extra is not installed.
        UsageError: a deployment is named twice, a setting is wrong, or the key that signs cannot be read.

    """
    if missing := missing_extra():
        raise StartError(f"the gateway and the console need {', '.join(missing)}: install hotswap[gateway]")
    if len(set(deployments)) < len(deployments):
        raise UsageError("a deployment is named twice")
    settings = [make_settings(deployment=name, kafka=kafka) for name in deployments]
    if key := settings[0].sign_with:
        Signer.read(key)  # not first when somebody swaps
    logs.set_up(level=settings[0].log_level, style=settings[0].log_format)
    return settings


def console_of(given: Mapping[str, Any]) -> MakeConsole:
    """Return what makes the console that the options ask for."""
    from hotswap.console.app import Console  # noqa: PLC0415 - an extra

    return partial(Console, is_changing=given["allow_changes"])


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
    help="How long to wait for an answer.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    metavar="N",
    help="The most requests of a deployment that wait for their answers.",
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
    help="How many calls at a time may score by a model of their own.",
)
@click.option("--allow-foreign-code", is_flag=True, help="Let such a model be a jar or a Spark pipeline, too.")
@changes_option
@access_options
def gateway(deployments: tuple[str, ...], **given: Any) -> None:
    """Serve deployments over HTTP until SIGTERM or Ctrl-C; needs the extra `gateway`.

    The first deployment has the endpoints of Acumos's model runner, all of them those below /v1/; the console is at
    /console. Without --tokens, whoever reaches the port may use them, so the address must be one that only this machine
    reaches.

    SIGHUP has it read HOTSWAP_LOG_LEVEL from its file of settings, and the trust file, again; it stops nothing.
    """
    settings = settings_of(deployments, given["kafka"])
    from hotswap.gateway.server import GatewayOptions, serve  # noqa: PLC0415 - an extra

    options = GatewayOptions(
        host=given["host"],
        port=given["port"],
        timeout_s=given["timeout_s"],
        max_waiting=given["max_waiting"],
        body_bytes=given["body_mib"] << 20,
        hosts=given["hosts"],
        is_foreign_code_allowed=given["allow_foreign_code"],
        **access_of(given),
    )
    serve(settings, options, console_of(given))


def missing_extra() -> list[str]:
    """Return the modules of the extra `gateway` that are not installed."""
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]
