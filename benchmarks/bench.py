"""Measures the cost and the latency of rows, in one run, on one local Kafka: tables and plots in BENCHMARKS.md.

    make bench                                   all of it (hours)
    python benchmarks/bench.py contenders        one part: PARTS names them
    python benchmarks/bench.py forest --mojo M --table T   with a larger MOJO of the same columns, and its rows
    python benchmarks/bench.py since --old CHECKOUT        each kind's host beside that of an older commit
    python benchmarks/bench.py python_by_hand --kinds onnx xgboost     these kinds alone; the figures of others are kept
    python benchmarks/bench.py --draw            measures nothing: the tables and plots of the figures that are kept

Compare figures only within one part; machines differ, ratios hold. benchmarks/results.json keeps the raw figures of the
last run of each part.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import against
import contender
import curves
import half
import kinds
import kinds_by_hand
import over_http
import python_by_hand
import python_kinds
import report
import served
import servers
import stream
import through_kafka
from contender import ROOT
from half import Half
from kinds import Line as Kind
from kinds import Since
from kinds_by_hand import ByHand
from measured import PYTHONS, Machine, machine
from over_http import OverHttp
from points import Growth, Lingering, Point
from pydantic import TypeAdapter
from python_by_hand import PythonByHand
from python_kinds import Paths
from python_libraries import SCORERS
from rich.console import Console
from servers import Served
from through_kafka import Results
from workload import different_rows
from workload import rows as alike

from hotswap.local.kafka import LocalKafka

RESULTS = Path(__file__).with_name("results.json")
_WARM_S = 60.0
_ROWS = 1_000_000
_BACKLOG = 4_000_000

Say = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """All figures, and what each part was measured on and with."""

    measured_on: dict[str, Machine]
    backlog: Results | None = None
    contenders: Results | None = None
    forest: Results | None = None
    half: Half | None = None
    linger: list[Lingering] | None = None
    growth: Growth | None = None
    swaps: list[Point] | None = None
    kinds: list[Kind] | None = None
    since: Since | None = None
    kinds_by_hand: list[ByHand] | None = None
    over_http: OverHttp | None = None
    python_kinds: list[Paths] | None = None
    python_by_hand: list[PythonByHand] | None = None
    crayfish: list[PythonByHand] | None = None
    servers: list[Served] | None = None

    def sections(self) -> Iterator[tuple[Machine, list[report.Figures]]]:
        """The tables and plots of each part, and the table of the last `make against`."""
        for part, figures in PARTS.items():
            if results := getattr(self, part):
                yield self.measured_on[part], figures(results)
        yield against.section()


_KEPT = TypeAdapter(Report)
PARTS: dict[str, Callable[[Any], list[report.Figures]]] = {
    "backlog": through_kafka.backlog_figures,
    "contenders": through_kafka.figures,
    "forest": through_kafka.forest_figures,
    "half": half.figures,
    "linger": curves.linger_figures,
    "growth": curves.growth_figures,
    "swaps": curves.swaps_figures,
    "kinds": kinds.figures,
    "since": kinds.since_figures,
    "kinds_by_hand": kinds_by_hand.figures,
    "over_http": over_http.figures,
    "python_kinds": python_kinds.figures,
    "python_by_hand": python_by_hand.figures,
    "crayfish": python_by_hand.crayfish_figures,
    "servers": servers.figures,
}
_OF_PYTHON = ("python_kinds", "python_by_hand", "crayfish", "servers")


def load() -> Report:
    """The figures of the last run of each part."""
    return _KEPT.validate_json(RESULTS.read_bytes())


@contextmanager
def _kafka(say: Say) -> Iterator[tuple[LocalKafka, Path]]:
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as name, contender.broker() as kafka:
        say(f"a broker, {_WARM_S:.0f} s to warm it")
        asyncio.run(stream.warm(kafka, Path(name), _WARM_S))
        yield kafka, Path(name)


def _measure(part: str, options: argparse.Namespace, say: Say) -> Any:
    if part == "kinds":
        return asyncio.run(kinds.measure_all(say))
    if part == "since":
        return kinds.compare(options.old.resolve(), say)
    if part == "python_kinds":
        return asyncio.run(python_kinds.measure_all(options.kinds, say))
    if part in _OF_PYTHON:
        return _measure_by_python(part, options, say)
    return _measure_through_kafka(part, options, say)


def _measure_by_python(part: str, options: argparse.Namespace, say: Say) -> list[PythonByHand] | list[Served]:
    rows = options.rows or _BACKLOG // 2
    of = ["onnx"] if part == "crayfish" else options.kinds
    with python_kinds.chosen(of) as models, _kafka(say) as (kafka, folder):
        if part == "python_by_hand":
            return asyncio.run(python_by_hand.measure(kafka, folder, models, rows, say))
        if part == "crayfish":
            return asyncio.run(python_by_hand.measure_crayfish(kafka, folder, models, rows, options.seconds, say))
        return asyncio.run(servers.measure(kafka, folder, models, options.seconds, say))


def _measure_through_kafka(part: str, options: argparse.Namespace, say: Say) -> Any:
    rows, seconds = options.rows or _BACKLOG, options.seconds
    with _kafka(say) as (kafka, folder):
        if part == "backlog":
            run = through_kafka.measure_backlog_alone(kafka, folder, different_rows(), rows, say)
        elif part == "contenders":
            run = through_kafka.measure_all(kafka, folder, alike(), _ROWS, seconds, say)
        elif part == "forest":
            values = different_rows(table=options.table)
            run = through_kafka.measure_forest(kafka, folder, values, rows // 4, options.mojo, say)
        elif part == "half":
            run = half.measure(kafka, folder, different_rows(), rows, seconds, say)
        elif part == "linger":
            run = curves.measure_linger(kafka, folder, seconds, say)
        elif part == "growth":
            run = curves.measure_growth(kafka, folder, different_rows(), options.rows or curves.ROWS[-1], say)
        elif part == "swaps":
            run = curves.measure_swaps(kafka, folder, different_rows(), rows // 2, say)
        elif part == "kinds_by_hand":
            run = kinds_by_hand.measure(kafka, folder, rows, say)
        else:
            run = over_http.measure(kafka, folder, seconds, say)
        return asyncio.run(run)


def _beside_others(kept: list[Any] | None, new: list[Any]) -> list[Any]:
    """Returns new figures, and those that are kept of other kinds."""
    measured = {line.name for line in new}
    return [*(line for line in kept or () if line.name not in measured), *new]


def _beside_other_dates(kept: Machine | None, new: Machine, kinds: Sequence[str]) -> Machine:
    """Returns what a part was measured on; where only these kinds were measured anew, with what differs for them."""
    if not (kinds and kept):
        return new
    own = f"of {' and '.join(kinds)}:"
    differs = ", ".join(f"{fact} {value}" for fact, value in new.items() if kept.get(fact) != value)
    return {fact: value for fact, value in kept.items() if fact != own} | ({own: differs} if differs else {})


def _options() -> argparse.Namespace:
    """Returns what the command line says, with the parts that it means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default all: {', '.join(PARTS)}")
    rows = f"requests of the largest backlog (default {_BACKLOG:,}, of growth {curves.ROWS[-1]:,})"
    parser.add_argument("--rows", type=int, help=rows)
    parser.add_argument("--mojo", type=Path, help="a larger model for the part forest, which is left out without it")
    parser.add_argument("--table", type=Path, help="the rows of that model, a CSV")
    parser.add_argument("--old", type=Path, help="an older checkout, for the part since, which is left out without it")
    kinds_help = "of the parts python_kinds, python_by_hand and servers (default all); figures of others are kept"
    parser.add_argument("--kinds", nargs="+", choices=SCORERS, default=(), help=kinds_help)
    parser.add_argument("--seconds", type=float, default=20, help="of a steady stream (default 20)")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what is kept")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    needs = {"forest": options.mojo, "since": options.old, "servers": served.are_installed()}
    parts = options.parts = options.parts or [part for part in PARTS if needs.get(part, True)]
    if "forest" in parts and not (options.mojo and options.table):
        parser.error("the part forest needs --mojo and --table: of the columns of examples/models/gbm_50x5.zip")
    if options.kinds and not set(parts) <= set(_OF_PYTHON):
        parser.error(f"--kinds is of the parts {', '.join(_OF_PYTHON)}: name them")
    if "servers" in parts and not served.are_installed():
        parser.error("the part servers needs MLServer and BentoML: run make bench-servers")
    if "since" in parts and not options.old:
        parser.error("the part since needs --old: a checkout of the older commit")
    return options


def main() -> None:
    """Runs the benchmark and keeps its results."""
    options = _options()
    console = Console()
    kept = load()
    for part in () if options.draw else options.parts:
        console.print(f"{part}:")
        figures = _measure(part, options, lambda text: console.print(f"· {text}"))
        setattr(kept, part, _beside_others(getattr(kept, part), figures) if options.kinds else figures)
        on = machine(*PYTHONS) if part in _OF_PYTHON else machine()
        kept.measured_on[part] = _beside_other_dates(kept.measured_on.get(part), on, options.kinds)
        RESULTS.write_bytes(_KEPT.dump_json(kept, indent=2) + b"\n")
    sections = list(kept.sections())
    report.TARGET.write_text(report.page(sections))
    for _, figures in sections:
        for table in figures:
            report.show(console, table)
    console.print(f"kept in {RESULTS.relative_to(ROOT)}, and written to {report.TARGET.name}")


if __name__ == "__main__":
    main()
