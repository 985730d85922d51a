"""Bad swaps of every kind, one by one: each gets its code, and the old generation answers all requests."""

import contextlib
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from faults.bad_commands import FIRST, KINDS, BadCommands
from faults.contract import ControlPlane
from faults.steady import Steady
from faults.storm_commands import Commands
from harness.audit import generation

_WORKERS = ("w1", "w2")
_REQUESTS_PER_S = 200
_ANSWER_S = 60
_SPARE_DESCRIPTORS = 8
_PROCESSES = 2
"""The model host and the fetching process."""


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    seed: int
    codes: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_s: dict = field(default_factory=dict)
    asked: int = 0
    before: dict = field(default_factory=dict)
    after: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)


async def run(deployment, *, seed, count, say):
    """Let two workers serve, send `count` bad swaps under a stream, and await each worker's answer to each."""
    figures, chance = Figures(seed), random.Random(seed)
    say(f"bad swaps: seed {seed}, {count} of them")
    with tempfile.TemporaryDirectory(prefix="bad-", dir=deployment.folder) as folder:
        commands = Commands(deployment.name, chance)
        bad = BadCommands(deployment=deployment.name, commands=commands, folder=Path(folder), chance=chance)
        async with ControlPlane(deployment) as plane, contextlib.AsyncExitStack() as exits:
            exits.callback(bad.close)
            await _start(deployment, plane, bad, figures)
            async with Steady(deployment, per_second=_REQUESTS_PER_S) as requests:
                began = time.monotonic()
                await _send(deployment, plane, bad, figures, count - 1, say)
                figures.seconds = round(time.monotonic() - began, 1)
                so_far = requests.acknowledged
                await plane.until(lambda: requests.acknowledged > so_far + _REQUESTS_PER_S, _ANSWER_S)
            await _check_requests(deployment, figures)
            await _check_workers(deployment, plane, figures)
    for worker in _WORKERS:
        if code := await deployment.stop(worker):
            figures.findings.append(f"{worker} ended with {code}: {deployment.log(worker)[-500:]}")
    say(f"{figures}")
    return figures


async def _start(deployment, plane, bad, figures):
    """Publish what only a deployment without a generation refuses; then the good swap that must continue to serve."""
    for worker in _WORKERS:
        deployment.start(worker, HOTSWAP_ALLOWED_STORES=bad.stores)
    assert await plane.until(lambda: len(plane.workers) == len(_WORKERS), _ANSWER_S), deployment.log()[-2_000:]
    for kind in FIRST:
        await _one(plane, bad, figures, kind)
    await plane.publish([(None, bad.first().SerializeToString())])
    ready = await plane.until(lambda: all(plane.workers[name].generation == 1 for name in _WORKERS), _ANSWER_S)
    assert ready, deployment.log()[-2_000:]


async def _send(deployment, plane, bad, figures, count, say):
    order = []
    for number in range(1, count + 1):
        order = order or bad.round()
        await _one(plane, bad, figures, order.pop(0))
        if number == min(count // 2, len(KINDS)):
            figures.before = _footprint(deployment)
        if number % 50 == 0:
            say(f"{number} bad swaps, {len(figures.findings)} findings")


async def _one(plane, bad, figures, kind):
    """Publish one bad swap, and compare each worker's outcome with the right one."""
    command, right = bad.make(kind)
    wanted = command.command_id, getattr(command, command.WhichOneof("kind")).generation
    marks = {worker: len(plane.said[worker]) for worker in _WORKERS}
    answers = {}

    def are_given():
        for worker in _WORKERS:
            for verdict in plane.said[worker][marks[worker] :]:
                if verdict[:2] == wanted and verdict.outcome != "STAGING":
                    answers.setdefault(worker, verdict[2:])
        return len(answers) == len(_WORKERS)

    began = time.monotonic()
    await plane.publish([(None, command.SerializeToString())])
    await plane.until(are_given, _ANSWER_S)
    figures.slowest_s[kind] = max(figures.slowest_s.get(kind, 0), round(time.monotonic() - began, 2))
    figures.codes[(KINDS | FIRST)[kind]] += 1
    for worker in _WORKERS:
        if (said := answers.get(worker)) != right:
            figures.findings.append(f"{kind}: {worker} says {said}, and right is {right}")


async def _check_requests(deployment, figures):
    await deployment.drained()
    audit = await deployment.audit()
    figures.asked = audit.asked
    if audit.faults:
        figures.findings.append(f"requests: { ({name: len(found) for name, found in audit.faults.items()}) }")
    if others := Counter(map(generation, audit.predictions + audit.dead_letters)) - Counter({1: audit.asked}):
        figures.findings.append(f"requests were answered by other generations than the first: {dict(others)}")
    if audit.dead_letters:
        figures.findings.append(f"{len(audit.dead_letters)} good requests were refused")


async def _check_workers(deployment, plane, figures):
    """Check that each worker has the old generation only, and that no other has left anything behind."""
    await plane.until(lambda: all(tuple(plane.workers[name].loaded) == (1,) for name in _WORKERS), _ANSWER_S)
    await plane.until(lambda: all(held["processes"] == _PROCESSES for held in _footprint(deployment).values()), 5)
    figures.after = _footprint(deployment)
    for name in _WORKERS:
        status, was, now = plane.workers[name], figures.before[name], figures.after[name]
        if (status.generation, tuple(status.loaded)) != (1, (1,)):
            figures.findings.append(f"{name} serves {status.generation} and has loaded {list(status.loaded)}")
        if now["processes"] != _PROCESSES or now["folders"]:
            figures.findings.append(f"{name} is left with {now}: {_PROCESSES} processes and no folder were right")
        if now["descriptors"] > was["descriptors"] + _SPARE_DESCRIPTORS or now["threads"] > was["threads"] + 2:
            figures.findings.append(f"{name} grew from {was} to {now}")
    cache = deployment.folder / "cache" / "artifacts"
    if not await plane.until(lambda: not list(cache.glob(".*")), 5):
        figures.findings.append(f"the cache is left with {[path.name for path in cache.glob('.*')]}")


def _footprint(deployment):
    """Count each worker's child processes, open descriptors, threads, host folders, and resident memory in MB."""
    return {name: _holds(deployment.workers[name].pid) for name in _WORKERS}


def _holds(pid):
    process = Path(f"/proc/{pid}")
    return {
        "processes": len((process / "task" / str(pid) / "children").read_text().split()),
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
        "folders": [path.name for path in Path(tempfile.gettempdir()).glob(f"hotswap-host-{pid}-*")],
        "resident_mb": int((process / "statm").read_text().split()[1]) * 4_096 // 1_000_000,
    }
