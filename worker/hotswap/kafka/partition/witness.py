"""The one rule that decides which records of an output topic are a partition's own answers.

Any user with Write on a topic can append records that look like answers. Only a batch of a transaction by a producer of
the partition's transactional ids can be the worker's own: the broker verifies such an id, and the right to it, at each
transactional write (KIP-890). Its producers are those that the ids have now, and those that the group's offset names:
Kafka gives an id another producer whenever the epochs of one run out. Records of others change no position, whatever
they claim.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hotswap.generation import MOST
from hotswap.kafka.topics.contents import Unpacker
from hotswap.kafka.topics.records import RawBatch
from hotswap.recordbatch.compression import decompress
from hotswap.recordbatch.header import CODEC, CONTROL, SIZE, TRANSACTIONAL, Header, Unparseable, is_legacy

ONE_TRANSACTION: Final = 1 << 20
"""More offsets than a transaction of ours can span: it takes batches for 0.2 s, then ends (pipeline/loop.py)."""

_AT_ONCE = 5_000
_CLAIMS_BYTES = 1 << 16  # of a compressed batch of others: it is read to be counted only
_DIGITS = 20
_COMMIT = b"\x00\x01"
_ONE_BYTE = 64  # a zigzag varint below it is one byte


class LastAnswer(NamedTuple):
    """Offset of the last answered request of a partition, and the generation that scored it."""

    offset: int
    generation: int


class _Written(NamedTuple):
    """An answer, and where it is: in which order batches were written, and the answers in them."""

    at: int
    answer: LastAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswers:
    """Facts about a partition, known before its answers are read."""

    source: bytes
    """The prefix of the `source` header of its answers."""
    producers: AbstractSet[int]
    """Kafka's ids of the producers that the transactional ids have, or had by the time of the committed offset."""
    is_new: bool = False
    """Whether these producers are new, so that they have written nothing yet."""
    has_answered: bool = True
    """Whether the committed offset names one of them as the last one that answered requests."""
    committed: int = 0
    """The group's committed offset."""
    end: int = MOST
    """End offset of the requests."""
    generations: int = MOST
    """The highest generation that a command can have created."""

    def is_ours(self, attributes: int, producer: int) -> bool:
        """Whether a batch with this header was written by a worker that had the partition."""
        return bool(attributes & TRANSACTIONAL) and producer in self.producers

    def can_be(self, answer: LastAnswer) -> bool:
        """Whether an answer in a batch of ours is to a request that exists, and at most a transaction ahead."""
        ahead = answer.offset - self.committed
        return answer.offset < self.end and ahead < ONE_TRANSACTION and answer.generation <= self.generations


class Ending:
    """The end of an output partition, read batch by batch in the order of the log."""

    def __init__(self, known: KnownAnswers, unpacker: Unpacker, *, counted_to: int = 0) -> None:
        """`counted_to` is the offset up to which foreign answers were counted before."""
        self._known = known
        self._unpacker = unpacker
        self._counted_to = counted_to
        self._is_ours_seen = False
        self._pending: dict[int, list[_Written]] = {}  # producer -> what it wrote that has no marker yet
        self._last: _Written | None = None
        self._claim = re.compile(re.escape(known.source) + rb"(\d{1,20})")
        self.aborted: list[LastAnswer] = []
        """Answers of ours that were aborted."""
        self.foreign = 0
        """Records that claim to answer the partition and cannot be ours."""
        self.passed = 0
        """All records of others."""
        self.claimed: int | None = None
        """The last request that exists and that a record of others claims to answer; it proves nothing."""

    @property
    def last(self) -> LastAnswer | None:
        """The last answer of ours that was committed, in the order in which they were written."""
        return self._last.answer if self._last else None

    @property
    def open(self) -> Mapping[int, Sequence[LastAnswer]]:
        """The answers of ours that have no marker, by their producers."""
        return {producer: [written.answer for written in pending] for producer, pending in self._pending.items()}

    def add(self, batch: memoryview) -> None:
        """Take the next batch, in wire format."""
        if is_legacy(batch):  # its header is shorter, and has no producer
            self.passed += 1
            return
        base, _, _, _, _, attributes, *_, producer, _, _, count = Header.read(batch)
        if not self._known.is_ours(attributes, producer):
            if not attributes & CONTROL:
                self.passed += max(count, 0)
                self._pass_over(batch, base, attributes)
        elif attributes & CONTROL:
            ended = self._pending.pop(producer, [])
            if self._records(batch)[0].key[2:] != _COMMIT:
                self.aborted += (written.answer for written in ended)
            elif ended and (self._last is None or ended[-1].at > self._last.at):  # of two, either may end first
                self._last = ended[-1]
        else:
            self._is_ours_seen = True
            named = (answer for record in self._records(batch) if (answer := answer_of(record, self._known.source)))
            known = enumerate(filter(self._known.can_be, named), base)
            self._pending.setdefault(producer, []).extend(_Written(*at) for at in known)

    def _pass_over(self, batch: memoryview, base: int, attributes: int) -> None:
        """Count foreign claims; answers from before a `move`, at least once, or by an expired id, are old.

        Those precede all answers of ours, but for those at least once, whose offset names no producer; and they answer
        requests before the committed offset.
        """
        for offset in self._claims(batch, attributes):
            if offset < self._known.end:
                self.claimed = max(offset, self.claimed or 0)
            is_old = offset < self._known.committed and not (self._is_ours_seen and self._known.has_answered)
            self.foreign += not is_old and base >= self._counted_to

    def _claims(self, batch: memoryview, attributes: int) -> Iterator[int]:
        """Yield the requests of the partition that are named in a batch, without parsing its records."""
        data: memoryview = batch[SIZE:]
        try:
            if codec := attributes & CODEC:
                data, _ = decompress(codec, data, _CLAIMS_BYTES)
        except Unparseable:
            return
        for match in self._claim.finditer(data):
            begin, end = match.span()
            # A header's value: its length precedes it.
            if data[begin - 1] == ((end - begin) * 2 if end - begin < _ONE_BYTE else (end - begin) * 2 >> 7):
                yield int(match[1])

    def _records(self, batch: memoryview) -> list[Any]:
        whole = RawBatch(batch, start=0, unpacker=self._unpacker)
        records: list[Any] = []
        while whole.first is not None:
            records += whole.take(_AT_ONCE, None)
        return records


def answer_of(record: Any, source: bytes) -> LastAnswer | None:
    """Return the request of a partition that a record claims to answer; None: none."""
    # Anyone may write to the topic: a header may be null, or a number with thousands of digits.
    headers = dict(record.headers)
    named, generation = headers.get("source") or b"", headers.get("generation") or b""
    offset = named.removeprefix(source)
    if named.startswith(source) and _is_number(offset) and _is_number(generation):
        return LastAnswer(int(offset), int(generation))
    return None


def _is_number(text: bytes) -> bool:
    """Whether it is a number of at most 64 bits: anyone may write to a topic without ACLs."""
    return text.isdigit() and len(text) <= _DIGITS and int(text) <= MOST
