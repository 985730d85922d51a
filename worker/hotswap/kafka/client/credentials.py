"""What a client shows to the brokers: certificates, passwords and tokens, as the settings' files have them now."""

import logging
import ssl
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hotswap.errors import UsageError
from hotswap.settings.kafka import KafkaSettings

if TYPE_CHECKING:
    from hotswap.kafka.client.tokens import Tokens

log = logging.getLogger(__name__)

_OAUTH = "OAUTHBEARER"


class Secret:
    """A password that is read when it is called: from its file, if it has one."""

    def __init__(self, name: str, value: str | None, file: Path | None) -> None:
        """`name` is the setting's; the file's is `<name>_file`.

        Raises:
            UsageError: both are set, or the file cannot be read.

        """
        self.name, self._value, self._file = name, value, file
        if value is not None and file is not None:
            raise UsageError(f"{_variable(name)} and {_variable(name)}_FILE are both set: unset one")
        self()

    def __bool__(self) -> bool:
        return self._value is not None or self._file is not None

    def __call__(self) -> str:
        """Return the password; empty if there is none. Raises UsageError: its file cannot be read."""
        if self._file is None:
            return self._value or ""
        try:
            return self._file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{_variable(self.name)}_FILE: {self._file} cannot be read: {_reason(error)}") from None


class RenewedContext(ssl.SSLContext):
    """A TLS context that takes up its files when they have changed on disk, for the connections that come.

    One that does not fit (half of it is written, or it is another key's) is logged once, and not taken.

    Raises:
        UsageError: a file cannot be read, or does not fit.

    """

    def __new__(cls, _: KafkaSettings) -> Self:
        """Make a context for a client."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._seen = _stamps(settings)
        self._current = _context(settings)

    def wrap_bio(self, *given: Any, **more: Any) -> ssl.SSLObject:
        """Begin a connection, as asyncio does: with what the files hold now."""
        self._renew()
        return self._current.wrap_bio(*given, **more)

    def _renew(self) -> None:
        if (stamps := _stamps(self._settings)) == self._seen:
            return
        self._seen = stamps
        try:
            self._current = _context(self._settings)
        except UsageError as error:
            log.error("kafka.certificate_kept", extra={"why": str(error)})  # noqa: TRY400 - it says it all
        else:
            log.info("kafka.certificate_renewed", extra={"files": [str(path) for path in _files(self._settings)]})


@lru_cache(maxsize=64)
def arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments of an aiokafka client that say who it is; all clients of a process share them.

    Raises:
        UsageError: a setting is missing or does not fit, or a file cannot be read.

    """
    shown: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.endswith("SSL"):
        shown["ssl_context"] = RenewedContext(settings)
    if settings.security_protocol.startswith("SASL"):
        shown["sasl_mechanism"] = settings.sasl_mechanism
        shown |= _token(settings) if settings.sasl_mechanism == _OAUTH else _password(settings)
    return shown


def principal(settings: KafkaSettings) -> str:
    """Return who a broker takes this client for, as far as that is known here: its ACLs are this principal's."""
    if settings.security_protocol.startswith("SASL"):
        if settings.sasl_mechanism != _OAUTH:
            return f"User:{settings.sasl_username}"
        tokens: Tokens = arguments(settings)["sasl_oauth_token_provider"]
        return f"User:{tokens.subject}" if tokens.subject else "the principal of its token"
    if settings.ssl_certificate and settings.security_protocol == "SSL":
        return f"the principal of {settings.ssl_certificate}"
    return "User:ANONYMOUS"


def _password(settings: KafkaSettings) -> dict[str, Any]:
    secret = Secret("sasl_password", settings.sasl_password, settings.sasl_password_file)
    if not settings.sasl_username:
        raise UsageError(f"{settings.sasl_mechanism} needs a user: set HOTSWAP_SASL_USERNAME")
    if not secret:
        raise UsageError(
            f"{settings.sasl_mechanism} needs a password: set HOTSWAP_SASL_PASSWORD_FILE, or HOTSWAP_SASL_PASSWORD"
        )
    return {"sasl_plain_username": settings.sasl_username, "sasl_plain_password": secret}


def _token(settings: KafkaSettings) -> dict[str, Any]:
    from hotswap.kafka.client.tokens import Tokens, of_endpoint, of_entry_point  # noqa: PLC0415 - an HTTP client, for tokens alone

    if bool(settings.oauth_token_provider) == bool(settings.oauth_token_url):
        raise UsageError("OAUTHBEARER needs tokens: set either HOTSWAP_OAUTH_TOKEN_URL or HOTSWAP_OAUTH_TOKEN_PROVIDER")
    if settings.oauth_token_provider:
        return {"sasl_oauth_token_provider": Tokens(of_entry_point(settings.oauth_token_provider))}
    secret = Secret("oauth_client_secret", settings.oauth_client_secret, settings.oauth_client_secret_file)
    if not settings.oauth_client_id or not secret:
        raise UsageError(
            "the token endpoint needs a client: set HOTSWAP_OAUTH_CLIENT_ID and HOTSWAP_OAUTH_CLIENT_SECRET_FILE (or "
            "HOTSWAP_OAUTH_CLIENT_SECRET)"
        )
    assert settings.oauth_token_url
    fetch = of_endpoint(settings.oauth_token_url, settings.oauth_client_id, secret, settings.oauth_scope)
    return {"sasl_oauth_token_provider": Tokens(fetch)}


def _context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca)
    except OSError as error:
        raise UsageError(f"HOTSWAP_SSL_CA: {settings.ssl_ca} has no certificate: {_reason(error)}") from None
    context.check_hostname = settings.ssl_check_hostname
    if not settings.ssl_certificate:
        if settings.ssl_key:
            raise UsageError("HOTSWAP_SSL_KEY is set without a certificate: set HOTSWAP_SSL_CERTIFICATE, too")
        return context
    # Always with a password: without one, OpenSSL would ask for it on the terminal.
    password = Secret("ssl_key_password", settings.ssl_key_password, settings.ssl_key_password_file)
    try:
        context.load_cert_chain(settings.ssl_certificate, settings.ssl_key, password=password)
    except (OSError, ValueError) as error:
        names = ", ".join(str(path) for path in (settings.ssl_certificate, settings.ssl_key) if path)
        raise UsageError(
            f"HOTSWAP_SSL_CERTIFICATE, HOTSWAP_SSL_KEY: {names}: no certificate and its key: {_reason(error)}"
        ) from None
    return context


def _files(settings: KafkaSettings) -> list[Path]:
    files = (settings.ssl_ca, settings.ssl_certificate, settings.ssl_key, settings.ssl_key_password_file)
    return [path for path in files if path]


def _stamps(settings: KafkaSettings) -> Sequence[tuple[int, ...]]:
    return [_stamp(path) for path in _files(settings)]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        told = path.stat()
    except OSError:
        return ()
    return told.st_mtime_ns, told.st_ino, told.st_size


def _variable(name: str) -> str:
    return f"HOTSWAP_{name.upper()}"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
