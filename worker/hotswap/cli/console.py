"""`hotswap console`: deployments in a browser."""

from __future__ import annotations

from typing import Any

import click

from hotswap.cli.gateway import access_of, access_options, changes_option, console_of, settings_of
from hotswap.cli.shared import kafka_option


@click.command()
@click.argument("deployments", metavar="DEPLOYMENT...", nargs=-1, required=True)
@kafka_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Loopback without --tokens.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8081, show_default=True, metavar="N", help="0: any.")
@changes_option
@click.option("--allow-foreign-code", is_flag=True, help="Let it load jars and Spark pipelines, too.")
@access_options
def console(deployments: tuple[str, ...], **options: Any) -> None:
    """Show deployments in a browser until SIGTERM or Ctrl-C; needs the extra `gateway`.

    It is read-only unless started with --allow-changes. Without --tokens anybody who reaches the port may use it, so
    the address must be a loopback address.

    SIGHUP reloads HOTSWAP_LOG_LEVEL from the file of settings, and the trust file, without a restart.
    """
    settings = settings_of(deployments, options["kafka"])
    from hotswap.gateway.server import GatewayOptions, serve  # noqa: PLC0415 - an extra

    gateway = GatewayOptions(
        host=options["host"],
        port=options["port"],
        timeout_s=30.0,
        max_waiting=1_000,
        body_bytes=64 << 20,
        hosts=1,
        is_foreign_code_allowed=options["allow_foreign_code"],
        **access_of(options),
    )
    serve(settings, gateway, console_of(options), is_alone=True)
