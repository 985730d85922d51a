"""`hotswap status`: workers and their generations, positions of partitions, outcomes of the last commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from hotswap.cli.exits import exit_with, note
from hotswap.cli.late import late, later
from hotswap.cli.shared import (
    OpenRangeOption,
    all_reasons,
    fitting,
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
)
from hotswap.errors import Doubt, StartError, UsageError
from hotswap.generation import MOST
from hotswap.printable import counted, duration, numbers

with late:
    import asyncio

    from hotswap.client.deployments import deployments
    from hotswap.client.findings import worst
    from hotswap.client.fleet import WorkerView
    from hotswap.client.overview import Overview, overview
    from hotswap.client.seen import CommandView
    from hotswap.settings import Settings

with later:
    from hotswap.cli.generations import document as generation_document
    from hotswap.cli.generations import parts as generation_parts
    from hotswap.cli.generations import shadow_of
    from hotswap.client.standings import generations_of
with later:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

_WATCH_S = 1.0
_NARROW, _WIDE = 80, 120  # columns of a terminal


@click.command()
@click.argument("deployment", required=False)
@click.option("--watch", "is_watching", is_flag=True, help="Refresh until Ctrl-C.")
@click.option(
    "--why",
    "generation",
    cls=OpenRangeOption,
    type=click.IntRange(min=1, max=MOST),
    metavar="GENERATION",
    help="Print each worker's report on this generation, with all reasons.",
)
@kafka_option
@json_option
def status(deployment: str | None, kafka: str | None, generation: int | None, **options: bool) -> None:
    """Show one deployment, or all of them: workers, partitions, lag, the last commands.

    Exits with 1 if there is a fault, listed in the first lines: a worker cannot load a generation, or nothing can score
    a partition. `hotswap doctor` gives advice.
    """
    settings, is_json = make_settings(deployment=deployment, kafka=kafka), options["is_json"]
    if generation:
        if not deployment or options["is_watching"]:
            raise UsageError("--why needs the DEPLOYMENT, and cannot be combined with --watch")
        commands = _commands_of(run(overview(settings)), generation)
        if is_json:
            print_json([_command_document(command) for command in commands])
        else:
            show("\n".join(line for command in commands for line in _explanation(command)))
        return
    if options["is_watching"] and not is_json:
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
    exit_with(worst(finding for view in views for finding in view.findings))


def _commands_of(view: Overview, generation: int) -> list[CommandView]:
    """Return the commands with the number of a generation. Raises UsageError if there are none."""
    numbered = [(getattr(command.entry.command, "generation", 0), command) for command in view.commands]
    if matches := [command for number, command in numbered if number == generation]:
        return matches
    known = numbers({number for number, _ in numbered} - {0}) or "none"
    raise UsageError(f"{view.deployment} has no command for generation {generation} among the last ones (for: {known})")


def _explanation(command: CommandView) -> Iterator[str]:
    """Yield a command, its verdict, and the workers' reports, equal ones once."""
    verdict = command.entry.verdict
    yield f"{command.title}, {local_time(command.entry.at_ms)}: {_verdict_of(command)}"
    if verdict.message:
        yield verdict.message
    reports: dict[str, list[str]] = {}
    for worker, report in sorted(command.told.items()):
        text = f"{report.outcome} {report.code}".strip() + f"\n{report.message}".rstrip()
        text += f"\n{report.runtime}, on {report.cpu}" * bool(report.runtime)
        reports.setdefault(text, []).append(worker)
    for text, workers in reports.items():
        yield f"{', '.join(workers)}: {text}"


def _verdict_of(command: CommandView) -> str:
    verdict = command.entry.verdict
    return f"{verdict.outcome} {verdict.code}".strip() if verdict.outcome else "accepted"


async def overviews(settings: Settings) -> list[Overview]:
    """Return the overview of the deployment, or of all; unreadable ones are named on stderr."""
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
            live.update(fitted(await overviews(settings), live.console), refresh=True)
            await asyncio.sleep(_WATCH_S)


class _Detail(NamedTuple):
    """The level of detail of a deployment on the screen."""

    commands: int = 5
    partitions: Callable[[dict[str, Any]], bool] = lambda _: True


_DETAIL_LEVELS = (
    _Detail(),
    _Detail(2),
    _Detail(1),
    _Detail(1, lambda row: row["lag"] or row["held"]),
    _Detail(0, lambda _: False),
)


def fitted(views: Sequence[Overview], console: Console) -> Group:
    """Render the deployments to fit the rows of a terminal; problems and workers have priority."""
    shown = Group()
    for detail in _DETAIL_LEVELS:
        parts = [part for view in views for part in _tables(view, console.width, detail)]
        if detail is not _DETAIL_LEVELS[0]:
            parts.append(styled("truncated: `hotswap status` prints the rest", "dim"))
        shown = Group(*parts)
        if len(console.render_lines(shown)) <= console.height:
            break
    return shown


def headline(view: Overview) -> str:
    """Return a deployment's name and serving generations, as the start of a line."""
    loaded = " and ".join(map(str, view.serving))
    serving = f"generation{'s' * (len(view.serving) > 1)} {loaded}"
    if view.is_paused:
        state = f"paused at {serving}" if loaded else "paused, and nothing is loaded"
    else:
        state = f"{serving} serve{'s' * (len(view.serving) == 1)}" if loaded else "nothing serves"
    partial = [one for one in view.generations if not one.is_whole]
    state += "".join(f", generation {one.number} {one.words}" for one in partial if one.loaded)
    newest = max((*view.serving, *(one.number for one in partial if one.loaded)), default=0)
    # What replaces an abandoned one may have nothing to score.
    if view.newest > newest and not (view.swaps and view.swaps[-1].replaces):
        has_failed = any(one.generation == view.newest for failures in view.failures.values() for one in failures)
        state += f", generation {view.newest} {'failed' if has_failed else 'accepted'}"
    return f"{view.deployment}{shadow_of(view)}: {state}, {counted(len(view.live), 'worker')}"


def _tables(view: Overview, width: int, detail: _Detail = _DETAIL_LEVELS[0]) -> list[Any]:
    problems = [styled(shortened(problem), "bold red") for problem in view.problems]
    warnings = [styled(shortened(warning), "yellow") for warning in view.warnings]
    rows = list(filter(detail.partitions, _partition_rows(view)))
    tables = [_workers(view, width), *([_partitions(rows, width)] if rows else [])]
    commands = view.commands[max(len(view.commands) - detail.commands, 0) :]
    return [
        styled(headline(view)),
        *problems,
        *warnings,
        *generation_parts(view, width),
        *tables,
        *([_commands(view, commands, width)] * bool(commands)),
    ]


def _workers(view: Overview, width: int) -> Table:
    """Build the table of workers, without empty columns and without details that do not fit."""
    live = [worker if worker.is_live(view.at) else None for worker in view.workers]
    held = [[part.partition for part in worker.partitions if part.held] if worker else [] for worker in live]
    is_narrow = width < _NARROW
    columns: dict[str, list[str | Text]] = {
        "worker": [worker.worker for worker in view.workers],
        "serves": [", ".join(map(str, generations_of(worker))) or "nothing" for worker in view.workers],
        "loaded": [", ".join(map(str, worker.loaded)) for worker in view.workers],
        "cannot load": [
            ", ".join(f"{failure.generation} {failure.code}" for failure in view.lacking.get(worker.worker, ()))
            for worker in view.workers
        ],
        "model": [
            f"{worker.model_name} {'' if is_narrow else worker.model_sha256[:8]}".strip() for worker in view.workers
        ],
        "proto": [worker.proto_sha256[:8] for worker in view.workers],
        "path": ["; ".join(dict.fromkeys(worker.paths.values())) for worker in view.workers],
        "transactions": [worker.machine.get("transactions", "") for worker in view.workers],
        "partitions": [numbers([part.partition for part in worker.partitions] if worker else []) for worker in live],
        "held": list(map(numbers, held)),
        "last report": [_last_report(worker, view.at) for worker in view.workers],
    }
    details = ("loaded", "proto", "path", "transactions") if width < _WIDE else ()
    return fitting(
        "workers", {name: cells for name, cells in columns.items() if name not in details}, ("model",), width
    )


def _last_report(worker: WorkerView, now: float) -> str | Text:
    age = f"{max(0.0, now - worker.at):.0f} s ago"
    if worker.is_stopped:
        return f"stopped {age}"
    return age if worker.is_live(now) else styled(f"dead? {age}", "red")


def _partitions(rows: Sequence[dict[str, Any]], width: int) -> Table:
    named = {"committed": "answered up to", "oldest_seconds": "oldest"}
    columns = {named.get(name, name): [str(row[name]) for row in rows] for name in rows[0]}
    ages = [row["oldest_seconds"] or 0 for row in rows]
    columns["oldest"] = [duration(age) if age >= 1 else "" for age in ages]
    return fitting("partitions", columns, ("oldest", "worker", "generation"), width)


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
                "oldest_seconds": _rounded(view.ages.get(lag.partition)),
                "held": part.held if part else "no live worker has it",
            }
        )
    return rows


def _rounded(seconds: float | None) -> float | None:
    return seconds if seconds is None else round(seconds, 3)


def _commands(view: Overview, commands: Sequence[CommandView], width: int) -> Table:
    columns: dict[str, list[str | Text]] = {"at": [], "command": [], "verdict": [], "workers": []}
    for command in commands:
        at = local_time(command.entry.at_ms)
        why = all_reasons(view.deployment, command.entry.verdict.generation)
        reports = [
            f"{report.worker}: {report.outcome} {report.code} {shortened(report.message, why)}".strip()
            for report in command.told.values()
        ]
        title = command.title
        if width < _NARROW and command.entry.verdict.code:
            title += f": {_verdict_of(command)}"
        cells = (at[-8:] if width < _NARROW else at, title, _verdict_of(command), "\n".join(reports))
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    return fitting("last commands", columns, ("verdict",) if width < _NARROW else (), width)


def document(view: Overview) -> dict[str, Any]:
    """Return the overview as a JSON document."""
    return {
        "deployment": view.deployment,
        "accepted": view.newest,
        "shadow_of": view.shadowed.of if view.shadowed else None,
        "is_paused": view.is_paused,
        "level": view.level,
        "findings": [
            {"level": one.level, "about": one.about, "what": one.what, "advice": one.advice} for one in view.findings
        ],
        "problems": list(view.problems),
        "warnings": list(view.warnings),
        "lag": sum(lag.requests for lag in view.lags),
        "oldest_seconds": round(view.oldest_s, 3),
        "generations": [generation_document(one) for one in view.generations],
        "window": view.window and {"since_ms": view.window.since_ms, "requests": view.window.total},
        "workers": [
            {
                "worker": worker.worker,
                "is_live": worker.is_live(view.at),
                "is_stopped": worker.is_stopped,
                "age_seconds": round(view.at - worker.at, 3),
                "generation": worker.generation,
                "scores": list(generations_of(worker)),
                "accepted": worker.accepted,
                "loaded": list(worker.loaded),
                "failed": [
                    {"generation": failure.generation, "code": failure.code, "message": failure.message}
                    for failure in view.failures.get(worker.worker, ())
                ],
                "held": [part.partition for part in worker.partitions if part.held],
                "model": worker.model_name,
                "model_sha256": worker.model_sha256,
                "proto_sha256": worker.proto_sha256,
                "paths": dict(worker.paths),
                "transactions": worker.machine.get("transactions", ""),
                "kinds": dict(sorted(worker.kinds.items())),
                "runtime": worker.runtime,
                "cpu": worker.machine.get("cpu", ""),
            }
            for worker in view.workers
        ],
        "partitions": _partition_rows(view),
        "commands": [_command_document(command) for command in view.commands],
    }


def _command_document(command: CommandView) -> dict[str, Any]:
    return command.document() | {"workers": command.outcomes()}
