"""Compares the answers of two deployments to the same requests: a merge of ordered streams, partition by partition.

Answers are in the order of their requests, in the partition with the same number, and name their request in the header
`source`. So four streams of a partition (predictions and dead letters of both) are merged by it, and nothing is kept.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hotswap.artifacts.store import Store
from hotswap.client import protos
from hotswap.client.comparison import Comparison, GivenAnswer
from hotswap.client.history import History
from hotswap.client.overview import read_history
from hotswap.codec.proto import Schema
from hotswap.codec.text.answered import AnswerReader
from hotswap.errors import SwapError, UsageError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.topics.log import LogReader
from hotswap.settings import Settings
from hotswap.swap.sample import Sampling

_SETTLE_S: Final = 0.5
"""Answers become visible a moment after the offset that they are committed with."""
_EARLIER_MS: Final = 300_000
"""By how much the clocks of publishers and brokers may differ."""
_AT_ONCE: Final = 4_096
_END: Final = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The requests to compare, by their timestamps in milliseconds since the epoch; None: as far as both go."""

    since_ms: int | None = None
    until_ms: int | None = None


class Reply(NamedTuple):
    """An answer as a record, by the offset of its request."""

    offset: int
    record: Any
    is_refusal: bool


class _Stream:
    """The answers of a partition in one topic, in their order."""

    def __init__(self, chunks: AsyncGenerator[list[Any], None], prefix: bytes, *, is_refusal: bool) -> None:
        self._chunks = chunks
        self._prefix = prefix
        self._is_refusal = is_refusal
        self._waiting: deque[Reply] = deque()
        self.is_over = False

    @property
    def head(self) -> int | None:
        """The offset of the next one's request; None: it must be filled, unless it is over."""
        return self._waiting[0].offset if self._waiting else None

    def take(self) -> Reply:
        """Return the next one."""
        return self._waiting.popleft()

    async def fill(self) -> None:
        """Read until there is a next one, or the stream is over."""
        size = len(self._prefix)
        while not self._waiting and not self.is_over:
            try:
                records = await anext(self._chunks)
            except StopAsyncIteration:
                self.is_over = True
                return
            for record in records:
                source = next((value for name, value in record.headers if name == "source"), None) or b""
                digits = source[size:]
                if source.startswith(self._prefix) and digits.isdigit():
                    self._waiting.append(Reply(int(digits), record, self._is_refusal))


class Side:
    """One of both deployments: its settings, its commands, and the readers of its answers."""

    def __init__(self, settings: Settings, history: History) -> None:
        self.settings = settings
        self.history = history
        self._store = Store(settings)
        self._schemas: dict[int, Schema | None] = {}
        self._readers: dict[tuple[int, str], AnswerReader | None] = {}

    @classmethod
    async def of(cls, settings: Settings) -> "Side":
        """Read a deployment's commands."""
        settings = await settled(settings)
        history = await read_history(settings)
        if history.timeline.shadowed:  # the topics in the environment are the other one's
            settings = settings.named(settings.deployment)
        return cls(settings, history)

    @property
    def sample(self) -> Sampling:
        """Which requests it answers."""
        shadowed = self.history.timeline.shadowed
        return shadowed.sample if shadowed else Sampling()

    def knows(self, generation: int) -> bool:
        """Return whether `learn` has been called for a generation."""
        return generation in self._schemas

    async def learn(self, generation: int) -> None:
        """Compile a generation's proto; without one, its answers are unreadable."""
        swap = self.history.timeline.swaps.get(generation)
        schema = None
        if swap:
            proto = swap.generation.proto
            try:
                schema = await protos.compile(await self._store.fetch_proto(proto), proto.is_descriptor_set)
            except SwapError:
                schema = None
        self._schemas[generation] = schema

    def answered(self, reply: Reply) -> GivenAnswer | None:
        """Return an answer, parsed; None: nothing here can read it."""
        headers = {name: value or b"" for name, value in reply.record.headers}
        generation = generation_of(reply)
        operation = headers.get("operation", b"").decode(errors="replace")
        if reply.is_refusal:
            return GivenAnswer(generation, operation, refusal=headers.get("code", b"?").decode(errors="replace"))
        reader = self._reader(generation, operation)
        if reader is None:
            return None
        content = headers.get("content-type", b"").decode(errors="replace")
        try:
            return GivenAnswer(
                generation, operation, reader.fields, list(reader.rows(reply.record.value or b"", content))
            )
        except ValueError:
            return None

    def _reader(self, generation: int, operation: str) -> AnswerReader | None:
        key = generation, operation
        if key not in self._readers:
            schema = self._schemas.get(generation)
            found = schema.operations.get(operation) if schema else None
            self._readers[key] = AnswerReader(found) if found else None
        return self._readers[key]

    @asynccontextmanager
    async def replies(self, partition: int, begins: Mapping[str, int]) -> AsyncIterator[Sequence[_Stream]]:
        """Provide the streams of a partition, from these offsets of both topics on up to their ends now."""
        topics = self.settings.topics
        prefix = f"{topics.requests}-{partition}-".encode()
        async with AsyncExitStack() as stack:
            streams = []
            for topic in (topics.predictions, topics.dead_letters):
                reader = LogReader(self.settings, topic, read_committed=True)
                stack.push_async_callback(reader.stop)
                await reader.start({partition: begins.get(topic, 0)}, only=partition)
                chunks = await stack.enter_async_context(aclosing(reader.to_end()))
                streams.append(_Stream(chunks, prefix, is_refusal=topic == topics.dead_letters))
            yield streams


def generation_of(reply: Reply) -> int:
    """Return the generation that an answer names; 0: none."""
    value = next((value for name, value in reply.record.headers if name == "generation"), None) or b""
    return int(value) if value.isdigit() and len(value) <= 20 else 0  # noqa: PLR2004 - digits of 64 bits


class _Range(NamedTuple):
    """What to compare of a partition: requests from `first` to before `until`, and what each side has passed."""

    first: int
    until: int
    passed: tuple[int, int]
    begins: tuple[Mapping[str, int], Mapping[str, int]]


async def compare(
    one: Side, other: Side, period: Period, on_progress: Callable[[int, int], None] = lambda _, __: None
) -> Comparison:
    """Compare the answers of two deployments to the same requests, as far as both have answered by now.

    `on_progress` is called with the partitions that are done, and all of them.

    Raises:
        UsageError: they answer different requests.
        StartError: no broker answers, or a topic is missing.
        Doubt: Kafka did not answer in time.

    """
    requests = one.settings.topics.requests
    if requests != other.settings.topics.requests:
        raise UsageError(
            f"{one.settings.deployment} answers {requests}, and {other.settings.deployment} "
            f"{other.settings.topics.requests}: only answers to the same requests can be compared"
        )
    comparison = Comparison()
    ranges = await _ranges(one, other, period)
    await asyncio.sleep(_SETTLE_S)
    for done, (partition, range_) in enumerate(ranges.items()):
        on_progress(done, len(ranges))
        await _compare(comparison, (one, other), partition, range_)
    on_progress(len(ranges), len(ranges))
    return comparison


async def _ranges(one: Side, other: Side, period: Period) -> Mapping[int, _Range]:
    """Return what to compare of each partition of the requests."""
    requests = one.settings.topics.requests
    async with Admin.connect(one.settings) as admin:
        passed = [await admin.committed(side.settings.group_id, requests) for side in (one, other)]
        numbers = sorted(passed[0])
        firsts = await admin.offsets_at(requests, numbers, period.since_ms) if period.since_ms is not None else {}
        untils = await admin.offsets_at(requests, numbers, period.until_ms) if period.until_ms is not None else {}
        begins: list[dict[int, dict[str, int]]] = [{}, {}]
        for side, found in zip((one, other), begins, strict=True):
            if period.since_ms is not None:
                for topic in side.settings.topics[1:3]:
                    at = await admin.offsets_at(topic, numbers, max(period.since_ms - _EARLIER_MS, 0))
                    ends = await admin.end_offsets(topic, numbers)
                    for number in numbers:
                        first = at.get(number)
                        found.setdefault(number, {})[topic] = ends[number] if first is None else first
    return {
        number: _Range(
            first if (first := firsts.get(number)) is not None else 0 if period.since_ms is None else _END,
            until if (until := untils.get(number)) is not None else _END,
            (max(passed[0][number].offset, 0), max(passed[1][number].offset, 0)),
            (begins[0].get(number, {}), begins[1].get(number, {})),
        )
        for number in numbers
    }


class _Merge:
    """The pairing of both sides' answers to one partition."""

    def __init__(self, comparison: Comparison, sides: tuple[Side, Side], partition: int, range_: _Range) -> None:
        self._comparison = comparison
        self._sides = sides
        self._partition = partition
        self._range = range_
        self._source = f"{sides[0].settings.topics.requests}-{partition}-"
        self._last = [-1, -1]
        self._seen = [False, False]
        self._lone: tuple[list[int], list[int]] = ([], [])
        """Of each side, the offsets of requests that only the other one has answered."""

    def is_new(self, side: int, offset: int) -> bool:
        """Whether a reply is to be compared: to a request in the range, which this side has not answered before."""
        if offset <= self._last[side]:
            self._comparison.again[side] += self._range.first <= offset < self._range.until
            return False
        self._last[side] = offset
        return self._range.first <= offset < self._range.until

    def pair(self, replies: tuple[Reply, Reply]) -> None:
        """Compare the answers to a request."""
        self._seen = [True, True]
        answers = [side.answered(reply) for side, reply in zip(self._sides, replies, strict=True)]
        one, other = answers
        for number, answer in enumerate(answers):
            self._comparison.unreadable[number] += answer is None
        if one is not None and other is not None:
            self._comparison.add(f"{self._source}{replies[0].offset}", one, other)

    def alone(self, side: int, offset: int) -> None:
        """Note that only this side has answered a request."""
        lacking = 1 - side
        self._seen[side] = True
        if not self._seen[lacking]:
            return  # before the other one began, or removed there
        if offset >= self._range.passed[lacking]:
            self._comparison.waiting[lacking] += 1
            return
        self._lone[lacking].append(offset)
        if len(self._lone[lacking]) >= _AT_ONCE:
            self.explain()

    def explain(self) -> None:
        """Count the requests that one side has not answered: it is outside of its sample, or missing."""
        for number, (side, offsets) in enumerate(zip(self._sides, self._lone, strict=True)):
            expected = sum(side.sample.chosen(self._partition, offsets))
            self._comparison.missing[number] += expected
            self._comparison.outside += len(offsets) - expected
            offsets.clear()


async def _compare(comparison: Comparison, sides: tuple[Side, Side], partition: int, range_: _Range) -> None:
    """Add the answers to a partition of the requests."""
    merge = _Merge(comparison, sides, partition, range_)
    async with (
        sides[0].replies(partition, range_.begins[0]) as mine,
        sides[1].replies(partition, range_.begins[1]) as theirs,
    ):
        heads: list[Reply | None] = [None, None]
        while True:
            for number, streams in enumerate((mine, theirs)):
                while heads[number] is None and (stream := await _first(streams)):
                    reply = stream.take()
                    if merge.is_new(number, reply.offset):
                        heads[number] = reply
                        if not sides[number].knows(generation := generation_of(reply)):
                            await sides[number].learn(generation)
            one, other = heads
            if one is None and other is None:
                break
            if one is not None and other is not None and one.offset == other.offset:
                merge.pair((one, other))
                heads = [None, None]
            elif other is None or (one is not None and one.offset < other.offset):
                assert one is not None
                merge.alone(0, one.offset)
                heads[0] = None
            else:
                merge.alone(1, other.offset)
                heads[1] = None
    merge.explain()


async def _first(streams: Sequence[_Stream]) -> _Stream | None:
    """Return the stream whose next answer is to the earliest request; None: all are over."""
    for stream in streams:
        if stream.head is None and not stream.is_over:
            await stream.fill()
    there = [stream for stream in streams if stream.head is not None]
    return min(there, key=lambda stream: stream.head or 0, default=None)
