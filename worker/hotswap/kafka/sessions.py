"""Connections that authenticate again before their session ends (KIP-368), which aiokafka's do not.

A broker with `connections.max.reauth.ms`, or with tokens that end, tells with each authentication how long the session
lasts, and cuts a connection that sends anything else after its end: the request is lost, and a transaction in doubt.
So a connection that has used up most of its session authenticates once more before the next request; what is on its
way is answered first, what comes waits. One that idles has nothing to lose: it does so when it is used next, however
late.

As internals.py, it uses aiokafka beyond its documented interface: AIOKafkaConnection has its replacement here, and the
first question of each client, which broker to connect to.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import aiokafka.client
import aiokafka.conn
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest

from hotswap.errors import UsageError

log = logging.getLogger(__name__)

_USED_UP: Final = 0.8
"""The share of a session after which its connection authenticates again, as the least of Java's client (0.85)."""
_BOOTSTRAP_MS: Final = 9_000
"""How long a client asks for the cluster, all its addresses together: less than our own bound of a call."""


class Session(aiokafka.conn.AIOKafkaConnection):  # type: ignore[misc]
    """A connection that knows when its session ends, and can authenticate again.

    Its password may be a callable, which is asked at each authentication.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._secret: str | Callable[[], str] | None = self._sasl_plain_password
        self._again_at = float("inf")
        self._authenticating = asyncio.Lock()

    @property
    def is_due(self) -> bool:
        """Whether most of the session is used up."""
        return time.monotonic() >= self._again_at

    async def authenticate_again(self) -> None:
        """Begin another session on this connection, unless somebody has just done so; see `_do_sasl_handshake`."""
        async with self._authenticating:
            if self.is_due and self.connected():
                await self._do_sasl_handshake()

    def send(self, request: Any, expect_response: bool = True) -> Any:  # noqa: FBT001, FBT002 - aiokafka's signature
        """Send a request; of an authentication, note how long the session lasts."""
        sent = super().send(request, expect_response)
        return self._noting(sent) if isinstance(request, SaslAuthenticateRequest) else sent

    async def _noting(self, sent: Any) -> Any:
        began, answer = time.monotonic(), await sent
        if self._sasl_mechanism == "OAUTHBEARER" and answer.sasl_auth_bytes:
            # A refusal comes as a success with a document in it (RFC 7628, section 3.2.3); aiokafka does not read it.
            raise SaslAuthenticationFailed(answer.sasl_auth_bytes.decode(errors="replace"))
        lifetime_ms = getattr(answer, "session_lifetime_ms", 0)
        self._again_at = began + _USED_UP * lifetime_ms / 1000 if lifetime_ms else float("inf")
        return answer

    async def _do_sasl_handshake(self) -> None:
        """Authenticate, with the password or token of now.

        Raises:
            KafkaError: the broker refuses, or there is no password or token.

        """
        if callable(self._secret):
            try:
                self._sasl_plain_password = self._secret()
            except UsageError as error:
                raise KafkaConnectionError(str(error)) from error
        await super()._do_sasl_handshake()


_bootstrap = aiokafka.client.AIOKafkaClient.bootstrap


async def _bootstrap_soon(client: Any) -> None:
    """Ask one address after the other for the cluster, each for its share of the time.

    One that takes the connection and is silent, as a stopped broker is, would use up our bound of a call before another
    is asked. Raises TimeoutError if one was silent, and no other answered.
    """
    began, whole = time.monotonic(), client._request_timeout_ms
    share = client._request_timeout_ms = min(whole, _BOOTSTRAP_MS // len(client.hosts))
    try:
        await _bootstrap(client)
    except KafkaConnectionError as error:
        if time.monotonic() - began < share / 1000:
            raise
        raise TimeoutError from error
    finally:
        client._request_timeout_ms = whole


aiokafka.client.AIOKafkaClient.bootstrap = _bootstrap_soon

_get_connection = aiokafka.client.AIOKafkaClient._get_conn


async def _get_session(client: Any, node_id: Any, **more: Any) -> Session | None:
    """Return a connection to a broker in whose session there is time for a request; None: there is none now.

    Every request of a client takes its connection here, and is sent before anybody else's turn.
    """
    session: Session | None = await _get_connection(client, node_id, **more)
    if session is None or not session.is_due:
        return session
    try:
        await session.authenticate_again()
    except (OSError, TimeoutError, KafkaError) as error:
        log.warning("kafka.session_ended", extra={"host": session.host, "port": session.port, "why": str(error)})
        session.close(reason=aiokafka.conn.CloseReason.AUTH_FAILURE)
    found: Session | None = await _get_connection(client, node_id, **more)
    return found


aiokafka.conn.AIOKafkaConnection = Session
aiokafka.client.AIOKafkaClient._get_conn = _get_session
