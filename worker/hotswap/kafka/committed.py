"""What a worker commits: the next offset, and as its metadata the generation that scored the one before it."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.structs import OffsetAndMetadata

from hotswap.generation import MOST


class Committed(NamedTuple):
    """A group's committed offset on a partition (-1: none), and the generation that scored the partition last.

    `is_ours` is False if something else than a worker wrote the offset (an operator's reset): it has no generation.
    """

    offset: int
    generation: int
    is_ours: bool


def committed_at(offset: int, generation: int) -> OffsetAndMetadata:
    """Return what a worker commits."""
    return OffsetAndMetadata(offset, json.dumps({"generation": generation}))


def as_committed(offset: int, metadata: str) -> Committed:
    """Return what somebody has committed."""
    try:
        generation = int(json.loads(metadata)["generation"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # anyone may have written it
        return Committed(offset, 0, is_ours=False)
    is_ours = 0 <= generation <= MOST
    return Committed(offset, generation if is_ours else 0, is_ours=is_ours)


@dataclass(frozen=True, slots=True)
class Lag:
    """A partition according to Kafka: committed offset, last stable offset, generation of the last answer."""

    partition: int
    committed: int
    end: int
    generation: int

    @property
    def requests(self) -> int:
        """The number of offsets not yet answered (transaction markers count, too)."""
        return max(0, self.end - self.committed)
