"""Connections that authenticate again before their session ends (KIP-368), which aiokafka's do not.

A broker with `connections.max.reauth.ms`, or with tokens that end, tells with each authentication how long the session
lasts, and cuts a connection that sends anything else after its end: the request is lost, and a transaction in doubt. So
a connection that has used up most of its session authenticates once more before the next request; what is on its way is
answered first, what comes waits. One that idles has nothing to lose: it does so when it is used next, however late.

As internals.py, this uses aiokafka beyond its documented interface. Each connection in this process is a Session.
"""

import asyncio
import logging
import time
from typing import Any, Final

import aiokafka.conn
from aiokafka.conn import CloseReason, SaslPlainAuthenticator, ScramAuthenticator
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, SaslAuthenticationFailed
from aiokafka.protocol.admin import ApiVersionRequest, SaslAuthenticateRequest, SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from hotswap.errors import UsageError

log = logging.getLogger(__name__)

_USED_UP: Final = 0.8
"""The share of a session after which its connection authenticates again, as the least of Java's client (0.85)."""
_FIRST: Final = (ApiVersionRequest, SaslHandShakeRequest, SaslAuthenticateRequest)
"""What a connection is made with."""


class _Naming:
    """A metadata request that never creates the topics that it names, as aiokafka's do where a broker allows it.

    A deleted topic of a deployment would be back at once, with the broker's default of partitions.
    """

    def __init__(self, request: MetadataRequest) -> None:
        self._request = request

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Any:
        """Return the request in the newest version that the broker has."""
        made = self._request.prepare(versions)
        made.allow_auto_topic_creation = False  # of version 4 or later; no broker that we can use has only older ones
        return made


class SessionEndedError(NodeNotReadyError):  # type: ignore[misc]
    """A request was not sent, since the session of its connection has ended: another connection may have one."""


class BrokerConnection(aiokafka.conn.AIOKafkaConnection):  # type: ignore[misc]
    """A connection that knows when its session ends, and can authenticate again.

    Its password may be a callable, which is asked at each authentication.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._options = options
        self._again_at = float("inf")
        self._authenticating = asyncio.Lock()

    @property
    def is_due(self) -> bool:
        """Whether most of the session is used up."""
        return time.monotonic() >= self._again_at

    def send(self, request: Any, expect_response: bool = True) -> Any:  # noqa: FBT001, FBT002 - aiokafka's signature
        """Send a request, once there is time for it in the session; every request of a client comes through here.

        Raises:
            SessionEndedError: it was not sent, since the broker refuses another session on this connection.

        """
        if isinstance(request, MetadataRequest):
            request = _Naming(request)
        if self.is_due and not isinstance(request, _FIRST):
            return self._send_in_another_session(request, expect_response)
        sent = super().send(request, expect_response)
        return self._noting(sent) if isinstance(request, SaslAuthenticateRequest) else sent

    async def _send_in_another_session(self, request: Any, expect_response: bool) -> Any:  # noqa: FBT001 - as above
        try:
            async with self._authenticating:
                if self.is_due and self.connected():
                    await self._do_sasl_handshake()
        except (OSError, TimeoutError, KafkaError) as error:
            log.warning("kafka.session_ended", extra={"host": self.host, "port": self.port, "why": str(error)})
            self.close(reason=CloseReason.AUTH_FAILURE)
        if not self.connected():
            raise SessionEndedError(f"the session at {self.host}:{self.port} has ended")
        return await super().send(request, expect_response)

    async def _noting(self, sent: Any) -> Any:
        began, answer = time.monotonic(), await sent
        if self._options.get("sasl_mechanism") == "OAUTHBEARER" and answer.sasl_auth_bytes:
            # A refusal comes as a success with a document in it (RFC 7628, section 3.2.3); aiokafka does not read it.
            raise SaslAuthenticationFailed(answer.sasl_auth_bytes.decode(errors="replace"))
        lifetime_ms = getattr(answer, "session_lifetime_ms", 0)
        self._again_at = began + _USED_UP * lifetime_ms / 1000 if lifetime_ms else float("inf")
        return answer

    def authenticator_plain(self) -> SaslPlainAuthenticator:
        """Return an authenticator with the current password. Raises KafkaConnectionError if there is none."""
        return SaslPlainAuthenticator(**self._secrets_of_now())

    def authenticator_scram(self) -> ScramAuthenticator:
        """Return a SCRAM authenticator with the current password. Raises KafkaConnectionError if there is none."""
        return ScramAuthenticator(**self._secrets_of_now(), sasl_mechanism=self._options["sasl_mechanism"])

    def _secrets_of_now(self) -> dict[str, Any]:
        user, secret = self._options["sasl_plain_username"], self._options["sasl_plain_password"]
        try:
            password = secret() if callable(secret) else secret
        except UsageError as error:
            raise KafkaConnectionError(str(error)) from error
        return {"loop": asyncio.get_running_loop(), "sasl_plain_username": user, "sasl_plain_password": password}


aiokafka.conn.AIOKafkaConnection = BrokerConnection
