"""Which commands are folded, once the log requires signatures: those of keys that may, alike at every replay."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.signing import BEGIN, CLUSTER, DURING_MS, END, TOPIC, Log, entry, trust_of
from hotswap.errors import StartError, SwapCode
from hotswap.generation import Model, Proto
from hotswap.settings import Settings
from hotswap.swap.command import Outcome, PauseCommand, RollbackCommand, SkipCommand, SwapCommand, TrustCommand
from hotswap.trust.file import SigningRole
from hotswap.trust.fold import Fold
from hotswap.trust.guard import Guard
from hotswap.trust.keys import Signer

CI, OPS, ADMIN, STRANGER = Signer.new(), Signer.new(), Signer.new(), Signer.new()
TRUST = trust_of(
    entry(CI, "ci", [SigningRole.SWAP, SigningRole.ROLLBACK]),
    entry(OPS, "ops", [SigningRole.PAUSE, SigningRole.SKIP]),
    entry(ADMIN, "admin", [SigningRole.TRUST]),
)
REQUIRE = TrustCommand(command_id="require")
PAUSE = PauseCommand(command_id="pause", is_paused=True)
BEGIN_MS, END_MS = (int(at.timestamp() * 1000) for at in (BEGIN, END))


def swap(number, command_id=None):
    model, proto = Model("file:///m", "a" * 64), Proto.inline("p")
    return SwapCommand(command_id=command_id or f"swap {number}", generation=number, model=model, proto=proto)


EACH = [
    (swap(1), CI),
    (RollbackCommand(command_id="rollback", generation=2, to=1), CI),
    (PAUSE, OPS),
    (PauseCommand(command_id="resume", is_paused=False), OPS),
    (SkipCommand(command_id="skip", partition=0, offset=7), OPS),
    (TrustCommand(command_id="revoke"), ADMIN),
]


class Reader:
    """A reader of a control log, with or without a trust file."""

    def __init__(self, trust=TRUST, *, is_signed=True):
        guard = Guard("d", trust=trust, topic=TOPIC)
        guard.cluster = CLUSTER
        self.fold, self.log = Fold("d", guard=guard), Log()
        if is_signed:
            assert self.says(REQUIRE, ADMIN) == (Outcome.APPLIED, "")

    def says(self, command, signer=None, **given):
        return self.reads(self.log.record(command, signer, **given))

    def reads(self, record):
        _, self.verdict = self.fold.receive(record)
        return self.verdict.outcome, self.verdict.code


def refused(code):
    return Outcome.REFUSED, code


MISSING, INVALID, NOT_TRUSTED = map(
    refused, (SwapCode.SIGNATURE_MISSING, SwapCode.SIGNATURE_INVALID, SwapCode.NOT_TRUSTED)
)


@pytest.mark.parametrize(("command", "signer"), EACH[:-1], ids=lambda each: type(each).__name__)
def test_before_a_log_requires_signatures_none_is_looked_at(command, signer):
    for trust in (TRUST, None):
        reader = Reader(trust, is_signed=False)
        reader.says(swap(1))
        assert reader.says(replace(command, command_id="1"), STRANGER)[1] in ("", SwapCode.STALE)
        assert reader.says(replace(command, command_id="2"), signer, topic="other")[1] in ("", SwapCode.STALE)


def test_the_requirement_itself_is_always_verified():
    reader = Reader(is_signed=False)
    assert reader.says(REQUIRE) == MISSING
    assert reader.says(REQUIRE, STRANGER) == NOT_TRUSTED
    assert reader.says(REQUIRE, CI) == NOT_TRUSTED
    assert reader.says(REQUIRE, ADMIN, topic="other") == INVALID
    assert reader.fold.guard.since is None
    assert reader.says(REQUIRE, ADMIN) == (Outcome.APPLIED, "")
    assert reader.fold.guard.since == 4


@pytest.mark.parametrize("at", range(len(EACH)), ids=lambda at: type(EACH[at][0]).__name__)
def test_each_command_needs_a_key_with_its_role(at):
    reader = Reader()
    if at:
        assert reader.says(*EACH[0]) == (None, "")
    command, right = EACH[at]
    newest = reader.fold.timeline.newest
    assert reader.says(command) == MISSING
    assert "the command must be signed, as all are since offset 0 of d.control" in reader.verdict.message
    assert reader.says(command, STRANGER) == NOT_TRUSTED
    assert f"the trust file has no key {STRANGER.id}" in reader.verdict.message
    for wrong in {CI, OPS, ADMIN} - {right}:
        assert reader.says(command, wrong) == NOT_TRUSTED
        assert f"key {wrong.id} (" in reader.verdict.message
        assert "lacks the role" in reader.verdict.message
    assert (reader.fold.timeline.newest, reader.fold.timeline.has_seen(command.command_id)) == (newest, False)
    assert reader.says(command, right)[1] == ""
    assert reader.fold.timeline.has_seen(command.command_id)


def test_what_is_refused_uses_up_no_id_and_no_generation():
    reader = Reader()
    assert reader.says(swap(1 << 60)) == MISSING
    assert reader.says(swap(9, "mine")) == MISSING
    assert reader.fold.timeline.newest == 0
    assert reader.says(swap(1, "mine"), CI) == (None, "")
    assert reader.says(swap(1, "mine"), CI) == (Outcome.DUPLICATE, "")


def test_a_refusal_under_the_id_of_a_folded_command_is_no_answer_to_it():
    reader = Reader()
    reader.says(swap(1, "mine"), CI)
    assert not reader.fold.is_foreign(reader.verdict)
    reader.says(swap(1, "mine"))
    assert reader.fold.is_foreign(reader.verdict)
    reader.says(swap(2, "another"))
    assert not reader.fold.is_foreign(reader.verdict)
    reader.says(swap(2, "mine"), CI)
    assert reader.verdict.code is SwapCode.EQUIVOCATION
    assert not reader.fold.is_foreign(reader.verdict)


def test_a_signed_record_cannot_be_moved_to_another_topic_cluster_or_deployment():
    reader = Reader()
    assert reader.says(swap(1), CI, topic="other.control") == INVALID
    assert reader.says(swap(1), CI, cluster="other") == INVALID
    assert "not one by key" in reader.verdict.message
    assert f"{CI.id} (ci)" in reader.verdict.message
    mine = reader.log.record(swap(1), CI, deployment="e")
    assert reader.fold.receive(mine) is None
    moved = reader.log.record(swap(1))
    moved.headers = mine.headers
    assert reader.reads(moved) == INVALID


def test_a_key_commands_only_its_deployments():
    reader = Reader(trust_of(entry(CI, deployments=frozenset({"e", "f"})), entry(ADMIN, "admin")))
    assert reader.says(swap(1), CI) == NOT_TRUSTED
    assert reader.verdict.message == f"key {CI.id} (ci) is not for d, but for e, f"
    assert reader.says(swap(1), ADMIN) == (None, "")


@pytest.mark.parametrize(
    ("at_ms", "verdict"),
    [
        (BEGIN_MS - 1, NOT_TRUSTED),
        (BEGIN_MS, (None, "")),
        (END_MS, (None, "")),
        (END_MS + 1, NOT_TRUSTED),
        (-(1 << 63), NOT_TRUSTED),
        ((1 << 63) - 1, NOT_TRUSTED),
    ],
)
def test_a_key_begins_and_ends_by_the_timestamp_of_the_record(at_ms, verdict):
    reader = Reader()
    assert reader.says(swap(1), CI, at_ms=at_ms) == verdict


def test_two_keys_are_valid_at_a_time_while_they_are_rotated():
    reader = Reader(trust_of(entry(CI, "old"), entry(OPS, "new"), entry(ADMIN, "admin")))
    assert reader.says(swap(1), CI) == (None, "")
    assert reader.says(swap(2), OPS) == (None, "")
    assert reader.says(TrustCommand(command_id="end", revoked=(CI.id,)), ADMIN) == (Outcome.APPLIED, "")
    assert reader.says(swap(3), CI) == NOT_TRUSTED
    assert reader.verdict.message == f"key {CI.id} (old) was revoked at offset 3 of d.control"
    assert reader.says(swap(3), OPS) == (None, "")


def test_a_revocation_holds_from_its_record_on_and_is_not_undone():
    reader = Reader(trust_of(entry(CI), entry(ADMIN, "admin")))
    assert reader.says(TrustCommand(command_id="1", revoked=(CI.id, ADMIN.id)), ADMIN) == (Outcome.APPLIED, "")
    assert reader.says(TrustCommand(command_id="2"), ADMIN) == NOT_TRUSTED
    assert reader.says(TrustCommand(command_id="1", revoked=(CI.id, ADMIN.id))) == MISSING
    assert reader.fold.guard.since == 0
    assert reader.fold.guard.revoked == {CI.id: 1, ADMIN.id: 1}


def test_a_revocation_whose_id_was_used_for_another_command_is_not_applied():
    reader = Reader(trust_of(entry(CI), entry(ADMIN, "admin")))
    assert reader.says(TrustCommand(command_id="require", revoked=(CI.id,)), ADMIN) == refused(SwapCode.EQUIVOCATION)
    assert reader.says(REQUIRE, ADMIN) == (Outcome.DUPLICATE, "")
    assert reader.says(swap(1), CI) == (None, "")


@pytest.mark.parametrize("change", [lambda h: [*h, h[0]], lambda h: [*h, h[1]], lambda h: h[:1], lambda h: h[1:]])
def test_a_signed_record_has_one_key_id_and_one_signature(change):
    reader = Reader()
    record = reader.log.record(swap(1), CI)
    record.headers = change(list(record.headers))
    assert reader.reads(record) == INVALID
    assert "has one of each" in reader.verdict.message


@pytest.mark.parametrize("key", [None, b"", b"\xff\x1b[2J", b"x" * 100_000])
@pytest.mark.parametrize("signature", [None, b"", b"x" * 64])
def test_headers_of_any_kind_are_refused_in_a_short_line(key, signature):
    reader = Reader()
    record = reader.log.record(swap(1))
    record.headers = [("key-id", key), ("signature", signature)]
    assert reader.reads(record) == NOT_TRUSTED
    record.headers = [("key-id", CI.id.encode()), ("signature", signature)]
    assert reader.reads(record) == INVALID
    assert len(reader.verdict.message) < 400
    assert reader.verdict.message.isascii()


def test_other_headers_do_no_harm():
    reader = Reader()
    record = reader.log.record(swap(1), CI)
    record.headers = [("trace", b"1"), *record.headers, ("trace", None)]
    assert reader.reads(record) == (None, "")


def test_without_a_trust_file_unsigned_commands_are_obeyed_and_the_reader_warns():
    reader = Reader(None, is_signed=False)
    assert (reader.fold.guard.warning, reader.fold.guard.trust_sha256) == ("", "")
    assert reader.says(swap(1)) == (None, "")
    assert reader.says(REQUIRE, ADMIN) == NOT_TRUSTED
    assert reader.says(replace(REQUIRE, command_id="2"), ADMIN) == NOT_TRUSTED
    assert reader.fold.guard.warning.startswith("offset 1 of d.control says that commands must be signed")
    assert reader.says(swap(2)) == (None, "")
    assert Reader().fold.guard.warning == ""
    assert Reader().fold.guard.trust_sha256 == TRUST.sha256


def test_a_worker_that_requires_signatures_does_not_start_before_the_log_does():
    settings = Settings(deployment="d", trust="trust.toml", require_signatures=True)
    with pytest.raises(StartError, match=r"publish it, with `hotswap keys require d --sign-with KEY`"):
        Reader(is_signed=False).fold.check_settings(settings)
    Reader().fold.check_settings(settings)
    Reader(is_signed=False).fold.check_settings(Settings(deployment="d"))


@settings(deadline=None)  # a busy machine is no fault
@given(st.data())
def test_every_replay_and_every_reader_decides_alike_and_strangers_change_nothing(data):
    keys = st.sampled_from([CI, OPS, ADMIN, STRANGER, None])
    commands = st.sampled_from([command for command, _ in EACH] + [swap(2), swap(3), REQUIRE])
    log, bits = Log(), []
    for _ in range(data.draw(st.integers(1, 8))):
        record = log.record(
            data.draw(commands),
            data.draw(keys),
            at_ms=data.draw(st.sampled_from([DURING_MS, BEGIN_MS - 1, END_MS + 1])),
            cluster=data.draw(st.sampled_from([CLUSTER, "other"])),
        )
        bits.append(record)
    first, again, clean = (Reader() for _ in range(3))
    verdicts = [(first.reads(record), first.verdict) for record in bits]
    assert [(again.reads(record), again.verdict) for record in bits] == verdicts
    # The same log without what was refused before the fold comes to the same state.
    codes = {SwapCode.SIGNATURE_MISSING, SwapCode.SIGNATURE_INVALID, SwapCode.NOT_TRUSTED}
    kept = [record for record, (said, _) in zip(bits, verdicts, strict=True) if said[1] not in codes]
    for record in kept:
        clean.reads(record)
    assert _state(clean) == _state(first)


def _state(reader):
    timeline, guard = reader.fold.timeline, reader.fold.guard
    return list(timeline.swaps), timeline.is_paused, timeline.skips, timeline._seen, guard.revoked


def test_records_of_others_and_garbage_are_as_before():
    reader = Reader()
    assert reader.fold.receive(reader.log.record(PAUSE, deployment="e")) is None
    with pytest.raises(Exception, match="not a hotswap"):
        reader.fold.receive(SimpleNamespace(offset=1, timestamp=0, value=b"\xff", headers=()))


def test_who_signed_a_record_is_told_whatever_the_key_may_and_whether_the_log_asks_for_it_or_not():
    reader = Reader(is_signed=False)
    guard, log = reader.fold.guard, reader.log
    assert guard.signer(log.record(PAUSE, CI)).name == "ci"  # which has no role for that
    assert [guard.signer(log.record(PAUSE, *by)) for by in ((), (STRANGER,))] == [None, None]
    assert guard.signer(log.record(PAUSE, CI, topic="another")) is None
    assert Reader(None, is_signed=False).fold.guard.signer(log.record(PAUSE, CI)) is None
