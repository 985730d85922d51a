"""What a control log has accepted stays accepted: logs that an older commit folded still fold to the same state.

tests/golden/make_golden.py made the first ones at commit b3c94c2 (its docstring says how, and how to compare two
commits). They have every kind of command: good, stale, foreign, forged, malformed and hostile; none is marked with
later rules. Those of version 2 of the contract have what came with it, too.
"""

import json
from collections import Counter
from types import SimpleNamespace

import pytest
from google.protobuf.message import DecodeError

from golden.make_golden import DEPLOYMENT, fold, logs
from hotswap.client.history import History
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

VERSIONS = 1, 2
LOGS = {version: list(logs(version)) for version in VERSIONS}
EVERY = [pytest.param(version, *log[1:], id=log[0]) for version in VERSIONS for log in LOGS[version]]


@pytest.mark.parametrize(("version", "records", "state"), EVERY)
def test_a_log_folds_to_the_same_state_as_when_it_was_written(version, records, state):
    now = json.loads(json.dumps(fold(records, version)))
    for index, (then, today) in enumerate(zip(state["verdicts"], now["verdicts"], strict=True)):
        assert today == then, f"record {index}"
    assert now == state


@pytest.mark.parametrize(("version", "records", "state"), EVERY)
def test_a_publisher_derives_the_same_generations_as_the_workers(version, records, state):
    history = History.of(Settings(deployment=DEPLOYMENT))
    history.receive(SimpleNamespace(value=value, timestamp=at, offset=0, headers=()) for at, value in records)
    assert list(history.timeline.swaps) == [swap["generation"]["number"] for swap in state["accepted"]]
    assert history.timeline.is_paused is state["is_paused"]


CODES = {"MALFORMED", "STALE", "EQUIVOCATION", "EXPIRED", "INCOMPLETE", "UNKNOWN_BASE", "DIGEST_MISMATCH"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_golden_logs_have_every_verdict_and_the_highest_number(version):
    given = Counter(
        (said["outcome"], said["code"]) for *_, state in LOGS[version] for said in state["verdicts"] if said
    )
    assert {code for outcome, code in given if outcome == "REFUSED"} == CODES
    assert {outcome for outcome, _ in given} == {None, "REFUSED", "DUPLICATE", "APPLIED"}
    assert 2**64 - 1 in {state["newest"] for *_, state in LOGS[version]}


def test_the_first_logs_have_nothing_that_came_with_version_2():
    swaps = [swap for *_, state in LOGS[1] for swap in state["accepted"]]
    assert not {"is_staged", "promote_by_ms", "replaces", "is_abandoned"} & {name for swap in swaps for name in swap}


def read(value):
    """Return the command of a record; None if there is none."""
    try:
        return wire.Command.FromString(value or b"")
    except DecodeError:
        return None


def test_the_logs_of_version_2_have_all_that_came_with_it():
    swaps = [swap for *_, state in LOGS[2] for swap in state["accepted"]]
    for name in ("is_staged", "promote_by_ms", "replaces", "is_abandoned"):
        assert {bool(swap[name]) for swap in swaps} == {True, False}, name
    assert {bool(swap["generation"]["golden"]) for swap in swaps} == {True, False}
    given = Counter(
        (command.WhichOneof("kind"), verdict["outcome"], verdict["code"], command.least_version == 2)
        for _, records, state in LOGS[2]
        for (_, value), verdict in zip(records, state["verdicts"], strict=True)
        if verdict and (command := read(value))
    )
    for kind in ("promote", "abandon"):
        assert given[kind, "APPLIED", "", True] > 20
        assert given[kind, "DUPLICATE", "", True]
        assert {given[kind, "REFUSED", code, True] > 0 for code in ("STALE", "UNKNOWN_BASE", "EQUIVOCATION")} == {True}
        assert given[kind, "REFUSED", "MALFORMED", False]
        assert not given[kind, "APPLIED", "", False], "it names no version"
    assert given["promote", "REFUSED", "EXPIRED", True]
    assert given["promote", "REFUSED", "MALFORMED", True], "it names nothing"
