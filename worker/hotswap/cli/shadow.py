"""`hotswap shadow`: a deployment that answers another one's requests beside it, to topics of its own."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from hotswap.cli.exits import note
from hotswap.cli.files import downloaded, package_option, parts_of
from hotswap.cli.late import late
from hotswap.cli.rollouts import PartOfAll, Percent, Span
from hotswap.cli.shared import deployment_argument, kafka_option, kind_option, local_file, run, show, sign_option
from hotswap.cli.swap import settings_of
from hotswap.cli.worker import serve
from hotswap.errors import UsageError

with late:
    from hotswap.client.change import Change
    from hotswap.client.shadowing import Beginning, Begun, begin
    from hotswap.settings import OWN_SHADOW

if TYPE_CHECKING:
    from hotswap.settings import Settings

_PARTS = ("package", "model", "proto", "config")
_WEEK_S = 7 * 86_400.0


def part_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name what a shadow tries."""
    for option in (
        click.option("--config", type=local_file, metavar="FILE", help="Its configuration."),
        click.option("--proto-sha256", metavar="DIGEST", help="The SHA-256 of a proto at a URI."),
        click.option("--proto", metavar="FILE|URI", help="Its proto, which must be able to read the requests."),
        kind_option,
        click.option("--model-sha256", metavar="DIGEST", help="The SHA-256 of a model at a URI."),
        click.option("--model", metavar="FILE|URI", help="The model to try, as for `swap`."),
        package_option,
    ):
        command = option(command)
    return command


@click.command()
@deployment_argument
@click.option("--name", "shadow", metavar="NAME", help="The shadow's name. [default: DEPLOYMENT.shadow]")
@part_options
@click.option("--since", "since_s", type=Span(), metavar="24h", help="Begin with the requests of so long ago.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest request that is retained.")
@click.option("--partitions", type=PartOfAll(), metavar="1/12", help="Answer this part of the partitions.")
@click.option("--records", type=Percent(), metavar="10%", help="Answer this share of the requests.")
@click.option("--retention", "retention_s", type=Span(), metavar="7d", help="Keep its answers so long. [default: 7d]")
@click.option("--run/--no-run", "is_running", default=True, show_default=True, help="Run a worker of it here.")
@sign_option
@kafka_option
def shadow(deployment: str, **options: Any) -> None:
    """Run a shadow of a deployment: another model on the same requests, past and live, beside the one that serves.

    It begins with the requests that come from now on, unless told otherwise. It has topics and a group of its own, and
    never writes to those of the deployment. What is not named is that of the serving generation. Without options, one
    more worker of a shadow that has begun is run. `hotswap compare` compares its answers, `hotswap swap` gives it
    another model, and `hotswap delete` ends it.
    """
    settings = settings_of(deployment, options)
    name = options["shadow"] or f"{deployment}{OWN_SHADOW}"
    beginning = _beginning(options)
    begun = run(_begin(settings, name, options, beginning))
    _tell(deployment, name, begun)
    if options["is_running"]:
        serve(begun.settings)


def _beginning(options: Mapping[str, Any]) -> Beginning:
    if options["since_s"] is not None and options["from_beginning"]:
        raise UsageError("--since and --from-beginning exclude each other")
    since_s, retention_s = options["since_s"], options["retention_s"]
    return Beginning(
        since_s=None if since_s is None else time.time() - since_s,
        is_from_start=options["from_beginning"],
        partitions=options["partitions"],
        per_million=options["records"] or 0,
        retention_s=_WEEK_S if retention_s is None else retention_s,
    )


async def _begin(settings: Settings, name: str, options: Mapping[str, Any], beginning: Beginning) -> Begun:
    if not any(options[part] for part in _PARTS):
        return await begin(settings, name, None, beginning)
    with downloaded({**options, "name": None}) as found, parts_of(found) as parts:
        change = Change(
            model=parts.model,
            kind=parts.kind,
            name=parts.name or found["name"],
            proto=parts.proto,
            configuration=parts.configuration,
            samples=parts.samples,
            golden=parts.golden,
        )
        return await begin(settings, name, change, beginning)


def _tell(deployment: str, name: str, begun: Begun) -> None:
    for line in begun.notes:
        note(line)
    quoted, champion = shlex.quote(name), shlex.quote(deployment)
    if begun.receipt:
        show(f"{name} answers the requests of {deployment}, with generation {begun.receipt.generation}")
    show(
        f"""
    hotswap run {quoted}                # another worker
    hotswap compare {champion} {quoted}
    hotswap delete {quoted}             # its end
"""
    )
