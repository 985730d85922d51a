"""`hotswap gateway`: deployments over HTTP."""

import importlib.util
from typing import Any

import click

from hotswap import logs
from hotswap.cli.shared import kafka_option, make_settings
from hotswap.errors import StartError, UsageError

_NEEDED = ("httptools", "python_multipart", "starlette", "uvicorn")


@click.command()
@click.argument("deployments", metavar="DEPLOYMENT...", nargs=-1, required=True)
@kafka_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="A loopback address.")
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
def gateway(deployments: tuple[str, ...], **given: Any) -> None:
    """Serve deployments over HTTP until SIGTERM or Ctrl-C; needs the extra `gateway`.

    The first deployment has the endpoints of Acumos's model runner, all of them those below /v1/. Whoever reaches the
    port may use them, so the address must be one that only this machine reaches.
    """
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise StartError(f"the gateway needs {', '.join(missing)}: install hotswap[gateway]")
    if len(set(deployments)) < len(deployments):
        raise UsageError("a deployment is named twice")
    settings = [make_settings(deployment=name, kafka=given["kafka"]) for name in deployments]
    logs.set_up(level=settings[0].log_level, style=settings[0].log_format)
    from hotswap.gateway.server import Options, serve  # noqa: PLC0415 - an extra

    options = Options(
        host=given["host"],
        port=given["port"],
        timeout_s=given["timeout_s"],
        max_waiting=given["max_waiting"],
        body_bytes=given["body_mib"] << 20,
        hosts=given["hosts"],
        is_foreign_code_allowed=given["allow_foreign_code"],
    )
    serve(settings, options)
