"""Each kind of model through Kafka, beside a consumer of the same model by hand in its own language.

Both write the same headers, with the same codec and acks, in transactions of the same age (java/ByHand.java).
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path
from statistics import median
from typing import Any

import by_java
from batches import fill
from contender import OURS, Contender
from kinds import Contender as Kind
from kinds import contenders
from report import Figures
from through_kafka import Backlog, measure_backlog

from hotswap.client.change import Change
from hotswap.generation import Configuration, frozen
from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

_ROUNDS = 3
_DIFFERENT = 100_000
_SCORERS = {
    "java: double f(double[10])": "Sums",
    "java: Verdict f(Applicant), objects in and out": "Applicants",
    "java: List f(String csv), Acumos": "Flowers",
    "spark: indexers, assembler, regression": "Pipeline",
}
"""The class by hand of each kind, in benchmarks/java; h2o's is in another part, beside all the others."""


@dataclass(slots=True)
class ByHand:
    """The backlogs of a kind, ours and by hand, taken in turns."""

    name: str
    rows: int
    ours: list[Backlog]
    by_hand: list[Backlog]


async def measure(kafka: LocalKafka, folder: Path, rows: int, say: Callable[[str], None]) -> list[ByHand]:
    """Measures every kind, one after the other."""
    if not by_java.can_compile():
        raise SystemExit("there is no JDK: the consumers by hand cannot be compiled")
    by_java.compile_programs(folder)
    with contenders() as kinds:
        return [await _measure(kafka, folder, kind, rows, say) for kind in kinds if kind.name in _SCORERS]


async def _measure(kafka: LocalKafka, folder: Path, kind: Kind, rows: int, say: Callable[[str], None]) -> ByHand:
    scorer = _SCORERS[kind.name]
    backlog = Settings(kafka=kafka.bootstrap, deployment=f"backlog-{scorer}")
    say(f"{kind.name}: publishing {rows:,} requests")
    await fill(backlog, different(kind), rows)
    change, task = change_of(kind, folder / f"{scorer}.proto"), by_java.Task(scorer, kind.model)
    taken: dict[str, list[Backlog]] = {OURS: [], by_java.BY_HAND: []}
    for number, name in product(range(_ROUNDS), taken):
        say(f"{kind.name}: {name}, {number + 1} of {_ROUNDS}")
        contender = Contender(name, kafka, folder, backlog.topics.requests, task=task, spare_kinds="")
        taken[name].append(await measure_backlog(contender, rows, change))
        say(f"  {_said(taken[name][-1])}")
    return ByHand(kind.name, rows, *taken.values())


def different(kind: Kind) -> list[bytes]:
    """Returns requests that all differ: those of the kind, with each number moved a little."""
    draw = random.Random(0)  # noqa: S311 - the same ones each time

    def moved(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value + draw.gauss(0, 1e-3) if isinstance(value, float) else value for name, value in row.items()}

    return kind.encoded(map(moved, islice(cycle(kind.rows), _DIFFERENT)))


def change_of(kind: Kind, proto: Path) -> Change:
    """Return the swap to a kind, whose proto it writes."""
    proto.write_bytes(kind.proto)
    configuration = Configuration(runtime=frozen(kind.runtime)) if kind.runtime else None
    return Change(model=kind.model, kind=kind.kind, proto=proto, configuration=configuration)


def _said(one: Backlog) -> str:
    return f"{one.rows_per_s:,.0f} rows/s, {one.cpu_us_per_row:.2f} µs a row, of Kafka {one.kafka_us_per_row:.2f}"


_COLUMNS = {
    "rows/s": ("rows_per_s", 0),
    "CPU, µs a row": ("cpu_us_per_row", 2),
    "CPU of Kafka, µs a row": ("kafka_us_per_row", 2),
    "both together, µs a row": ("total_us_per_row", 2),
}


def figures(lines: list[ByHand]) -> list[Figures]:
    """Builds the table, three rows for each kind: ours, by hand, and their ratio."""
    rows = []
    for line in lines:
        for name, backlogs in ((OURS, line.ours), (by_java.BY_HAND, line.by_hand)):
            cells = [cell([getattr(one, of) for one in backlogs], digits) for of, digits in _COLUMNS.values()]
            rows.append([f"{line.name}: {name}", *cells])
        rows.append(["ours / by hand", *(_ratio(line, of) for of, _ in _COLUMNS.values())])
    note = (
        f"{lines[0].rows:,} requests, {_DIFFERENT:,} of them different, 4 partitions; in turns. Spark by hand "
        "transforms all it polls at once, up to 20,000 rows."
    )
    return [Figures("Each kind through Kafka, beside a consumer by hand", ["", *_COLUMNS], rows, note)]


def cell(values: list[float], digits: int) -> str:
    """Format the median of some figures, and their range."""
    middle, least, most = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({least}-{most})"


def _ratio(line: ByHand, of: str) -> str:
    ours, by_hand = (median(getattr(one, of) for one in backlogs) for backlogs in (line.ours, line.by_hand))
    return f"{ours / by_hand:.2f}"
