"""The runs of the proofs: one JSON object a line in build/proofs.jsonl, and a page of them, build/proofs.md.

With RECORD=1 a proof appends its run and writes the page; `make proofs` sets it. Needs a clean tree, so that the commit
identifies what ran.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS, PAGE = ROOT / "build" / "proofs.jsonl", ROOT / "build" / "proofs.md"
PROMISES = ROOT / "RELIABILITY.md"
_HEAD = "| promise | proof | commit | seed | length | figures | verdict |\n|---|---|---|---:|---:|---|---|\n"


@dataclass(kw_only=True)
class Run:
    """One run of a proof; `length` counts what the proof counts (seconds, examples, swaps)."""

    proof: str
    seed: int | None
    length: float
    full_length: float
    commit: str = ""
    date: str = ""
    seconds: float = 0
    figures: dict[str, Any] = field(default_factory=dict)
    findings: int = 0
    error: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it came to its end with the expected result: in a red one, the verifier finds something."""
        return self.error is None and bool(self.findings) == self.is_red

    @property
    def is_red(self) -> bool:
        """Whether the fleet is broken on purpose."""
        return self.proof.startswith("red-")


# ---- the page


def parse(text: str) -> list[Run]:
    """Return the runs in the order in which they were recorded."""
    return [Run(**json.loads(line)) for line in text.splitlines()]


def promises(page: str) -> dict[str, list[str]]:
    """Return the promises of RELIABILITY.md's tables, by the proof (`make kills`: kills) that they name."""
    found: dict[str, list[str]] = {}
    for promise, commands in re.findall(r"^\| (.+) \| (.+) \|$", page, re.MULTILINE):
        for proof in re.findall(r"`make ([\w-]+)`", commands):
            found.setdefault(proof, []).append(promise)
    return found


def render(runs: Iterable[Run], promised: Mapping[str, list[str]]) -> str:
    """Return the page: a row for each run, and the proofs that have none."""
    runs = list(runs)
    missing = [f"`make {proof}`" for proof in promised if proof not in {_target(run) for run in runs}]
    rows = "".join(f"| {' | '.join(_cells(run, promised.get(_target(run), [])))} |\n" for run in runs)
    return f"# Proofs\n\n{_HEAD}{rows}\nWithout a run: {', '.join(missing) or 'none'}.\n"


def _target(run: Run) -> str:
    return run.proof.split()[0]


def _cells(run: Run, promised: Iterable[str]) -> list[str]:
    shown = {name: value for name, value in run.figures.items() if isinstance(value, str | int | float)}
    figures = "; ".join(
        f"{name}: {_number(value)}" for name, value in (shown | {"took, s": round(run.seconds)}).items()
    )
    seed = "-" if run.seed is None else str(run.seed)
    length = _number(run.length) + (f" of {_number(run.full_length)}" if run.length < run.full_length else "")
    broken = f"BROKEN, {run.error or f'{run.findings} findings'}"
    verdict = ("found out" if run.is_red else "holds") if run.holds else _number(broken)
    return [
        "<br>".join(promised),
        f"`make {run.proof}`",
        f"{run.commit[:7]}, {run.date}",
        seed,
        length,
        figures,
        verdict,
    ]


def _number(value: float | str) -> str:
    return value.replace("|", "\\|") if isinstance(value, str) else f"{round(value, 2):,}"


# ---- a run records itself


@contextmanager
def recorded(proof: str, *, seed: int | None, length: float, full_length: float) -> Iterator[Run]:
    """Record the block's run, if RECORD is set; the block fills in figures and findings.

    A run that ends with an error never holds, not even a red one: the verifier has found nothing. Ends the program
    before the block if the tree is not clean, and after it if the tree has changed.
    """
    run = Run(proof=proof, seed=seed, length=length, full_length=full_length)
    if not is_recording():
        yield run
        return
    run.commit, run.date, began = clean_commit(), datetime.now(UTC).date().isoformat(), time.monotonic()
    error = None
    try:
        yield run
    except Exception as raised:  # noqa: BLE001 - raised again once it is recorded
        error, run.error = raised, f"{type(raised).__name__}: {raised}".splitlines()[0]
    run.seconds = round(time.monotonic() - began, 1)
    _append(run)
    if error:
        raise error


def is_recording() -> bool:
    """Whether runs are to be recorded."""
    return bool(os.environ.get("RECORD"))


def clean_commit() -> str:
    """Return the commit of the tree; end the program if files differ from it."""
    if changes := _git("status", "--porcelain"):
        raise SystemExit(f"RECORD=1 needs a clean git tree; commit, stash or remove:\n{changes}")
    return _git("rev-parse", "HEAD").strip()


def _append(run: Run) -> None:
    if clean_commit() != run.commit:
        raise SystemExit(f"{run.proof} is not recorded: it began on {run.commit}, and another commit is checked out")
    RUNS.parent.mkdir(exist_ok=True)
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_plain(vars(run)), ensure_ascii=False) + "\n")
    of_this_commit = [kept for kept in parse(RUNS.read_text(encoding="utf-8")) if kept.commit == run.commit]
    PAGE.write_text(render(of_this_commit, promises(PROMISES.read_text(encoding="utf-8"))), encoding="utf-8")


def _plain(value: Any) -> Any:
    """Convert a value for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
