"""Unparsed record batches of a log, whose awaited records are found by a header's value.

A reader of a busy topic who waits for a few records in a thousand would otherwise pay for parsing all of them. Here, a
batch is searched for the header as it is written on the wire (KIP-82), and only records that have it there are parsed.
"""

import re
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from hotswap.kafka.topics.records import LegacyBatch, Piece, RawBatch, Skipped
from hotswap.recordbatch.header import SIZE
from hotswap.recordbatch.reader import starts
from hotswap.recordbatch.writer import record_field, zigzag

_MANY = 4
"""If at least one in so many records is wanted, all of them are parsed: aiokafka's parser takes them as a whole."""
_AT_ONCE = 5_000

Readable: TypeAlias = Callable[[Sequence[Any]], list[Any]]


class Sought:
    """Awaited values of a header."""

    def __init__(self, header: str, values: Iterable[str]) -> None:
        self.values = {value.encode() for value in values}
        name = header.encode()
        # The value is looked at, but not consumed: in bytes that only look like the header, there may be a true one.
        sized = (re.escape(zigzag(size)) + b"(?=(.{%d}))" % size for size in sorted(set(map(len, self.values))))
        self.pattern = re.compile(re.escape(record_field(name)) + b"(?:%b)" % b"|".join(sized), re.DOTALL)

    def places(self, data: memoryview) -> list[int]:
        """Return where in a record batch there seems to be such a header."""
        values = self.values
        return [at.start() for at in self.pattern.finditer(data, SIZE) if at[at.lastindex or 0] in values]


class Unparsed:
    """A fetched record batch; `readable` converts its readable records."""

    def __init__(self, batch: RawBatch | LegacyBatch | Skipped, readable: Readable) -> None:
        self._batch = batch
        self._readable = readable
        self._piece: Piece | None = None
        self._records: list[Any] | None = None

    def where(self, sought: Sought) -> list[Any]:
        """Return the records that have such a header, in order; there may be others among them."""
        if not sought.values:
            return []
        if self._piece is None and self._records is None:
            self._piece = self._batch.pass_on(self._batch.next) if isinstance(self._batch, RawBatch) else None
        if self._piece is not None:
            return self._readable(_matches(self._piece, sought))
        if self._records is None:
            self._records = self._readable(_all(self._batch))
        return self._records


def _matches(piece: Piece, sought: Sought) -> Sequence[Any]:
    if not (places := sought.places(piece.plain)):
        return ()
    base = piece.of.base
    count = piece.of.next - base
    if len(places) * _MANY >= count or (begins := starts(bytes(piece.plain), count)) is None:
        return piece.parsed()
    numbers = sorted({bisect(begins, place) - 1 for place in places})
    return [piece.one(begins[at], begins[at + 1], base + at) for at in numbers if base + at >= piece.first]


def _all(batch: RawBatch | LegacyBatch | Skipped) -> list[Any]:
    records: list[Any] = []
    while batch.first is not None:
        records += batch.take(_AT_ONCE, None)
    return records
