"""Finds the control topic that a deployment follows: its own, or the shared one, if its history is there."""

import logging
from contextlib import aclosing
from typing import Final

from google.protobuf.message import DecodeError

from hotswap.errors import Denied, StartError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

log = logging.getLogger(__name__)

SHARED: Final = "hotswap.control"
"""The control topic of every deployment that had its first command before deployments had topics of their own."""


async def settled(settings: Settings) -> Settings:
    """Return the settings with the control topic that the deployment follows, unless they name one.

    Existing topics decide, so that all callers decide alike: the deployment's own, if it has a record; else the shared
    one, if it has a command for the deployment; else its own, which may have to be created. Only an empty topic of its
    own beside a history in the shared one is ambiguous: some client may follow either, so there is no guess.

    Raises:
        StartError: no broker answers, or the choice is ambiguous.
        Doubt: Kafka did not answer in time.
        Denied: there is no topic of its own, and this user may not read the shared one.

    """
    if settings.control_topic:
        return settings
    own = settings.topics.control
    async with Admin.connect(settings) as admin:
        has_own = await _exists(admin, own)
        is_begun = has_own and await admin.end_offset(own, 0) > 0
        has_shared = not is_begun and own != SHARED and await _exists(admin, SHARED)
    chosen = own
    if has_shared and await _has_history(settings, is_needed=not has_own):
        if has_own:
            raise StartError(
                f"topic {own} is empty, and {SHARED} has commands for {settings.deployment}: delete the former, or set "
                "HOTSWAP_CONTROL_TOPIC to the one that counts, the same everywhere"
            )
        chosen = SHARED
    log.info("control.topic", extra={"deployment": settings.deployment, "topic": chosen})
    return settings.model_copy(update={"control_topic": chosen})


async def _exists(admin: Admin, topic: str) -> bool:
    """Return whether there is such a topic, and this user may see it."""
    try:
        return (await admin.counts([topic])).get(topic, 0) > 0
    except Denied:
        return False


async def _has_history(settings: Settings, *, is_needed: bool) -> bool:
    """Return whether the shared topic has a command for the deployment; unless it is needed, whether that is seen."""
    reader = LogReader(settings, SHARED, read_committed=True)
    try:
        await reader.start()
        async with aclosing(reader.to_end()) as chunks:
            async for records in chunks:
                if any(addressee(record.value) == settings.deployment for record in records):
                    return True
    except Denied:
        if is_needed:
            raise
    finally:
        await reader.stop()
    return False


def addressee(value: bytes | None) -> str:
    """Return the deployment that a control record is for; empty: it is no command."""
    try:
        return wire.CommandAddress.FromString(value or b"").deployment
    except DecodeError:
        return ""
