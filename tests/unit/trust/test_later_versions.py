"""Where commands must be signed, only a key of the deployment can hold its workers by a later version."""

from types import SimpleNamespace

import pytest

from fakes.later import of_unknown_kind
from fakes.signing import BEGIN, CLUSTER, DURING_MS, TOPIC, Log, entry, trust_of
from hotswap.errors import StartError
from hotswap.settings import Settings
from hotswap.swap.command import VERSION, Outcome, PauseCommand, TrustCommand
from hotswap.trust.file import SigningRole
from hotswap.trust.fold import Fold
from hotswap.trust.guard import Guard
from hotswap.trust.keys import Signer

OPS, ADMIN, OTHER, STRANGER = Signer.new(), Signer.new(), Signer.new(), Signer.new()
TRUST = trust_of(
    entry(OPS, "ops", [SigningRole.PAUSE]),
    entry(ADMIN, "admin", [SigningRole.TRUST]),
    entry(OTHER, "other", deployments=frozenset({"e"})),
)


class Reader:
    """A reader whose log requires signatures, unless told otherwise; it has revoked `revoked`."""

    def __init__(self, *, trust=TRUST, is_signed=True, revoked=()):
        guard = Guard("d", trust=trust, topic=TOPIC)
        guard.cluster = CLUSTER
        self.fold, self.log = Fold("d", guard=guard), Log()
        if is_signed:
            require = TrustCommand(command_id="require", revoked=revoked)
            _, verdict = self.fold.receive(self.log.record(require, ADMIN))
            assert verdict.outcome is Outcome.APPLIED

    def says(self, signer, *, value=None, topic=TOPIC, at_ms=DURING_MS):
        """The outcome and code of a command of a kind that is not known here."""
        value = value or of_unknown_kind()
        headers = signer.headers(value, topic=topic, cluster=CLUSTER) if signer else ()
        _, verdict = self.fold.receive(SimpleNamespace(offset=7, timestamp=at_ms, value=value, headers=headers))
        return verdict.outcome, verdict.code


@pytest.mark.parametrize("signer", [OPS, ADMIN], ids=["ops", "admin"])
def test_a_valid_signature_of_any_role_holds_as_nobody_here_knows_which_it_takes(signer):
    reader = Reader()
    assert reader.says(signer) == (Outcome.HELD, "")
    assert reader.fold.timeline.held


@pytest.mark.parametrize(
    ("signer", "given", "code"),
    [
        (None, {}, "SIGNATURE_MISSING"),
        (STRANGER, {}, "NOT_TRUSTED"),
        (OTHER, {}, "NOT_TRUSTED"),
        (OPS, {"topic": "other"}, "SIGNATURE_INVALID"),
        (OPS, {"at_ms": int(BEGIN.timestamp() * 1000) - 1}, "NOT_TRUSTED"),
    ],
)
def test_all_else_is_refused_and_holds_nobody(signer, given, code):
    reader = Reader()
    assert reader.says(signer, **given) == (Outcome.REFUSED, code)
    assert reader.fold.timeline.held == ""
    _, verdict = reader.fold.receive(reader.log.record(PauseCommand(command_id="p", is_paused=True), OPS))
    assert verdict.outcome is Outcome.APPLIED


def test_a_revoked_key_holds_nobody():
    reader = Reader(revoked=(OPS.id,))
    assert reader.says(OPS) == (Outcome.REFUSED, "NOT_TRUSTED")
    assert reader.fold.timeline.held == ""


def test_a_signature_is_of_the_version_too():
    reader = Reader()
    value = of_unknown_kind(version=1)
    record = SimpleNamespace(
        offset=7,
        timestamp=DURING_MS,
        value=of_unknown_kind(version=VERSION + 1),
        headers=OPS.headers(value, topic=TOPIC, cluster=CLUSTER),
    )
    assert reader.fold.receive(record)[1].code == "SIGNATURE_INVALID"
    assert reader.fold.timeline.held == ""


def test_a_worker_that_requires_signatures_starts_where_it_is_held_and_says_so():
    settings = Settings(deployment="d", trust="trust.toml", require_signatures=True)
    reader = Reader(is_signed=False)
    with pytest.raises(StartError):
        reader.fold.check_settings(settings)
    reader.says(None)
    reader.fold.check_settings(settings)


@pytest.mark.parametrize("trust", [TRUST, None], ids=["trust file", "none"])
def test_before_a_log_requires_signatures_whoever_may_write_holds_as_he_may_command_anything(trust):
    reader = Reader(trust=trust, is_signed=False)
    assert reader.says(None) == (Outcome.HELD, "")
