"""Which requests a shadow answers: chosen by partition and offset alone, so alike by every worker and every reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MILLION: Final = 1_000_000
_BITS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """Some of the requests of a topic; by default, all."""

    partitions: frozenset[int] = frozenset()
    """The partitions whose requests are in it; none: all."""
    per_million: int = 0
    """How many of a million requests are in it; 0: all."""

    def has(self, partition: int) -> bool:
        """Return whether requests of a partition may be in it."""
        return not self.partitions or partition in self.partitions

    def has_all(self, partition: int) -> bool:
        """Return whether every request of a partition is in it."""
        return self.has(partition) and not self.per_million

    def chosen(self, partition: int, offsets: Sequence[int]) -> Sequence[bool]:
        """Return of each offset of a partition whether its request is in it; control.proto has the rule."""
        if not self.has(partition) or not self.per_million:
            return [self.has(partition)] * len(offsets)
        import numpy as np  # noqa: PLC0415 - commands import this module, and few have a sample

        z = (np.array(offsets, np.uint64) ^ np.uint64(partition << 48 & _BITS)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        picked: Sequence[bool] = ((z ^ (z >> np.uint64(31))) % np.uint64(MILLION) < self.per_million).tolist()
        return picked


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What a shadow answers: the deployment, the topic of its requests, and which of these."""

    of: str
    requests: str
    sample: Sampling = Sampling()
