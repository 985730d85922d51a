"""The trust file, and what is said of one that is wrong."""

from hashlib import sha256

import pytest

from fakes.signing import BEGIN, END, entry, trust_file
from hotswap.errors import UsageError
from hotswap.trust.file import SigningRole, Trust, parse
from hotswap.trust.keys import Signer

SIGNER = Signer.new()
ENTRY = entry(SIGNER)


def test_an_entry_is_read_as_it_is_printed(tmp_path):
    path = trust_file(tmp_path, ENTRY, entry(Signer.new(), "ops", [SigningRole.PAUSE], deployments=frozenset({"*"})))
    trust = Trust.read(path)
    assert trust.keys[SIGNER.id] == ENTRY
    assert [key.title.split()[1] for key in trust.keys.values()] == ["(ci)", "(ops)"]
    assert trust.sha256 == sha256(path.read_bytes()).hexdigest()


def test_a_key_is_for_the_deployments_that_it_names():
    assert ENTRY.commands("d")
    assert not ENTRY.commands("d2")
    assert not ENTRY.commands("*")
    assert entry(SIGNER, deployments=frozenset({"*"})).commands("any")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"swap"',
            '"swp"',
            "[[key]] 1 (ci): roles: 'swp' is no role: there are swap, rollback, promote, pause, skip, trust",
        ),
        ('["swap", "rollback", "promote", "pause", "skip", "trust"]', "[]", "[[key]] 1 (ci): roles: "),
        ('["d"]', "[]", "[[key]] 1 (ci): deployments: "),
        ('name = "ci"', "", "[[key]] 1: name: Field required"),
        ('name = "ci"', "name = 1", "[[key]] 1: name: "),
        ('public = "', 'public = "AA', "[[key]] 1 (ci): public: is not the base64 of an Ed25519 public key's 32 bytes"),
        ('public = "', 'public = 1 # "', "[[key]] 1 (ci): public: is not the base64 of"),
        ("00Z", "00", "[[key]] 1 (ci): not_before: "),
        ("2027-", "2025-", "ci ends (not_after) before it begins (not_before)"),
        ('name = "ci"', 'name = "ci"\nrole = 1', "[[key]] 1 (ci): role: Extra inputs are not permitted"),
        ("[[key]]", "[[keys]]", "key: Field required; keys: Extra inputs"),
        ("[[key]]", "[key]", "key: "),
        ("[[key]]", "key = [1]\n[x]", "[[key]] 1: "),
        ("[[key]]", "[[key", "is no TOML: "),
    ],
)
def test_what_is_wrong_is_named(old, new, said):
    text = ENTRY.document()
    assert old in text
    with pytest.raises(UsageError) as caught:
        parse(text.replace(old, new, 1).encode(), "trust.toml")
    assert str(caught.value).startswith("the trust file trust.toml")
    assert said in str(caught.value)


def test_a_key_is_listed_once():
    text = ENTRY.document() + entry(SIGNER, "again").document()
    with pytest.raises(UsageError, match="again has the public key of ci: list it once"):
        parse(text.encode(), "trust.toml")


def test_a_file_that_is_not_there_or_empty_trusts_nobody_by_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Trust.read(tmp_path / "trust.toml")
    with pytest.raises(UsageError, match="key: Field required"):
        parse(b"", "trust.toml")


def test_an_end_is_an_instant_whatever_its_zone():
    text = ENTRY.document().replace("2027-01-01T00:00:00Z", "2027-01-01T02:00:00+02:00")
    (key,) = parse(text.encode(), "trust.toml").keys.values()
    assert (key.not_before, key.not_after) == (BEGIN, END)
