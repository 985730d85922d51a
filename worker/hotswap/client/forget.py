"""The removal of a deployment from overviews, such as one with a misspelt name."""

import time

from hotswap.client.fleet import FRESH_S
from hotswap.client.overview import read_fleet
from hotswap.errors import UsageError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.writer import LogWriter
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire


async def forget(settings: Settings) -> None:
    """Hide the deployment until a later command or report names it; its topics and numbers stay.

    Raises:
        UsageError: a worker of it is live, or its group has offsets.

    """
    fleet = await read_fleet(settings)
    if live := sorted(fleet.live(time.time())):
        raise UsageError(
            f"workers of {settings.deployment} live ({', '.join(live)}): stop them first (a killed one counts for "
            f"{FRESH_S:g} s)"
        )
    async with Admin.connect(settings) as admin:
        if await admin.has_offsets(settings.group_id, settings.topics.requests):
            raise UsageError(
                f"group {settings.group_id} has answered requests of {settings.topics.requests}: if it shall never go "
                f"on there, `hotswap delete {settings.deployment}` deletes it first"
            )
    record = wire.Status(forgotten=wire.DeploymentForgotten(deployment=settings.deployment))
    writer = LogWriter(settings)
    try:
        await writer.start()
        key = f"{settings.deployment}/forgotten".encode()
        await writer.append(settings.topics.status, record.SerializeToString(), key=key, partition=0)
    finally:
        await writer.stop()
