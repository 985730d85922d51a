"""`hotswap batch`: scoring of a lake's files."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    local_file,
    make_settings,
    print_json,
    progress,
    run,
    show,
)
from hotswap.cli.table import allow_missing_option, operation_option
from hotswap.errors import StartError, UsageError

with late:
    from hotswap.cli.files import compile_proto
    from hotswap.client.serving import find_operation
    from hotswap.lake.origin import OriginScorer, fetch
    from hotswap.lake.plan import Origin
    from hotswap.packages.package import open_package
    from hotswap.settings import Settings

if TYPE_CHECKING:  # needs the extra
    from hotswap.host.facts import Description
    from hotswap.lake.job import BatchProgress

_EXTRA = ("pandas", "ptars", "pyarrow", "pyspark")


@click.command()
@deployment_argument
@click.option("--input", "source", required=True, metavar="URI", help="Parquet or CSV files: a folder, or a glob.")
@click.option("--output", required=True, metavar="URI", help="The folder to write to, as Parquet.")
@click.option("--package", type=local_file, metavar="FILE", help="Score with this package, without Kafka.")
@click.option(
    "--generation",
    type=click.IntRange(min=1),
    metavar="N",
    help="Score with this one. [default: the serving one; of a canary, the one beside it]",
)
@operation_option
@allow_missing_option
@click.option("--master", default="local[*]", show_default=True, metavar="URL", help="The cluster's URL for Spark.")
@click.option("--conf", multiple=True, metavar="KEY=VALUE", help="A Spark setting; may be repeated.")
@click.option(
    "--environment",
    type=local_file,
    metavar="FILE",
    help="An archive of the Python environment for executors. [default: they have this one, at the same path]",
)
@kafka_option
@json_option
def batch(deployment: str, source: str, output: str, **options: Any) -> None:
    """Score the Parquet or CSV files of a lake on a Spark cluster; needs the extra `lake`.

    They are scored with a package, or with a generation of the deployment. Each row of the output has its columns, the
    answer's fields and message, or the code and the reason of its refusal, with the generation and the package's
    digest. A second run scores only the missing partitions.
    """
    if missing := [name for name in _EXTRA if not importlib.util.find_spec(name)]:
        raise StartError(f"{', '.join(missing)} is not installed here: install hotswap[lake]")
    if options["package"] and options["generation"]:
        raise UsageError("name a --package or a --generation, not both")
    settings = make_settings(deployment=deployment, kafka=options["kafka"])
    with _scorer(settings, options) as scorer:
        _run(settings, scorer, source, output, options)


@contextmanager
def _scorer(settings: Settings, options: Mapping[str, Any]) -> Iterator[OriginScorer]:
    if not options["package"]:
        with TemporaryDirectory(prefix="hotswap-batch-") as folder:
            yield run(fetch(settings, options["generation"], Path(folder)))
        return
    with open_package(options["package"]) as package:
        if package.proto is None:
            raise UsageError(f"package {options['package']} has no proto: pack it anew with `hotswap pack`")
        yield OriginScorer(
            generation=0,
            kind=package.kind,
            model=package.model,
            proto=package.proto,
            configuration=package.configuration,
        )


def _run(settings: Settings, scorer: OriginScorer, source: str, output: str, options: Mapping[str, Any]) -> None:
    from hotswap.lake.job import BatchRun  # noqa: PLC0415 - needs the extra
    from hotswap.lake.session import distribute, is_local, session  # noqa: PLC0415 - the same

    operation = find_operation(compile_proto(scorer.proto), options["operation"])
    description = run(_describe(settings, scorer))
    reads, fields = description.reads.get(operation.name, {}), description.fields.get(operation.name, {})
    origin = scorer.origin(operation.name, fields)
    spec = scorer.spec(settings, origin, fields, is_local=is_local(options["master"]))
    name = f"hotswap batch {settings.deployment}"
    most = scorer.configuration.max_batch_records or settings.max_batch_records
    with session(name, options["master"], _conf(options["conf"]), options["environment"], most) as spark:
        work = BatchRun(spark, source, output)
        for line in work.check(spec, reads, may_lack=options["may_lack"]):
            note(line)
        plan = work.plan(origin)
        began = time.monotonic()
        with distribute(spark, spec, scorer.model):
            last = _show(work.run(plan, spec))
    _report(last, time.monotonic() - began, origin, output, is_json=options["is_json"])


async def _describe(settings: Settings, scorer: OriginScorer) -> Description:
    """Load the model in a local host, to report a bad model before the cluster starts work."""
    from hotswap.client.scoring import own_host  # noqa: PLC0415 - unavailable on Windows; see cli/main.py

    hosting = own_host(settings, scorer.model, scorer.kind, scorer.proto, scorer.configuration)
    async with hosting as (_, description):
        return description


def _conf(pairs: Sequence[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise UsageError(f"--conf {wrong[0]}: a Spark setting must be KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _show(states: Iterator[BatchProgress]) -> BatchProgress:
    """Show the progress: a bar on a terminal, otherwise a line for each partition."""
    last = None
    with progress() as bar:
        task = bar.add_task("partitions")
        for last in states:
            rows = f"{last.rows.total():,} rows, {last.tasks} of {last.of_tasks} tasks; partitions"
            bar.update(task, description=rows, total=last.partitions, completed=last.done)
            if bar.disable and last.has_grown:
                note(f"partition {last.done} of {last.partitions}: {last.rows.total():,} rows")
    assert last is not None
    return last


def _report(last: BatchProgress, seconds: float, origin: Origin, output: str, *, is_json: bool) -> None:
    answered, refused = last.rows[""], {code: count for code, count in sorted(last.rows.items()) if code}
    report = {
        "rows": last.rows.total(),
        "answered": answered,
        "refused": refused,
        "partitions": last.partitions,
        "partitions_kept": last.kept,
        "seconds": round(seconds, 1),
        "generation": origin.generation,
        "package_digest": origin.digest,
        "output": output,
    }
    if is_json:
        print_json(report)
    else:
        kept = f", {last.kept} of them from an earlier run" if last.kept else ""
        show(f"{answered:,} rows have an answer in {last.partitions} partitions of {output}{kept}: {origin}")
    if refused:
        codes = ", ".join(f"{code} {count:,}" for code, count in refused.items())
        raise Failure(f"{sum(refused.values()):,} rows were refused ({codes}): `refusal_reason` says why", REFUSED)
