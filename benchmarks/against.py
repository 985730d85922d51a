"""The worker of another checkout beside this one's, in turns on one warm broker: it tells whether a change is slower.

    make against OLD=/path/to/another/checkout

The other one is measured twice, so that what a machine does to one and the same worker is seen too.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from statistics import median

import stream
from bench import rows
from contender import OURS, ROOT, Contender, another_model, broker, fill
from rich.console import Console
from rich.table import Table
from through_kafka import Backlog, measure_backlog

from hotswap.settings import Settings

_ROUNDS = 5
_WARM_S = 60.0
_FIGURES = (("rows/s", "rows_per_s", 0), ("CPU, µs a row", "cpu_us_per_row", 2))
_STEADY = (("p50 at 1,000/s, ms", "p50_ms", 1), ("p99 at 1,000/s, ms", "p99_ms", 1))
_SWAP = (
    ("longest gap at a swap, ms", "longest_gap_ms", 0),
    ("p99 in the 10 s around it, ms", "p99_around_ms", 1),
    ("command to first prediction, s", "first_prediction_s", 2),
)
Round = tuple[Backlog, stream.Steady, stream.Changed]


async def _measure(old: Path, count: int, seconds: float, console: Console) -> dict[str, list[Round]]:
    checkouts = {"old": old, "new": ROOT, "old again": old}
    taken: dict[str, list[Round]] = {name: [] for name in checkouts}
    values = rows()
    with tempfile.TemporaryDirectory(prefix="hotswap-against-") as name, broker() as kafka:
        folder = Path(name)
        swap = another_model(folder)
        console.print(f"· a broker, {_WARM_S:.0f} s to warm it")
        await stream.warm(kafka, folder, values, _WARM_S)
        backlog = Settings(kafka=kafka.bootstrap, deployment="backlog")
        await fill(backlog, values, count)
        for number in range(_ROUNDS):
            for which, root in checkouts.items():
                console.print(f"· {which}, {number + 1} of {_ROUNDS}")
                one = await measure_backlog(Contender(OURS, kafka, folder, backlog.topics.requests, root=root), count)
                steady = Contender(OURS, kafka, folder, root=root)
                await fill(steady.settings, [], 0)
                told, (changed,) = await stream.measure_changes(steady, values, seconds, [swap])
                taken[which].append((one, told, changed))
    return taken


def main() -> None:
    """Measures, and prints the medians with their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="another checkout of this repository")
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests of the backlog (default 1,000,000)")
    parser.add_argument("--seconds", type=float, default=10, help="of the steady stream (default 10)")
    options = parser.parse_args()
    console = Console()
    taken = asyncio.run(_measure(options.old.resolve(), options.rows, options.seconds, console))
    table = Table("", *taken, "new / old", "old again / old")
    for place, figures in enumerate((_FIGURES, _STEADY, _SWAP)):
        for label, name, digits in figures:
            found = {which: [getattr(one[place], name) for one in rounds] for which, rounds in taken.items()}
            middle = {which: median(values) for which, values in found.items()}
            cells = [f"{middle[w]:,.{digits}f} ({min(v):,.{digits}f}-{max(v):,.{digits}f})" for w, v in found.items()]
            ratios = [f"{middle[which] / middle['old']:.3f}" for which in ("new", "old again")]
            table.add_row(label, *cells, *ratios)
    console.print(table)


if __name__ == "__main__":
    main()
