"""Decides which control records may be folded: alike on every worker, in every client, and at every replay.

What it decides depends on the record, on the log before it, and on the trust file, and on no clock:

* Until the log has a Trust command with a valid signature, no signature is looked at, and every command is folded: what
  a log accepted before stays accepted. From that record on (`since`), each command needs a valid one. There is no way
  back.
* A key may sign from its `not_before` to its `not_after`, by the record's timestamp, which is the broker's
  (LogAppendTime); and no more after a Trust command that revokes it.

So a key is never removed from the file, since a replay would refuse what it signed; it ends, or is revoked. A key that
is added begins only once every worker has the file, or else the workers that lack it decide otherwise.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NoReturn, Protocol

from hotswap.errors import SwapCode, SwapError
from hotswap.trust.file import Key, Trust
from hotswap.trust.keys import KEY_ID, SIGNATURE, is_signed, signed_bytes
from hotswap.trust.roles import SigningRole

_SHOWN = 64
CODES = frozenset({SwapCode.SIGNATURE_MISSING, SwapCode.SIGNATURE_INVALID, SwapCode.NOT_TRUSTED})
"""The codes of what is refused before it is folded."""


class Record(Protocol):
    """A record of the control topic to check; `timestamp` in milliseconds since the epoch."""

    @property
    def offset(self) -> int: ...  # noqa: D102 - Kafka's own
    @property
    def timestamp(self) -> int: ...  # noqa: D102 - the same
    @property
    def value(self) -> bytes | None: ...  # noqa: D102 - the same
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102 - the same


class Guard:
    """The requirements of a deployment's control log for its next record; `trust` None: nothing can be verified."""

    def __init__(self, deployment: str, *, trust: Trust | None = None, topic: str = "") -> None:
        self.deployment = deployment
        self.trust = trust
        self.topic = topic
        """Name of the control topic, which is part of what is signed; it is set before the first record."""
        self.cluster = ""
        """Kafka's id of the cluster; it is set before the first record."""
        self.since: int | None = None
        """Offset of the record from which on each command must be signed; None: none need be."""
        self.revoked: dict[str, int] = {}
        """Key id -> offset of the record that ended it."""
        self.kept = ""
        """Why the trust file, which has changed, is not used as it is now; empty: it is."""
        self.pending: Trust | None = None
        """The trust file under which the log has to be folded anew; None: it need not be."""
        self._unverified: int | None = None

    def anew(self, trust: Trust | None = None) -> "Guard":
        """Return one of the same log that has seen no record, with this trust file, or the same."""
        guard = Guard(self.deployment, trust=trust or self.trust, topic=self.topic)
        guard.cluster = self.cluster
        return guard

    def renew(self, trust: Trust) -> None:
        """Use another trust file from the next record on; `renewal.Renewal` tells whether it may be."""
        self.trust = trust

    @property
    def trust_sha256(self) -> str:
        """The SHA-256 of the trust file; empty: there is none."""
        return self.trust.sha256 if self.trust else ""

    @property
    def warning(self) -> str:
        """The fault of the trust file, or its absence if the log may require signatures; else empty."""
        if self._unverified is None:
            return self.kept
        return (
            f"offset {self._unverified} of {self.topic} says that commands must be signed from there on, but without "
            "HOTSWAP_TRUST that cannot be verified here, and unsigned ones are obeyed: set it as the other workers do"
        )

    def check(self, role: SigningRole | None, record: Record) -> None:
        """Check that a command may be folded; `role` None: only a later version knows its role.

        Then a valid signature by any key for this deployment will do. A later version may refuse it all the same; but
        to refuse here what is accepted there would be to guess.

        Raises:
            SwapError: SIGNATURE_MISSING, SIGNATURE_INVALID or NOT_TRUSTED; it must not be.

        """
        if self.trust is None:
            if role is SigningRole.TRUST:
                self._unverified = record.offset if self._unverified is None else self._unverified
                raise SwapError(SwapCode.NOT_TRUSTED, "there is no trust file here to verify it: set HOTSWAP_TRUST")
            return
        if role is SigningRole.TRUST or self.since is not None:
            self._check_right(self._signer(record, self.trust), role, record.timestamp)

    def signer(self, record: Record) -> Key | None:
        """Return the key that signed a record, in any role; None: none that can be verified here."""
        try:
            return self._signer(record, self.trust) if self.trust else None
        except SwapError:
            return None

    def enforce(self, revoked: Iterable[str], offset: int) -> None:
        """Apply a Trust command that was folded."""
        self.since = offset if self.since is None else self.since
        for key in revoked:
            self.revoked.setdefault(key, offset)

    def _signer(self, record: Record, trust: Trust) -> Key:
        """Return the key that signed a record."""
        keys = [value or b"" for name, value in record.headers if name == KEY_ID]  # Kafka knows headers without a value
        signatures = [value or b"" for name, value in record.headers if name == SIGNATURE]
        if not keys and not signatures:
            since = "" if self.since is None else f", as all are since offset {self.since} of {self.topic}"
            why = f"the command must be signed{since}: sign it with --sign-with, or HOTSWAP_SIGN_WITH"
            raise SwapError(SwapCode.SIGNATURE_MISSING, why)
        if (len(keys), len(signatures)) != (1, 1):
            counts = f"{len(keys)} headers {KEY_ID} and {len(signatures)} headers {SIGNATURE}"
            raise SwapError(SwapCode.SIGNATURE_INVALID, f"a signed command has one of each, and this one has {counts}")
        named = keys[0][:_SHOWN].decode("ascii", "backslashreplace")
        if not (key := trust.keys.get(named)):
            raise SwapError(SwapCode.NOT_TRUSTED, f"the trust file has no key {named}: see `hotswap keys list`")
        message = signed_bytes(record.value or b"", topic=self.topic, cluster=self.cluster)
        if not is_signed(key.public, signatures[0], message):
            raise SwapError(
                SwapCode.SIGNATURE_INVALID,
                f"the signature is not one by key {key.title} of this command for topic {self.topic} of cluster "
                f"{self.cluster}: it was altered, or signed for another topic or cluster",
            )
        return key

    def _check_right(self, key: Key, role: SigningRole | None, timestamp_ms: int) -> None:
        """Check that a key may give a command of this role at this time."""

        def refuse(why: str) -> NoReturn:
            raise SwapError(SwapCode.NOT_TRUSTED, f"key {key.title} {why}")

        if key.id in self.revoked:
            refuse(f"was revoked at offset {self.revoked[key.id]} of {self.topic}")
        if role and role not in key.roles:
            refuse(f"lacks the role {role}: it has {', '.join(sorted(key.roles))}")
        if not key.commands(self.deployment):
            refuse(f"is not for {self.deployment}, but for {', '.join(sorted(key.deployments))}")
        if timestamp_ms < key.not_before.timestamp() * 1000:
            refuse(f"may not sign before {key.not_before}, and the record is of {_time(timestamp_ms)}")
        if timestamp_ms > key.not_after.timestamp() * 1000:
            refuse(f"ended at {key.not_after}, and the record is of {_time(timestamp_ms)}")


def _time(timestamp_ms: int) -> str:
    try:
        return str(datetime.fromtimestamp(timestamp_ms // 1000, UTC))
    except (ValueError, OverflowError, OSError):  # a publisher's own timestamp may be one that no calendar has
        return f"{timestamp_ms} ms"
