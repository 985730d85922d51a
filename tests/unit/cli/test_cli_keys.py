"""`hotswap keys`: from a new key to a deployment whose commands are signed."""

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest

from fakes.client import commands
from fakes.command_line import hotswap, one_line
from fakes.kafka_logs import FakeWorker
from fakes.signing import entry, trust_file
from hotswap.swap.command import PauseCommand, TrustCommand
from hotswap.trust.file import Trust, parse
from hotswap.trust.keys import Signer


@pytest.fixture
def trust(files, monkeypatch):
    """A trust file of two keys that the command line has made: ci.pem and admin.pem."""
    path = files / "trust.toml"
    made = hotswap("keys", "new", "ci.pem", "--deployment", "d", "--name", "release pipeline").stdout
    path.write_text(made + hotswap("keys", "new", "admin.pem", "--deployment", "*", "--role", "trust").stdout)
    monkeypatch.setenv("HOTSWAP_TRUST", str(path))
    return path


def test_a_new_key_is_a_file_for_its_owner_and_an_entry_for_the_trust_file(trust):
    keys = Trust.read(trust).keys
    ci, admin = (Signer.read(trust.parent / name) for name in ("ci.pem", "admin.pem"))
    assert stat.S_IMODE((trust.parent / "ci.pem").stat().st_mode) == 0o600
    assert (keys[ci.id].name, sorted(keys[ci.id].roles)) == (
        "release pipeline",
        ["pause", "promote", "rollback", "skip", "swap"],
    )
    assert (keys[admin.id].name, [*keys[admin.id].roles], [*keys[admin.id].deployments]) == ("admin", ["trust"], ["*"])
    assert (keys[ci.id].not_after - keys[ci.id].not_before).days == 365
    assert "PRIVATE" not in trust.read_text()


def test_a_key_is_not_overwritten_and_may_have_any_name(files):
    hotswap("keys", "new", "a.pem", "--deployment", "d")
    assert "a.pem exists, and is left as it is" in one_line(
        hotswap("keys", "new", "a.pem", "--deployment", "d", code=2)
    )
    odd = hotswap("keys", "new", "b.pem", "--deployment", 'é"', "--name", 'x"\n\\').stdout
    (key,) = parse(odd.encode(), "").keys.values()
    assert (key.name, key.deployments) == ('x"\n\\', {'é"'})
    assert "Missing option '--deployment'" in hotswap("keys", "new", "c.pem", code=2).stderr
    assert not (files / "c.pem").exists()


def test_the_keys_are_listed_with_what_they_may(trust, cluster, settings):
    told = json.loads(hotswap("keys", "list", "--json").stdout)
    assert [(key["name"], key["roles"], key["state"]) for key in told["keys"]] == [
        ("release pipeline", "pause, promote, rollback, skip, swap", "signs"),
        ("admin", "trust", "signs"),
    ]
    assert told["signed_since"] is None
    assert "commands for d need no signature" in hotswap("keys", "list", "d").stdout


def test_a_key_that_has_ended_or_not_begun_is_told(files, monkeypatch):
    past, future = (datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 2100))
    keys = [entry(Signer.new(), not_before=at, not_after=at + timedelta(days=1)) for at in (past, future)]
    monkeypatch.setenv("HOTSWAP_TRUST", str(trust_file(files, *keys)))
    told = json.loads(hotswap("keys", "list", "--json").stdout)
    assert [key["state"] for key in told["keys"]] == ["ended", "not yet"]


def test_without_a_trust_file_there_is_nothing_to_list(files):
    assert "there is no trust file: set HOTSWAP_TRUST" in one_line(hotswap("keys", "list", code=2))


def test_commands_are_signed_from_the_requirement_on(trust, cluster, settings, monkeypatch):
    FakeWorker(cluster, settings).speak(trust_sha256=Trust.read(trust).sha256)
    ci = Signer.read(trust.parent / "ci.pem").id
    assert "to sign with (--sign-with)" in one_line(hotswap("keys", "require", "d", code=2))
    assert "NOT_TRUSTED: key" in one_line(hotswap("keys", "require", "d", "--sign-with", "ci.pem", code=1))
    hotswap("keys", "require", "d", "--sign-with", "admin.pem")
    assert "SIGNATURE_MISSING: " in one_line(hotswap("pause", "d", code=1))
    hotswap("pause", "d", "--sign-with", "ci.pem")
    monkeypatch.setenv("HOTSWAP_SIGN_WITH", "ci.pem")
    hotswap("resume", "d")
    hotswap("keys", "require", "d", "--revoke", ci, "--sign-with", "admin.pem")
    assert f"NOT_TRUSTED: key {ci} (release pipeline) was revoked at offset" in one_line(hotswap("pause", "d", code=1))
    told = json.loads(hotswap("keys", "list", "d", "--json").stdout)
    assert told["signed_since"] == 1
    assert told["keys"][0]["state"] == "revoked at offset 5"
    assert "commands for d must be signed since offset 1" in hotswap("keys", "list", "d").stdout
    kinds = [type(command) for command in commands(cluster, settings)]
    assert kinds == [TrustCommand, TrustCommand, PauseCommand, PauseCommand, PauseCommand, TrustCommand, PauseCommand]


def test_a_requirement_without_a_trust_file_is_an_error_of_the_settings(files, monkeypatch):
    monkeypatch.setenv("HOTSWAP_REQUIRE_SIGNATURES", "true")
    assert "HOTSWAP_REQUIRE_SIGNATURES needs HOTSWAP_TRUST" in one_line(hotswap("run", "d", code=2))
    monkeypatch.setenv("HOTSWAP_TRUST", "none.toml")
    assert "the trust file none.toml cannot be read: No such file" in one_line(hotswap("run", "d", code=2))
