"""Breaks the real code in one place at a time and shows that each is found: `python -m model.mutants`, in tests/.

Each mutant is applied to a copy of worker/ and tests/, where the model runs with a bounded number of examples, or the
tests of the agenda's rules, or of who may command; red is what is wanted; the code as it is must pass the same trial. A
table says by which promise, or which test, each was caught; a mutant that survives ends it with exit code 1. Words of
the command line choose the mutants whose names contain one of them.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from harness.proofs import recorded
from model.agenda_defects import RULES
from model.defects import DEFECTS, Mutant
from model.promotion_defects import PROMOTIONS
from model.rebalance_defects import REBALANCES
from model.record_defects import BATCHES
from model.transaction_defects import SENDING
from model.trust_defects import TRUSTS
from model.version_defects import VERSIONS

ROOT = Path(__file__).parents[2]
EXAMPLES = "4000"
AT_ONCE = 2
MUTANTS = [*DEFECTS, *SENDING, *BATCHES, *REBALANCES, *RULES, *TRUSTS, *VERSIONS, *PROMOTIONS]
EVERY = tuple({test: None for mutant in MUTANTS for test in mutant.found_by})
BOUND_S = 1_800


def main(words: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    with recorded("mutants", seed=0, length=len(chosen), full_length=len(MUTANTS)) as run:
        survivors, red = _hunt_all(chosen)
        run.figures = {"caught": len(chosen) - len(survivors), "examples for each": int(EXAMPLES)}
        run.findings = len(survivors) + bool(red)
    return 1 if survivors or red else 0


def _hunt_all(chosen: Sequence[Mutant]) -> tuple[list[str], str | None]:
    """The names of the mutants that survive, and the broken promise where the code as it is does not pass."""
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        as_it_is = pool.submit(_trial, None)
        survivors = [mutant.name for mutant, caught in zip(chosen, pool.map(_hunt, chosen), strict=True) if not caught]
    _say(f"{len(chosen) - len(survivors)} of {len(chosen)} caught in {time.monotonic() - started:.0f} s")
    for name in survivors:
        _say(f"SURVIVED: {name}")
    if red := as_it_is.result():
        _say(f"The code as it is does not pass either ({red}), so this means nothing.")
    return survivors, red


def _hunt(mutant: Mutant) -> str | None:
    started = time.monotonic()
    by = _trial(mutant)
    caught = f"caught in {time.monotonic() - started:3.0f} s by {by}" if by else "SURVIVED"
    _say(f"{mutant.name:52} ({mutant.breaks}) {caught}")
    return by


def _trial(mutant: Mutant | None) -> str | None:
    with tempfile.TemporaryDirectory(prefix="hotswap-mutant-") as folder:
        copy = Path(folder)
        _copy_to(copy)
        if mutant:
            path = copy / path_of(mutant)
            path.write_text(mutated(mutant, path.read_text()))
        return _run(copy, mutant.found_by if mutant else EVERY)


def path_of(mutant: Mutant) -> str:
    """The file that gets the defect, as seen from the root."""
    return f"worker/{mutant.place.partition(':')[0].replace('.', '/')}.py"


def mutated(mutant: Mutant, text: str) -> str:
    """The code of the module with the defect in it. Raises SystemExit unless it has exactly one place for it."""
    tree, old, new = ast.parse(text), ast.parse(mutant.old).body, ast.parse(mutant.new).body
    found = [place for function in _functions(tree, mutant) for place in _places(function, *_inner(old, new))]
    if len(found) != 1:
        raise SystemExit(f"mutant {mutant.name!r}: {mutant.place} has its code {len(found)} times: {mutant.old}")
    (put,) = found
    put()
    return ast.unparse(ast.fix_missing_locations(tree))


def _functions(tree: ast.AST, mutant: Mutant) -> list[ast.AST]:
    found = [tree]
    for name in mutant.place.partition(":")[2].split("."):
        found = [node for one in found for node in ast.iter_child_nodes(one) if getattr(node, "name", "") == name]
    return found


def _inner(old: Sequence[ast.AST], new: Sequence[ast.AST]) -> tuple[Sequence[ast.AST], Sequence[ast.AST]]:
    """The expressions, where one replaces another: they need not be statements."""
    match old, new:
        case [ast.Expr(before)], [ast.Expr(after)]:
            return [before], [after]
    return old, new


def _places(function: ast.AST, old: Sequence[ast.AST], new: Sequence[ast.AST]) -> Iterator[Callable[[], None]]:
    """What puts `new` in the place of `old`, for each of its places in a function."""
    wanted = [_shape(node) for node in old]
    for node in ast.walk(function):
        for field, value in ast.iter_fields(node):
            if not isinstance(value, list):
                if [_shape(value)] == wanted:
                    yield partial(setattr, node, field, new[0])
                continue
            shapes = [_shape(one) for one in value]
            for at in range(len(value)):
                if shapes[at : at + len(old)] == wanted:
                    yield partial(value.__setitem__, slice(at, at + len(old)), new)


def _shape(node: object) -> str:
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)


def _copy_to(folder: Path) -> None:
    for name in (
        "worker",
        "tests/fakes",
        "tests/faults/raw_batches.py",
        "tests/harness",
        "tests/model",
        "tests/unit",
        "tests/conftest.py",
        "pyproject.toml",
    ):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _run(folder: Path, tests: Sequence[str]) -> str | None:
    """The broken promise that the model names, or the test that failed; None where nothing is found."""
    environment = os.environ | {
        "RECORD": "",
        "HOTSWAP_MODEL_HUNT": "1",
        "HOTSWAP_MODEL_EXAMPLES": EXAMPLES,
        "PYTHONPATH": str(folder / "worker"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return None
    promise = re.search(r"^E +AssertionError: *([^:\n]*)", done.stdout, re.MULTILINE)
    test = re.search(r"^FAILED .*::(\w+)", done.stdout, re.MULTILINE)
    if not test:
        raise SystemExit(f"the tests did not run:\n{done.stdout}{done.stderr}")
    return (promise if promise and "test_protocol" in test[0] else test)[1][:70]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
