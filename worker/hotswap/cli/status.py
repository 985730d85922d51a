"""`hotswap status`: what each worker serves, the position of each partition, the outcomes of the last commands."""

from __future__ import annotations

import shlex
from typing import Any

import click

from hotswap.cli.exits import REFUSED, note
from hotswap.cli.late import drawing, late
from hotswap.cli.shared import (
    json_option,
    kafka_option,
    local_time,
    make_settings,
    out,
    print_json,
    run,
    shortened,
    show,
    styled,
    table,
)
from hotswap.errors import Doubt, StartError
from hotswap.printable import numbers

with late:
    import asyncio

    from hotswap.client.deployments import deployments
    from hotswap.client.fleet import WorkerView
    from hotswap.client.overview import Overview, overview
    from hotswap.settings import Settings

with drawing:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

_WATCH_S = 1.0
_SHOWN_COMMANDS = 5
_WIDE = 120  # columns of a terminal


@click.command()
@click.argument("deployment", required=False)
@click.option("--watch", "is_watching", is_flag=True, help="Refresh until Ctrl-C.")
@kafka_option
@json_option
def status(deployment: str | None, kafka: str | None, is_watching: bool, is_json: bool) -> None:  # noqa: FBT001 - click's
    """Show one deployment, or all of them: workers, partitions, lag, the last commands.

    Exits with 1 if something is wrong, and the first lines say what: a worker cannot load a generation, or nothing can
    score a partition.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    if is_watching and not is_json:
        run(_watch(settings))
        return
    views = run(overviews(settings))
    if is_json:
        print_json([document(view) for view in views])
    elif not views:
        show("there is no deployment yet: publish a first generation with `hotswap swap`")
    else:
        width = out().width
        out().print(Group(*(table for view in views for table in _tables(view, width))))
    if any(view.problems for view in views):
        raise click.exceptions.Exit(REFUSED)


async def overviews(settings: Settings) -> list[Overview]:
    """Return the overview of the deployment, or of each that can be shown; the others are named on stderr."""
    if settings.deployment:
        return [await overview(settings)]
    views = []
    for name in await deployments(settings):
        try:
            views.append(await overview(settings.model_copy(update={"deployment": name})))
        except (StartError, Doubt) as error:  # a record on the control topic may name one that never existed
            note(f"deployment {name!r} cannot be shown: {error}. To hide it: `hotswap forget {shlex.quote(name)}`")
    return views


async def _watch(settings: Settings) -> None:
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            views = await overviews(settings)
            width = live.console.width
            live.update(Group(*(table for view in views for table in _tables(view, width))), refresh=True)
            await asyncio.sleep(_WATCH_S)


def _tables(view: Overview, width: int) -> list[Any]:
    paused = ", paused" if view.is_paused else ""
    head = f"{view.deployment}: generation {view.newest or 'none'} accepted{paused}, {len(view.live)} workers"
    problems = [styled(shortened(problem), "bold red") for problem in view.problems]
    warnings = [styled(shortened(warning), "yellow") for warning in view.warnings]
    return [styled(head), *problems, *warnings, _workers(view, width), _partitions(view), _commands(view)]


def _workers(view: Overview, width: int) -> Table:
    """Build the table of workers; what is empty for each, or is only a detail and does not fit, is left out."""
    live = [worker if worker.is_live(view.at) else None for worker in view.workers]
    held = [[part.partition for part in worker.partitions if part.held] if worker else [] for worker in live]
    columns: dict[str, list[str | Text]] = {
        "worker": [worker.worker for worker in view.workers],
        "serves": [str(worker.generation or "nothing") for worker in view.workers],
        "loaded": [", ".join(map(str, worker.loaded)) for worker in view.workers],
        "cannot load": [
            ", ".join(f"{told.generation} {told.code}" for told in view.failures.get(worker.worker, ()))
            for worker in view.workers
        ],
        "model": [f"{worker.model_name} {worker.model_sha256[:8]}".strip() for worker in view.workers],
        "proto": [worker.proto_sha256[:8] for worker in view.workers],
        "path": ["; ".join(dict.fromkeys(worker.paths.values())) for worker in view.workers],
        "partitions": [numbers([part.partition for part in worker.partitions] if worker else []) for worker in live],
        "held": list(map(numbers, held)),
        "last word": [_last_word(worker, view.at) for worker in view.workers],
    }
    details = ("loaded", "proto", "path") if width < _WIDE else ()
    shown = {name: cells for name, cells in columns.items() if any(map(str, cells)) and name not in details}
    return table("workers", list(shown), list(zip(*shown.values(), strict=True)))


def _last_word(worker: WorkerView, now: float) -> str | Text:
    age = f"{max(0.0, now - worker.at):.0f} s ago"
    if worker.is_stopped:
        return f"stopped {age}"
    return age if worker.is_live(now) else styled(f"dead? {age}", "red")


def _partitions(view: Overview) -> Table:
    columns = ["partition", "worker", "answered up to", "generation", "lag", "held"]
    rows = [list(map(str, row.values())) for row in _partition_rows(view)]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return table("partitions", columns, rows)


def _partition_rows(view: Overview) -> list[dict[str, Any]]:
    owners = {part.partition: (worker, part) for worker in view.live for part in worker.partitions}
    rows = []
    for lag in view.lags:
        worker, part = owners.get(lag.partition, (None, None))
        rows.append(
            {
                "partition": lag.partition,
                "worker": worker.worker if worker else "nobody",
                "committed": lag.committed,
                "generation": lag.generation,
                "lag": lag.requests,
                "held": part.held if part else "no live worker has it",
            }
        )
    return rows


def _commands(view: Overview) -> Table:
    rows = []
    for command in view.commands[-_SHOWN_COMMANDS:]:
        told = [
            f"{said.worker}: {said.outcome} {said.code} {shortened(said.message)}".strip()
            for said in command.told.values()
        ]
        verdict = command.entry.verdict
        word = f"{verdict.outcome} {verdict.code}".strip() if verdict.outcome else "accepted"
        rows.append((local_time(command.entry.at_ms), command.title, word, "\n".join(told)))
    return table("last commands", ("at", "command", "verdict", "workers"), rows)


def document(view: Overview) -> dict[str, Any]:
    """Return the overview as a JSON document."""
    return {
        "deployment": view.deployment,
        "accepted": view.newest,
        "is_paused": view.is_paused,
        "problems": list(view.problems),
        "warnings": list(view.warnings),
        "lag": sum(lag.requests for lag in view.lags),
        "workers": [
            {
                "worker": worker.worker,
                "is_live": worker.is_live(view.at),
                "is_stopped": worker.is_stopped,
                "age_seconds": round(view.at - worker.at, 3),
                "generation": worker.generation,
                "accepted": worker.accepted,
                "loaded": list(worker.loaded),
                "failed": [
                    {"generation": told.generation, "code": told.code, "message": told.message}
                    for told in view.failures.get(worker.worker, ())
                ],
                "held": [part.partition for part in worker.partitions if part.held],
                "model": worker.model_name,
                "model_sha256": worker.model_sha256,
                "proto_sha256": worker.proto_sha256,
                "paths": dict(worker.paths),
            }
            for worker in view.workers
        ],
        "partitions": _partition_rows(view),
        "commands": [
            command.document()
            | {
                "workers": {
                    worker: {"outcome": told.outcome, "code": told.code, "message": told.message}
                    for worker, told in command.told.items()
                }
            }
            for command in view.commands
        ],
    }
