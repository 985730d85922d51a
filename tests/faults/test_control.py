"""Short runs of the command storm and the bad swaps, and a test that their checks can fail."""

import random

from faults import bad_swaps, control_storm
from faults.fold import Verdict, replay
from faults.storm_commands import Storm

_NOW_MS = 1_700_000_000_000
_ENDS = dict.fromkeys(range(4), 1_000)


def storm(seed, count):
    """Return the log that a storm of so many commands leaves."""
    made = Storm(seed=seed, deployment="d")
    sent = [*made.prologue(), *(made.next(_ENDS) for _ in range(count)), *made.epilogue()]
    return [(value, _NOW_MS) for _, _, value in sent]


async def test_every_worker_ends_in_the_state_that_a_pure_replay_of_a_stormy_log_gives(deployment):
    seed = random.randrange(1_000_000)
    figures = await control_storm.run(deployment, seed=seed, count=250, say=print)
    assert figures.findings == [], f"seed {seed}"
    assert figures.asked > 0


async def test_bad_swaps_are_answered_with_their_codes_and_the_old_generation_answers_every_request(deployment):
    seed = random.randrange(1_000_000)
    figures = await bad_swaps.run(deployment, seed=seed, count=12, say=print)
    assert figures.findings == [], f"seed {seed}"
    assert len(figures.codes) >= 10
    assert figures.asked > 0


def test_the_workers_fold_and_the_contracts_agree_on_ten_thousand_commands():
    seed = random.randrange(1_000_000)
    log = storm(seed, 10_000)
    fold = replay("d", log)
    assert control_storm.by_the_workers_own_fold("d", log, fold) == [], f"seed {seed}"
    good = sum(verdict.outcome in ("", "APPLIED") for verdict in fold.verdicts)
    assert 0.2 < good / len(log) < 0.4, "seven in ten are to be bad"
    assert not fold.is_paused


def test_a_fold_that_misses_one_command_is_found():
    log = storm(1, 200)
    fold = replay("d", log)
    last = next(
        index for index in reversed(range(len(log))) if len(replay("d", log[:index]).verdicts) < len(fold.verdicts)
    )
    assert control_storm.by_the_workers_own_fold("d", log, fold) == []
    assert control_storm.by_the_workers_own_fold("d", log[:last], fold) != []


def test_a_worker_that_says_another_verdict_than_the_log_is_found():
    fold = replay("d", storm(2, 300))
    said = [verdict for verdict in fold.verdicts if verdict.outcome]
    ends = [Verdict(f"swap {number}", number, "SUPERSEDED") for number in fold.accepted]
    assert control_storm.told("w1", said + ends, fold) == []
    assert control_storm.told("w1", said[:-1] + ends, fold) != []
    assert control_storm.told("w1", [said[0]._replace(code="STALE"), *said[1:], *ends], fold) != []
    assert control_storm.told("w4", [said[0]._replace(outcome="APPLIED")], fold) != []
    assert control_storm.told("w1", said + ends[1:], fold) != []
