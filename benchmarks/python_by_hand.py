"""Models that a library of Python scores, through Kafka, beside a consumer by hand in Python (by_python.py).

What the library takes is the same for both: its time alone on batches of 2,000, measured in the same run, is taken from
each. Crayfish's network also has Crayfish's load, a constant rate: latency counts from when a request is due.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median

import by_python
import stream
from batches import fill
from contender import OURS, PARTITIONS, Contender
from kinds import BATCH, limit
from kinds import Contender as Kind
from kinds_by_hand import cell, change_of, different
from python_models import CRAYFISH
from report import Figures
from stream import Steady
from through_kafka import Backlog, measure_backlog

from hotswap.client.change import Change
from hotswap.local.kafka import LocalKafka
from hotswap.settings import Settings

_ROUNDS = 3
_BYTES = 600_000_000
"""Of a backlog at most."""
_CONTENDERS = (OURS, by_python.BY_HAND)


@dataclass(slots=True)
class PythonByHand:
    """The backlogs of a model, ours and by hand, taken in turns; and the steady stream of each, if there was one."""

    name: str
    rows: int
    library_us_per_row: float
    ours: list[Backlog]
    by_hand: list[Backlog]
    steady: list[Steady] = field(default_factory=list)

    def beside_library(self, backlogs: Sequence[Backlog]) -> list[float]:
        """CPU microseconds a row without the library's own, of each backlog."""
        return [one.cpu_us_per_row - self.library_us_per_row for one in backlogs]


Say = Callable[[str], None]


async def measure(kafka: LocalKafka, folder: Path, models: Sequence[Kind], rows: int, say: Say) -> list[PythonByHand]:
    """Measures the backlogs of each model, one after the other."""
    return [await _backlogs(kafka, folder, model, rows, say) for model in models if model.name != CRAYFISH]


async def measure_crayfish(
    kafka: LocalKafka, folder: Path, models: Sequence[Kind], rows: int, seconds: float, say: Say
) -> list[PythonByHand]:
    """Measures the backlogs of Crayfish's network, and each contender at a constant rate."""
    (model,) = (one for one in models if one.name == CRAYFISH)
    line = await _backlogs(kafka, folder, model, rows, say)
    requests = folder / "crayfish.requests"
    requests.write_bytes(b"\n".join(map(base64.b64encode, model.requests())))
    change, task = _work(model, folder)
    for name in _CONTENDERS:
        say(f"{model.name}: {name}, {stream.PER_SECOND:,} requests/s")
        contender = _contender(name, kafka, folder, task)
        line.steady.append(await stream.measure(contender, seconds, change, requests))
        say(f"  p50 {line.steady[-1].p50_ms:.1f} and p99 {line.steady[-1].p99_ms:.1f} ms")
    return [line]


async def _backlogs(kafka: LocalKafka, folder: Path, model: Kind, rows: int, say: Say) -> PythonByHand:
    """Measures the library alone, then the backlogs in turns."""
    say(f"{model.name}: its library alone")
    line = PythonByHand(model.name, rows, limit(model), [], [])
    change, task = _work(model, folder)
    values = different(model)
    line.rows = min(rows, _BYTES // len(values[0]))
    backlog = Settings(kafka=kafka.bootstrap, deployment=f"backlog-{model.kind}-{task.proto.stem}")
    say(f"{model.name}: publishing {line.rows:,} requests")
    await fill(backlog, values, line.rows)
    for number, name in product(range(_ROUNDS), _CONTENDERS):
        say(f"{model.name}: {name}, {number + 1} of {_ROUNDS}")
        contender = _contender(name, kafka, folder, task, backlog.topics.requests)
        taken = line.ours if name == OURS else line.by_hand
        taken.append(await measure_backlog(contender, line.rows, change))
        say(f"  {taken[-1].rows_per_s:,.0f} rows/s, {taken[-1].cpu_us_per_row:.2f} µs a row")
    return line


def _contender(name: str, kafka: LocalKafka, folder: Path, task: by_python.Task, requests: str = "") -> Contender:
    own = {"max_batch_records": BATCH} if task.kind == "python" else {}  # what is promised of functions
    return Contender(name, kafka, folder, requests, task=task, spare_kinds="", kinds=task.kind, **own)


def _work(model: Kind, folder: Path) -> tuple[Change, by_python.Task]:
    """Returns what ours swaps to, and what the consumer by hand scores."""
    proto = folder / f"{model.model.stem}.proto"
    return change_of(model, proto), by_python.Task(model.kind, model.model, proto)


_WITHOUT = "CPU without the library's, µs a row"


def figures(lines: list[PythonByHand]) -> list[Figures]:
    """Builds the table, three rows for each model: ours, by hand, and their ratio."""
    rows = []
    for line in lines:
        cells = []
        for name, backlogs in zip(_CONTENDERS, (line.ours, line.by_hand), strict=True):
            values = [[one.rows_per_s for one in backlogs], [one.cpu_us_per_row for one in backlogs]]
            values += [line.beside_library(backlogs), [one.kafka_us_per_row or 0 for one in backlogs]]
            cells.append(values)
            shown = [cell(of, digits) for of, digits in zip(values, (0, 2, 2, 2), strict=True)]
            rows.append([f"{line.name}: {name}", f"{line.library_us_per_row:.2f}", *shown])
        ratios = [f"{median(ours) / median(hand):.2f}" for ours, hand in zip(*cells, strict=True)]
        rows.append(["ours / by hand", "", *ratios])
    header = ["", "library alone, µs", "rows/s", "CPU, µs a row", _WITHOUT, "CPU of Kafka, µs a row"]
    counts = ", ".join(f"{count:,}" for count in sorted({line.rows for line in lines}))
    note = (
        f"{counts} requests, {PARTITIONS} partitions, exactly once on both sides; in turns. By hand: confluent-kafka, "
        f"{by_python.PROCESSES} processes, transactions of up to {by_python.BATCH:,} rows, no headers, the "
        "library's own call on each batch, one thread. The library alone: on batches of 2,000."
    )
    if any(line.name.startswith("python:") for line in lines):
        note += (
            " The library of a function is the function, by hand on columns of NumPy; ours calls it with "
            f"{BATCH:,} rows at most."
        )
    title = "Models that a library of Python scores, through Kafka, beside a consumer by hand in Python"
    return [Figures(title, header, rows, note)]


def crayfish_figures(lines: list[PythonByHand]) -> list[Figures]:
    """Builds the tables of Crayfish's network: its backlog, and its constant rate."""
    (backlog,) = figures(lines)
    names = ("p50_ms", "p99_ms", "cores", "broker_cores")
    rows = [
        [name, *(f"{getattr(steady, of):.{digits}f}" for of, digits in zip(names, (1, 1, 2, 2), strict=True))]
        for line in lines
        for name, steady in zip(_CONTENDERS, line.steady, strict=True)
    ]
    note = (
        "Crayfish's load (EDBT 2024): one image a request, 784 floats of protobuf, at a constant rate. Crayfish counts "
        "from the record's time to the answer's in Kafka's log; here from when the request is due to reading its "
        "committed answer."
    )
    header = ["", "p50, ms", "p99, ms", "cores", "cores of Kafka"]
    title = f"Crayfish's network at {stream.PER_SECOND:,} requests/s"
    return [backlog._replace(title="Crayfish's network through Kafka, a backlog"), Figures(title, header, rows, note)]
