"""The runs of the proofs, one JSON object a line in docs/proofs.jsonl, and RELIABILITY.md's table of the newest.

RECORD=1 make kills                          appends the run; needs a clean tree, so that the commit identifies what ran
python tests/harness/proofs.py [--check]     writes the table, or exits with 1 if it is stale
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS, TABLE = ROOT / "docs" / "proofs.jsonl", ROOT / "RELIABILITY.md"
BEGIN, END = "<!-- proofs: made by `make docs` -->\n", "<!-- /proofs -->\n"
_HEAD = "| proof | commit | seed | length | figures | verdict |\n|---|---|---|---:|---|---|\n"


@dataclass(kw_only=True)
class Run:
    """One run of a proof; `length` counts what the proof counts (seconds, examples, swaps).

    Runs from before this file existed have None for what is unknown, and in `written` the commit that wrote
    them into RELIABILITY.md by hand.
    """

    proof: str
    seed: int | None
    length: float | None
    full_length: float | None
    commit: str | None = None
    date: str | None = None
    seconds: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    findings: int | None = 0
    error: str | None = None
    written: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether the run had the proof's full length."""
        return self.length is None or self.full_length is None or self.length >= self.full_length

    @property
    def holds(self) -> bool:
        """Whether it came to its end with the expected result: in a red one, the verifier finds something."""
        return self.error is None and (self.findings is None or bool(self.findings) == self.is_red)

    @property
    def is_red(self) -> bool:
        """Whether the fleet is broken on purpose."""
        return self.proof.startswith("red-")


# ---- the table


def parse(text: str) -> list[Run]:
    """Return the runs in the order in which they were recorded."""
    return [Run(**json.loads(line)) for line in text.splitlines()]


def newest_full(runs: Iterable[Run]) -> list[Run]:
    """Return the last full-length run of each proof, in the order of the proofs' first runs."""
    newest: dict[str, Run] = {}
    for run in runs:
        if run.is_full:
            newest[run.proof] = run
    return list(newest.values())


def render(runs: Iterable[Run]) -> str:
    """Return a Markdown table with a row for each run."""
    return _HEAD + "".join(f"| {' | '.join(_cells(run))} |\n" for run in runs)


def _cells(run: Run) -> list[str]:
    shown = {name: value for name, value in run.figures.items() if isinstance(value, str | int | float)}
    if run.seconds is not None:
        shown["took, s"] = round(run.seconds)
    commit = f"{run.commit[:7]}, {run.date}" if run.commit else f"unknown, written down in {run.written}"
    broken = f"BROKEN, {run.error or f'{run.findings} findings'}"
    verdict = ("found out" if run.is_red else "holds") if run.holds else _number(broken)
    figures = "; ".join(f"{name}: {_number(value)}" for name, value in shown.items())
    seed = "-" if run.seed is None else str(run.seed)
    length = "unknown" if run.length is None else _number(run.length)
    return [f"`make {run.proof}`", commit, seed, length, figures, verdict]


def _number(value: float | str) -> str:
    return value.replace("|", "\\|") if isinstance(value, str) else f"{round(value, 2):,}"


def with_table(document: str, table: str) -> str:
    """Return the document with the table between its markers replaced."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


# ---- a run records itself


@contextmanager
def recorded(proof: str, *, seed: int | None, length: float, full_length: float) -> Iterator[Run]:
    """Append the block's run to docs/proofs.jsonl, if RECORD is set; the block fills in figures and findings.

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
    """Return the commit of the tree, which may differ in the records only; otherwise end the program."""
    if changes := _git("status", "--porcelain", "--", ".", ":!docs/proofs.jsonl", ":!RELIABILITY.md"):
        raise SystemExit(f"RECORD=1 needs a clean git tree; commit, stash or remove:\n{changes}")
    return _git("rev-parse", "HEAD").strip()


def _append(run: Run) -> None:
    if clean_commit() != run.commit:
        raise SystemExit(f"{run.proof} is not recorded: it began on {run.commit}, and another commit is checked out")
    told = {name: value for name, value in vars(run).items() if name != "written"}
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_plain(told), ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    """Convert a value for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main(words: list[str]) -> int:
    """Write the table, or say that it is stale."""
    now = TABLE.read_text(encoding="utf-8")
    right = with_table(now, render(newest_full(parse(RUNS.read_text(encoding="utf-8")))))
    if words == ["--check"]:
        if now != right:
            sys.stderr.write("RELIABILITY.md's table is not what docs/proofs.jsonl says: run make docs\n")
        return int(now != right)
    TABLE.write_text(right, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
