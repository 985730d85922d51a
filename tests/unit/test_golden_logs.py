"""What a control log has accepted stays accepted: logs that an older commit folded still fold to the same state.

tests/golden/make_golden.py made them at commit b3c94c2 (its docstring says how, and how to compare two commits). They
have every kind of command: good, stale, foreign, forged, malformed and hostile; none is marked with later rules.
"""

import json
from collections import Counter
from types import SimpleNamespace

import pytest

from golden.make_golden import DEPLOYMENT, fold, logs
from hotswap.client.history import History
from hotswap.settings import Settings

LOGS = list(logs())


@pytest.mark.parametrize(("records", "state"), [log[1:] for log in LOGS], ids=[name for name, *_ in LOGS])
def test_a_log_folds_to_the_same_state_as_when_it_was_written(records, state):
    now = json.loads(json.dumps(fold(records)))
    for index, (then, today) in enumerate(zip(state["verdicts"], now["verdicts"], strict=True)):
        assert today == then, f"record {index}"
    assert now == state


@pytest.mark.parametrize(("records", "state"), [log[1:] for log in LOGS], ids=[name for name, *_ in LOGS])
def test_a_publisher_derives_the_same_generations_as_the_workers(records, state):
    history = History.of(Settings(deployment=DEPLOYMENT))
    history.receive(SimpleNamespace(value=value, timestamp=at, offset=0, headers=()) for at, value in records)
    assert list(history.timeline.swaps) == [swap["generation"]["number"] for swap in state["accepted"]]
    assert history.timeline.is_paused is state["is_paused"]


def test_the_golden_logs_have_every_verdict_and_the_highest_number():
    given = Counter((said["outcome"], said["code"]) for *_, state in LOGS for said in state["verdicts"] if said)
    codes = {"MALFORMED", "STALE", "EQUIVOCATION", "EXPIRED", "INCOMPLETE", "UNKNOWN_BASE", "DIGEST_MISMATCH"}
    assert {code for outcome, code in given if outcome == "REFUSED"} == codes
    assert {outcome for outcome, _ in given} == {None, "REFUSED", "DUPLICATE", "APPLIED"}
    assert 2**64 - 1 in {state["newest"] for *_, state in LOGS}
