"""A deployment's answers as they arrive: predictions and refusals, each with the place of its request."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar, overload

from hotswap.batch import Headers
from hotswap.kafka.client.acls import Right
from hotswap.kafka.client.connection import needing
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader
from hotswap.kafka.topics.unparsed import Sought, Unparsed
from hotswap.settings import Settings

ID_HEADER = "prediction-token"
"""The header that a gateway adds to its requests; workers copy it to the answers (see finding.PredictionId)."""

PAUSE_S = 0.5
_FETCH_S = 1.0
_DIGITS = 20  # of the largest 64-bit number

T = TypeVar("T")


class Outgoing(NamedTuple):
    """A request to publish: the serialized input message, its key, and headers such as `operation`."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


class SameHeaders(Sequence[Outgoing]):
    """Requests with the same headers, created on access: a long call has hundreds of thousands."""

    def __init__(self, values: Sequence[bytes], headers: Headers) -> None:
        self._values = values
        self._headers = headers

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, at: int) -> Outgoing: ...

    @overload
    def __getitem__(self, at: slice) -> list[Outgoing]: ...

    def __getitem__(self, at: int | slice) -> Outgoing | list[Outgoing]:
        if isinstance(at, slice):
            return [Outgoing(value, None, self._headers) for value in self._values[at]]
        return Outgoing(self._values[at], None, self._headers)


class Place(NamedTuple):
    """The position of a published request; as text, it is the header `source` of the answer."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """`topic-partition-offset`."""
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to a valid request: the serialized output message, and the generation that produced it."""

    source: str
    value: bytes
    generation: int
    operation: str
    model_digest: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to a refused request, with the reason (`code`: see batch.Code)."""

    source: str
    code: str
    message: str
    generation: int


Parse: TypeAlias = Callable[[Any], Prediction | Refused]


class Answers:
    """Both answer topics of a deployment, read without a consumer group, so that no other reader is affected."""

    def __init__(self, settings: Settings) -> None:
        topics = settings.topics
        self._predictions = LogReader(settings, topics.predictions, read_committed=True)
        self._dead_letters = LogReader(settings, topics.dead_letters, read_committed=True)
        self._readers = [(self._predictions, topics.predictions), (self._dead_letters, topics.dead_letters)]
        self._fetches: dict[asyncio.Task[list[Any]], LogReader] = {}

    @classmethod
    @asynccontextmanager
    async def from_now_on(cls, settings: Settings, *, only: int | None = None) -> AsyncIterator[Self]:
        """Yield the answers that arrive during a with-block; enter it before publishing, or early ones are missed.

        With `only`, those to the requests of one partition.

        Raises:
            StartError: no broker answers, or the deployment's topics are missing.

        """
        answers = cls(settings)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(answers.stop)
            async with Admin.connect(settings) as admin:
                for reader, topic in answers._readers:
                    with needing(settings, Right("Read", "topic", topic)):
                        await reader.start(await admin.end_offsets(topic, read_committed=True), only=only)
            yield answers

    async def read(self, timeout_s: float) -> list[Prediction | Refused]:
        """Return the next answers as soon as there are any, or an empty list on time-out."""
        batches = await self._next(timeout_s, lambda reader: reader.read(_FETCH_S))
        return [parse(record) for parse, records in batches for record in records]

    async def read_unparsed(self, timeout_s: float) -> "Unread":
        """Return the next answers unparsed, so that those to other publishers cost little; empty on time-out."""
        return Unread(await self._next(timeout_s, lambda reader: reader.read_unparsed(_FETCH_S)))

    async def _next(
        self, timeout_s: float, read: Callable[[LogReader], Coroutine[Any, Any, list[T]]]
    ) -> list[tuple[Parse, list[T]]]:
        for reader, _ in self._readers:
            if reader not in self._fetches.values():
                self._fetches[asyncio.create_task(read(reader))] = reader
        await asyncio.wait(self._fetches, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        batches: list[tuple[Parse, list[T]]] = []
        for fetch in [fetch for fetch in self._fetches if fetch.done()]:
            reader = self._fetches.pop(fetch)
            batches.append((prediction_of if reader is self._predictions else refused, fetch.result()))
        return batches

    async def stop(self) -> None:
        """Close the connections."""
        for fetch in self._fetches:
            fetch.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)
        for reader, _ in self._readers:
            await reader.stop()


class Unread(NamedTuple):
    """Answers that have arrived but are not parsed yet."""

    parts: Sequence[tuple[Parse, Sequence[Unparsed]]]

    def __bool__(self) -> bool:
        return any(batches for _, batches in self.parts)

    def to(self, sources: Collection[str]) -> list[Prediction | Refused]:
        """Return the answers to these requests, possibly among others."""
        sought = Sought("source", sources)
        return [parse(record) for parse, batches in self.parts for batch in batches for record in batch.where(sought)]


def prediction_of(record: Any) -> Prediction:
    """Return the prediction in a record of the predictions topic."""
    headers = dict(record.headers)  # a hot path: decode only the headers that are needed
    generation, operation, digest = _facts(*map(headers.get, ("generation", "operation", "model-digest")))
    return Prediction(_text(headers.get("source")), record.value or b"", generation, operation, digest)


@lru_cache(maxsize=64)  # most answers have the same
def _facts(generation: bytes | None, operation: bytes | None, digest: bytes | None) -> tuple[int, str, str]:
    return _number(_text(generation)), _text(operation), _text(digest)


def refused(record: Any) -> Refused:
    """Return the refusal in the headers of a dead letter."""
    headers = header_texts(record)
    return Refused(
        source=headers.get("source", ""),
        code=headers.get("code", ""),
        message=headers.get("message", ""),
        generation=_number(headers.get("generation")),
    )


def header_texts(record: Any) -> dict[str, str]:
    """Return the headers as text; of a repeated name the last value, which is the worker's."""
    return {name: value.decode(errors="replace") for name, value in record.headers if value is not None}


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value else ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) <= _DIGITS else 0


class Flow:
    """Flow control of requests in flight; restores the order of the requests in their answers."""

    def __init__(self, window: int, per_second: float | None) -> None:
        self._window = window
        self._per_second = per_second
        self._began = time.monotonic()
        self._sent = 0
        self._taken = 0
        self._numbers: dict[str, int] = {}
        self._answers: dict[int, Prediction | Refused] = {}

    @property
    def waiting(self) -> int:
        """The number of unanswered requests."""
        return len(self._numbers)

    @property
    def is_full(self) -> bool:
        """Whether an answer must be taken before another request may be sent."""
        return self._sent - self._taken >= self._window

    def room(self) -> int:
        """Return how many more requests may be sent now."""
        allowed = self._window - (self._sent - self._taken)
        if self._per_second is None:
            # Half a window at a time: otherwise a few answers at a time would lead to a few requests at a time.
            return allowed if allowed * 2 >= self._window else 0
        due = int((time.monotonic() - self._began) * self._per_second) + 1 - self._sent
        return max(0, min(allowed, due))

    def pause_s(self) -> float:
        """Return how long to wait for answers before the next request is due, seconds."""
        if self._per_second is None:
            return PAUSE_S
        return max(0.0, min(PAUSE_S, self._sent / self._per_second - (time.monotonic() - self._began)))

    def sent(self, places: Iterable[Place]) -> None:
        """Record published requests, in their order."""
        for place in places:
            self._numbers[str(place)] = self._sent
            self._sent += 1

    def answered(self, answer: Prediction | Refused) -> None:
        """Record an answer; ignore answers to other publishers' requests."""
        number = self._numbers.pop(answer.source, None)
        if number is not None:
            self._answers[number] = answer

    def take(self) -> list[Prediction | Refused]:
        """Return the answers that come next in the order of the requests, each once."""
        ready = []
        while self._taken in self._answers:
            ready.append(self._answers.pop(self._taken))
            self._taken += 1
        return ready
