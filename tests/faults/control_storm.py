"""A storm of control commands, most of them bad: every worker must reach the state of a pure replay of the log."""

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from faults.contract import ControlPlane, read_log
from faults.fold import Command, Verdict, replay
from faults.steady import Steady
from faults.storm_commands import Storm, can_load, serving
from harness.audit import generation
from harness.fleet import EXAMPLES
from hotswap.commands import BadCommand, command_for
from hotswap.errors import SwapError
from hotswap.swap.timeline import Timeline

_SETTLE_S = 120
_REQUESTS_PER_S = 200
_LARGEST_BURST = 300
_QUIET_S = 10.0
"""The longest duration of every fifth pause of the storm: until a generation serves."""
_STORES = EXAMPLES.as_uri()
_WORKERS = ("w1", "w2", "w3")
_TOLD_BY_THE_LOG = ("REFUSED", "APPLIED", "DUPLICATE")
_ENDS = ("SERVING", "RETIRED", "FAILED", "SUPERSEDED")
_SHOWN = 3


@dataclass
class Figures:
    """The results of a storm; `findings` is empty if every promise was kept."""

    seed: int
    sent: Counter = field(default_factory=Counter)
    verdicts: Counter = field(default_factory=Counter)
    accepted: int = 0
    served: int = 0
    asked: int = 0
    storm_s: float = 0.0
    settle_s: float = 0.0
    join_s: float = 0.0
    status_records: int = 0
    status_mb: float = 0.0
    resident_mb: dict = field(default_factory=dict)
    cpu_s: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)


async def run(deployment, *, seed, count, say):
    """Send `count` commands to three workers under a stream; one is restarted half-way, one joins at the end."""
    figures, storm = Figures(seed), Storm(seed=seed, deployment=deployment.name)
    say(f"control storm: seed {seed}, {count} commands")
    async with ControlPlane(deployment) as plane, Steady(deployment, per_second=_REQUESTS_PER_S) as requests:
        for worker in _WORKERS:
            deployment.start(worker, HOTSWAP_ALLOWED_STORES=_STORES)
        await _send(plane, storm.prologue(), figures)
        first = await plane.until(lambda: all(_serves(plane, worker, 1) for worker in _WORKERS), _SETTLE_S)
        assert first, deployment.log()[-2_000:]
        began = time.monotonic()
        await _blow(deployment, plane, storm, requests, figures, count)
        figures.storm_s = time.monotonic() - began
        say(f"sent {figures.sent.total()} commands in {figures.storm_s:.1f} s: {dict(figures.sent.most_common())}")
        log = await read_log(deployment)
        fold = replay(deployment.name, log)
        figures.settle_s = await _settle(deployment, plane, fold, _WORKERS, figures)
        deployment.start("w4", HOTSWAP_ALLOWED_STORES=_STORES)
        figures.join_s = await _settle(deployment, plane, fold, ("w4",), figures)
        say(f"as the log says after {figures.settle_s:.1f} s, a new worker after {figures.join_s:.1f} s")
        figures.resident_mb, figures.cpu_s = _costs(deployment)
    await _check_requests(deployment, figures)
    figures.findings += by_the_workers_own_fold(deployment.name, log, fold)
    figures.findings += [text for worker, said in plane.said.items() for text in told(worker, said, fold)]
    _count(figures, plane, fold)
    say(f"{figures}")
    return figures


async def _send(plane, commands, figures):
    sent = list(commands)
    figures.sent.update(kind for kind, _, _ in sent)
    await plane.publish((key, value) for _, key, value in sent)


async def _blow(deployment, plane, storm, requests, figures, count):
    """Send bursts, most of them close together; after every fifth, wait so that a swap can finish."""
    chance = random.Random(figures.seed)
    has_restarted = False
    for number in itertools.count(1):
        missing = count - figures.sent.total()
        if missing <= 0:
            break
        burst = min(missing, chance.randint(1, min(_LARGEST_BURST, max(1, count // 5))))
        await _send(plane, [storm.next(requests.ends) for _ in range(burst)], figures)
        if figures.sent.total() * 2 > count and not has_restarted:
            has_restarted = True
            await deployment.stop("w2")
            deployment.start("w2", HOTSWAP_ALLOWED_STORES=_STORES)
        if number % 5:
            await asyncio.sleep(chance.uniform(0.05, 0.6))
        else:
            await plane.until(lambda: all(_serves(plane, worker, storm.serving) for worker in _WORKERS), _QUIET_S)
    await _send(plane, storm.epilogue(), figures)


def _serves(plane, worker, number):
    return worker in plane.workers and plane.workers[worker].generation == number


async def _settle(deployment, plane, fold, workers, figures):
    """Return the seconds until each worker reports the fold's state; any other report is a finding."""
    began, wanted = time.monotonic(), expected_state(fold)

    def are_there():
        return all(name in plane.workers and state(plane.workers[name]) == wanted for name in workers)

    if not await plane.until(are_there, _SETTLE_S):
        for name in workers:
            said = state(plane.workers[name]) if name in plane.workers else "nothing"
            alive = "" if deployment.workers[name].poll() is None else " (its process has ended)"
            if said != wanted:
                figures.findings.append(f"{name}{alive} is in state {said}, but the log implies {wanted}")
    return time.monotonic() - began


def expected_state(fold):
    """Return what a worker must report once it has nothing to do: accepted, serving, model, proto, loaded, paused."""
    number = serving(fold)
    parts = fold.accepted[number]
    return fold.newest, number, parts.model[1], parts.proto, (number,), fold.is_paused


def state(status):
    """Return the same from a WorkerStatus."""
    model, proto = status.model_sha256, status.proto_sha256
    return status.accepted, status.generation, model, proto, tuple(status.loaded), status.paused


def by_the_workers_own_fold(deployment, log, fold):
    """Return where a Timeline fed with the log, without Kafka and hosts, differs from the contract's state."""
    timeline, verdicts, trace = Timeline(), [], []
    for value, timestamp_ms in log:
        try:
            command = command_for(deployment, value)
            said = timeline.receive(command, timestamp_ms) if command else None
        except BadCommand as bad:
            said = Verdict(bad.command_id, bad.generation, "REFUSED", bad.code)
        except SwapError:
            said = None
        if said:
            verdicts.append(Verdict(said.command_id, said.generation, str(said.outcome or ""), said.code))
            trace.append((timeline.newest, timeline.is_paused))
    found = _first_difference("the worker's fold", verdicts, fold.verdicts)
    found += _first_difference("the worker's (newest, is paused)", trace, fold.trace)
    mine = {number: _parts(swap) for number, swap in timeline.swaps.items()}
    right = {number: _parts_by_contract(fold, number) for number in fold.accepted}
    odd = [number for number in sorted(mine.keys() | right.keys()) if mine.get(number) != right.get(number)]
    return found + [
        f"generation {number} is {mine.get(number)}, right is {right.get(number)}" for number in odd[:_SHOWN]
    ]


def _parts(swap):
    made = swap.generation
    parts = made.model.uri, made.model.sha256, made.proto.sha256, made.configuration.max_batch_records
    return *parts, dict(swap.cut), swap.is_staged, swap.promote_by_ms, swap.replaces, swap.is_abandoned


def _parts_by_contract(fold, number):
    parts = fold.accepted[number]
    configuration = Command().swap.configuration
    configuration.MergeFromString(parts.configuration)
    over = parts.cut, parts.is_staged, parts.promote_by_ms, parts.replaces, parts.abandoned_ms is not None
    return *parts.model[:2], parts.proto, configuration.max_batch_records or None, *over


def told(worker, said, fold):
    """Return the faults of a worker's verdicts: each must be the log's, and a worker that never left reports all."""
    wanted = [verdict for verdict in fold.verdicts if verdict.outcome]
    told = [verdict for verdict in said if verdict.outcome in _TOLD_BY_THE_LOG]
    if worker in ("w1", "w3"):
        found = _first_difference(worker, told, wanted)
    else:
        # At its start it reports again what it replays of the last two minutes; w2 was away for only a second.
        missing = set(wanted) - set(told) if worker == "w2" else set()
        found = [f"{worker} never said {verdict}" for verdict in sorted(missing)[:_SHOWN]]
        found += [f"{worker} made up {verdict}" for verdict in sorted(set(told) - set(wanted))[:_SHOWN]]
    staged = [verdict for verdict in said if verdict.outcome not in _TOLD_BY_THE_LOG]
    for verdict in staged:
        is_good = verdict.generation in fold.accepted and can_load(fold.accepted[verdict.generation])
        if is_good == (verdict.outcome == "FAILED") and verdict.outcome not in ("STAGING", "SUPERSEDED"):
            found.append(f"{worker} says {verdict}, and the generation {'can' if is_good else 'cannot'} be loaded")
    if worker in ("w1", "w3"):
        ended = {verdict.generation for verdict in staged if verdict.outcome in _ENDS}
        # An abandon was answered by itself, and what it brought is loaded only where there is a partition for it.
        awaited = {number for number, parts in fold.accepted.items() if not parts.replaces}
        silent = sorted(awaited - ended)
        found += (
            [f"{worker} never came to an end with {len(silent)} accepted swaps, {silent[:_SHOWN]}"] if silent else []
        )
    return found


def _first_difference(who, told, wanted):
    for number, (mine, right) in enumerate(itertools.zip_longest(told, wanted)):
        if mine != right:
            return [f"{who}: after command {number} of {len(wanted)} it says {mine}, but the log implies {right}"]
    return []


async def _check_requests(deployment, figures):
    await deployment.drained(timeout=_SETTLE_S)
    audit = await deployment.audit()
    figures.asked = audit.asked
    figures.served = len({generation(message) for message in audit.predictions})
    if audit.faults or audit.dead_letters:
        shown = {name: len(found) for name, found in audit.faults.items()}
        figures.findings.append(f"requests: {shown}, {len(audit.dead_letters)} dead letters")
    for worker in list(deployment.workers):
        if code := await deployment.stop(worker):
            figures.findings.append(f"{worker} ended with {code}: {deployment.log(worker)[-500:]}")


def _count(figures, plane, fold):
    figures.accepted = len(fold.accepted)
    figures.verdicts.update(f"{verdict.outcome or 'ACCEPTED'} {verdict.code}".strip() for verdict in fold.verdicts)
    figures.status_records, figures.status_mb = plane.records, round(plane.bytes / 1e6, 1)


def _costs(deployment):
    """Return resident memory in MB and CPU in seconds so far of each worker's own process."""
    memory, cpu = {}, {}
    for name, process in deployment.workers.items():
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        memory[name], cpu[name] = pages * 4096 // 1_000_000, sum(map(int, ticks)) / 100
    return memory, cpu
