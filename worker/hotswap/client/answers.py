"""Reads a deployment's answers as they arrive: predictions and refusals, each with the place of its request."""

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
"""The header that a gateway adds to its requests, and that is copied to their answers: see finding.PredictionId."""

PAUSE_S = 0.5
_FETCH_S = 1.0
_DIGITS = 20  # the most that a 64-bit number has

T = TypeVar("T")


class Outgoing(NamedTuple):
    """A request to publish: the serialized input message, its key, and headers such as `operation`."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


class SameHeaders(Sequence[Outgoing]):
    """Requests with the same headers, made as they are published: a long call has hundreds of thousands."""

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
    """Where a request was published; its text is the header `source` of the answer."""

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
        """Yields the answers that arrive during a with-block; enter it before you publish, or you miss early ones.

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
        """Returns the next answers as soon as there are any, or an empty list on time-out."""
        found = await self._next(timeout_s, lambda reader: reader.read(_FETCH_S))
        return [parse(record) for parse, records in found for record in records]

    async def read_unparsed(self, timeout_s: float) -> "Unread":
        """Returns the next answers as `read` does, but does not parse them: what is not asked for costs little."""
        return Unread(await self._next(timeout_s, lambda reader: reader.read_unparsed(_FETCH_S)))

    async def _next(
        self, timeout_s: float, read: Callable[[LogReader], Coroutine[Any, Any, list[T]]]
    ) -> list[tuple[Parse, list[T]]]:
        for reader, _ in self._readers:
            if reader not in self._fetches.values():
                self._fetches[asyncio.create_task(read(reader))] = reader
        await asyncio.wait(self._fetches, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        found: list[tuple[Parse, list[T]]] = []
        for fetch in [fetch for fetch in self._fetches if fetch.done()]:
            reader = self._fetches.pop(fetch)
            found.append((prediction_of if reader is self._predictions else refused, fetch.result()))
        return found

    async def stop(self) -> None:
        """Closes the connections."""
        for fetch in self._fetches:
            fetch.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)
        for reader, _ in self._readers:
            await reader.stop()


class Unread(NamedTuple):
    """Answers that have arrived, and that nobody has parsed."""

    parts: Sequence[tuple[Parse, Sequence[Unparsed]]]

    def __bool__(self) -> bool:
        return any(batches for _, batches in self.parts)

    def to(self, sources: Collection[str]) -> list[Prediction | Refused]:
        """Returns the answers to these requests; there may be others among them."""
        sought = Sought("source", sources)
        return [parse(one) for parse, batches in self.parts for batch in batches for one in batch.where(sought)]


def prediction_of(record: Any) -> Prediction:
    """Returns the prediction in a record of the predictions topic."""
    headers = dict(record.headers)  # runs for each answer, so only the headers needed are decoded
    generation, operation, digest = _facts(*map(headers.get, ("generation", "operation", "model-digest")))
    return Prediction(_text(headers.get("source")), record.value or b"", generation, operation, digest)


@lru_cache(maxsize=64)  # the same in most answers
def _facts(generation: bytes | None, operation: bytes | None, digest: bytes | None) -> tuple[int, str, str]:
    return _number(_text(generation)), _text(operation), _text(digest)


def refused(record: Any) -> Refused:
    """Returns the refusal in the headers of a dead letter."""
    headers = header_texts(record)
    return Refused(
        source=headers.get("source", ""),
        code=headers.get("code", ""),
        message=headers.get("message", ""),
        generation=_number(headers.get("generation")),
    )


def header_texts(record: Any) -> dict[str, str]:
    """Returns the headers as text; of a repeated name the last one, which the worker has added."""
    return {name: value.decode(errors="replace") for name, value in record.headers if value is not None}


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value else ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) <= _DIGITS else 0


class Flow:
    """Requests in flight: how many more may be sent, and their answers put back into the order of the requests."""

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
        """The number of requests that have no answer yet."""
        return len(self._numbers)

    @property
    def is_full(self) -> bool:
        """Whether an answer must be taken before another request may be sent."""
        return self._sent - self._taken >= self._window

    def room(self) -> int:
        """Returns how many more requests may be sent now."""
        allowed = self._window - (self._sent - self._taken)
        if self._per_second is None:
            # Half a window at a time: otherwise answers that arrive in threes would be followed by requests in threes.
            return allowed if allowed * 2 >= self._window else 0
        due = int((time.monotonic() - self._began) * self._per_second) + 1 - self._sent
        return max(0, min(allowed, due))

    def pause_s(self) -> float:
        """Returns how long to wait for answers before the next request is due, in seconds."""
        if self._per_second is None:
            return PAUSE_S
        return max(0.0, min(PAUSE_S, self._sent / self._per_second - (time.monotonic() - self._began)))

    def sent(self, places: Iterable[Place]) -> None:
        """Records requests that were published, in their order."""
        for place in places:
            self._numbers[str(place)] = self._sent
            self._sent += 1

    def answered(self, answer: Prediction | Refused) -> None:
        """Records an answer; ignores answers to other publishers' requests."""
        number = self._numbers.pop(answer.source, None)
        if number is not None:
            self._answers[number] = answer

    def take(self) -> list[Prediction | Refused]:
        """Returns the answers that are next in the order of the requests, each once."""
        ready = []
        while self._taken in self._answers:
            ready.append(self._answers.pop(self._taken))
            self._taken += 1
        return ready
