"""The problems of a deployment, and their severity.

This is the one list behind `hotswap status`, `doctor`, `top`, the console, and their exit codes; docs/using.md has it
as a table. A fault needs an operator now: requests are not answered, or would not be, and that does not end by itself.
A warning may become one. The alerts of ops/ cover those that last.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hotswap.client.fleet import PartitionView, WorkerView
from hotswap.client.trend import RESTARTS_S
from hotswap.errors import what_to_do
from hotswap.printable import duration
from hotswap.swap.command import highest, out_of_reach

if TYPE_CHECKING:
    from hotswap.client.overview import Overview

OLD_S: Final = 60.0
"""A request that waits for longer is a fault, for any reason; the alert HotswapLagOld has the same limit."""
STUCK_S: Final = 10.0
"""A model that has had a batch for longer is a fault, though its deadline may allow that."""

_AHEAD_S = 2.0
_STAGED_S = 86_400.0
_OFTEN = 2
_MANY = 1_000
_WHOLE = ("fleet", "topics")
_COMPRESS = (
    "where many come at a time, set HOTSWAP_COMPRESSION=lz4 on the workers (174 bytes an answer became 31), if every "
    "reader has that codec"
)


class Level(StrEnum):
    """The severity of a finding: a FAULT breaks the deployment's promises, a WARNING may do so later.

    An ADVICE saves costs or adds safety.
    """

    OK = "ok"
    ADVICE = "advice"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, or a check that passed; `advice` names the action, and is empty if all is well."""

    level: Level
    about: str
    what: str
    advice: str = ""

    @property
    def line(self) -> str:
        """The finding in one line."""
        about = "" if self.about in _WHOLE else f"{self.about}: "
        return f"{about}{self.what}{f': {self.advice}' if self.advice else ''}"


_WORST_FIRST = [*reversed(Level)]


def worst(findings: Iterable[Finding]) -> Level:
    """Return the level of the worst finding."""
    return min((one.level for one in findings), key=_WORST_FIRST.index, default=Level.OK)


def findings_of(view: "Overview") -> tuple[Finding, ...]:
    """Return the problems of a deployment, the worst first."""
    findings = itertools.chain(
        _topics(view), _too_old(view), _unserved(view), _paused(view), _failed(view), _waiting(view), _names(view),
        _blind(view), _staged(view), _deleted(view), _silent(view), _growing(view), _restarting(view), _notices(view),
        _machines(view),
    )  # fmt: skip
    return tuple(sorted(findings, key=lambda one: _WORST_FIRST.index(one.level)))


def _fault(what: str, advice: str = "") -> Finding:
    return Finding(Level.FAULT, "fleet", what, advice)


def _warning(what: str, advice: str = "") -> Finding:
    return Finding(Level.WARNING, "fleet", what, advice)


def _topics(view: "Overview") -> Iterator[Finding]:
    for fault in view.topic_faults:
        what, advice = what_to_do(fault)
        yield Finding(Level.FAULT, "topics", what, advice)


def _too_old(view: "Overview") -> Iterator[Finding]:
    """Yield the workers that are too old for the control log, and this reader if it is."""
    if view.held:
        yield _fault(f"this reader cannot follow the control log: {view.held}")
    holding: dict[str, list[str]] = {}
    for worker in view.live:
        holding.setdefault(worker.held, []).append(worker.worker)
    for why, workers in holding.items():
        if why:
            yield _fault(f"{', '.join(workers)} {'answers' if len(workers) == 1 else 'answer'} nothing: {why}")


def _unserved(view: "Overview") -> Iterator[Finding]:
    """Yield why nothing can score: no worker is live, or none has a generation."""
    waiting = sum(lag.requests for lag in view.lags)
    wait, start = f"{waiting} requests wait, and " * bool(waiting), f"`hotswap run {view.deployment}` starts one"
    if waiting and not view.newest:
        publish = f"`hotswap swap {view.deployment} --model … --proto …` publishes one"
        yield _fault(f"{wait}no generation has been accepted", publish)
        wait = ""
    if not view.live:
        yield _fault(f"{wait}no worker is live", start)
    elif view.newest and not any(worker.generation for worker in view.live):
        yield (_fault if waiting else _warning)(f"{wait}no live worker has loaded a generation")


def _paused(view: "Overview") -> Iterator[Finding]:
    """Yield a finding if the deployment is paused: only an operator ends that."""
    if not view.is_paused:
        return
    held = {part.partition for worker in view.live for part in worker.partitions if part.held}
    waiting = sum(lag.requests for lag in view.lags if lag.partition in held)
    resume = f"`hotswap resume {view.deployment}` ends that"
    if waiting:
        yield _fault(f"{waiting} requests wait, and the deployment is paused", resume)
    else:
        yield _warning("the deployment is paused", resume)


def _failed(view: "Overview") -> Iterator[Finding]:
    """Yield the generations that workers need but cannot load."""
    lines: dict[str, list[str]] = {}
    for worker, failures in view.lacking.items():
        for failure in failures:
            line = f"cannot load generation {failure.generation}: {failure.code} {failure.message}"
            lines.setdefault(line, []).append(worker)
    for line, names in lines.items():
        yield _fault(f"{', '.join(names)} {line}")


def _waiting(view: "Overview") -> Iterator[Finding]:
    """Yield the partitions that are held, that no live worker has, and whose oldest request is old."""
    lost, reported = _lost(view), set[int]()
    if lost:
        yield _no_command(view, lost)
        reported |= {*lost}
    for worker in view.live:
        for finding, partitions in _held_by(view, worker, lost):
            yield finding
            reported |= partitions
    reported |= {part.partition for worker in view.live for part in worker.partitions if part.held and view.is_paused}
    if not any(worker.generation for worker in view.live):
        return
    owned = {part.partition for worker in view.live for part in worker.partitions}
    if unowned := [lag.partition for lag in view.lags if lag.requests and lag.partition not in owned | reported]:
        what = f"no live worker has {_named(unowned)}, where {_requests(view, unowned)} requests wait"
        advice = "a worker takes them over when the session of the one before has ended, 45 s at most"
        yield (_fault if _is_old(view, unowned) else _warning)(what, advice)
        reported |= {*unowned}
    if old := [number for number, age in view.ages.items() if age > OLD_S and number not in reported]:
        oldest = duration(max(view.ages[number] for number in old))
        what = f"the oldest of {_requests(view, old)} requests that wait on {_named(sorted(old))} is {oldest} old"
        yield _fault(what, "add workers, up to one for each partition; if it began with a swap, roll back")


def _lost(view: "Overview") -> list[int]:
    """Return the partitions that were last scored by a generation that the control topic does not have."""
    # Workers, too, ignore a floor that no command can have created (kafka/partition/position.py).
    return [lag.partition for lag in view.lags if view.newest < lag.generation <= highest(view.newest)]


def _no_command(view: "Overview", lost: list[int]) -> Finding:
    floor = max(lag.generation for lag in view.lags if lag.partition in lost)
    higher = (
        "publish a whole generation with a higher number, "
        f"`hotswap swap {view.deployment} --model … --proto … --generation {floor + 1}`"
    )
    return _fault(
        f"{_named(lost)}: last scored by generation {floor}, but the control topic has no accepted command that new "
        f"(was it emptied?): {out_of_reach(floor + 1, view.newest) or higher}"
    )


def _held_by(view: "Overview", worker: WorkerView, lost: list[int]) -> Iterator[tuple[Finding, set[int]]]:
    """Yield a finding for each reason of a worker to hold partitions, with those partitions."""
    floors = {lag.partition: lag.generation for lag in view.lags if lag.generation <= highest(view.newest)}
    held: dict[tuple[bool, str], list[int]] = {}
    for part in worker.partitions:
        number, is_behind = part.partition, floors.get(part.partition, 0) > worker.generation
        if part.is_damaged:
            yield _fault(f"{worker.worker} holds {_named([number])}: {part.held}"), {number}
        elif part.held and number not in lost and (is_behind or not view.is_paused):
            held.setdefault((is_behind or _is_stuck(view, part), "" if is_behind else part.held), []).append(number)
    for (is_fault, _), numbers in held.items():
        why = next(part.held for part in worker.partitions if part.partition == numbers[0])
        yield (_fault if is_fault else _warning)(f"{worker.worker} holds {_named(numbers)}: {why}"), {*numbers}


def _is_stuck(view: "Overview", part: PartitionView) -> bool:
    return part.model_s >= STUCK_S or _is_old(view, [part.partition])


def _is_old(view: "Overview", partitions: Iterable[int]) -> bool:
    return any(view.ages.get(number, 0.0) > OLD_S for number in partitions)


def _requests(view: "Overview", partitions: Iterable[int]) -> int:
    return sum(lag.requests for lag in view.lags if lag.partition in {*partitions})


def _names(view: "Overview") -> Iterator[Finding]:
    for worker in view.live:
        if worker.trend.is_double(view.at):
            what = f"two workers report as {worker.worker}: each one's reports replace the other's"
            yield _fault(what, "give each its own HOTSWAP_WORKER_ID")


def _blind(view: "Overview") -> Iterator[Finding]:
    """Yield the workers that obey unsigned commands although commands must be signed."""
    blind = [worker.worker for worker in view.live if not worker.trust_sha256]
    if view.signed_since is not None and blind:
        since = f"commands must be signed since offset {view.signed_since} of {view.control}"
        advice = "restart these workers with HOTSWAP_TRUST and HOTSWAP_REQUIRE_SIGNATURES: they obey unsigned commands"
        yield Finding(Level.FAULT, "signatures", f"{since}, but {', '.join(blind)} cannot verify them", advice)


def _staged(view: "Overview") -> Iterator[Finding]:
    """Yield the staged generation that can go no further, or of which nothing has been promoted for a day."""
    for one in view.generations:
        if not one.is_open or one.is_whole:
            continue
        about = f"generation {one.number}"
        if not one.may_be_promoted(view.at):
            ago = duration(view.at - (one.promote_by_ms or 0) / 1000)
            what = f"its time to be promoted ended {ago} ago, and it is {one.words}"
            yield Finding(Level.WARNING, about, what, f"`hotswap abandon {view.deployment}` ends it; or swap anew")
        elif not one.promoted and (staged_s := view.at - _staged_at(view, one.number)) > _STAGED_S:
            what = f"it has been staged for {duration(staged_s)}, and a model host of it takes memory on each worker"
            advice = f"`hotswap promote {view.deployment}`, or `hotswap abandon {view.deployment}`"
            yield Finding(Level.ADVICE, about, what, advice)


def _staged_at(view: "Overview", number: int) -> float:
    """Return when a generation was accepted; now, if that is no longer known."""
    ids = {swap.command_id for swap in view.swaps if swap.number == number}
    times = (one.entry.at_ms / 1000 for one in view.commands if one.entry.command.command_id in ids)
    return next(times, view.at)


def _deleted(view: "Overview") -> Iterator[Finding]:
    for worker in view.live:
        for part in worker.partitions:
            if part.deleted[1]:
                yield _warning(
                    f"partition {part.partition}: the requests from offset {part.deleted[0]} to {part.deleted[1] - 1} "
                    "were deleted before they were read"
                )


def _silent(view: "Overview") -> Iterator[Finding]:
    """Yield the workers whose reports ended without a stop."""
    for worker in view.workers:
        if not worker.is_stopped and not worker.is_live(view.at):
            ago = duration(max(view.at - min(worker.at, worker.heard_at), 0.0))
            what = f"{worker.worker} has not reported for {ago}, and did not stop"
            yield _warning(what, "it was killed, hangs, or is cut off from Kafka; see its log, or start it again")


def _growing(view: "Overview") -> Iterator[Finding]:
    before = [worker.trend.lag_before(view.at) for worker in view.live]
    known, now = [lag for lag in before if lag is not None], sum(lag.requests for lag in view.lags)
    if not view.is_paused and now > _MANY and known and len(known) == len(before) and now > (then := sum(known)):
        what = f"{now} requests wait, {now - then} more than a minute ago"
        yield _warning(what, "add workers, up to one for each partition")


def _restarting(view: "Overview") -> Iterator[Finding]:
    for worker in view.live:
        if (count := worker.trend.restarts(worker.host_restarts)) >= _OFTEN:
            what = f"{worker.worker} has restarted its model's host {count} times in {duration(RESTARTS_S)}"
            advice = f"see `hotswap dead-letters {view.deployment} --since 10m`; if it began with a swap, roll back"
            yield _warning(what, advice)


def _notices(view: "Overview") -> Iterator[Finding]:
    """Yield the warnings of the workers and of this reader."""
    reporters: dict[str, list[str]] = {}
    if len(files := {worker.trust_sha256 for worker in view.live}) > 1:
        some = ", ".join(sorted(file[:12] or "none" for file in files))
        reporters[f"they have different trust files, and may decide differently on commands: {some}"] = ["workers"]
    if view.unverified:
        reporters[view.unverified] = ["this reader"]
    for worker in view.live:
        for warning in worker.warnings:
            reporters.setdefault(warning, []).append(worker.worker)
    for warning, workers in reporters.items():
        yield _warning(f"{', '.join(workers)}: {warning}")


def _machines(view: "Overview") -> Iterator[Finding]:
    for worker in view.live:
        if (ahead := worker.at - view.at) > _AHEAD_S:
            advice = "synchronize the clocks, of its machine or of this one"
            yield Finding(Level.WARNING, worker.worker, f"its clock is {ahead:.0f} s ahead of this one's", advice)
    if any(worker.machine.get("compression") == "none" for worker in view.live):
        what = "are not compressed: most of a small one is its headers, which are alike"
        yield Finding(Level.ADVICE, "answers", what, _COMPRESS)


def _named(partitions: list[int]) -> str:
    return f"partition{'s' * (len(partitions) > 1)} {', '.join(map(str, partitions))}"
