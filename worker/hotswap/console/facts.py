"""The facts of a deployment on the pages, computed from its overview."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hotswap.client.findings import Level
from hotswap.client.fleet import PartitionView, Told, WorkerView
from hotswap.client.overview import Overview
from hotswap.client.seen import CommandView
from hotswap.console.charts import Chart, chart
from hotswap.console.watch import MINUTES_S, Watched
from hotswap.printable import duration, numbers
from hotswap.swap.command import Outcome

_PHASES = ("fetch", "start", "load", "warm")
_NOBODY = "nobody"
_MOST_SHADES = 4

State = tuple[str, str]
"""A state: a tone (`good`, `busy`, `bad`, `calm`), which has a colour and a shape, and a word."""

_STATES: Mapping[Outcome, State] = {
    Outcome.STAGING: ("busy", "staging"),
    Outcome.READY: ("busy", "ready"),
    Outcome.SERVING: ("good", "serving"),
    Outcome.RETIRED: ("calm", "retired"),
    Outcome.REFUSED: ("bad", "refused"),
    Outcome.FAILED: ("bad", "failed"),
    Outcome.SUPERSEDED: ("calm", "superseded"),
    Outcome.APPLIED: ("good", "applied"),
    Outcome.DUPLICATE: ("calm", "duplicate"),
    Outcome.HELD: ("bad", "held"),
}


class Share(NamedTuple):
    """A generation, and how many of the partitions it serves; `shade` is 0 for the newest, 1 for the next."""

    generation: int
    partitions: int
    start: float
    width: float
    shade: int


class FactCell(NamedTuple):
    """A partition in the picture."""

    partition: int
    generation: int
    shade: int
    lag: int
    held: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker in the picture, and in the table; `view` None: nobody has these partitions."""

    name: str
    state: State
    cells: Sequence[FactCell]
    view: WorkerView | None = None

    @property
    def held(self) -> int:
        """The number of its held partitions."""
        return sum(bool(cell.held) for cell in self.cells)


class Phase(NamedTuple):
    """A phase of staging: its name, its seconds, and its place in a bar of 100."""

    name: str
    seconds: float
    start: float
    width: float


class OutcomeRow(NamedTuple):
    """A worker's outcome of a command."""

    worker: str
    state: State
    phases: Sequence[Phase]
    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """A command in the timeline; `key` is its id."""

    key: str
    title: str
    at_ms: int
    generation: int
    state: State
    why: str
    outcomes: Sequence[OutcomeRow]


def state_of(watched: Watched) -> State:
    """Return the state of a deployment."""
    view = watched.view
    if view is None or watched.fault:
        return "bad", "cannot be read"
    if view.level is Level.FAULT:
        return "bad", "needs attention"
    if view.is_paused:
        return "busy", "paused"
    live = {worker.worker for worker in view.live}
    reports = [one for command in view.commands[-1:] for one in command.told.values() if one.worker in live]
    if any(one.outcome in (Outcome.STAGING, Outcome.READY) for one in reports):
        return "busy", "swapping"
    return ("good", "serving") if any(worker.generation for worker in view.live) else ("calm", "nothing serves")


def charts_of(watched: Watched) -> list[Chart]:
    """Return the charts of a deployment's last minutes."""
    samples = watched.samples
    now = samples[-1].at if samples else 0.0
    columns = (
        ("Answers", [(one.at, one.answers_per_s) for one in samples], "/s"),
        ("Lag", [(one.at, float(one.lag)) for one in samples], ""),
        ("p99", [(one.at, one.p99_s) for one in samples], "s"),
        ("Refusals", [(one.at, one.refusals_per_s) for one in samples], "/s"),
    )
    charts = [chart(name, points, now, MINUTES_S, unit) for name, points, unit in columns]
    oldest_s = watched.view.oldest_s if watched.view else 0.0
    return [_with_age(one, oldest_s) if one.name == "Lag" and oldest_s >= 1 else one for one in charts]


def _with_age(lag: Chart, oldest_s: float) -> Chart:
    return lag._replace(now=f"{lag.now}, oldest {duration(oldest_s)}")


def shares_of(view: Overview) -> list[Share]:
    """Return the generations' shares of the partitions, the newest first."""
    counted = Counter(cell.generation for row in rows_of(view) for cell in row.cells)
    shades, total, start = _shades(view), sum(counted.values()), 0.0
    shares = []
    for number in sorted(counted, reverse=True):
        width = 100 * counted[number] / total
        shares.append(Share(number, counted[number], round(start, 2), round(width, 2), shades[number]))
        start += width
    return shares


def _shades(view: Overview) -> dict[int, int]:
    numbers = {lag.generation for lag in view.lags}
    numbers |= {part.generation for worker in view.live for part in worker.partitions}
    return {
        number: min(place, _MOST_SHADES - 1) if number else _MOST_SHADES
        for place, number in enumerate(sorted(numbers, reverse=True))
    }


def rows_of(view: Overview) -> list[WorkerRow]:
    """Return the workers with their partitions, and the unowned ones."""
    shades, lags = _shades(view), {lag.partition: lag for lag in view.lags}
    owned: set[int] = set()
    rows = []
    for worker in view.workers:
        parts: Sequence[PartitionView] = worker.partitions if worker.is_live(view.at) else ()
        cells = []
        for part in sorted(parts, key=lambda part: part.partition):
            lag = lags.get(part.partition)
            # A report is up to three seconds old, and what was committed is not.
            number = max(part.generation, lag.generation if lag else 0)
            waiting = lag.requests if lag else part.lag
            cells.append(FactCell(part.partition, number, shades[number], waiting, part.held))
            owned.add(part.partition)
        rows.append(WorkerRow(worker.worker, _state_of_worker(worker, view), cells, worker))
    left = [
        FactCell(lag.partition, lag.generation, shades[lag.generation], lag.requests, "no live worker has it")
        for lag in view.lags
        if lag.partition not in owned
    ]
    tone = "bad" if view.newest else "calm"  # without a generation, no worker takes a partition
    return [*rows, *([WorkerRow(_NOBODY, (tone, "unowned"), left)] if left else ())]


def holds_of(rows: Sequence[WorkerRow]) -> dict[str, str]:
    """Return the reasons for holds, each with its partitions."""
    holds: dict[str, list[int]] = {}
    for cell in (cell for row in rows for cell in row.cells if cell.held):
        holds.setdefault(cell.held, []).append(cell.partition)
    return {why: numbers(partitions) for why, partitions in holds.items()}


def _state_of_worker(worker: WorkerView, view: Overview) -> State:
    if worker.is_stopped:
        return "calm", "stopped"
    if not worker.is_live(view.at):
        return "bad", "silent"
    if view.lacking.get(worker.worker):
        return "bad", "cannot load"
    if any(part.held for part in worker.partitions):
        return "busy", "paused" if view.is_paused else "holds"
    return ("good", "serving") if worker.generation else ("calm", "idle")


def events_of(view: Overview) -> list[Event]:
    """Return the commands, the newest first."""
    return [event_of(command) for command in reversed(view.commands)]


def event_of(command: CommandView) -> Event:
    """Return a command for the timeline."""
    verdict = command.entry.verdict
    outcomes = [_outcome_row(report) for _, report in sorted(command.told.items())]
    state = _STATES[verdict.outcome] if verdict.outcome else _together(command)
    whys = dict.fromkeys(one.why for one in outcomes if one.why and one.state[0] == "bad")
    why = f"{verdict.code}: {verdict.message}" if verdict.code else "; ".join(whys)
    return Event(
        command.entry.command.command_id, command.title, command.entry.at_ms, verdict.generation, state, why, outcomes
    )


def _together(command: CommandView) -> State:
    outcomes = [report.outcome for report in command.told.values()]
    by_urgency = (
        Outcome.FAILED, Outcome.STAGING, Outcome.READY, Outcome.SERVING, Outcome.SUPERSEDED, Outcome.RETIRED,
    )  # fmt: skip
    return next((_STATES[outcome] for outcome in by_urgency if outcome in outcomes), ("busy", "accepted"))


def _outcome_row(report: Told) -> OutcomeRow:
    known = [(name, report.phase_seconds[name]) for name in _PHASES if name in report.phase_seconds]
    known += [(name, seconds) for name, seconds in report.phase_seconds.items() if name not in _PHASES]
    return OutcomeRow(
        report.worker,
        _STATES[report.outcome],
        list(_phases(known)),
        ": ".join(part for part in (report.code, report.message) if part),
    )


def _phases(known: Sequence[tuple[str, float]]) -> Iterator[Phase]:
    total, start = sum(seconds for _, seconds in known) or 1.0, 0.0
    for name, seconds in known:
        width = 100 * seconds / total
        yield Phase(name, seconds, round(start, 2), round(width, 2))
        start += width


def generation_of(view: Overview) -> int:
    """Return the newest generation that a live worker serves; 0: none."""
    return max((worker.generation for worker in view.live), default=0)
