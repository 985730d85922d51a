"""TLS of a gateway: its certificate, and the subjects of its clients' certificates."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hotswap.errors import UsageError
from hotswap.local.certificates import ReloadingContext, load_pair, read_secret, reason_of

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
    """PEM files, and the text file of the key's password."""

    certificate: Path
    """With its chain."""
    key: Path | None = None
    """None: it is in the file of the certificate."""
    key_password: Path | None = None
    client_ca: Path | None = None
    """The authorities of clients' certificates."""


def make_context(files: Files) -> ssl.SSLContext:
    """Return the TLS context of a gateway's connections. Raises UsageError: a file cannot be read, or does not fit."""
    paths = [path for path in (files.certificate, files.key, files.key_password, files.client_ca) if path]
    return ReloadingContext(partial(_load, files), paths, "gateway")


def subject_of(certificate: Mapping[str, Any]) -> str:
    """Return the subject in RFC 4514 form, `CN=etl,O=Acme`, like openssl's `-nameopt RFC2253,-esc_msb`."""
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


def _load(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    password = read_secret(files.key_password) if files.key_password else ""
    load_pair(context, files.certificate, files.key, password)
    if files.client_ca:
        # Optional: others have a token, and a probe has neither.
        context.verify_mode = ssl.CERT_OPTIONAL
        try:
            context.load_verify_locations(files.client_ca)
        except OSError as error:
            raise UsageError(f"{files.client_ca} contains no CA certificate: {reason_of(error)}") from None
    return context
