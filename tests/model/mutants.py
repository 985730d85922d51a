"""Breaks the real code in one place at a time and shows that the model finds each: `python tests/model/mutants.py`.

Each mutant is applied to a copy of worker/ and tests/, where the model runs with a bounded number of examples; red is
what is wanted; the code as it is must pass the same trial. A table says by which promise each was caught; a mutant that
survives ends it with exit code 1. Words of the command line choose the mutants whose names contain one of them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
EXAMPLES = "4000"
AT_ONCE = 2
BOUND_S = 1_800


class Mutant(NamedTuple):
    """A defect: the text of `file` that is replaced (it occurs there once), and the promise that this breaks."""

    name: str
    file: str
    old: str
    new: str
    breaks: str


SWAP, PIPELINE, STAGING = "worker/hotswap/swap.py", "worker/hotswap/pipeline/loop.py", "worker/hotswap/staging.py"
PARTITION, MEMBERSHIP, CONNECTION = (
    "worker/hotswap/kafka/partition.py",
    "worker/hotswap/kafka/membership.py",
    "worker/hotswap/kafka/connection.py",
)

MUTANTS = [
    Mutant(
        "a stale generation is accepted",
        SWAP,
        "if command.generation <= self.newest:",
        "if command.generation < 0:",
        "I8",
    ),
    Mutant("ids may be used again", SWAP, "if command_id in self._seen:", "if not command_id:", "I7"),
    Mutant(
        "parts are inherited from what is ready here",
        SWAP,
        "self._base(command.base or self.newest)",
        "self._base(command.base or max((n for n in self.swaps if self.swaps[n].state is State.READY), default=1))",
        "I2, I9",
    ),
    Mutant("an expired command is accepted", SWAP, "timestamp_ms > command.not_after_ms", "timestamp_ms < 0", "I9"),
    Mutant(
        "a rollback keeps the old number",
        SWAP,
        "replace(old, number=command.generation)",
        "old",
        "I2",
    ),
    Mutant(
        "a partition goes back behind its floor",
        SWAP,
        "if swap.number < position.floor:\n                break\n            if swap.state is State.",
        "if swap.number < 0:\n                break\n            if swap.state is State.",
        "I3",
    ),
    Mutant("a cut is one too late", SWAP, "return offset >= self.cut", "return offset > self.cut", "I4"),
    Mutant(
        "a batch goes over the next cut",
        SWAP,
        "return Serve(swap.number, until)",
        "return Serve(swap.number, None)",
        "I4",
    ),
    Mutant(
        "behind a cut the old generation goes on",
        SWAP,
        "if partition in swap.cut:",
        "if partition in ():",
        "I4",
    ),
    Mutant(
        "a cut of an empty partition is at once",
        SWAP,
        "if partition in swap.cut:",
        "if swap.cut.get(partition, 0) > 0:",
        "I4",
    ),
    Mutant(
        "a failed generation is waited for",
        SWAP,
        "if swap.state is State.FAILED and swap.number != position.floor:",
        "if swap.number < 0:",
        "I5",
    ),
    Mutant("a pause is not heard", SWAP, "if self.is_paused:", "if not self.swaps:", "the pause"),
    Mutant(
        "a generation is let go while it scores",
        SWAP,
        "set(self.needed(positions)) | set(in_hand)",
        "set(self.needed(positions))",
        "I11",
    ),
    Mutant(
        "only the newest generation is staged",
        SWAP,
        "return sorted(set(wanted) | ahead | newest)",
        "return sorted(newest)",
        "every request is answered",
    ),
    Mutant(
        "the pipeline takes more than its decision",
        PIPELINE,
        ".max_batch_records, choice.until)",
        ".max_batch_records, None)",
        "I4",
    ),
    Mutant(
        "a batch in a looping model is never given up",
        PIPELINE,
        "            self._task.cancel()\n",
        "            pass\n",
        "the newer generation is served",
    ),
    Mutant(
        "a batch that was given up ends its partition",
        PIPELINE,
        "if not self._is_overtaken or self._task.uncancel():",
        "if self._is_overtaken:",
        "every request is answered",
    ),
    Mutant(
        "a pause leaves a looping model its batch",
        SWAP,
        "return self.is_paused or (",
        "return not self.is_paused and (",
        "the pause",
    ),
    Mutant(
        "the floor is forgotten",
        PIPELINE,
        "Position(offset, self.state.position.floor)",
        "Position(offset, 0)",
        "I3",
    ),
    Mutant(
        "the last request of a batch is scored again",
        PIPELINE,
        "Position(batch[-1].offset + 1, choice.number)",
        "Position(batch[-1].offset, choice.number)",
        "I1, I11",
    ),
    Mutant(
        "every batch announces a cut-over",
        PIPELINE,
        "first = at.offset if is_cut_over else None",
        "first = at.offset",
        "I4",
    ),
    Mutant(
        "a doubtful producer is kept",
        PIPELINE,
        "                await self._source.close()\n",
        "                pass\n",
        "I1",
    ),
    Mutant(
        "refused requests are forgotten",
        PIPELINE,
        "dead_letters.append(dead_letter(request, refusal, own, ours, self._limits.dead_letter))",
        "del refusal, own, ours",
        "I1",
    ),
    Mutant(
        "refusals come first",
        PIPELINE,
        "return [ask if isinstance(ask, Refusal) else next(rest) for ask in asks]",
        "return [*(ask for ask in asks if isinstance(ask, Refusal)), *rest]",
        "I1, I2",
    ),
    Mutant(
        "markers keep a partition before its cut",
        PIPELINE,
        "choice.until <= at.offset:",
        "choice.until < 0:",
        "I10",
    ),
    Mutant(
        "a revoked loop is waited for, whatever it does",
        "worker/hotswap/pipeline/partitions.py",
        "                task.cancel()\n",
        "                pass\n",
        "every request is answered",
    ),
    Mutant(
        "the offset is read before the fence",
        PARTITION,
        "        self._producer = self._new_producer()\n",
        "        position = await self._position()\n        self._position = lambda: asyncio.sleep(0, position)\n"
        "        self._producer = self._new_producer()\n",
        "I1",
    ),
    Mutant(
        "one transactional id per worker",
        PARTITION,
        'f"{settings.group_id}-{self._topics.requests}-{self._partition}"',
        'f"{settings.group_id}-{settings.worker_id}-{self._partition}"',
        "I1",
    ),
    Mutant(
        "no look at what became of the records",
        PARTITION,
        "                await produced\n",
        "                pass\n",
        "I1",
    ),
    Mutant(
        "what lost its marker stays open",
        PARTITION,
        "            await self._end_what_is_open()\n",
        "            pass\n",
        "I1",
    ),
    Mutant(
        "the answers are no witness",
        PARTITION,
        "if last and last.offset >= position.offset:",
        "if not last and last:",
        "I1",
    ),
    Mutant(
        "a coordinator that loads means nothing is committed",
        CONNECTION,
        "if missing := [key.partition for key in asked if key not in answer]:",
        'answer = dict.fromkeys(asked, type("Never", (), {"offset": -1, "metadata": ""})) | answer\n'
        "        if missing := []:",
        "I1",
    ),
    Mutant("an answer from before a seek counts", MEMBERSHIP, "if turn != self._turn:", "if turn < 0:", "I1"),
    Mutant(
        "a partition stays paused when it is opened again",
        MEMBERSHIP,
        "        inbox.open(offset)\n        self._fetch_on(inbox)\n",
        "        inbox.open(offset)\n",
        "every request is answered",
    ),
]


def main(words):
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        as_it_is = pool.submit(_trial, None)
        survivors = [mutant.name for mutant, caught in zip(chosen, pool.map(_hunt, chosen), strict=True) if not caught]
    _say(f"{len(chosen) - len(survivors)} of {len(chosen)} caught in {time.monotonic() - started:.0f} s")
    for name in survivors:
        _say(f"SURVIVED: {name}")
    if red := as_it_is.result():
        _say(f"The code as it is does not pass either ({red}), so this means nothing.")
    return 1 if survivors or red else 0


def _hunt(mutant):
    started = time.monotonic()
    by = _trial(mutant)
    caught = f"caught in {time.monotonic() - started:3.0f} s by {by}" if by else "SURVIVED"
    _say(f"{mutant.name:52} ({mutant.breaks}) {caught}")
    return by


def _trial(mutant):
    with tempfile.TemporaryDirectory(prefix="hotswap-mutant-") as folder:
        copy = Path(folder)
        _copy_to(copy)
        if mutant:
            path = copy / mutant.file
            path.write_text(mutated(mutant, path.read_text()))
        return _run(copy)


def mutated(mutant, text):
    """The text with the defect in it."""
    if text.count(mutant.old) != 1:
        raise SystemExit(f"mutant {mutant.name!r}: its text occurs {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def _copy_to(folder):
    for name in ("worker", "tests/fakes", "tests/harness", "tests/model", "tests/conftest.py", "pyproject.toml"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _run(folder):
    """The broken promise that the model names; None where it finds nothing."""
    environment = os.environ | {
        "HOTSWAP_MODEL_HUNT": "1",
        "HOTSWAP_MODEL_EXAMPLES": EXAMPLES,
        "PYTHONPATH": str(folder / "worker"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/model/test_protocol.py"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return None
    found = re.search(r"^E +(?:AssertionError|[\w.]*Error): *(.*)$", done.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f"the model did not run:\n{done.stdout}{done.stderr}")
    return found[1].split(":")[0][:70]


def _say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
