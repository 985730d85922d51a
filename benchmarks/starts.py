"""What the start of each command costs, beside another checkout's, in one run: modules and CPU.

    .venv/bin/python benchmarks/starts.py /path/to/other/checkout [ROUNDS]

Both have byte code, and this environment's packages. The CPU (user and system) is that of the whole process, the median
of ten rounds in which the two take turns. `status` and `swap` end when they first connect to Kafka.
"""

import compileall
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "worker"))

from hotswap.cli.main import _COMMANDS

ROOT = Path(__file__).parents[1]
ROUNDS = 10
NOWHERE = ["d", "--kafka", "127.0.0.1:1"]
MODEL = ["--model", str(ROOT / "examples/models/iris_gbm.zip"), "--proto", str(ROOT / "examples/protos/iris.proto")]
TYPED = "hotswap swap --"
COMPLETION = {"COMP_WORDS": TYPED, "COMP_CWORD": str(TYPED.count(" ")), "_HOTSWAP_COMPLETE": "bash_complete"}
STARTS: dict[str, tuple[list[str], dict[str, str]]] = {
    **{f"{name} --help": ([name, "--help"], {}) for name in _COMMANDS},
    f"completion of `{TYPED}`": ([], COMPLETION),
    "status, to Kafka": (["status", *NOWHERE], {}),
    "swap, to Kafka": (["swap", *NOWHERE, *MODEL], {}),
}
PLAYED = """
import os, resource, sys
def tell(event="socket.connect", _=None):
    if event == "socket.connect":
        used = resource.getrusage(resource.RUSAGE_SELF)
        os.write(2, f"\\n{len(sys.modules)} {used.ru_utime + used.ru_stime}".encode())
        os._exit(0)
sys.argv[0] = "hotswap"
sys.addaudithook(tell)
from hotswap.__main__ import main
try:
    main()
except SystemExit:
    pass
tell()
"""


def play(worker: Path, words: list[str], variables: dict[str, str]) -> tuple[int, float]:
    """Start a command of a checkout; return the number of its modules, and its CPU in seconds."""
    done = subprocess.run(
        [sys.executable, "-c", PLAYED, *words],
        env={**os.environ, **variables, "PYTHONPATH": str(worker)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    modules, cpu_s = done.stderr.decode().splitlines()[-1].split()
    return int(modules), float(cpu_s)


def main(other: str, rounds: int = ROUNDS) -> None:
    """Play all starts of both checkouts, and print a table."""
    workers = {"before": Path(other).resolve() / "worker", "now": ROOT / "worker"}
    for worker in workers.values():
        compileall.compile_dir(worker, quiet=2)
    head = "| start | modules before | now | CPU before, ms | now | now / before |"
    sys.stdout.write(f"{head}\n|{'---|' * head.count(' | ')}---|\n")
    for title, start in STARTS.items():
        took: dict[str, list[float]] = defaultdict(list)
        modules = {}
        for _ in range(rounds):
            for which, worker in workers.items():
                modules[which], cpu_s = play(worker, *start)
                took[which].append(cpu_s)
        before, now = (statistics.median(took[which]) * 1000 for which in workers)
        cells = title, modules["before"], modules["now"], f"{before:.0f}", f"{now:.0f}", f"{now / before:.2f}"
        sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
