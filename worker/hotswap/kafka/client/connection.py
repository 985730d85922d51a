"""Connections to a cluster: the arguments of every client, and aiokafka's errors as ours."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from hotswap.errors import Denied, Doubt, StartError, Unanswered, Unreachable
from hotswap.kafka.client import credentials
from hotswap.kafka.client.acls import Right, lacking
from hotswap.kafka.client.internals import cut_off
from hotswap.settings import Settings

T = TypeVar("T")

_listening: list[logging.Handler] = []
_DENIALS = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    ClusterAuthorizationFailedError,  # of a producer without transactions whose user may write to no topic
)
_END_S = 2.0
_LATE = "it does not answer in time"
_LATE_ERRORS = (TimeoutError, NodeNotReadyError, RequestTimedOutError)
_ADVICE = {
    "SaslAuthenticationFailed": "check the user and its password, or the client of the token and its audience",
    "SaslMechanism": "check HOTSWAP_SASL_MECHANISM",
    "no token": "check HOTSWAP_OAUTH_TOKEN_URL, the client's id and its secret, or HOTSWAP_OAUTH_TOKEN_PROVIDER",
    "not valid for": "the broker's certificate must name this host: connect by a name that it has (HOTSWAP_KAFKA)",
    "CERTIFICATE_VERIFY_FAILED": "check HOTSWAP_SSL_CA: it must have signed the broker's certificate",
    # A broker that rejects a client's certificate closes the connection, as one does that speaks another protocol.
    "closed": "the broker closes it: check HOTSWAP_SECURITY_PROTOCOL, and that it accepts HOTSWAP_SSL_CERTIFICATE",
}
"""What to do about a failed connection, by a part of the reason; the first one that fits."""


def connection(settings: Settings) -> dict[str, Any]:
    """Return the arguments common to all our aiokafka clients. Raises UsageError, as `credentials.arguments` does."""
    return {
        "bootstrap_servers": settings.kafka,
        "client_id": f"hotswap-{settings.worker_id}",
        # How soon partitions that are added, and topics that are gone or back, are noticed; 5 minutes in aiokafka.
        "metadata_max_age_ms": 10_000,
        **credentials.arguments(settings),
    }


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """Turn a failed first connection into one line; aiokafka gives the reason only in its log, so capture that.

    Raises:
        Unanswered: no broker answers in time.
        Unreachable: nothing listens there.
        StartError: a broker rejects us, or an address is none.

    """
    reasons: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: reasons.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("aiokafka")
    log.addHandler(listener)
    _listening.append(listener)
    log.propagate = False
    try:
        yield
    except (KafkaConnectionError, ValueError, OSError, *_LATE_ERRORS) as error:
        why = (reasons or [str(error) or _LATE])[-1].strip().splitlines()[-1]
        if _advice(why) or isinstance(error, ValueError):
            raise StartError(_explained(settings, why)) from error
        if isinstance(error, _LATE_ERRORS):
            raise Unanswered(_explained(settings, _LATE)) from error
        raise Unreachable(_explained(settings, why)) from error
    finally:
        log.removeHandler(listener)
        _listening.remove(listener)
        # Concurrent connections end in any order: the last one restores aiokafka's own logging.
        log.propagate = not _listening


def _advice(why: str) -> str:
    return next((advice for sign, advice in _ADVICE.items() if sign in why), "")


def _explained(settings: Settings, why: str) -> str:
    """Return the failure of the first connection, with advice chosen by aiokafka's or OpenSSL's reason."""
    advice = _advice(why)
    if not advice:
        return f"no Kafka answers at {settings.kafka} ({why}): is it running, and is HOTSWAP_KAFKA (--kafka) right?"
    who = credentials.principal(settings)
    return f"no connection to Kafka at {settings.kafka} as {who} ({why}): {advice}"


@asynccontextmanager
async def doubting(seconds: float, what: str) -> AsyncIterator[None]:
    """Bound the Kafka calls of a block to `seconds`.

    Raises:
        Doubt: a call failed or timed out, so it is in doubt.
        Denied: this user may not do that.

    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Doubt(f"{what}: no answer within {seconds:g} s") from error
    # aiokafka checks its own state with asserts: begin and commit of a fenced producer raise AssertionError.
    except (KafkaError, AssertionError, OSError) as error:
        reason = _reason(error)
        raise (Denied if isinstance(reason, _DENIALS) else Doubt)(f"{what}: {reason!r}") from error
    except asyncio.CancelledError as error:
        if _is_own_cancellation():
            raise
        raise Doubt(f"{what}: the client was closed") from error


@contextmanager
def needing(settings: Settings, right: Right) -> Iterator[None]:
    """Name the principal and the missing right if the broker denies a block that needs only this one.

    Raises:
        Denied: the broker denies it.

    """
    try:
        yield
    except (Denied, *_DENIALS) as error:
        raise Denied(lacking(settings, [right])) from error


def _reason(error: BaseException) -> BaseException:
    """Return the cause of a plain KafkaError, in which aiokafka wraps unexpected errors."""
    while type(error) is KafkaError and error.__cause__:
        error = error.__cause__
    return error


def _is_own_cancellation() -> bool:
    """Whether our own task is being cancelled; aiokafka cancels futures of its own, which looks the same."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def bounded(call: Awaitable[T], seconds: float, what: str) -> T:
    """Await one Kafka call, bounded; see `doubting`."""
    async with doubting(seconds, what):
        return await call


def claimed(future: asyncio.Future[T]) -> asyncio.Future[T]:
    """Keep asyncio from logging a traceback if the future fails unawaited, after an earlier one has."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


async def end(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer within two seconds, or else cut it off.

    Its own `stop` hangs if the broker is stalled or gone (it leaves the group). If its last fetch has just
    failed, it leaks a CancelledError of its own and leaves the connections open. While it waits for its own tasks, it
    mistakes a cancellation of ours for theirs and swallows it.
    """
    try:
        async with asyncio.timeout(_END_S):
            await consumer.stop()
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 - however its stop fails, it is cut off
        await cut_off(consumer, _END_S)
    if _is_own_cancellation():
        raise asyncio.CancelledError
