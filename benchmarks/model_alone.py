"""CPU microseconds a row of a MOJO with nothing around it: what no worker that uses it can go below.

python benchmarks/model_alone.py MOJO
"""

import sys
import time
from pathlib import Path

import jpype
import numpy as np

from worker.codec.values import Table
from worker.generation import Configuration
from worker.jvm import fetch_jars, find_java
from worker.runtimes.h2o import load

ROWS, WARM, TIMES = 2_000, 200, 100


def main() -> None:
    """Prints the figure."""
    jars = [str(jar) for jar in fetch_jars("h2o-genmodel")]
    options = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xrs")
    jpype.startJVM(*options, jvmpath=str(find_java().library), classpath=jars, convertStrings=False)
    model = load(Path(sys.argv[1]), Configuration())
    random = np.random.default_rng(1)
    levels = [len(column.categories or ()) for column in model.columns]
    rows = np.column_stack(
        [random.integers(0, count, ROWS) if count else random.normal(size=ROWS) for count in levels]
    ).astype(np.float64)
    table = Table(rows)
    for _ in range(WARM):
        model.score(table)
    before = time.process_time()
    for _ in range(TIMES):
        model.score(table)
    sys.stdout.write(f"{(time.process_time() - before) / ROWS / TIMES * 1e6}\n")


if __name__ == "__main__":
    main()
