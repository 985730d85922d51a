"""A fleet is upgraded from another commit's worker to this checkout's, one by one, and back, under load and swaps."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from hashlib import sha256
from itertools import cycle
from pathlib import Path

from faults.arena import MODELS, Terms
from faults.arena import run as run_scenario
from faults.scenarios import Scenario
from harness.command import variables
from harness.fleet import EXAMPLES, ROOT

BEGAN_WITH = "783c6f7"
"""The commit before there was a proof of upgrades."""
SECONDS = 180
OURS = Path(sys.executable)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotswap" / "installed"
_MIXED = 4  # times that two versions are side by side, one and two of three, on the way up and down
_STANDS_S = 30


async def run(folder, *, old, seed, seconds, say):
    """Play it from `old`, a commit or a checkout's folder; return the findings and the figures."""
    python = await asyncio.to_thread(installed, old, say)
    scenario = Scenario(
        name="upgrade",
        promise=f"workers of {old} are replaced by this checkout's one by one, and back: nothing lost, nothing twice",
        play=partial(_there_and_back, old=python),
        terms=Terms(partitions=6, workers=3, python=python, is_mixed=True),
    )
    arena = await run_scenario(scenario, seed=seed, seconds=seconds, folder=folder, say=say)
    return arena.findings, {"from": str(old), **arena.figures}


async def _there_and_back(arena, seconds, old):
    swaps = _Swaps(arena, old)
    arena.figures["mixed for, s"] = 0.0
    for way, python, before in (("to this checkout's", OURS, swaps.by_old), ("back", old, swaps.by_new)):
        await before()  # a fleet of one version, and its own client
        arena.verifier.longest_gaps.clear()
        for number, worker in enumerate(list(arena.workers), start=1):
            await _replace(arena, worker, python)
            began = time.monotonic()
            while number < arena.terms.workers and time.monotonic() - began < seconds * 2 / 3 / _MIXED:
                await swaps.next()
            if number < arena.terms.workers:
                await _both_see_the_fleet(arena, old)
                arena.figures["mixed for, s"] += time.monotonic() - began
        gap = max(arena.verifier.longest_gaps.values(), default=0.0)
        arena.figures[f"longest gap {way}, s"] = round(gap, 2)
        arena.say(f"{way}: done, the longest gap of a partition was {gap:.2f} s")
        await swaps.next()
        await swaps.next()
        assert gap <= _STANDS_S, f"a partition stood still for {gap:.1f} s"
    arena.figures["mixed for, s"] = round(arena.figures["mixed for, s"])
    arena.figures |= {f"swaps by {whose} clients": count for whose, count in swaps.done.items()}


async def _replace(arena, worker, python):
    """Stop a worker, and start one of that installation in its place, as an orchestrator does."""
    process = arena.deployment.workers[worker]
    arena.signal(worker, signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 20)
    assert code == 0, f"{worker} ended with {code}: {arena.deployment.log(worker)[-500:]}"
    name = arena.join(python=python)
    await arena.is_serving(name)
    arena.say(f"{name}, of {'this checkout' if python == OURS else 'the other version'}, took the place of {worker}")


class _Swaps:
    """Swaps to one model and the other, each followed to its end, by clients of both versions in turns."""

    def __init__(self, arena, old):
        self._arena, self._old = arena, old
        self._turns = cycle((self.by_old, self.by_new))
        self._models = cycle(MODELS)
        self.done = Counter()

    async def next(self):
        await next(self._turns)()

    async def by_new(self):
        receipt = await self._arena.swap()
        answer = await self._arena.client.await_swap(receipt)
        assert answer.is_good, f"generation {receipt.generation}, swapped by a client of this checkout: {answer}"
        self.done["new"] += 1

    async def by_old(self):
        model = EXAMPLES / "models" / f"{next(self._models)}.zip"
        await _command_line(self._arena, self._old, "swap", "--model", model, "--json")
        self.done["old"] += 1


async def _both_see_the_fleet(arena, old):
    """What workers of both versions report, clients of both can read."""
    for python in (old, OURS):
        (told,) = json.loads(await _command_line(arena, python, "status", "--json"))
        live = {worker["worker"] for worker in told["workers"] if worker["is_live"]}
        assert (live, told["problems"]) == (set(arena.workers), []), told


async def _command_line(arena, python, command, *words):
    name = arena.deployment.name
    done = await asyncio.to_thread(
        subprocess.run, [python, "-m", "hotswap", command, name, *words], env=_alone() | variables(arena.deployment),
        cwd=arena.folder, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}, by {python}: {done.stderr.decode()[-1_000:]}"
    return done.stdout


# ---- the other version


def installed(old, say):
    """Return the Python of an environment with the wheel of a commit, or of a checkout, and with what its lock says."""
    with tempfile.TemporaryDirectory(prefix="hotswap-old-") as temporary:
        source = Path(old).absolute() if Path(old).is_dir() else _source(old, Path(temporary) / "source")
        _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", temporary, cwd=source)
        (wheel,) = Path(temporary).glob("*.whl")
        lock = source / "requirements.lock"
        folder = _CACHE / sha256(wheel.read_bytes() + lock.read_bytes()).hexdigest()[:16]
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            say(f"installing {wheel.name} of {old} into {folder}, which takes a minute and is done once")
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", folder)
            pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
            _run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock)
            _run(*pip, "--no-index", wheel)
            (folder / "complete").touch()
    where = Path(_run(python, "-c", "import hotswap; print(hotswap.__file__)", cwd=folder).strip())
    assert where.is_relative_to(folder), f"{python} does not import the other version, but {where}"
    return python


def _source(commit, folder):
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    _run("git", "archive", "--output", archive, commit, cwd=ROOT)
    shutil.unpack_archive(archive, folder)
    return folder


def _alone():
    """The environment without what would lead another Python to this checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _run(*command, cwd=None):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=_alone(), capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[:5]}: {done.stderr[-2_000:]}"
    return done.stdout
