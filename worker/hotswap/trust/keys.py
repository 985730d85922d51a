"""Ed25519 keys and their signatures: of a command's exact bytes, bound to its control topic and cluster.

The encoding is DSSE's (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md), so nothing is brought into
a canonical form: the bytes that were signed are the bytes that were written. `cryptography` is an extra.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hotswap.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_ID, SIGNATURE = "key-id", "signature"
"""The headers of a signed command's record."""

PUBLIC_BYTES = 32
_ID_DIGITS = 16
_NEEDED = "signatures need the package cryptography: pip install 'hotswap[signatures]'"


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first 16 hexadecimal digits of its SHA-256, so no other key can have it."""
    return sha256(public).hexdigest()[:_ID_DIGITS]


def signed_bytes(value: bytes, *, topic: str, cluster: str) -> bytes:
    """Return the signed bytes of a control record's value: DSSE's pre-authentication encoding of it.

    A topic's name has no semicolon, so no two pairs of topic and cluster have the same type.
    """
    kind = f"application/vnd.hotswap.command;topic={topic};cluster={cluster}".encode()
    return pre_authentication(kind, value)


def pre_authentication(kind: bytes, value: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a value of a type."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(value), value)


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether the signature is one of the message by the key.

    Raises:
        UsageError: the extra `signatures` is not installed.

    """
    check_installed()
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - the same

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class Signer:
    """A private key that signs commands."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def new(cls) -> "Signer":
        """Return a new key. Raises UsageError: the extra is not installed."""
        check_installed()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path) -> "Signer":
        """Return the key of a PEM file (PKCS #8), as `hotswap keys new` or openssl writes it.

        Raises:
            UsageError: it cannot be read, has a password, or is no Ed25519 key; or the extra is not installed.

        """
        check_installed()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - the same

        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise UsageError(f"the key {path} cannot be read: {error.strerror}") from error
        except TypeError as error:
            raise UsageError(f"the key {path} has a password: write it without one, and keep the file safe") from error
        except Exception as error:  # cryptography has many kinds of it
            raise UsageError(f"the key {path} is no private key in PEM: make one with `hotswap keys new`") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"the key {path} is no Ed25519 key: make one with `hotswap keys new`")
        return cls(key)

    def write(self, path: Path) -> None:
        """Write the key to a new file that only this user may read. Raises UsageError: it exists, or cannot be."""
        from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - an extra

        pem = self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        try:
            path.touch(0o600, exist_ok=False)
            path.write_bytes(pem)
        except FileExistsError:
            raise UsageError(f"{path} exists, and is left as it is: name a new file for the key") from None
        except OSError as error:
            raise UsageError(f"the key cannot be written to {path}: {error.strerror}") from error

    @property
    def id(self) -> str:
        """The id of its public key."""
        return key_id(self.public)

    def headers(self, value: bytes, *, topic: str, cluster: str) -> Sequence[tuple[str, bytes]]:
        """Return the headers that sign a control record with this value."""
        signature = self._key.sign(signed_bytes(value, topic=topic, cluster=cluster))
        return [(KEY_ID, self.id.encode()), (SIGNATURE, signature)]


def check_installed() -> None:
    """Raise UsageError if the extra `signatures` is not installed."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise UsageError(_NEEDED) from error
