"""`hotswap compare`: what two deployments answered to the same requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotswap.cli.dead_letters import parse_since
from hotswap.cli.exits import REFUSED, Failure
from hotswap.cli.late import late, later
from hotswap.cli.rollouts import Percent
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    make_settings,
    out,
    print_json,
    progress,
    run,
    show,
    table,
)
from hotswap.errors import UsageError
from hotswap.printable import counted

with late:
    from hotswap.client.comparing import Period, Side
    from hotswap.client.comparing import compare as compare_now
    from hotswap.client.comparison import QUANTILES, Comparison, flipped
    from hotswap.client.comparison_report import ComparisonLimits, breaches, document

with later:
    from hotswap.client.comparison_picture import picture

if TYPE_CHECKING:
    from rich.table import Table

    from hotswap.settings import Settings

_MOST_FLIPS = 20


@click.command()
@deployment_argument
@click.argument("other")
@click.option("--since", metavar="TIME", help="Requests from then on: 10m, 2h, 3d ago, or 2026-05-01T12:00.")
@click.option("--until", metavar="TIME", help="Requests before then.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw it, as SVG.")
@click.option("--max-flips", type=Percent(), metavar="1%", help="Fail if the labels of more rows differ.")
@click.option("--max-refusals", type=Percent(), metavar="1%", help="Fail if OTHER alone refused more requests.")
@click.option(
    "--max-difference",
    "differences",
    multiple=True,
    metavar="FIELD=N",
    help="Fail if a number differs by more than N in over 1 % of the rows.",
)
@click.option(
    "--min-rows",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Fail if fewer rows were compared.",
)
@kafka_option
@json_option
def compare(deployment: str, other: str, **options: Any) -> None:
    """Compare what two deployments answered to the same requests, such as a shadow's answers with those that count.

    As far as both have answered by now, request by request, in memory that does not grow. Exits with 1 if a limit is
    not kept.
    """
    now = time.time()
    span_ms = [parse_since(options[name], now) if options[name] else None for name in ("since", "until")]
    limits = _limits(options)
    sides = [make_settings(deployment=name, kafka=options["kafka"]) for name in (deployment, other)]
    found = run(_compare(sides, Period(since_ms=span_ms[0], until_ms=span_ms[1])))
    if options["plot"]:
        options["plot"].write_text(picture(found, deployment, other))
    broken = list(breaches(found, limits))
    if options["is_json"]:
        print_json(document(found, deployment, other) | {"breaches": broken})
    else:
        _print(found, deployment, other)
    if broken:
        raise Failure("; ".join(broken), REFUSED)


async def _compare(settings: Sequence[Settings], period: Period) -> Comparison:
    one, other = [await Side.of(each) for each in settings]
    with progress() as bar:
        task = bar.add_task("partitions", total=None)
        return await compare_now(one, other, period, lambda done, of: bar.update(task, completed=done, total=of))


def _limits(options: Mapping[str, Any]) -> ComparisonLimits:
    differences = {}
    for text in options["differences"]:
        path, _, number = text.rpartition("=")
        try:
            differences[path] = float(number)
        except ValueError:
            path = ""
        if not path or not differences[path] >= 0:
            raise UsageError(f"--max-difference {text}: write the field and a number that is 0 or more, as p_yes=0.05")
    shares = {name: options[f"max_{name}"] for name in ("flips", "refusals")}
    return ComparisonLimits(
        **{name: None if share is None else share / 1_000_000 for name, share in shares.items()},
        differences=differences,
        least_rows=options["min_rows"],
    )


def _print(found: Comparison, one: str, other: str) -> None:
    show("\n".join(_lines(found, one, other)))
    for each in _tables(found, one, other):
        out().print(each)


def _lines(found: Comparison, one: str, other: str) -> Iterator[str]:
    yield f"{counted(found.both, 'request')} answered by both, {counted(found.rows, 'row')} compared"
    if found.rows:
        if found.labels:
            yield f"the labels of {_share(found.rows - found.flips, found.rows)} agree, {found.flips:,} differ"
        yield f"{_share(found.identical, found.rows)} are the same in all fields"
    if found.outside:
        yield f"{counted(found.outside, 'request')} outside of the sample"
    if found.unpaired:
        yield f"{counted(found.unpaired, 'request')} with answers of different lengths"
    for number, name in enumerate((one, other)):
        counts = {
            f"without an answer by {name}, which has passed them": found.missing[number],
            f"not answered yet by {name}": found.waiting[number],
            f"answered again by {name}, which is left out": found.again[number],
            f"with an answer by {name} that no proto of its log can read": found.unreadable[number],
        }
        yield from (f"{counted(count, 'request')} {what}" for what, count in counts.items() if count)
        if paths := found.lone[number]:
            yield f"only {name} has {', '.join(sorted(paths))}"


def _tables(found: Comparison, one: str, other: str) -> Iterator[Table]:
    if len(found.pairs) > 1:
        pairs = [
            (str(pair[0]), str(pair[1]), f"{counts.rows:,}", _share(counts.flips, counts.rows))
            for pair, counts in sorted(found.pairs.items())
        ]
        yield table("generations", (one, other, "rows", "labels differ"), pairs)
    flips = list(flipped(found.labels))
    if flips:
        shown = flips[:_MOST_FLIPS]
        labels = [(path, mine, theirs, f"{count:,}", _share(count, found.rows)) for path, mine, theirs, count in shown]
        more = f", the most frequent of {len(flips)}" if len(flips) > len(shown) else ""
        yield table(f"labels that differ{more}", ("field", one, other, "rows", "of all"), labels)
    if found.numbers:
        names = [f"{share:.1%}".replace(".0%", "%") for share in QUANTILES]
        numbers = [
            (path, _share(each.equal, each.count), *(_number(each.quantile(share)) for share in QUANTILES),
             _number(each.largest), f"{each.undefined:,}" if each.undefined else "")
            for path, each in found.numbers.items()
        ]  # fmt: skip
        yield table("differences of numbers", ("field", "equal", *names, "largest", "undefined"), numbers)
    if found.refused:
        refused = [(mine or "-", theirs or "-", f"{count:,}") for (mine, theirs), count in found.refused.most_common()]
        yield table("refusals", (one, other, "requests"), refused)
    if found.largest:
        largest = [
            (each.source, str(each.row), each.path, _number(each.one), _number(each.other)) for each in found.largest
        ]
        yield table("largest differences", ("request", "row", "field", one, other), largest)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4g} %" if whole else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
