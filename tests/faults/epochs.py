"""The epochs of a partition's transactional ids run out under load: `python -m faults epochs`.

Each transaction of version 2 ends with its epoch, and each initialization takes one. After 32,766 of them Kafka gives
the transactional id another producer id (KIP-360), and a worker must take both for its own: by what it answered under
the former one its position is checked. Initializing both ids of a partition until few epochs are left fences its worker
each time; then the fleet spends the rest, and workers are killed while it does.
"""

import asyncio
import time

from faults.acts_on_brokers import goes_on
from hotswap.kafka.transactions.alternating import transactional_ids
from hotswap.kafka.transactions.producer import Producer
from hotswap.kafka.wire.brokers import Brokers

_LAST = 32_766
_LEFT = 60
"""How many epochs the fleet spends by itself: some seconds of transactions."""
_PARTITION = 0
_SPENT_S = 180


async def epochs(arena, seconds):
    """Let both ids of a partition run out of epochs, and kill a worker every few seconds around that."""
    spent, kills, rounds, slowest = 0, 0, 0, 0.0
    async with Brokers.connect(arena.deployment.settings) as brokers:
        names = transactional_ids(arena.deployment.settings, _PARTITION)
        until = time.monotonic() + seconds
        while rounds == 0 or time.monotonic() < until:
            before = await _ids(brokers, names)
            spent += sum(await asyncio.gather(*(_spend(brokers, name) for name in names)))
            arena.say(f"{spent} epochs spent, {_LEFT} are left of each id")
            give_up = time.monotonic() + _SPENT_S
            while set(before) & set(after := await _ids(brokers, names)):
                assert time.monotonic() < give_up, f"not within {_SPENT_S} s: both ids have run out of epochs: {after}"
                await asyncio.sleep(arena.random.uniform(1, 3))
                victim = arena.random.choice(arena.workers)
                arena.deployment.kill(victim)
                arena.join(in_place_of=victim)
                kills += 1
            slowest = max(slowest, await goes_on(arena, 60))
            rounds += 1
            arena.say(f"producer ids {before} became {after}")
    arena.figures |= {"epochs spent by initializing": spent, "rounds": rounds, "workers killed": kills}
    arena.figures["goes on after that within, s"] = round(slowest, 1)


async def _ids(brokers, names):
    """Return the producer id of each transactional id; its producer is fenced."""
    return [(await _initialized(brokers, name)).id for name in names]


async def _initialized(brokers, name):
    producer = Producer(brokers, name)
    await producer.init()
    return producer


async def _spend(brokers, name):
    """Initialize an id until few of its epochs are left; return how often."""
    count, epoch = 0, -1
    while epoch < _LAST - _LEFT:
        epoch = (await _initialized(brokers, name)).epoch
        count += 1
    return count
