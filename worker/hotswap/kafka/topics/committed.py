"""A worker's commit: the next offset, with the generation that scored the one before it as metadata."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.structs import OffsetAndMetadata

from hotswap.generation import MOST


class Committed(NamedTuple):
    """A group's committed offset on a partition (-1: none), and the generation that scored the partition last.

    `is_ours` is False if no worker wrote the offset (an operator's reset): it has no generation.
    `producer` is Kafka's id of the producer that wrote the partition's last answers in a transaction; None: none did,
    or a worker of an earlier version wrote the offset. `producers` are those that the partition's transactional ids had
    then, it among them.
    """

    offset: int
    generation: int
    is_ours: bool
    producer: int | None = None
    producers: frozenset[int] = frozenset()


def committed_at(
    offset: int, generation: int, producer: int | None = None, producers: Iterable[int] = ()
) -> OffsetAndMetadata:
    """Return an offset with a worker's metadata."""
    facts: dict[str, Any] = {"generation": generation}
    if producer is not None:
        facts["producer"] = producer
        if others := sorted({*producers} - {producer}):
            facts["others"] = others
    return OffsetAndMetadata(offset, json.dumps(facts))


def as_committed(offset: int, metadata: str) -> Committed:
    """Parse a committed offset and its metadata."""
    try:
        facts = json.loads(metadata)
        generation = int(facts["generation"])
        producer = int(facts.get("producer", -1))
        producers = frozenset(number for each in facts.get("others", ()) if (number := int(each)) >= 0)
    # Anyone may have written it.
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Committed(offset, 0, is_ours=False)
    if not 0 <= generation <= MOST:
        return Committed(offset, 0, is_ours=False)
    if producer < 0:
        return Committed(offset, generation, is_ours=True)
    return Committed(offset, generation, is_ours=True, producer=producer, producers=producers | {producer})


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
