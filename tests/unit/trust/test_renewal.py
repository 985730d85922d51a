"""Whether a trust file that has changed is taken: what was accepted stays, and what means more is folded anew."""

from types import SimpleNamespace

import pytest

from fakes.later import of_unknown_kind
from fakes.signing import CLUSTER, TOPIC, Log, entry, trust_of
from hotswap.generation import Model, Proto
from hotswap.swap.command import PauseCommand, SwapCommand, TrustCommand
from hotswap.trust.file import SigningRole
from hotswap.trust.fold import Fold
from hotswap.trust.guard import Guard
from hotswap.trust.keys import Signer
from hotswap.trust.renewal import Renewal

CI, OPS, ADMIN = Signer.new(), Signer.new(), Signer.new()
CI_KEY, ADMIN_KEY = entry(CI, "ci", [SigningRole.SWAP]), entry(ADMIN, "admin", [SigningRole.TRUST])
OPS_KEY = entry(OPS, "ops", [SigningRole.PAUSE])
REQUIRE = TrustCommand(command_id="require")
PAUSE = PauseCommand(command_id="pause", is_paused=True)


def swap(number, command_id):
    model, proto = Model("file:///m", "a" * 64), Proto.inline("p")
    return SwapCommand(command_id=command_id, generation=number, model=model, proto=proto)


def compared(before, after, *commands):
    """Return the comparison of a log with these commands, which requires signatures, under two files."""
    guard, log = Guard("d", trust=trust_of(*before), topic=TOPIC), Log()
    guard.cluster = CLUSTER
    renewal = Renewal(guard, trust_of(*after))
    for command, signer in [(REQUIRE, ADMIN), *commands]:
        renewal.receive(log.record(command, signer))
    return renewal


BEFORE = (CI_KEY, ADMIN_KEY)


def test_a_key_that_has_signed_nothing_yet_is_taken_and_nothing_is_folded_anew():
    renewal = compared(BEFORE, (*BEFORE, OPS_KEY), (swap(1, "a"), CI), (PAUSE, None))
    assert (renewal.lost, renewal.other, renewal.next_offset) == ("", "", 3)


def test_a_file_under_which_an_accepted_command_would_be_refused_is_not_taken_and_the_first_is_named():
    renewal = compared(BEFORE, (OPS_KEY, ADMIN_KEY), (PAUSE, OPS), (swap(1, "a"), CI), (swap(2, "b"), CI))
    assert renewal.lost.startswith("command a at offset 2, which was accepted, would be refused: NOT_TRUSTED ")


def test_that_commands_must_be_signed_cannot_be_taken_back_by_a_file():
    renewal = compared(BEFORE, (CI_KEY,), (swap(1, "a"), CI))
    assert renewal.lost.startswith("command require at offset 0, which was accepted, would be refused: NOT_TRUSTED ")


def test_a_file_under_which_more_is_accepted_has_the_log_folded_anew():
    renewal = compared(BEFORE, (*BEFORE, OPS_KEY), (swap(1, "a"), CI), (PAUSE, OPS), (PAUSE, OPS))
    assert (renewal.lost, renewal.other) == ("", "command pause at offset 2")


def test_a_command_that_would_use_up_the_number_of_an_accepted_one_is_not_let_in():
    both = entry(OPS, "ops", [SigningRole.SWAP])
    renewal = compared(BEFORE, (*BEFORE, both), (swap(1, "theirs"), OPS), (swap(1, "ours"), CI))
    assert renewal.lost.startswith("command ours at offset 2, which was accepted, would be refused: STALE ")


def test_a_command_that_is_refused_all_the_same_but_uses_up_its_id_has_the_log_folded_anew():
    both = entry(OPS, "ops", [SigningRole.SWAP])
    renewal = compared(BEFORE, (*BEFORE, both), (swap(1, "ours"), CI), (swap(1, "theirs"), OPS))
    assert (renewal.lost, renewal.other) == ("", "command theirs at offset 2")


def test_a_command_of_a_later_version_that_would_hold_what_was_accepted_is_not_let_in():
    guard = Guard("d", trust=trust_of(*BEFORE), topic=TOPIC)
    guard.cluster = CLUSTER
    renewal, log = Renewal(guard, trust_of(*BEFORE, OPS_KEY)), Log()
    renewal.receive(log.record(REQUIRE, ADMIN))
    value = of_unknown_kind("later", deployment="d")
    headers = OPS.headers(value, topic=TOPIC, cluster=CLUSTER)
    renewal.receive(SimpleNamespace(offset=1, timestamp=log.record(PAUSE).timestamp, value=value, headers=headers))
    renewal.receive(log.record(swap(1, "a"), CI))
    assert renewal.lost.startswith(
        "command a at offset 2, which was accepted, would not be read: offset 1 of the control"
    )


@pytest.mark.parametrize("value", [b"", b"\xff", None])
def test_records_that_are_no_commands_are_passed_over(value):
    renewal = compared(BEFORE, BEFORE)
    renewal.receive(SimpleNamespace(offset=1, timestamp=0, value=value, headers=()))
    assert (renewal.lost, renewal.other, renewal.next_offset) == ("", "", 2)


def test_a_guard_that_is_renewed_verifies_the_next_record_by_the_other_file_and_keeps_what_the_log_said():
    guard, log = Guard("d", trust=trust_of(*BEFORE), topic=TOPIC), Log()
    guard.cluster = CLUSTER
    fold = Fold("d", guard=guard)
    for record in (log.record(REQUIRE, ADMIN), log.record(PAUSE, OPS)):
        fold.receive(record)
    assert (guard.since, fold.timeline.is_paused) == (0, False)
    guard.renew(trust_of(*BEFORE, OPS_KEY))
    fold.receive(log.record(PAUSE, OPS))
    assert (guard.since, fold.timeline.is_paused) == (0, True)
    guard.kept = "why not"
    assert guard.warning == "why not"
