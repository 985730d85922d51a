"""The generations' shares of the requests, by offsets alone: no request is read.

The share of a generation is that of its partitions in the offsets that the requests topic has gained within the last
hour, or in all that it retains if it has gained none. It is an estimate, since transaction markers have offsets, too,
and timestamps may be the publishers'.
"""

from collections.abc import Collection, Mapping
from time import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hotswap.kafka.topics.admin import Admin

SPAN_S: Final = 3_600


class Window(NamedTuple):
    """How many offsets each partition of the requests topic has gained since a time."""

    since_ms: int
    """Milliseconds since the epoch; 0: since the oldest request that is retained."""
    gained: Mapping[int, int]

    @property
    def total(self) -> int:
        """The offsets of all partitions."""
        return sum(self.gained.values())

    def share(self, partitions: Collection[int]) -> float | None:
        """Return the share that these partitions have, from 0 to 1; None: there was no request."""
        return sum(self.gained.get(number, 0) for number in {*partitions}) / self.total if self.total else None

    def __str__(self) -> str:
        """`the last hour`, or what else it is."""
        return "the last hour" if self.since_ms else "all that is retained"


def window_of(since_ms: int, firsts: Mapping[int, int | None], ends: Mapping[int, int]) -> Window:
    """Return the window from each partition's first offset in it to its end; None: it has none."""
    begins = {number: first for number in ends if (first := firsts.get(number)) is not None}
    return Window(since_ms, {number: max(end - begins.get(number, end), 0) for number, end in ends.items()})


async def read_window(admin: "Admin", topic: str, ends: Mapping[int, int] | None = None) -> Window:
    """Return the window up to the ends of the partitions, or to their last stable offsets.

    Raises:
        StartError: there is no such topic, or this user may not see it.
        Doubt: the broker did not answer in time.

    """
    if ends is None:
        ends = await admin.end_offsets(topic, read_committed=True)
    since_ms = round((time() - SPAN_S) * 1000)
    window = window_of(since_ms, await admin.offsets_at(topic, ends, since_ms), ends)
    return window if window.total else window_of(0, await admin.offsets_at(topic, ends, 0), ends)
