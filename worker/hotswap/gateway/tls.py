"""TLS: the gateway's certificate, renewed without a restart, and the subjects of its clients' certificates."""

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotswap.errors import UsageError

log = logging.getLogger(__name__)

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "givenName": "GN",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "surname": "SN",
    "userId": "UID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """PEM files; of the key's password, a text."""

    certificate: Path
    """With its chain."""
    key: Path | None = None
    """None: it is in the file of the certificate."""
    key_password: Path | None = None
    client_ca: Path | None = None
    """The authorities of clients' certificates."""


class Tls:
    """The context of the gateway's connections.

    Raises:
        UsageError: a file cannot be read, or does not fit.

    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen = self._stamp()
        self.context = _context(files)
        if files.client_ca:
            # Optional: others have a token, and a probe has neither.
            self.context.verify_mode = ssl.CERT_OPTIONAL
            try:
                self.context.load_verify_locations(files.client_ca)
            except OSError as error:
                raise UsageError(f"{files.client_ca} has no certificate of an authority: {_reason(error)}") from None

    async def renew(self) -> None:
        """Take up what is new on disk, for the connections that come. What does not fit is logged, and not taken."""
        if (stamp := self._stamp()) == self._seen:
            return
        self._seen = stamp
        try:
            _context(self._files)  # apart: a context that a load has failed for is left without a key
            _load(self.context, self._files)
        except UsageError as error:
            log.error("gateway.certificate_kept", extra={"reason": str(error)})  # noqa: TRY400 - it says it all
        else:
            log.info("gateway.certificate_renewed", extra={"file": str(self._files.certificate)})

    def _stamp(self) -> Sequence[tuple[int, ...]]:
        return [
            _stamp_of(path) for path in (self._files.certificate, self._files.key, self._files.key_password) if path
        ]


def subject_of(certificate: Mapping[str, Any]) -> str:
    """Return the subject as RFC 4514 writes it, `CN=etl,O=Acme`: what `-nameopt RFC2253,-esc_msb` of openssl prints."""
    parts = (
        "+".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in part)
        for part in certificate["subject"]
    )
    return ",".join(reversed(list(parts)))


def _escaped(value: str) -> str:
    escaped = "".join(f"\\{char}" if char in ',+"\\<>;' else char for char in value)
    if escaped.startswith(("#", " ")):
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if escaped.endswith(" ") and len(value) > 1 else escaped


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: Files) -> None:
    try:
        # Always with a password: without one, OpenSSL would ask for it on the terminal.
        password = files.key_password.read_text().rstrip("\r\n") if files.key_password else ""
        context.load_cert_chain(files.certificate, files.key, password=lambda: password)
    except (OSError, ValueError) as error:
        names = ", ".join(str(path) for path in (files.certificate, files.key, files.key_password) if path)
        reason = _reason(error)
        raise UsageError(f"{names}: no certificate and its key: {reason}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _stamp_of(path: Path) -> tuple[int, ...]:
    try:
        told = path.stat()
    except OSError:
        return ()
    return told.st_mtime_ns, told.st_ino, told.st_size
