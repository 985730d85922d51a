"""A partition's producers, which take turns: while Kafka still ends a transaction of one, the other one's begins.

A broker lets the next transaction of an id begin once the markers of the last one are written. Asked earlier, it tries
again by itself only after 20 ms (`add.partitions.to.txn.retry.backoff.ms`), ten times as long as the markers take.

The owner that opens a partition has both of its ids, and so fences and waits for the last owner. A worker of 0.2 knows
the first id only, and reads offsets that may be pending under the other: while one may be in the group, the first alone
is used.
"""

import asyncio
from collections.abc import Sequence

from hotswap.kafka.transactions.producer import Group, Producer
from hotswap.kafka.wire.brokers import Brokers
from hotswap.settings import Settings


def transactional_ids(settings: Settings, partition: int) -> tuple[str, str]:
    """Return both ids of a partition."""
    first = f"{settings.group_id}-{settings.topics.requests}-{partition}"
    return first, f"{first}-b"


class Alternating:
    """One producer, or several that take turns, transaction by transaction."""

    def __init__(self, producers: Sequence[Producer], group: Group) -> None:
        self.producers = producers
        self._group = group
        self.now = producers[0]
        """The producer of the transaction in hand, or of the next one."""

    @classmethod
    def of_partition(cls, settings: Settings, brokers: Brokers, group: Group, partition: int) -> "Alternating":
        """Return the producers of a partition's answers; outside transactions, one."""
        if settings.delivery != "exactly_once":
            return cls([Producer(brokers)], group)
        return cls([Producer(brokers, name, group) for name in transactional_ids(settings, partition)], group)

    async def init(self) -> None:
        """Fence the earlier owners of the ids; see Producer.init."""
        await asyncio.gather(*(producer.init() for producer in self.producers))

    def take_turns(self) -> None:
        """Have the next transaction sent by the next producer."""
        at = self.producers.index(self.now) + 1 if self._group.knows_both_ids else 0
        self.now = self.producers[at % len(self.producers)]

    async def discard(self) -> None:
        """Send nothing any more; see Producer.discard."""
        for producer in self.producers:
            await producer.discard()
