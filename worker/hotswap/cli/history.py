"""`hotswap history`: the last commands to a deployment, with their authors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice

import click

from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    local_time,
    make_settings,
    out,
    print_json,
    run,
    table,
)

with late:
    from hotswap.client.authors import Signed, read_signed

_MOST = 1_000
_SHOWN_PARTITIONS = 4


@click.command()
@deployment_argument
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST),
    default=20,
    show_default=True,
    metavar="N",
    help="The maximum number of commands.",
)
@kafka_option
@json_option
def history(deployment: str, limit: int, kafka: str | None, is_json: bool) -> None:  # noqa: FBT001 - click's
    """List the last commands, newest first: author, time, outcome, and the offsets where each took over.

    The author is the name of the signing key in the trust file (HOTSWAP_TRUST), if the signature is valid. AT is the
    command's offset in the control topic; FROM is the first offset that its generation answered in each partition.
    """
    signed = run(read_signed(make_settings(deployment=deployment, kafka=kafka), limit))
    if is_json:
        for one in signed:
            print_json(one.document())
        return
    columns = ("when", "at", "command", "by", "outcome", "from")
    out().print(table(deployment, columns, map(_row, signed)))


def _row(one: Signed) -> tuple[str, ...]:
    entry = one.view.entry
    return (
        local_time(entry.at_ms),
        str(entry.offset),
        one.view.title,
        _by(one),
        _outcome(one),
        _places(one.served_from),
    )


def _by(one: Signed) -> str:
    if not one.key:
        return "not signed"
    return f"{one.author} {one.key}" if one.author else f"{one.key}, not verified"


def _outcome(one: Signed) -> str:
    verdict = one.view.entry.verdict
    if verdict.outcome and verdict.code:
        return f"{verdict.outcome} {verdict.code}"
    counts = Counter(f"{report.outcome} {report.code}".strip() for report in one.view.told.values())
    outcomes = ", ".join(f"{outcome} on {workers}" for outcome, workers in sorted(counts.items()))
    return outcomes or verdict.outcome or "accepted"


def _places(offsets: Mapping[int, int]) -> str:
    shown = " ".join(
        f"{partition}:{offset}" for partition, offset in islice(sorted(offsets.items()), _SHOWN_PARTITIONS)
    )
    more = len(offsets) - _SHOWN_PARTITIONS
    return f"{shown} and {more} more" if more > 0 else shown
