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
_LEFT = 150
"""How many epochs the fleet spends by itself: a few seconds of transactions."""
_PARTITION = 0
_KILLS = 4


async def epochs(arena, seconds):
    """Let both ids of a partition run out of epochs, and kill a worker every few seconds around that."""
    settings, spent = arena.deployment.settings, 0
    async with Brokers.connect(settings) as brokers:
        names = transactional_ids(settings, _PARTITION)
        before = [(await _initialized(brokers, name)).id for name in names]
        until, rounds, slowest = time.monotonic() + seconds, 0, 0.0
        while rounds == 0 or time.monotonic() < until:
            began = time.monotonic()
            spent += sum(await asyncio.gather(*(_spend(brokers, name) for name in names)))
            arena.say(f"{spent} epochs spent, {_LEFT} are left of each id ({time.monotonic() - began:.0f} s)")
            for _ in range(_KILLS):
                await asyncio.sleep(arena.random.uniform(1, 3))
                victim = arena.random.choice(arena.workers)
                arena.deployment.kill(victim)
                arena.join(in_place_of=victim)
            slowest = max(slowest, await goes_on(arena, 60))
            rounds += 1
        after = [(await _initialized(brokers, name)).id for name in names]
    arena.figures |= {"epochs spent by initializing": spent, "rounds": rounds}
    arena.figures["goes on after a kill within, s"] = round(slowest, 1)
    assert not set(before) & set(after), f"the producer ids are still {before}, so no id ran out of epochs: {after}"


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
