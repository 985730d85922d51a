"""A CSV of a million rows through `hotswap predict`: constant memory, a complete bar, as many answers as rows."""

import asyncio
import contextlib
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.command import variables
from harness.fleet import ROOT

_GROWTH_MB = 24
"""How much the command may grow in its last three quarters: keeping a million rows would take hundreds."""

_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = re.compile(r"(\d+)/(\d+)")


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    rows: int
    seconds: float = 0.0
    rows_per_s: float = 0.0
    megabytes: list = field(default_factory=list)
    answers: int = 0
    bar: str = ""
    findings: list = field(default_factory=list)


async def run(deployment, *, seed, count, say):
    """Start a worker with the iris model, and run the real command on a file of `count` rows with a terminal."""
    figures = Figures(count)
    rows, answers = deployment.folder / "rows.csv", deployment.folder / "answers.csv"
    _write_rows(rows, count, random.Random(seed))
    await deployment.serve("iris_gbm")
    began = time.monotonic()
    code, screen = await _predict(deployment, rows, answers, figures, say)
    figures.seconds = round(time.monotonic() - began, 1)
    figures.rows_per_s = round(count / figures.seconds)
    if code:
        figures.findings.append(f"the command ended with {code}: {screen[-500:]}")
    _check_answers(answers, figures)
    _check_bar(screen, figures)
    check_memory(figures)
    if code := await deployment.stop():
        figures.findings.append(f"the worker ended with {code}: {deployment.log()[-500:]}")
    return figures


def _write_rows(path, count, chance):
    with path.open("w") as file:
        file.write("petal_width,sepal_length,sepal_width,petal_length\n")
        for _ in range(count):
            file.write(",".join(f"{chance.uniform(0.1, 7.9):.1f}" for _ in range(4)) + "\n")


async def _predict(deployment, rows, answers, figures, say):
    """Run the command with a terminal as its stderr; return the exit code, and everything sent to the terminal."""
    ours, its = os.openpty()
    screen = bytearray()

    def listen():
        with contextlib.suppress(OSError):  # EIO: the command has ended, and nobody holds the terminal open
            while heard := os.read(ours, 65_536):
                screen.extend(heard)

    with answers.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it is started at once, and ended below
            [sys.executable, "-m", "hotswap", "predict", deployment.name, str(rows)],
            env=os.environ | variables(deployment) | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=its, cwd=ROOT,
        )  # fmt: skip
    os.close(its)
    listening = asyncio.create_task(asyncio.to_thread(listen))
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration):
                figures.megabytes.append(resident_mb(process.pid))
            if len(figures.megabytes) % 20 == 0:
                say(f"{figures.megabytes[-1:]} MB; {_bars(screen.decode(errors='replace'))[-1:]}")
            await asyncio.sleep(1)
    finally:
        process.kill()
        process.wait()
        await listening
        os.close(ours)
    return process.returncode, screen.decode(errors="replace")


def resident_mb(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def _bars(screen):
    return _BAR.findall(_TERMINAL.sub("", screen))


def _check_answers(path, figures):
    with path.open() as file:
        header = next(file, "")
        if not header.startswith("row,generation,species,"):
            figures.findings.append(f"the answers begin with {header!r}")
        for line in file:
            figures.answers += 1
            number, generation, species, _ = line.split(",", 3)
            if (int(number), generation) != (figures.answers, "1") or not species:
                figures.findings.append(f"answer {figures.answers} is {line!r}")
                return
    if figures.answers != figures.rows:
        figures.findings.append(f"{figures.rows} rows have {figures.answers} answers")


def _check_bar(screen, figures):
    bars = _bars(screen)
    figures.bar = "/".join(bars[-1]) if bars else "none"
    if figures.bar != f"{figures.rows}/{figures.rows}":
        figures.findings.append(f"the bar ends at {figures.bar}")


def check_memory(figures):
    memory = figures.megabytes
    early, later = memory[: len(memory) // 4 + 1], memory[len(memory) // 4 :]
    figures.megabytes = [max(early, default=0), max(later, default=0)]
    if len(memory) >= 20 and max(later) > max(early) + _GROWTH_MB:
        figures.findings.append(f"the command grew from {max(early)} to {max(later)} MB")
