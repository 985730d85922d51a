"""The static membership of a dead predecessor with this worker's name in the group.

The dead one keeps its place, and its partitions with it, until its session ends or one of its name joins, which ours
does once it can score. While nothing else changes in the group, that is what the name is for. But a group that shares
its partitions out gives none to anybody before each member has joined again, so all that move wait for the dead one.
"""

import asyncio
import contextlib
import logging
import re
from typing import Final

from hotswap.errors import Doubt
from hotswap.kafka.topics.admin import Admin
from hotswap.settings import Settings

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5


async def release_membership(admin: Admin, settings: Settings, prepared: asyncio.Event) -> None:
    """Wait until this worker is `prepared` to join; if the group waits for its name, release that membership.

    Once only: a member that is back after that is alive, and Kafka fences it when this worker joins.
    """
    name, has_left = settings.group_instance_id, False
    while name and not has_left and not prepared.is_set():
        with contextlib.suppress(Doubt):  # it is tried again; at worst the group waits until the session ends
            has_left = await _give_up(admin, settings.group_id, name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await prepared.wait()
    await prepared.wait()


async def _give_up(admin: Admin, group: str, name: str) -> bool:
    """Have the member of that name leave if the group waits for it; return whether it did."""
    state = await admin.group(group)
    member = next((member for member in state.members if is_called(member, name)), None)
    if member is None or not state.is_rebalancing:
        return False
    await admin.remove_member(group, member)
    why = "the group waited for the last worker of this name, and this one cannot score yet"
    log.info("membership.place_given_up", extra={"member": member, "why": why})
    return True


def is_called(member: str, name: str) -> bool:
    """Whether a member id is of a static member of this name: brokers join the name, a dash and a UUID."""
    return re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}", member) is not None
