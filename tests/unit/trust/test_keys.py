"""What is signed, and the files of private keys."""

import stat
import subprocess
import sys
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trust.keys import Signer, is_signed, key_id, signed_bytes

PINNED = (
    "748a41c67e2e6eac7d65f82507ec47743ec9c905e1af90ba971ac12074c18762"
    "b5243be6b44fafaeaaa8b3cd9687e5b2a5e3183f8550b53e7b2e4ed088a3970a"
)
TOPICS = st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True)


def test_the_encoding_is_that_of_dsse():
    # As the protocol's own example: PAE("http://example.com/HelloWorld", "hello world").
    assert signed_bytes(b"hello world", topic="t", cluster="c") == (
        b"DSSEv1 49 application/vnd.hotswap.command;topic=t;cluster=c 11 hello world"
    )


def test_what_was_signed_once_is_valid_for_ever():
    # Pinned: a later version that signs or verifies otherwise would refuse what logs have accepted.
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    headers = signer.headers(b"\x0a\x01c", topic="hotswap.control", cluster="MkU3OEVBNTcwNTJENDM2Qg")
    assert headers == [("key-id", b"56475aa75463474c"), ("signature", bytes.fromhex(PINNED))]


@given(st.tuples(st.binary(max_size=50), TOPICS, st.text(max_size=20)), st.tuples(st.binary(), TOPICS, st.text()))
def test_no_two_of_command_topic_and_cluster_are_encoded_alike(one, other):
    encoded = [signed_bytes(value, topic=topic, cluster=cluster) for value, topic, cluster in (one, other)]
    assert (encoded[0] == encoded[1]) is (one == other)


@given(st.binary(max_size=200), st.integers(0, 511), st.booleans())
def test_a_signature_is_of_these_bytes_by_this_key_alone(value, bit, in_the_signature):
    signer, other = Signer.new(), Signer.new()
    (_, name), (_, signature) = signer.headers(value, topic="t", cluster="c")
    message = signed_bytes(value, topic="t", cluster="c")
    assert name.decode() == signer.id == key_id(signer.public) == sha256(signer.public).hexdigest()[:16]
    assert is_signed(signer.public, signature, message)
    assert not is_signed(other.public, signature, message)
    given = signature if in_the_signature else message
    at, mask = bit // 8 % len(given), 1 << bit % 8
    changed = given[:at] + bytes([given[at] ^ mask]) + given[at + 1 :]
    pair = (changed, message) if in_the_signature else (signature, changed)
    assert not is_signed(signer.public, *pair)


@pytest.mark.parametrize("signature", [b"", b"x", b"x" * 63, b"x" * 65, b"x" * 10_000])
@pytest.mark.parametrize("public", [bytes(32), b"\xff" * 32])
def test_what_is_no_signature_is_none(public, signature):
    assert not is_signed(Signer.new().public, signature, b"")
    assert not is_signed(public, signature, b"")


def test_a_key_is_read_as_it_was_written_and_only_its_owner_may_read_it(tmp_path):
    signer, path = Signer.new(), tmp_path / "key.pem"
    signer.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.read(path).id == signer.id


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "key.pem"
    Signer.new().write(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists, and is left as it is"):
        Signer.new().write(path)
    assert path.read_bytes() == before
    with pytest.raises(UsageError, match="cannot be written"):
        Signer.new().write(tmp_path / "missing" / "key.pem")


def test_a_file_that_is_no_key_is_refused_in_a_line_that_says_why(tmp_path):
    path = tmp_path / "key.pem"
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Signer.read(path)
    path.write_bytes(b"no key")
    with pytest.raises(UsageError, match="is no private key in PEM"):
        Signer.read(path)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    curve = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(curve.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    with pytest.raises(UsageError, match="is no Ed25519 key"):
        Signer.read(path)
    path.write_bytes(curve.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(UsageError, match="has a password"):
        Signer.read(path)


def test_without_the_extra_the_error_names_it():
    code = (
        "import sys; sys.modules['cryptography.hazmat.primitives.asymmetric.ed25519'] = None\n"
        "from hotswap.trust.keys import Signer\n"
        "Signer.new()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.endswith("signatures need the package cryptography: pip install 'hotswap[signatures]'\n")


def test_without_the_extra_the_error_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    for call in (Signer.new, lambda: is_signed(b"", b"", b"")):
        with pytest.raises(UsageError, match=r"pip install 'hotswap\[signatures\]'"):
            call()
