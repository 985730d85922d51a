"""What an operator, or a disk, does to one of three brokers; see acts_on_topics.py."""

import asyncio
import os
import time

from confluent_kafka import ElectionType, TopicPartition

NOT_PLAYED = "not played: only root may mount a small disk"


async def leaders_moved(arena):
    """Each broker in turn is restarted, so that every leader and coordinator moves, and then moved back."""
    slowest = 0.0
    for node in arena.kafka.nodes:
        before = await _leaders(arena)
        await asyncio.to_thread(node.stop)
        await _until(arena, lambda now, node=node: node.number not in now.values(), "the leaders move")
        slowest = max(slowest, await goes_on(arena))
        await asyncio.to_thread(node.start)
        await _until(arena, lambda _: not behind(arena), "its copies are in sync")
        await asyncio.to_thread(arena.admin.elect_leaders(ElectionType.PREFERRED, None).result, 10)
        await _until(arena, lambda now, before=before: now == before, "the leaders move back")
        slowest = max(slowest, await goes_on(arena))
    await arena.is_well()
    return f"answers again after {slowest:.0f} s at most"


async def disk_full(arena):
    """The disk of one broker is full, which ends the broker; it is started again once there is room."""
    if not arena.kafka.has_disk:
        return NOT_PLAYED
    node = arena.kafka.nodes[-1]
    ballast = arena.kafka.disk / "ballast"
    _fill(ballast)
    await arena.until(lambda: node._process.poll() is not None, 60, "the broker ends, for its disk is full")
    gap = await goes_on(arena)
    ballast.unlink()
    await asyncio.to_thread(node.start)
    await _until(arena, lambda _: not behind(arena), "its copies are in sync")
    await goes_on(arena)
    await arena.is_well()
    return f"the broker ended; answers go on after {gap:.0f} s, and after its return"


def _fill(ballast):
    with ballast.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(1 << 16))
        except OSError:
            return


async def goes_on(arena, seconds=30):
    """Wait until each partition has answers to requests that are published now; return how long that took."""
    began = time.monotonic()
    lasts = dict(arena.verifier.last_requests)
    await arena.until(
        lambda: all(arena.verifier._part(number).course.last[0] > last for number, last in lasts.items()),
        seconds,
        "all partitions go on",
    )
    return time.monotonic() - began


async def _until(arena, holds, what):
    async with asyncio.timeout(60):
        while not holds(await _leaders(arena)):
            await asyncio.sleep(0.2)


async def _leaders(arena):
    """Place -> its leader, of the deployment's topics and Kafka's own."""
    topics = (await asyncio.to_thread(arena.admin.list_topics, timeout=10)).topics
    return {
        TopicPartition(name, number): part.leader
        for name, topic in topics.items()
        for number, part in topic.partitions.items()
        if name.startswith((arena.deployment.name, "__"))
    }


def behind(arena):
    """Return the partitions with a copy that is not in sync."""
    topics = arena.admin.list_topics(timeout=10).topics.values()
    return [part for topic in topics for part in topic.partitions.values() if len(part.isrs) < len(part.replicas)]
