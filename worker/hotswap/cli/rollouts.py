"""The options by which a generation comes to its partitions in steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from hotswap.errors import UsageError
from hotswap.printable import seconds_of

if TYPE_CHECKING:
    from hotswap.client.change import Rollout

_MILLION = 1_000_000


class PartOfAll(click.ParamType[Any]):
    """A part of a whole, as `1/12`."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it as a fraction."""
        from fractions import Fraction  # noqa: PLC0415 - few swaps have a canary

        try:
            return value if isinstance(value, Fraction) else Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no part of all partitions: as 1/12", param, ctx)


class Percent(click.ParamType[Any]):
    """A share of the requests, as `10%` or `0.1%`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it in requests of a million."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)%", str(value))
        per_million = round(float(found[1]) * 10_000) if found else 0
        if not 0 < per_million <= _MILLION:
            self.fail(f"{value!r} is no share of the requests: as 10%, from 0.0001% to 100%", param, ctx)
        return per_million


class Span(click.ParamType[Any]):
    """A span of time, as `90s`, `5m`, `2h` or `1d`."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it in seconds."""
        if isinstance(value, float):
            return value
        if (seconds := seconds_of(str(value))) is None:
            self.fail(f"{value!r} is no span of time: as 90s, 5m, 2h or 1d", param, ctx)
        return seconds


class Moment(click.ParamType[Any]):
    """A time with its zone, as `2026-12-05T00:00Z`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it in seconds since the epoch."""
        if isinstance(value, float):
            return value
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time: as 2026-12-05T00:00Z", param, ctx)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def rollout_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a generation that is staged first; by default, if its proto is incompatible."""
    for option in (
        click.option("--one-step", is_flag=True, help="Cut over without staging on the whole fleet first."),
        click.option("--at", "at_s", type=Moment(), metavar="TIME", help="At this time; staged now."),
        click.option("--barrier", is_flag=True, help="No partition before all workers are ready."),
        click.option("--pause", "pause_s", type=Span(), metavar="5m", help="The pause between. [default: none]"),
        click.option("--stagger", type=click.IntRange(min=1), metavar="N", help="N partitions at a time."),
        click.option("--canary", type=PartOfAll(), metavar="1/12", help="This part of the partitions, for now."),
    ):
        command = option(command)
    return command


def rollout_of(options: Mapping[str, Any]) -> Rollout | None:
    """Return how the generation is to come to its partitions; None: in one step.

    Raises:
        UsageError: options that exclude each other.

    """
    from hotswap.client.change import Rollout  # noqa: PLC0415 - imported late

    given = {name for name in ("canary", "stagger", "at_s") if options[name] is not None}
    rollout = Rollout(
        canary=options["canary"],
        stagger=options["stagger"],
        pause_s=options["pause_s"] or 0.0,
        at_s=options["at_s"],
        is_barrier=options["barrier"],
    )
    if len(given) > 1:
        raise UsageError("--canary, --stagger and --at exclude each other")
    if options["pause_s"] is not None and options["stagger"] is None:
        raise UsageError("--pause is between the partitions of --stagger")
    if rollout.at_s is not None and rollout.at_s < time.time():
        raise UsageError("--at is in the past")
    if not rollout.is_asked_for:
        return None if options["one_step"] or not options["is_waiting"] else rollout
    if options["one_step"]:
        raise UsageError("--one-step excludes --canary, --stagger, --barrier and --at")
    if not options["is_waiting"]:
        raise UsageError("--no-wait would leave the generation staged: it is promoted once all workers are ready")
    return rollout
