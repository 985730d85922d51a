"""The problems of a deployment, from its workers' reports and the committed offsets: one line each."""

from dataclasses import replace

from hotswap.client.fleet import FRESH_S, Fleet, PartitionView, Told, WorkerView
from hotswap.client.overview import Overview, _ages
from hotswap.control import STATUS_S
from hotswap.kafka.topics.committed import Lag
from hotswap.swap.command import Outcome

NOW = 1_000.0
WAITS = "waits for generation 7, which is not ready on this worker"


def worker(name, generation, *partitions, age_s=1.0):
    """A worker that serves a generation; `partitions` as (number, the reason if held)."""
    return WorkerView(
        worker=name,
        at=NOW - age_s,
        generation=generation,
        accepted=generation,
        loaded=(generation,),
        model_sha256="a" * 64,
        proto_sha256="b" * 64,
        partitions=tuple(PartitionView(number, 0, generation, 0, held) for number, held in partitions),
        is_paused=False,
        is_stopped=False,
        paths={"score": "in the JVM"},
    )


def told(name, generation, outcome, code="", message=""):
    return Told(
        command_id=f"c{generation}",
        generation=generation,
        worker=name,
        outcome=outcome,
        code=code,
        message=message,
        at=NOW,
        phase_seconds={},
    )


def fleet(*said):
    made = Fleet("d")
    for each in said:
        made.told.setdefault(each.command_id, {})[each.worker] = each
    return made


def problems(*workers, said=(), floors=(7, 7), newest=7, waiting=0):
    made = fleet(*said)
    made.workers = {view.worker: view for view in workers}
    return Overview(
        deployment="d",
        at=NOW,
        newest=newest,
        is_paused=False,
        workers=workers,
        commands=(),
        lags=tuple(Lag(number, 10, 10 + waiting, floor) for number, floor in enumerate(floors)),
        failures=made.failures(NOW),
    ).problems


def test_a_fleet_in_agreement_has_no_problems():
    ready = [told(name, 7, Outcome.SERVING) for name in ("w1", "w2")]
    assert problems(worker("w1", 7, (0, "")), worker("w2", 7, (1, "")), said=ready) == ()


def test_requests_that_no_worker_can_score_are_counted_with_what_to_do():
    assert problems(worker("w1", 0), floors=(0, 0), newest=0, waiting=5) == (
        "10 requests wait, and no generation has been accepted: `hotswap swap d --model … --proto …` publishes one",
    )
    dead = worker("w1", 7, age_s=FRESH_S + 1)
    assert problems(dead, waiting=5) == ("10 requests wait, and no worker is live: `hotswap run d` starts one",)
    assert problems(worker("w1", 0), waiting=5) == ("10 requests wait, and no live worker has loaded a generation",)
    assert problems(worker("w1", 0), worker("w2", 7), waiting=5) == problems(worker("w1", 0)) == ()


def test_a_worker_that_cannot_load_what_others_serve_is_named_with_the_reason():
    said = [told("w1", 7, Outcome.SERVING), told("w2", 7, Outcome.FAILED, "CACHE_FAILED", "no room: make some")]
    lines = problems(worker("w1", 7, (0, "")), worker("w2", 6, (1, "")), said=said, floors=(7, 6))
    assert lines == ("w2 cannot load generation 7: CACHE_FAILED no room: make some",)


def test_workers_that_fail_alike_share_a_line():
    said = [told(name, 7, Outcome.FAILED, "MODEL_INVALID", "no model") for name in ("w1", "w2")]
    lines = problems(worker("w1", 6), worker("w2", 6), worker("w3", 7), said=said, floors=(6, 6))
    assert lines == ("w1, w2 cannot load generation 7: MODEL_INVALID no model",)


def test_a_swap_that_failed_and_changed_nothing_is_no_problem():
    said = [told(name, 7, Outcome.FAILED, "MODEL_INVALID", "no model") for name in ("w1", "w2")]
    assert problems(worker("w1", 6), worker("w2", 6), said=said, floors=(6, 6)) == ()
    first = replace(worker("w1", 0), loaded=())  # where nothing serves, it is why
    assert problems(first, said=said[:1], floors=(0, 0)) == ("w1 cannot load generation 7: MODEL_INVALID no model",)


def test_a_failure_is_over_once_a_newer_generation_is_staged_or_a_retry_succeeded():
    failed = told("w1", 7, Outcome.FAILED, "CACHE_FAILED", "no room")
    assert problems(worker("w1", 6), said=[failed, told("w1", 8, Outcome.STAGING)], newest=8) == ()
    assert problems(worker("w1", 7), said=[failed]) == ()
    two = [failed, told("w1", 8, Outcome.FAILED, "MODEL_INVALID", "bad")]
    assert problems(worker("w1", 6), worker("w2", 8), said=two, newest=8) == (
        "w1 cannot load generation 8: MODEL_INVALID bad",
        "w1 cannot load generation 7: CACHE_FAILED no room",
    )


def test_a_command_that_was_refused_says_nothing_about_a_worker():
    said = [told("w1", 9, Outcome.REFUSED, "EXPIRED", "late"), told("w1", 7, Outcome.FAILED, "CACHE_FAILED", "full")]
    assert problems(worker("w1", 6), said=said, floors=(6, 7)) == ("w1 cannot load generation 7: CACHE_FAILED full",)


def test_a_dead_worker_is_not_a_problem():
    failed = told("w2", 7, Outcome.FAILED, "CACHE_FAILED", "no room")
    assert problems(worker("w1", 7), worker("w2", 6, (1, WAITS), age_s=FRESH_S + 1), said=[failed]) == ()


def test_partitions_that_are_held_below_their_floor_are_named_with_their_worker():
    lines = problems(worker("w2", 6, (0, WAITS), (1, WAITS), (2, "")), floors=(7, 7, 6))
    assert lines == (f"w2 holds partitions 0, 1: {WAITS}",)


def test_a_pause_is_not_a_problem():
    assert problems(worker("w1", 7, (0, "paused by command"))) == ()


def test_partitions_scored_by_a_generation_without_a_command_say_how_to_continue():
    (line,) = problems(worker("w1", 1, (0, "was last scored by generation 7, ...")), newest=1, floors=(7, 1))
    assert line.startswith("partition 0: last scored by generation 7, but the control topic has no")
    assert line.endswith("`hotswap swap d --model … --proto … --generation 8`")


def test_a_floor_that_no_command_can_have_created_is_no_problem():
    assert problems(worker("w1", 1, (0, "")), newest=1, floors=(2**64 - 1, 1)) == ()


def test_the_oldest_request_ages_until_its_partition_goes_on_and_then_as_the_last_report_says():
    parts = (PartitionView(0, 10, 7, 5, "", oldest_ms=970_000), PartitionView(1, 10, 7, 5, "", oldest_ms=970_000))
    made, lags = Fleet("d"), (Lag(0, 10, 20, 7), Lag(1, 15, 20, 7))
    made.workers = {"w1": replace(worker("w1", 7, age_s=3.0), partitions=parts)}
    assert _ages(made, lags, NOW) == {0: 30.0, 1: 27.0}
    assert _ages(made, (Lag(0, 20, 20, 7),), NOW) == {}
    made.workers["w1"] = replace(made.workers["w1"], at=NOW - FRESH_S - 1)
    assert _ages(made, lags, NOW) == {}


def test_a_worker_counts_as_dead_after_three_missing_reports():
    assert FRESH_S == 3 * STATUS_S
