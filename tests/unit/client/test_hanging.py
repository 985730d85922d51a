"""Which open transactions hang, what `hotswap doctor` says of them, and which of them an operator may abort."""

import pytest

from hotswap.client.findings import Level
from hotswap.client.hanging import described, findings, hanging
from hotswap.kafka.transactions.open_transactions import Holder, Open, OpenTransactions
from hotswap.settings import Settings

SETTINGS = Settings(deployment="d")
NOW = 1_790_000_000_000
OLD, YOUNG = NOW - 3_600_000, NOW - 10_000
OURS, THEIRS = "d-d.requests-0", "publisher"
HERE, ELSEWHERE = frozenset({("d.predictions", 0)}), frozenset({("d.predictions", 1)})
COMMAND = "`hotswap abort-transaction d --topic d.predictions --partition 0 --producer-id 7` ends it"


def holder(name=OURS, state="Empty", started_ms=OLD, partitions=frozenset(), timeout_ms=30_000):
    return Holder(name, state, timeout_ms, started_ms, partitions)


def seen(holder=None, last_ms=OLD, **facts):
    one = Open("d.predictions", 0, 7, 3, 17, last_ms, 0)
    return OpenTransactions((one,), {7: holder} if holder else {}, **facts)


def said(of):
    return [(one.level, one.what, one.advice) for one in findings(SETTINGS, of, NOW)]


ABORTABLE = {
    "no coordinator knows it": (seen(), Level.FAULT),
    "ours, aborted": (seen(holder(state="CompleteAbort")), Level.FAULT),
    "ours, since initialised": (seen(holder()), Level.FAULT),
    "ours, and open there": (seen(holder(state="Ongoing", partitions=HERE)), Level.WARNING),
}
REFUSED = {
    "it cannot be seen whether a coordinator knows it": (
        seen(unseen="broker 2 is silent"), Level.WARNING, "not all coordinators could be checked: broker 2 is silent"
    ),
    "somebody else's, who has it open": (
        seen(holder(THEIRS, "Ongoing", partitions=HERE)), Level.WARNING, "publisher is no transactional id of this"
    ),
    "somebody else's, whose coordinator has lost it": (
        seen(holder(THEIRS)), Level.FAULT, "publisher is no transactional id of this deployment: its producer must"
    ),
    "of a deployment whose name begins alike": (
        seen(holder("d-d.requests2-0")), Level.FAULT, "d-d.requests2-0 is no transactional id of this deployment"
    ),
    "ours, and being ended": (
        seen(holder(state="PrepareCommit")), Level.WARNING, f"the coordinator of {OURS} is ending it (PrepareCommit)"
    ),
    "ours, and committed": (
        seen(holder(state="CompleteCommit")), Level.FAULT, f"the last transaction of {OURS} was committed, so an abort"
    ),
    "ours, and in use": (
        seen(holder(state="Ongoing", partitions=ELSEWHERE)), Level.FAULT, f"{OURS} is in use, by another transaction"
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", ABORTABLE)
def test_what_nobody_can_commit_any_more_may_be_aborted_and_doctor_says_how(which):
    of, level = ABORTABLE[which]
    (one,) = hanging(SETTINGS, of, NOW)
    assert (one.refusal, one.is_ours) == ("", bool(of.holders))
    ((told, what, advice),) = said(of)
    assert (told, what) == (level, described(one))
    assert advice.endswith(COMMAND)
    assert ("restart the worker" in advice) is one.is_ours


@pytest.mark.parametrize("which", REFUSED)
def test_what_somebody_may_still_commit_or_has_committed_may_not_be_aborted(which):
    of, level, why = REFUSED[which]
    (one,) = hanging(SETTINGS, of, NOW)
    assert one.refusal.startswith(why)
    assert said(of) == [(level, described(one), one.refusal)]


@pytest.mark.parametrize(
    "of",
    [
        seen(last_ms=YOUNG),
        seen(holder(state="CompleteCommit"), last_ms=YOUNG),  # it ended while we looked
        seen(holder(state="Ongoing", partitions=HERE, started_ms=YOUNG), last_ms=YOUNG),
        seen(holder(THEIRS, "Ongoing", partitions=HERE, timeout_ms=7_200_000)),
        seen(holder(THEIRS, "Ongoing", partitions=ELSEWHERE, timeout_ms=7_200_000)),
        OpenTransactions(),
    ],
)
def test_what_is_within_its_time_out_does_not_hang(of):
    assert hanging(SETTINGS, of, NOW) == []
    assert said(of) == [(Level.OK, "none has been open for longer than its time-out", "")]


def test_it_is_said_since_when_it_is_open_and_who_holds_it():
    (unknown,), (open_,) = (hanging(SETTINGS, each[0], NOW) for each in [*ABORTABLE.values()][::3])
    begin = "d.predictions, partition 0: producer 7 (epoch 3) has a transaction open since 2026-09-21 13:13:20 UTC, "
    assert described(unknown) == f"{begin}from offset 17 on; no coordinator knows it"
    own = f"transactional id {OURS}, an id of this deployment, with a time-out of 30 s"
    assert described(open_) == f"{begin}from offset 17 on; {own}"
    (theirs,) = hanging(SETTINGS, seen(holder(THEIRS)), NOW)
    lost = "transactional id publisher, no id of this deployment, whose coordinator does not have it open (Empty)"
    assert described(theirs).endswith(lost)
    (hidden,) = hanging(SETTINGS, seen(unseen="broker 2 is silent"), NOW)
    assert described(hidden).endswith("its transactional id is unknown")


@pytest.mark.parametrize(("last_ms", "since"), [(-1, "an unknown time,"), (-(1 << 62), "an unknown time,")])
def test_a_timestamp_that_is_none_is_old(last_ms, since):
    (one,) = hanging(SETTINGS, seen(last_ms=last_ms), NOW)
    assert f"since {since}" in described(one)


def test_a_time_that_no_calendar_has_is_shown_as_its_number():
    (one,) = hanging(SETTINGS, seen(), NOW)
    assert f"since {1 << 62} ms," in described(one._replace(since_ms=1 << 62))


def test_topics_that_may_not_be_read_are_a_warning_and_nothing_is_well_then():
    ((level, what, advice),) = said(OpenTransactions(unread=frozenset({"d.status", "d.predictions"})))
    assert (level, what) == (Level.WARNING, "may be open on d.predictions, d.status: this user may not read there")
    assert advice == "grant Read on the topics to this user"
