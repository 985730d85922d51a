"""What is found of a deployment, and how bad it is: each line of the table in docs/using.md."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.client import MODEL
from hotswap.client.findings import OLD_S, Finding, Level, worst
from hotswap.client.fleet import FRESH_S, Fleet, PartitionView, Told, WorkerView
from hotswap.client.history import Entry
from hotswap.client.overview import Overview
from hotswap.client.seen import CommandView
from hotswap.client.trend import Mark, Trend
from hotswap.kafka.topics.committed import Lag
from hotswap.swap.command import Outcome
from hotswap.swap.timeline import Swap

NOW = 1_000.0
PAUSED, WAITS = "paused by command 3", "waits for generation 8, which is staged"
PAGE = (Path(__file__).parents[3] / "docs" / "using.md").read_text(encoding="utf-8")
TABLE = [line.split("|")[1:3] for line in PAGE.splitlines() if re.match(r"\| [^|]+ \| (fault|warning|advice) \|", line)]
LINES = [(what.strip(), level.strip()) for what, level in TABLE]


def part(number, **facts):
    return replace(PartitionView(number, 10, 7, 0, ""), **facts)


def worker(name="w1", *partitions, age_s=1.0, generation=7, **facts):
    made = WorkerView(
        worker=name, at=NOW - age_s, generation=generation, accepted=7, loaded=(generation,), model_sha256="",
        proto_sha256="", partitions=partitions, is_paused=False, is_stopped=False, paths={},
    )  # fmt: skip
    return replace(made, **facts)


def view(*workers, waiting=(0, 0), newest=7, **facts):
    lags = tuple(Lag(number, 10, 10 + lag, min(newest, 7)) for number, lag in enumerate(waiting))
    made = Overview(
        deployment="d", at=NOW, newest=newest, is_paused=False, workers=workers, commands=(), lags=lags,
        failures={}, control="d.control",
    )  # fmt: skip
    return replace(made, **facts)


OWNED = worker("w1", part(0), part(1))
SILENT = worker("w2", part(1), age_s=FRESH_S + 11)
GROWN = Trend((Mark(NOW - 80, 1_000, 0), Mark(NOW - 20, 3_000, 3)))
DOUBLE = Trend().then(Mark(NOW - 6, 0, 0), "a").then(Mark(NOW - 3, 0, 0), "b").then(Mark(NOW, 0, 0), "a")
TOLD = Told(
    command_id="c8", generation=8, worker="w1", outcome=Outcome.FAILED, code="MODEL_INVALID", message="bad", at=NOW,
    phase_seconds={},
)  # fmt: skip
FAILED = Fleet("d", {"w1": OWNED}, {"c8": {"w1": TOLD}}).failures(NOW)

DAY_S = 86_400


def staged(at=NOW, promoted=(), **facts):
    """A deployment whose generation 7 serves, and whose generation 8 was staged at a time."""
    parts = SimpleNamespace(number=7, model=MODEL), SimpleNamespace(number=8, model=MODEL)
    swaps = (
        Swap("c7", parts[0], {}, None),
        Swap("c8", parts[1], dict.fromkeys(promoted, 0), None, is_staged=True, promote_by_ms=facts.pop("by_ms", None)),
    )
    times = {"other": 0, "c8": int(at * 1000)}
    entries = [Entry(0, ms, SimpleNamespace(command_id=name), None, None) for name, ms in times.items()]
    commands = tuple(CommandView(entry, {}) for entry in entries)
    return replace(view(replace(OWNED, loaded=(7, 8)), newest=8), swaps=swaps, commands=commands, **facts)


CASES = {
    "no worker is live": (view(SILENT), "no worker is live: `hotswap run d` starts one"),
    "requests wait, and no generation has been accepted, or no live worker has loaded one": (
        view(worker(generation=0), waiting=(5, 0)),
        "5 requests wait, and no live worker has loaded a generation",
    ),
    "no live worker has loaded a generation, and no request waits": (
        view(worker(generation=0)),
        "no live worker has loaded a generation",
    ),
    "paused, and requests wait": (
        view(worker("w1", part(0, held=PAUSED), part(1)), waiting=(4, 0), is_paused=True),
        "4 requests wait, and the deployment is paused: `hotswap resume d` ends that",
    ),
    "paused, and no request waits": (
        view(OWNED, is_paused=True),
        "the deployment is paused: `hotswap resume d` ends that",
    ),
    "a worker cannot load a generation that it should": (
        view(OWNED, worker("w2", generation=8), failures=FAILED),
        "w1 cannot load generation 8: MODEL_INVALID bad",
    ),
    "a partition is held, for up to a minute": (
        view(worker("w1", part(0, held=WAITS), part(1)), waiting=(4, 0), ages={0: OLD_S - 1}),
        f"w1 holds partition 0: {WAITS}",
    ),
    "a partition is held for longer, by a damaged batch, by a model that has had a batch for 10 s, or below the "
    "generation that scored it last": (
        view(worker("w1", part(0, held=WAITS), part(1)), waiting=(4, 0), ages={0: OLD_S + 1}),
        f"w1 holds partition 0: {WAITS}",
    ),
    "requests wait on a partition that no live worker has, for up to a minute": (
        view(worker("w1", part(0)), waiting=(0, 4)),
        "no live worker has partition 1, where 4 requests wait: a worker takes them over when the session of",
    ),
    "… for longer": (
        view(worker("w1", part(0)), waiting=(0, 4), ages={1: OLD_S + 1}),
        "no live worker has partition 1, where 4 requests wait: a worker takes them over when the session of",
    ),
    "a request has waited for more than a minute": (
        view(OWNED, waiting=(4, 3), ages={0: 7_300, 1: 2.0}),
        "the oldest of 4 requests that wait on partition 0 is 2 h old: add workers, up to one for each",
    ),
    "the lag is above 1,000, and grows": (
        view(replace(OWNED, trend=GROWN), waiting=(4_000, 0)),
        "4000 requests wait, 3000 more than a minute ago: add workers, up to one for each partition",
    ),
    "a worker is silent: it has not reported for 9 s, and did not stop": (
        view(OWNED, SILENT),
        "w2 has not reported for 20 s, and did not stop: it was killed, hangs, or is cut off from Kafka; see",
    ),
    "two workers report under one name": (
        view(replace(OWNED, trend=DOUBLE)),
        "two workers report as w1: each one's reports replace the other's: give each its",
    ),
    "a worker has started its model's host again twice or more in 10 minutes": (
        view(replace(OWNED, trend=GROWN, host_restarts=2)),
        "w1 has restarted its model's host 2 times in 10 min: see `hotswap dead-letters d --since",
    ),
    "a staged generation can be promoted no longer: its time has passed": (
        staged(by_ms=int(NOW - 600) * 1000),
        "generation 8: its time to be promoted ended 10 min ago, and it is staged on 1 of 1 worker: `hotswap",
    ),
    "nothing of a staged generation has been promoted for a day": (
        staged(NOW - 3 * DAY_S),
        "generation 8: it has been staged for 3 days, and a model host of it takes memory on each worker: `hotswap",
    ),
    "trust files differ over the fleet": (
        view(OWNED, worker("w2", trust_sha256="a" * 64)),
        f"workers: they have different trust files, and may decide differently on commands: {'a' * 12}, none",
    ),
    "commands must be signed, and a worker has no trust file": (
        view(OWNED, signed_since=5),
        "signatures: commands must be signed since offset 5 of d.control, but w1 cannot verify them: restart these",
    ),
    "a worker, or this reader, is too old for the control log": (
        view(replace(OWNED, held="it is too old")),
        "w1 answers nothing: it is too old",
    ),
    "a topic is gone, or does not fit the others": (
        view(OWNED, topic_faults=("topic d.requests is gone: bring it back",)),
        "topic d.requests is gone: bring it back",
    ),
    "a worker warns: a model is not in its store, its machine cannot contain a model, records cannot be read": (
        view(replace(OWNED, warnings=("no room",))),
        "w1: no room",
    ),
    "requests were deleted before they were read": (
        view(worker("w1", part(0, deleted=(3, 6)), part(1))),
        "partition 0: the requests from offset 3 to 5 were deleted before they were read",
    ),
    "a worker's clock is ahead": (
        view(replace(OWNED, at=NOW + 60)),
        "w1: its clock is 60 s ahead of this one's: synchronize the clocks, of its machine or of this one",
    ),
    "answers are not compressed": (
        view(replace(OWNED, machine={"compression": "none"})),
        "answers: are not compressed: most of a small one is its headers, which are alike",
    ),
}
ELSEWHERE = {
    "Kafka does not answer, or a topic is not there",
    "commands need no signature",
    "an artifact is not in its store (`doctor` looks)",  # test_needed.py
    "a transaction has been open for longer than its time-out, and no coordinator will end it (`doctor` looks)",
    "… and its coordinator may still end it, or that cannot be seen (`doctor` looks)",  # both: test_hanging.py
    "transactions are of version 1 (`doctor` looks)",  # test_doctor_fleet.py
}
"""tests/unit/cli/test_exit_codes.py and test_client_signing.py have them."""


def test_the_table_has_a_case_for_each_line():
    assert {what for what, _ in LINES} - ELSEWHERE == set(CASES)
    assert len(LINES) == len(CASES) + len(ELSEWHERE)


@pytest.mark.parametrize(("what", "level"), [line for line in LINES if line[0] in CASES])
def test_what_is_found_is_as_bad_as_the_table_says_and_so_is_the_deployment(what, level):
    seen, line = CASES[what]
    lines = {finding.line: finding.level for finding in seen.findings}
    assert next(found for told, found in lines.items() if told.startswith(line)) == level
    others = {"no worker is live": Level.WARNING}  # that is silent
    assert seen.level == level
    assert {*lines.values()} - {level} <= {others.get(what, level)}


def test_a_deployment_that_is_well_has_no_finding():
    assert (view(OWNED).findings, view(OWNED).level) == ((), Level.OK)
    assert view(worker(generation=0), newest=0).findings == ()


def test_a_stage_is_no_finding_while_it_may_go_on_or_is_over():
    late = int(NOW - 1) * 1000
    assert staged(NOW - DAY_S + 1).findings == staged(NOW - 3 * DAY_S, promoted=[0]).findings == ()
    assert staged(NOW - 3 * DAY_S, by_ms=int(NOW + 1) * 1000).level is Level.ADVICE
    (warning,) = staged(promoted=[0], by_ms=late).warnings
    assert "ended 1000 ms ago, and it is promoted on partition 0 of 2: `hotswap abandon d` ends it; or swap" in warning
    everywhere = (Lag(0, 10, 10, 8), Lag(1, 10, 10, 8))
    assert staged(promoted=[0, 1], by_ms=late, lags=everywhere).findings == ()
    followed = staged(promoted=[0], by_ms=late, lags=(Lag(0, 10, 10, 8), Lag(1, 10, 10, 7)))
    assert replace(followed, newest=9).findings == ()
    assert replace(staged(NOW - 3 * DAY_S), commands=()).findings == ()  # older than the commands that are kept


def test_the_worst_finding_comes_first_and_decides():
    seen = view(SILENT, replace(OWNED, machine={"compression": "none"}, held="too old"))
    assert [one.level for one in seen.findings] == [Level.FAULT, Level.WARNING, Level.ADVICE]
    assert worst([Finding(Level.ADVICE, "a", "b"), Finding(Level.OK, "a", "b")]) == Level.ADVICE
    assert worst([]) == Level.OK


def test_a_model_that_has_had_a_batch_for_ten_seconds_is_a_fault_before_its_requests_are_old():
    for model_s, level in ((9.0, Level.WARNING), (10.0, Level.FAULT)):
        held = worker("w1", part(0, held="waits for the model", model_s=model_s), part(1))
        assert view(held, waiting=(4, 0), ages={0: model_s}).level == level


def test_a_partition_has_one_line_though_its_requests_are_old_as_well():
    paused = worker("w1", part(0, held=PAUSED), part(1))
    damaged = worker("w1", part(0, held="damaged", is_damaged=True), part(1))
    for seen in (view(paused, waiting=(4, 0), is_paused=True), view(damaged, waiting=(4, 0))):
        assert len(replace(seen, ages={0: 1_000.0}).findings) == 1


def test_a_lag_that_shrinks_is_small_or_has_no_past_does_not_grow():
    for trend, waiting in ((GROWN, 900), (Trend((Mark(NOW - 80, 5_000, 0),)), 4_000), (Trend(), 4_000)):
        assert view(replace(OWNED, trend=trend), waiting=(waiting, 0)).findings == ()


def test_a_reader_that_verifies_no_signatures_warns_of_that():
    assert view(OWNED, unverified="no trust file is here").warnings == ("this reader: no trust file is here",)
