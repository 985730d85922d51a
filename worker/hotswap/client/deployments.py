"""The deployments of a cluster: those on a shared control topic, and those with their own one."""

from collections.abc import Mapping
from contextlib import aclosing

from hotswap.client.fleet import deployment_of, is_forgotten
from hotswap.client.overview import control_log, status_log
from hotswap.commands import decode_command
from hotswap.errors import Denied, StartError, SwapError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import SHARED
from hotswap.kafka.topics.log import LogRecord
from hotswap.settings import OWN_CONTROL, Settings


async def deployments(settings: Settings) -> list[str]:
    """Return the names of the deployments that had a command or a worker since they were last forgotten, sorted.

    With a control topic in the settings, only its commands count; otherwise those of the shared one, and of each topic
    named as a deployment's own.
    """
    named, forgotten = await _reported(settings)
    async with Admin.connect(settings) as admin:
        topics = [settings.control_topic] if settings.control_topic else await admin.topics()
    shared = settings.control_topic or SHARED
    for topic in topics:
        name = "" if topic == shared else topic.removesuffix(OWN_CONTROL)
        if topic == shared or (name != topic and not _is_known(name, named, forgotten)):
            for commanded, at in (await _commanded(settings, topic, name)).items():
                named[commanded] = max(at, named.get(commanded, at))
    return sorted(name for name in named if name and _is_known(name, named, forgotten))


def _is_known(name: str, named: Mapping[str, int], forgotten: Mapping[str, int]) -> bool:
    return name in named and (name not in forgotten or named[name] > forgotten[name])


async def _reported(settings: Settings) -> tuple[dict[str, int], dict[str, int]]:
    """Return when workers of each deployment last reported, and when each was last forgotten; milliseconds."""
    named: dict[str, int] = {}
    forgotten: dict[str, int] = {}
    async with status_log(settings) as status:
        async for records in status.to_end():
            for record in records:
                at, name = forgotten if is_forgotten(record.value) else named, deployment_of(record.value)
                at[name] = max(at.get(name, record.timestamp), record.timestamp)
    return named, forgotten


async def _commanded(settings: Settings, topic: str, only: str) -> dict[str, int]:
    """Return when each deployment, or `only` one, was last commanded on a topic, milliseconds.

    A topic that only looks like a deployment's own, since its first records have no command for it, is not read
    further. A topic that this user may not read is skipped.
    """
    last: dict[str, int] = {}
    try:
        async with (
            control_log(settings.model_copy(update={"control_topic": topic}), None) as reader,
            aclosing(reader.to_end()) as chunks,
        ):
            async for records in chunks:
                _take(records, last, only)
                if only and records and not last:
                    break
    except (Denied, StartError):
        if not only:
            raise
    return last


def _take(records: list[LogRecord], last: dict[str, int], only: str) -> None:
    for record in records:
        try:
            name = decode_command(record.value)[0]
        except SwapError:
            continue
        if only in ("", name):
            last[name] = record.timestamp
