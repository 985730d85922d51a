"""The credentials of a client: certificates, passwords and tokens, as the settings' files have them now."""

import ssl
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotswap.errors import UsageError
from hotswap.local.certificates import ReloadingContext, load_pair, read_secret, reason_of
from hotswap.settings.kafka import KafkaSettings

if TYPE_CHECKING:
    from hotswap.kafka.client.tokens import Tokens

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
            return read_secret(self._file)
        except UsageError as error:
            raise UsageError(f"{_variable(self.name)}_FILE: {error}") from None


@lru_cache(maxsize=64)
def arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the authentication arguments of an aiokafka client; all clients of a process share them.

    Raises:
        UsageError: a setting is missing or does not fit, or a file cannot be read.

    """
    shown: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.endswith("SSL"):
        files = (settings.ssl_ca, settings.ssl_certificate, settings.ssl_key, settings.ssl_key_password_file)
        load = partial(_context, settings)
        shown["ssl_context"] = ReloadingContext(load, [path for path in files if path], "kafka")
    if settings.security_protocol.startswith("SASL"):
        shown["sasl_mechanism"] = settings.sasl_mechanism
        shown |= _token(settings) if settings.sasl_mechanism == _OAUTH else _password(settings)
    return shown


def principal(settings: KafkaSettings) -> str:
    """Return this client's principal, which its ACLs name, as far as it is known here."""
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
        raise UsageError(f"HOTSWAP_SSL_CA: {settings.ssl_ca} has no certificate: {reason_of(error)}") from None
    context.check_hostname = settings.ssl_check_hostname
    if not settings.ssl_certificate:
        if settings.ssl_key:
            raise UsageError("HOTSWAP_SSL_KEY is set without a certificate: set HOTSWAP_SSL_CERTIFICATE, too")
        return context
    password = Secret("ssl_key_password", settings.ssl_key_password, settings.ssl_key_password_file)
    try:
        load_pair(context, settings.ssl_certificate, settings.ssl_key, password())
    except UsageError as error:
        raise UsageError(f"HOTSWAP_SSL_CERTIFICATE, HOTSWAP_SSL_KEY: {error}") from None
    return context


def _variable(name: str) -> str:
    return f"HOTSWAP_{name.upper()}"
