"""Tokens for OAUTHBEARER (KIP-255): fetched before they are needed, and again before they end."""

import asyncio
import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final
from urllib import error as url_error
from urllib import request as url_request
from urllib.parse import quote_plus, urlencode, urlsplit

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from hotswap.errors import UsageError

log = logging.getLogger(__name__)

GROUP: Final = "hotswap.token_providers"
"""Entry points of this group return a token and when it ends, as `Fetch` does."""

Fetch = Callable[[], tuple[str, float]]
"""Returns a token, and when it ends: milliseconds since the epoch. It may block, and raise whatever it likes."""

_RENEWED_AT: Final = 0.75
"""The share of a token's life after which the next one is fetched."""
_FETCH_S: Final = 10.0
_AGAIN_S: Final = 1.0
_MOST_BYTES: Final = 1 << 20


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """The current token, for all clients of a process.

    A token is used to three quarters of its life, then renewed; while that fails, to its end.
    """

    def __init__(self, fetch: Fetch, now: Callable[[], float] = time.time) -> None:
        self._fetch, self._now = fetch, now
        self._lock = threading.Lock()
        self._token, self._renew_at, self._ends_at = "", 0.0, 0.0
        self.subject = ""
        """The claim `sub` of the last token, if it is a JWT: by default, a broker's principal. Only for messages."""

    async def token(self) -> str:
        """Return a token that has not ended.

        Raises:
            KafkaConnectionError: there is none; aiokafka tries again, as with a broker that it cannot reach.

        """
        if self._now() < self._renew_at:
            return self._token
        return await asyncio.to_thread(self._renewed)

    def _renewed(self) -> str:
        with self._lock:  # clients that connect side by side share one
            if self._now() >= self._renew_at:
                self._renew()
            return self._token

    def _renew(self) -> None:
        began = self._now()
        try:
            self._token, ends_ms = self._fetch()
        except Exception as error:  # anybody's code may be behind an entry point
            if began >= self._ends_at:
                raise KafkaConnectionError(f"no token: {error}") from error
            log.warning(
                "kafka.token_renewal_failed", extra={"why": str(error), "ends_in_s": round(self._ends_at - began)}
            )
            self._renew_at = began + _AGAIN_S
            return
        self._ends_at = ends_ms / 1000
        self._renew_at = began + max(self._ends_at - began, 0.0) * _RENEWED_AT
        self.subject = _subject(self._token)
        log.info("kafka.token_renewed", extra={"subject": self.subject, "ends_in_s": round(self._ends_at - began)})


def of_endpoint(url: str, client_id: str, secret: Callable[[], str], scope: str | None) -> Fetch:
    """Return a function that fetches tokens by the client credentials grant (RFC 6749, section 4.4).

    Raises:
        UsageError: the URL is not an HTTP URL.

    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(f"HOTSWAP_OAUTH_TOKEN_URL must be an http or https URL: {url}")
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})

    def fetch() -> tuple[str, float]:
        pair = f"{quote_plus(client_id)}:{quote_plus(secret())}"  # section 2.3.1: encoded as a form is, then joined
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}", "Accept": "application/json"}
        request = url_request.Request(url, urlencode(form).encode(), headers)  # noqa: S310 - its scheme was checked above
        began = time.time()
        try:
            with url_request.urlopen(request, timeout=_FETCH_S) as answer:  # noqa: S310 - the same
                document = json.loads(answer.read(_MOST_BYTES))
            return str(document["access_token"]), (began + float(document["expires_in"])) * 1000
        except url_error.HTTPError as error:
            with error:
                raise ValueError(f"{url} answers {error.code}: {_reason(error)}") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{url}: {error}") from None
        except (KeyError, TypeError):
            raise ValueError(f"{url} answers without access_token or expires_in") from None

    return fetch


def of_entry_point(name: str) -> Fetch:
    """Return the token provider of that name.

    Raises:
        UsageError: there is none, or it cannot be imported.

    """
    providers = {one.name: one for one in entry_points(group=GROUP)}
    if name not in providers:
        known = ", ".join(sorted(providers)) or "none"
        raise UsageError(f"there is no token provider {name!r} (entry points of {GROUP} that are installed: {known})")
    try:
        provider: Fetch = providers[name].load()
    except Exception as error:
        raise UsageError(f"the token provider {name!r} cannot be imported: {error!r}") from error
    return provider


def _reason(error: url_error.HTTPError) -> str:
    """Return the reason of an endpoint's refusal (RFC 6749, section 5.2)."""
    try:
        document = json.loads(error.read(_MOST_BYTES))
        reasons = [str(document[name]) for name in ("error", "error_description") if name in document]
        return " ".join(reasons) or error.reason
    except (OSError, ValueError, TypeError):
        return error.reason


def _subject(token: str) -> str:
    try:
        claims = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""
