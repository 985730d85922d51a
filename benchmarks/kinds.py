"""Measures each kind of model in its host, beside its own library called in a loop in Java.

    python benchmarks/kinds.py                              the kinds alone, as bench.py does
    python benchmarks/kinds.py OLD                          beside the host of another checkout, in turns; bench.py
                                                            keeps these figures (since --old OLD)

No Kafka: batches go to a model host and back, as the worker sends them; kinds_by_hand.py measures them through Kafka.
The limit is measured in the same run, by model_alone.py.
"""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import report
from measured import commit_of
from report import Figures
from rich.console import Console

from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, frozen
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost
from hotswap.local.lifeline import start_watchdog
from hotswap.settings import Settings

ROOT = Path(__file__).parents[1]
BATCH, WARM_S, MEASURED_S, NUMBERS = 2_000, 5.0, 8.0, 10
_ROUNDS = 3
_CHILD = (sys.executable, "-m", "hotswap.host.child")
PROTO = """syntax = "proto3";
message Row {{ {row} }}
message Answer {{ {answer} }}
service S {{ rpc Score(Row) returns (Answer); }}"""


@dataclass(frozen=True, slots=True)
class Contender:
    """A model of a kind, with rows that it can answer, each a request."""

    name: str
    kind: str
    model: Path
    proto: bytes
    rows: list[Mapping[str, Any]]
    runtime: Mapping[str, str] = field(default_factory=dict)
    heap_mb: int = 512

    def load(self) -> Load:
        """Returns what a host needs."""
        return Load(
            generation=1,
            kind=self.kind,
            model=self.model,
            proto=self.proto,
            is_descriptor_set=False,
            configuration=Configuration(runtime=frozen(self.runtime)),
            samples=(),
            heap_mb=self.heap_mb,
        )

    def requests(self) -> list[bytes]:
        """Returns a batch of requests, a row each."""
        made = self.encoded(self.rows)
        return (made * (BATCH // len(made) + 1))[:BATCH]

    def encoded(self, rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """Returns rows as messages of the proto."""
        (operation,) = compile_proto(self.proto).operations.values()
        return [operation.input(**row).SerializeToString() for row in rows]


@dataclass(slots=True)
class Line:
    """The figures of one kind: CPU and memory are the host's, with its guest's if it has one, the start from nothing.

    `caller_us_per_row` is the CPU of the process that sends it batches, as a worker does.
    """

    name: str
    rows_per_s: float
    cpu_us_per_row: float
    limit_us_per_row: float
    start_s: float
    memory_mb: float
    caller_us_per_row: float | None = None

    @property
    def above_us_per_row(self) -> float | None:
        """CPU beside the library's own."""
        caller = self.caller_us_per_row
        return None if caller is None else self.cpu_us_per_row + caller - self.limit_us_per_row


@dataclass(slots=True)
class Turns:
    """What one kind costs in the host of an older commit and in this one, each turn, CPU microseconds a row."""

    name: str
    old: list[float]
    new: list[float]


@dataclass(slots=True)
class Since:
    """All kinds beside an older commit."""

    commit: str
    kinds: list[Turns]


@contextmanager
def contenders() -> Iterator[list[Contender]]:
    """One for each kind, Spark only where its extra is installed; what is unpacked for them is removed at the end."""
    numbers = [{f"x{place}": (row * 7 + place) % 13 - 6.0 for place in range(NUMBERS)} for row in range(BATCH)]
    colors, countries = ("blue", "green", "red", "yellow"), ("AT", "CH", "DE", "ES")
    mixed = [row | {"color": colors[n % 4], "country": countries[n // 4 % 4]} for n, row in enumerate(numbers)]
    flat = " ".join(f"double x{place} = {place + 1};" for place in range(NUMBERS))
    applicant = "double income = 1; double debt = 2; int64 age = 3; string country = 4;"
    iris = " ".join(f"double {name} = {n};" for n, name in enumerate(("sepal_len", "petal_len"), 1))
    jars = ROOT / "tests" / "jars"
    made = [
        Contender(
            "h2o: GBM 50 x 5, 12 columns",
            "h2o",
            ROOT / "examples" / "models" / "gbm_50x5.zip",
            (ROOT / "examples" / "protos" / "gbm_50x5.proto").read_bytes(),
            mixed,
        ),
        Contender(
            "java: double f(double[10])",
            "java",
            jars / "numbers.jar",
            PROTO.format(row=flat, answer="double sum = 1;").encode(),
            numbers,
            {"class": "numbers.Numbers", "method": "sum"},
        ),
        Contender(
            "java: Verdict f(Applicant), objects in and out",
            "java",
            jars / "numbers.jar",
            PROTO.format(row=applicant, answer="string label = 1; double risk = 2;").encode(),
            [
                {"income": n % 99 + 0.5, "debt": n % 55 + 0.5, "age": n % 80, "country": countries[n % 4]}
                for n in range(BATCH)
            ],
            {"class": "numbers.Numbers", "method": "judge"},
        ),
        Contender(
            "java: List f(String csv), Acumos",
            "java",
            jars / "texts.jar",
            PROTO.format(row=iris, answer="repeated string prediction = 1;").encode(),
            [{"sepal_len": 5.1, "petal_len": float(n % 7)} for n in range(BATCH)],
            {"modelClassName": "iris.Model", "modelMethod": "predict", "modelInputType": "CSV"},
        ),
    ]
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as folder:
        if importlib.util.find_spec("pyspark"):
            made.append(_spark(Path(folder)))
        yield made


def _spark(folder: Path) -> Contender:
    lab = ROOT / "tests" / "models" / "spark"
    with zipfile.ZipFile(lab / "churn.zip") as packed:
        packed.extractall(folder)
    rows = [json.loads(line) for line in (lab / "churn.input.jsonl").read_text().splitlines()]
    kinds = {str: "string", float: "double", int: "int64"}
    known = {name: kinds[type(value)] for row in rows for name, value in row.items() if value is not None}
    fields = " ".join(f"optional {kind} {name} = {number};" for number, (name, kind) in enumerate(known.items(), 1))
    answer = "double prediction = 1; repeated double probability = 2;"
    given = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return Contender(
        "spark: indexers, assembler, regression",
        "spark",
        folder / "model",
        PROTO.format(row=fields, answer=answer).encode(),
        given,
    )


async def measure(contender: Contender, limit_us: float = 0, child: Sequence[str] = _CHILD) -> Line:
    """Measures a host from its start until it has answered batches for some seconds; `child` is its command."""
    requests = contender.requests()
    async with _loadable(contender) as load:
        host = ModelHost(load=load, deadline_s=60, on_restart=_stop, on_unknown=lambda *_: None, child=child)
        began = time.perf_counter()
        await host.start()
        start_s = time.perf_counter() - began
        try:
            await _score_for(host, requests, WARM_S)
            process = psutil.Process(host.pid)
            used, caller, began = _cpu_s(process), time.process_time(), time.perf_counter()
            count = await _score_for(host, requests, MEASURED_S)
            seconds = time.perf_counter() - began
            spent, caller = _cpu_s(process) - used, time.process_time() - caller
            memory_mb = sum(one.memory_info().rss for one in (process, *process.children())) / 1e6
        finally:
            await host.stop()
    costs = [cpu_s / count * 1e6 for cpu_s in (spent, caller)]
    return Line(contender.name, count / seconds, costs[0], limit_us, start_s, memory_mb, costs[1])


@asynccontextmanager
async def _loadable(contender: Contender) -> AsyncIterator[Load]:
    """What a host needs, with the environment of the model's lock, if it has one, as a worker makes it."""
    if contender.kind != "python":
        yield contender.load()
        return
    from hotswap.environments.guests import interpreter_for  # noqa: PLC0415 - older checkouts have none

    async with interpreter_for(Settings(deployment="none"), contender.kind, contender.model) as interpreter:
        yield replace(contender.load(), interpreter=interpreter)


def _stop(why: str) -> None:
    raise SystemExit(f"the model host was restarted: it {why}")


async def _score_for(host: ModelHost, requests: list[bytes], seconds: float) -> int:
    until, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        answers = await host.score(requests)
        if not all(isinstance(answer, bytes) for answer in answers):
            raise SystemExit(
                f"a row of the benchmark is refused: {next(a for a in answers if not isinstance(a, bytes))}"
            )
        count += len(answers)
    return count


def _cpu_s(process: psutil.Process) -> float:
    """Returns the CPU of a host, and of its guest."""
    every = [one.cpu_times() for one in (process, *process.children())]
    return sum(times.user + times.system for times in every)


def limit(contender: Contender) -> float:
    """Measures the CPU microseconds per row of the library alone, on the same rows, in a separate process."""
    task = {"kind": contender.kind, "model": str(contender.model), "rows": contender.rows, "runtime": contender.runtime}
    command = [sys.executable, str(Path(__file__).with_name("model_alone.py"))]
    with (
        tempfile.TemporaryDirectory(prefix="hotswap-bench-") as folder,  # Spark's session writes where it runs
        start_watchdog() as watchdog,
    ):
        options = {"cwd": folder, "process_group": watchdog.pid, "input": json.dumps(task), "text": True}
        ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, **options)
    return float(ran.stdout.splitlines()[-1])


async def measure_all(say: Callable[[str], None]) -> list[Line]:
    """Every kind, one after the other."""
    lines = []
    with contenders() as made:
        for contender in made:
            say(f"{contender.name}: in its host, then its library alone")
            lines.append(await measure(contender, limit(contender)))
    return lines


def figures(lines: list[Line]) -> list[Figures]:
    """The table, with the ratio to each kind's own limit."""
    header = ("kind", "rows/s", "CPU, µs a row", "library alone, µs", "times", "start, s", "memory, MB")
    rows = [
        (
            line.name,
            f"{line.rows_per_s:,.0f}",
            f"{line.cpu_us_per_row:.2f}",
            f"{line.limit_us_per_row:.2f}",
            f"{line.cpu_us_per_row / line.limit_us_per_row:.1f}",
            f"{line.start_s:.2f}",
            f"{line.memory_mb:.0f}",
        )
        for line in lines
    ]
    return [Figures("Each kind in its host, batches of 2,000 rows, without Kafka", header, rows)]


def compare(old: Path, say: Callable[[str], None]) -> Since:
    """Measures each kind in the hosts of both checkouts in turns, each in a process of its own."""
    with contenders() as made:
        names = [contender.name for contender in made]
    kinds = []
    for number, name in enumerate(names):
        taken: dict[Path, list[float]] = {old: [], ROOT: []}
        for turn, root in product(range(_ROUNDS), taken):
            say(f"{name}: {'new' if root is ROOT else 'old'}, {turn + 1} of {_ROUNDS}")
            command = [sys.executable, __file__, "--measure", str(number)]
            known = {**os.environ, "PYTHONPATH": str(root / "worker")}
            said = subprocess.run(command, env=known, check=True, stdout=subprocess.PIPE).stdout
            taken[root].append(float(said))
        kinds.append(Turns(name, taken[old], taken[ROOT]))
    return Since(commit_of(old), kinds)


def since_figures(since: Since) -> list[Figures]:
    """The table, with the ratio of the medians."""
    rows = [
        (
            turns.name,
            *(f"{median(costs):.2f} ({min(costs):.2f}-{max(costs):.2f})" for costs in (turns.old, turns.new)),
            f"{median(turns.new) / median(turns.old):.3f}",
        )
        for turns in since.kinds
    ]
    header = ("CPU of the host, µs a row", f"commit {since.commit}", "this one", "times")
    return [Figures(f"Each kind in its host, beside that of commit {since.commit}", header, rows, "In turns.")]


def main() -> None:
    """Measures the kinds alone, or beside another checkout, and prints them."""
    console = Console()

    def say(text: str) -> None:
        console.print(f"· {text}")

    match sys.argv[1:]:
        case ["--measure", number]:
            with contenders() as made:
                sys.stdout.write(f"{asyncio.run(measure(made[int(number)])).cpu_us_per_row}\n")
        case [old]:
            report.show(console, *since_figures(compare(Path(old).resolve(), say)))
        case _:
            report.show(console, *figures(asyncio.run(measure_all(say))))


if __name__ == "__main__":
    main()
