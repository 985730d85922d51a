"""Finds the topics of a deployment that may be elsewhere: its control topic, and the requests of a shadow."""

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from google.protobuf.message import DecodeError

from hotswap.errors import Denied, StartError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader, LogRecord
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

log = logging.getLogger(__name__)

SHARED: Final = "hotswap.control"
"""The control topic of every deployment that had its first command before deployments had topics of their own."""


async def settled(settings: Settings) -> Settings:
    """Return the settings with the deployment's control topic and requests topic, unless they name them.

    Existing topics decide, so that all callers decide alike. The control topic is the deployment's own, if that has a
    record; else the shared one, if it has a command for the deployment; else its own, which may have to be created.
    Only an empty topic of its own beside a history in the shared one is ambiguous: some client may follow either, so
    there is no guess. If the deployment has no requests of its own, they are those that its log says it is a shadow of.

    Raises:
        StartError: no broker answers, or the choice is ambiguous.
        Doubt: Kafka did not answer in time.
        Denied: there is no topic of its own, and this user may not read the shared one.

    """
    if settings.control_topic and settings.requests_topic:
        return settings
    own, requests = settings.topics.control, settings.topics.requests
    is_named = bool(settings.control_topic)
    async with Admin.connect(settings) as admin:
        has_own = await _exists(admin, own)
        is_begun = has_own and await admin.end_offset(own, 0) > 0
        has_shared = not (is_begun or is_named) and own != SHARED and await _exists(admin, SHARED)
        may_shadow = is_begun and not settings.requests_topic and not await _exists(admin, requests)
    chosen = own
    if has_shared and await _has_history(settings, is_needed=not has_own):
        if has_own:
            raise StartError(
                f"topic {own} is empty, and {SHARED} has commands for {settings.deployment}: delete the former, or set "
                "HOTSWAP_CONTROL_TOPIC to the one that counts, the same everywhere"
            )
        chosen = SHARED
    if may_shadow:
        requests = await _shadowed(settings) or requests
    if not is_named:
        log.info("control.topic", extra={"deployment": settings.deployment, "topic": chosen})
    return settings.model_copy(update={"control_topic": chosen, "requests_topic": requests})


def shadows(settings: Settings) -> str:
    """Return why requests for a shadow are published elsewhere, given its settings as they are settled."""
    requests = settings.topics.requests
    return f"{settings.deployment} is a shadow, which answers the requests of another deployment: publish to {requests}"


async def _exists(admin: Admin, topic: str) -> bool:
    """Return whether there is such a topic, and this user may see it."""
    try:
        return (await admin.counts([topic])).get(topic, 0) > 0
    except Denied:
        return False


async def _shadowed(settings: Settings) -> str:
    """Return the topic of the requests that the deployment answers as a shadow; empty: it is none."""
    async with _reading(settings, settings.topics.control) as chunks:
        async for records in chunks:
            for record in records:
                if addressee(record.value) == settings.deployment:
                    with contextlib.suppress(DecodeError):
                        command = wire.Command.FromString(record.value or b"")
                        if command.WhichOneof("kind") in ("shadow", "swap"):
                            return command.shadow.requests
    return ""


async def _has_history(settings: Settings, *, is_needed: bool) -> bool:
    """Return whether the shared topic has a command for the deployment; unless it is needed, whether that is seen."""
    try:
        async with _reading(settings, SHARED) as chunks:
            async for records in chunks:
                if any(addressee(record.value) == settings.deployment for record in records):
                    return True
    except Denied:
        if is_needed:
            raise
    return False


@asynccontextmanager
async def _reading(settings: Settings, topic: str) -> AsyncIterator[AsyncGenerator[list[LogRecord], None]]:
    """Provide the records of a control topic so far."""
    reader = LogReader(settings, topic, read_committed=True)
    try:
        await reader.start()
        async with aclosing(reader.to_end()) as chunks:
            yield chunks
    finally:
        await reader.stop()


def addressee(value: bytes | None) -> str:
    """Return the deployment that a control record is for; empty: it is no command."""
    try:
        return wire.CommandAddress.FromString(value or b"").deployment
    except DecodeError:
        return ""
