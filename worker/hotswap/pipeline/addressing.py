"""Addresses answers: the key, the headers and the topic of each, within the topics' limits."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from hotswap.batch import (
    HEADROOM_BYTES,
    Alike,
    Answer,
    BatchAnswers,
    Code,
    Envelope,
    Headers,
    Limits,
    Record,
    Refusal,
    Request,
    Unrefused,
)
from hotswap.generation import Generation
from hotswap.pipeline.admission import ONCE, OURS, READ, Rules, answered, copied
from hotswap.pipeline.dead_letters import dead_letter, record_bytes

_READ_HEADERS: Final = tuple(sorted(OURS | READ))
_SINGLE_HEADERS: Final = tuple(sorted(ONCE - OURS - READ))
_KEY, _HEADERS, _OFFSET = attrgetter("key"), attrgetter("headers"), attrgetter("offset")


class Addressed(NamedTuple):
    """An answer as a record: a prediction, or a dead letter."""

    record: Record
    is_prediction: bool


class Address:
    """Where the answers of one generation to the requests of one partition go."""

    def __init__(self, generation: Generation, rules: Rules, place: str, limits: Limits) -> None:
        """`place` is the topic and the partition of the requests: "topic-partition"."""
        self._number = ("generation", str(generation.number).encode())
        self._digest = ("model-digest", generation.model.sha256.encode())
        self._default = ("operation", rules.default_operation.encode())
        self._source = f"{place}-%d".encode()
        self._limits = limits
        self._max_request_bytes = rules.max_request_bytes
        # Under a low limit, which leaves nothing beside the headroom, each record is measured.
        self._is_roomy = limits.prediction > HEADROOM_BYTES

    def envelope(self, max_record_bytes: int) -> Envelope | None:
        """Return how a host addresses answers; None: it may not, since each record must be measured."""
        if not self._is_roomy:
            return None
        return Envelope(
            generation=(self._number, self._digest),
            operation=(self._default,),
            place=self._source.removesuffix(b"%d"),
            read_headers=_READ_HEADERS,
            single_headers=_SINGLE_HEADERS,
            max_answer_bytes=self._limits.answer,
            max_request_bytes=self._max_request_bytes,
            max_record_bytes=max_record_bytes,
        )

    def records(self, batch: Sequence[Request], answers: Sequence[Answer]) -> BatchAnswers:
        """Return the records of the two output topics, each in the order of the requests."""
        if isinstance(answers, Unrefused) and (alike := self._alike(batch, answers)):
            return BatchAnswers(alike, [])
        predictions: list[Record] = []
        dead_letters: list[Record] = []
        number, digest, default = self._number, self._digest, self._default
        is_roomy, largest = self._is_roomy, self._limits.answer
        for request, answer in zip(batch, answers, strict=True):
            key, headers = request.key, request.headers
            if is_roomy and isinstance(answer, bytes) and not headers and len(answer) + len(key or b"") <= largest:
                source = ("source", self._source % request.offset)
                predictions.append((key, answer, [number, digest, default, source]))
            else:
                record, is_prediction = self.record(request, answer)
                (predictions if is_prediction else dead_letters).append(record)
        return BatchAnswers(predictions, dead_letters)

    def _alike(self, batch: Sequence[Request], answers: Unrefused) -> Alike | None:
        """Return the predictions as columns, if none of the requests has headers, and no answer may be too large."""
        keys = list(map(_KEY, batch))
        longest = max(map(len, filter(None, keys)), default=0) + max(answers.lengths)
        if not self._is_roomy or longest > self._limits.answer or any(map(_HEADERS, batch)):
            return None
        headers = (self._number, self._digest, self._default)
        offsets: Sequence[int] = range(batch[0].offset, batch[-1].offset + 1)
        if len(offsets) != len(batch):  # some between them were removed, or are markers
            offsets = list(map(_OFFSET, batch))
        return Alike(keys, answers, offsets, headers, self._source.removesuffix(b"%d"))

    def record(self, request: Request, answer: Answer) -> Addressed:
        """Return the record that answers a request."""
        key, theirs, largest = request.key, request.headers, self._limits.answer
        ours = [self._number, self._digest, ("source", self._source % request.offset)]
        if isinstance(answer, Refusal):
            refusal = answer
        else:
            operation = [header for header in _operation_headers(theirs) if header[1]] or [self._default]
            # The order of the headers is part of an answer's bytes.
            is_plain = self._is_roomy and not theirs and len(answer) + len(key or b"") <= largest
            headers = [*ours[:2], *operation, ours[2]] if is_plain else [*answered(theirs), *operation, *ours]
            size = record_bytes(key, answer, headers)
            if len(answer) <= largest and size <= self._limits.prediction:
                return Addressed((key, answer, headers), True)
            refusal = _too_large(answer, largest, size - len(answer))
        own = [*copied(theirs), *_operation_headers(theirs)]
        return Addressed(dead_letter(request, refusal, own, ours, self._limits.dead_letter), False)


def _too_large(answer: bytes, largest: int, beside: int) -> Refusal:
    more = f", with key and headers of {beside} bytes" if beside > HEADROOM_BYTES else ""
    return Refusal(Code.ANSWER_TOO_LARGE, f"{len(answer)} bytes{more}, but the predictions topic allows {largest}")


def _operation_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """Return the `operation` headers of a request: an admitted one has at most one, which may be empty."""
    return [header for header in headers if header[0] == "operation"]
