"""`hotswap promote` and `abandon`: what becomes of a staged generation."""

from __future__ import annotations

from typing import Any

import click

from hotswap.cli.shared import OpenRangeOption, deployment_argument
from hotswap.cli.swap import follow_command, follow_options, number, settings_of


class PartitionList(click.ParamType[Any]):
    """Numbers of partitions, as `0,3`."""

    name = "partitions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        """Return them."""
        try:
            return frozenset(int(one) for one in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of partitions: as 0,3", param, ctx)


@click.command()
@deployment_argument
@click.option("--generation", cls=OpenRangeOption, type=number, metavar="N", help="It must be this one.")
@click.option("--partitions", type=PartitionList(), metavar="N,N", help="Only these. [default: all that are left]")
@follow_options
def promote(deployment: str, **options: Any) -> None:
    """Promote the staged generation: partitions cut over to it.

    That is the newest one, which a swap has staged and every live worker must have ready. If its proto is incompatible,
    it answers the requests published from now on, and all partitions are promoted at once.
    """
    settings = settings_of(deployment, options)
    wanted, partitions = options["generation"], options["partitions"]
    follow_command(settings, lambda client: client.promote(wanted, partitions), options)


@click.command()
@deployment_argument
@click.option("--generation", cls=OpenRangeOption, type=number, metavar="N", help="It must be this one.")
@follow_options
def abandon(deployment: str, **options: Any) -> None:
    """Abandon the staged generation: no further partition cuts over to it.

    Partitions that it scores go back, as a new generation with the parts of the one that serves the others.
    """
    settings = settings_of(deployment, options)
    follow_command(settings, lambda client: client.abandon(options["generation"]), options)
