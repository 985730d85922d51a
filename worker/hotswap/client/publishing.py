"""Publishes requests in bulk: some thousands at a time, the next ones made while the last ones are acknowledged."""

from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, overload

from hotswap.batch import Headers
from hotswap.client.answers import Outgoing, Place
from hotswap.kafka.topics.writer import LogWriter, Sent, Written

_FEW = 500
_CHUNK = 5_000
_CHUNK_BYTES = 1 << 20
_AHEAD = 2
"""How many chunks wait for their acknowledgements while the next one is made."""


class Places(Sequence[Place]):
    """The places of requests, in their order; each is made when it is asked for, as there may be many millions."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._chunks: list[Sequence[Written]] = []
        self._ends = [0]

    def add(self, chunk: Sequence[Written]) -> None:
        """Add requests that were written together."""
        self._chunks.append(chunk)
        self._ends.append(self._ends[-1] + sum(len(written.records) for written in chunk))

    def __add__(self, other: Iterable[Place]) -> list[Place]:
        return [*self, *other]

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[Place]:
        for number in range(len(self._chunks)):
            yield from self._made(number)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Place]: ...
    def __getitem__(self, index: int | slice) -> Place | Sequence[Place]:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        at = range(len(self))[index]
        number = bisect(self._ends, at) - 1
        return self._made(number)[at - self._ends[number]]

    def _made(self, number: int) -> list[Place]:
        places: list[Any] = [None] * (self._ends[number + 1] - self._ends[number])
        for partition, first, records in self._chunks[number]:
            for offset, at in enumerate(records, first):
                places[at] = Place(self._topic, partition, offset)
        return places


async def publish(writer: LogWriter, topic: str, requests: Iterable[Outgoing]) -> Places:
    """Publish requests to a topic; return their places once all are acknowledged.

    Raises:
        Doubt: Kafka did not answer in time; some may have been published.

    """
    source, places, sent = iter(requests), Places(topic), deque[list[Sent]]()
    while (chunk := _take(source)).values:
        sent.append(await writer.send_many(topic, chunk.keys, chunk.values, chunk.headers))
        if len(sent) > _AHEAD:
            places.add(await writer.acknowledged(topic, sent.popleft()))
    while sent:
        places.add(await writer.acknowledged(topic, sent.popleft()))
    return places


class _Chunk(NamedTuple):
    values: list[bytes | None]
    keys: list[bytes | None]
    headers: list[Headers]


def _take(source: Iterator[Outgoing]) -> _Chunk:
    """Return the next requests, fewer if they are large, in columns.

    Few of them are objects at a time: thousands would wake the cycle collector, which costs more than to write them.
    """
    chunk, size = _Chunk([], [], []), 0
    while len(chunk.values) < _CHUNK and size < _CHUNK_BYTES and (few := list(islice(source, _FEW))):
        values, keys, headers = zip(*few, strict=True)
        chunk.values.extend(values)
        chunk.keys.extend(keys)
        chunk.headers.extend(headers)
        size += sum(map(len, filter(None, values)))
    return chunk
