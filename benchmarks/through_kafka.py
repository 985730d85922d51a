"""All contenders on one broker and the same records: a backlog, a steady stream, a change of the model under it."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import by_java
import psutil
import stream
from batches import fill
from contender import (
    BARE,
    NAIVE,
    OURS,
    OURS_AT_BEST,
    OURS_AT_LEAST,
    PARTITIONS,
    Contender,
    Progress,
    contenders,
    cpu_s,
    memory_mb,
)
from report import Figures
from stream import Changed, Floor, Steady
from workload import another_model, first_model

from hotswap.client.change import Change
from hotswap.kafka.topics.admin import Admin
from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

_ROUNDS = 3
"""How often each takes the backlog, in turns: on a shared machine, the same contender varies by a tenth."""
_SLOW = {NAIVE: 100_000}
"""Rows for contenders that would otherwise take minutes."""
_OF_FORESTS = (OURS, OURS_AT_BEST, by_java.BY_HAND, by_java.BY_HAND_AT_BEST)


@dataclass(slots=True)
class Backlog:
    """The cost of a backlog."""

    rows_per_s: float
    cpu_us_per_row: float
    memory_mb: float
    kafka_us_per_row: float | None = None
    host_us_per_row: float | None = None
    """The part of `cpu_us_per_row` that the worker's model hosts take."""
    idle: float | None = None
    """The part of the machine's cores that did nothing, in percent."""

    @property
    def total_us_per_row(self) -> float | None:
        """With Kafka's."""
        return None if self.kafka_us_per_row is None else self.cpu_us_per_row + self.kafka_us_per_row


@dataclass(slots=True)
class Line:
    """The figures of one contender."""

    name: str
    backlogs: list[Backlog]
    steady: Steady | None = None
    changes: list[Changed] = field(default_factory=list)


@dataclass(slots=True)
class Results:
    """The results of a run; the floor is the latency of the measuring alone, `model` the name of the MOJO's file."""

    rows: int
    floor: Floor | None
    lines: list[Line]
    model: str = by_java.MODEL.name


async def measure_backlogs(
    kafka: LocalKafka,
    folder: Path,
    values: list[bytes],
    count: int,
    say: Callable[[str], None],
    names: Sequence[str] = (),
    mojo: Path | None = None,
) -> dict[str, list[Backlog]]:
    """Measures a backlog of every contender, or of those named, in turns."""
    if by_java.can_compile():
        by_java.compile_programs(folder)
    else:
        say(f"there is no JDK: without {', '.join(by_java.PROGRAMS)}")
    say(f"publishing {count:,} requests")
    backlog = Settings(kafka=kafka.bootstrap, deployment="backlog")
    await fill(backlog, values, count)
    taken: dict[str, list[Backlog]] = {name: [] for name in contenders() if not names or name in names}
    for number, name in itertools.product(range(_ROUNDS), taken):
        say(f"{name}: {count:,} requests as a backlog, {number + 1} of {_ROUNDS}")
        contender = Contender(
            name, kafka, folder, backlog.topics.requests, task=by_java.Task(model=mojo or by_java.MODEL)
        )
        taken[name].append(await measure_backlog(contender, min(count, _SLOW.get(name, count)), first_model(mojo)))
    return taken


async def measure_backlog_alone(
    kafka: LocalKafka, folder: Path, values: list[bytes], count: int, say: Callable[[str], None]
) -> Results:
    """Measures nothing but the backlogs."""
    taken = await measure_backlogs(kafka, folder, values, count, say)
    return Results(count, None, [Line(name, backlogs) for name, backlogs in taken.items()])


async def measure_forest(
    kafka: LocalKafka, folder: Path, values: list[bytes], count: int, mojo: Path, say: Callable[[str], None]
) -> Results:
    """Measures the backlogs of Java by hand and ours with a larger model, which the repository does not hold."""
    taken = await measure_backlogs(kafka, folder, values, count, say, _OF_FORESTS, mojo)
    return Results(count, None, [Line(name, backlogs) for name, backlogs in taken.items()], mojo.name)


async def measure_all(
    kafka: LocalKafka, folder: Path, values: list[bytes], count: int, seconds: float, say: Callable[[str], None]
) -> Results:
    """Measures every contender, one after the other."""
    taken = await measure_backlogs(kafka, folder, values, count, say)
    say("the measuring itself")
    measuring = Settings(kafka=kafka.bootstrap, deployment="measuring")
    await fill(measuring, [], 0)
    floor = await stream.floor(measuring, seconds)
    lines = []
    for name, backlogs in taken.items():
        line = Line(name, backlogs)
        say(f"{name}: {stream.PER_SECOND:,} requests/s, and a change of the model")
        line.steady, line.changes = await stream.measure_changes(
            Contender(name, kafka, folder), seconds, _changes(name, folder)
        )
        lines.append(line)
    return Results(count, floor, lines)


def _changes(name: str, folder: Path) -> list[Change]:
    """Returns the changes, one after the other: swaps to another model and back, or a redeploy."""
    if name == BARE:
        return []
    return (
        2 * [another_model(folder), first_model()] if name in (OURS, OURS_AT_LEAST, OURS_AT_BEST) else [first_model()]
    )


async def measure_backlog(contender: Contender, count: int, change: Change | None = None) -> Backlog:
    """Measures a backlog of `count` requests; the figures are of its second half, when everything is warm.

    The last eighth does not count: a worker scores ahead of what it has answered, so that the cost of the last rows
    lies before them, in part, and nothing follows whose cost would lie among them.
    """
    async with (
        contender.running() as process,
        Admin.connect(contender.settings) as admin,
        asyncio.TaskGroup() as beside,
    ):
        beside.create_task(
            contender.swap(change or first_model())
        )  # it serves before the command line has received the answer
        progress = Progress(admin, contender.settings)
        half = await progress.answered(count // 2)
        began, used, broker = time.monotonic(), cpu_s(process), contender.broker_cpu_s()
        alone, idle = process.cpu_times(), psutil.cpu_times().idle
        rows = await progress.answered(count - count // 8) - half
        seconds, cost = time.monotonic() - began, cpu_s(process) - used
        alone_s = sum(process.cpu_times()[:2]) - sum(alone[:2])
        return Backlog(
            rows_per_s=rows / seconds,
            cpu_us_per_row=cost / rows * 1e6,
            memory_mb=memory_mb(process),
            kafka_us_per_row=(contender.broker_cpu_s() - broker) / rows * 1e6,
            host_us_per_row=(cost - alone_s) / rows * 1e6 if contender.is_ours else None,
            idle=(psutil.cpu_times().idle - idle) / seconds / psutil.cpu_count() * 100,
        )


_OF_BACKLOGS = [
    ("rows/s (warm)", "backlogs", "rows_per_s", 0),
    ("CPU, µs a row (warm)", "backlogs", "cpu_us_per_row", 2),
    ("of it the model host, µs a row", "backlogs", "host_us_per_row", 2),
    ("CPU of Kafka, µs a row (warm)", "backlogs", "kafka_us_per_row", 2),
    ("both together, µs a row (warm)", "backlogs", "total_us_per_row", 2),
    ("cores idle, % (warm)", "backlogs", "idle", 0),
    ("memory, MB", "backlogs", "memory_mb", 0),
]
_OF_STREAMS = [
    ("p50 at 1,000/s, ms", "steady", "p50_ms", 1),
    ("p99 at 1,000/s, ms", "steady", "p99_ms", 1),
    ("cores at 1,000/s", "steady", "cores", 2),
    ("cores of Kafka at 1,000/s", "steady", "broker_cores", 2),
    ("longest gap, steady, ms", "steady", "longest_gap_ms", 0),
    ("longest gap at a swap, or a redeploy, ms", "changes", "longest_gap_ms", 0),
    ("p99 in the 10 s around it, ms", "changes", "p99_around_ms", 1),
    ("p99 in the 10 s after these, ms", "changes", "p99_after_ms", 1),
    ("command to first prediction, s", "changes", "first_prediction_s", 2),
]
_OF_JAVA = (
    "Kafka Streams as shipped stays in its group at `close()`, so a redeploy waits for session.timeout.ms (45 s); an "
    "expert's leaves it by `close(CloseOptions)`, and commits every 100 ms (the default of exactly_once_v2) or 10. "
    "Java's clients have one transactional id for each thread. If a transaction follows the last one of its id at "
    "once, Kafka refuses its offset, and Java's client waits retry.backoff.ms: 100 by default, 5 by hand "
    "([decision 64](docs/decisions/0064-two-transactional-ids-of-a-partition-take-turns.md))."
)
"""How Java's contenders leave their groups, and what their transactions are."""
_NONE = "-"
_MODEL = f"GBM of 50 trees on 12 columns, {PARTITIONS} partitions"


def backlog_figures(results: Results) -> list[Figures]:
    """Builds the table of the backlogs, a column for each contender."""
    note = (
        "In turns. Java by hand commits transactions of up to 200 ms, as ours do, and fills batches of 256 KiB; at its "
        f"best it writes no headers and compresses with lz4.{_a_million(results)}"
    )
    title = f"A backlog through Kafka: {_MODEL}, {results.rows:,} requests, 200,000 of them different"
    return [Figures(title, ["", *(line.name for line in results.lines)], _body(results, _OF_BACKLOGS), note)]


def _a_million(results: Results) -> str:
    """Says what a million rows a second would take, of whom; empty where that was not measured."""
    taken = next(line.backlogs for line in results.lines if line.name == OURS)
    if None in [one.host_us_per_row for one in taken]:
        return ""
    names = "total_us_per_row", "host_us_per_row", "kafka_us_per_row"
    total, host, kafka = (median(getattr(one, name) for one in taken) for name in names)
    rest = median(one.cpu_us_per_row - (one.host_us_per_row or 0) for one in taken)
    return (
        f" Exactly once, a row takes {total:.2f} µs of CPU: {host:.2f} in the model host, {rest:.2f} in the rest of "
        f"our worker, {kafka:.2f} in Kafka (each a median). 1,000,000 a second would keep {total:.1f} cores busy."
    )


def forest_figures(results: Results) -> list[Figures]:
    """Builds the table of the backlogs with a larger model."""
    title = (
        f"A backlog through Kafka: {results.model}, {PARTITIONS} partitions, {results.rows:,} requests, 200,000 of "
        "them different"
    )
    return [Figures(title, ["", *(line.name for line in results.lines)], _body(results, _OF_BACKLOGS), "In turns.")]


def figures(results: Results) -> list[Figures]:
    """Builds the table of the contenders, a column for each."""
    title = f"Through Kafka: {_MODEL}, {results.rows:,} requests"
    assert results.floor
    floor = f"p50 {results.floor.p50_ms:.1f} and p99 {results.floor.p99_ms:.1f} ms"
    note = (
        "The backlogs, in turns, are of 2,000 rows again and again, end before Java is warm, and are without headers "
        f"in Java: do not compare them with those above. The measuring alone takes {floor}. Of four swaps, there and "
        "back: the median, in brackets the worst; ours starts its next standby host in the last ten seconds. "
        f"{_OF_JAVA}"
    )
    body = _body(results, [*_OF_BACKLOGS, *_OF_STREAMS])
    return [Figures(title, ["", *(line.name for line in results.lines)], body, note)]


def _body(results: Results, rows: Sequence[tuple[str, str, str, int]]) -> list[list[str]]:
    """Builds the rows of a table; what no contender was measured for, as in an older run, is left out."""
    body = [[label, *(_cell(line, of, name, digits) for line in results.lines)] for label, of, name, digits in rows]
    return [row for row in body if set(row[1:]) != {_NONE}]


def _cell(line: Line, of: str, name: str, digits: int) -> str:
    """Formats a figure; of several the median, and in brackets the worst change, or the backlogs' range."""
    owners: Sequence[object] = {
        "backlogs": line.backlogs,
        "steady": [line.steady],
        "changes": line.changes,
    }[of]
    values = [value for owner in owners if owner and (value := getattr(owner, name)) is not None]
    if not values:
        return _NONE
    first, least, most = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    if len(values) == 1:
        return first
    return f"{first} ({least}-{most})" if of == "backlogs" else f"{first} ({most})"
