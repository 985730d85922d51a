"""The values that flow from a request to its answer."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes]]


class Request(Protocol):
    """A record of the requests topic, as the Kafka client delivers it (nothing is copied per record)."""

    @property
    def offset(self) -> int:
        """Offset in its partition."""

    @property
    def key(self) -> bytes | None:
        """The user's key, copied to the answer."""

    @property
    def value(self) -> bytes | None:
        """The operation's input message, serialized."""

    @property
    def headers(self) -> Headers:
        """Header names and values, copied to the answer."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""


class Format(StrEnum):
    """Content type of a request or its answer."""

    PROTOBUF = "application/x-protobuf"
    CSV = "text/csv"
    JSON = "application/json"


class Ask(NamedTuple):
    """The options of a request: operation, format of its value, format of its answer."""

    operation: str
    content: Format = Format.PROTOBUF
    accept: Format = Format.PROTOBUF


class Code(StrEnum):
    """Why a request was refused: the header `code` of its dead letter, and a label of the metrics."""

    UNREADABLE = "UNREADABLE"
    """The record cannot be read: its batch's checksum matches, but the bytes are not a valid record."""
    UNDECODABLE = "UNDECODABLE"
    """The value is not a message of the operation's input type, or there is no value."""
    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    """The header `operation` names no rpc of the serving proto, or is missing although there are several."""
    UNSUPPORTED_CONTENT_TYPE = "UNSUPPORTED_CONTENT_TYPE"
    """The header `content-type` or `accept` names an unsupported format."""
    MALFORMED_HEADER = "MALFORMED_HEADER"
    """A header's name is not valid UTF-8, or one of ours is repeated, or invalid (a `not-after` that is not a time)."""
    PROTO_MISMATCH = "PROTO_MISMATCH"
    """The header `proto-digest` names another proto than the serving one."""
    EXPIRED = "EXPIRED"
    """The time in the header `not-after` has passed."""
    TOO_LARGE = "TOO_LARGE"
    """The request is larger than the configuration allows, or too large for a dead letter (which then has no value)."""
    ANSWER_TOO_LARGE = "ANSWER_TOO_LARGE"
    """The prediction is larger than the predictions topic allows."""
    MISSING_FIELD = "MISSING_FIELD"
    """A column has no value, and the policy for missing values is REFUSE."""
    MISTYPED_FIELD = "MISTYPED_FIELD"
    """A text is not a number although a number is needed, or a vector has another length than the model's, and the
    policy for mistyped values is REFUSE."""
    UNKNOWN_CATEGORY = "UNKNOWN_CATEGORY"
    """The model does not know a category, and the policy for unknown categories is REFUSE."""
    MODEL_ERROR = "MODEL_ERROR"
    """The model raised an error for this request."""
    HOST_CRASHED = "HOST_CRASHED"
    """The model host died (a crash, an exit, out of memory) while it scored this request alone."""
    HOST_TOO_SLOW = "HOST_TOO_SLOW"
    """The model host did not answer this request within the deadline."""


class Refusal(NamedTuple):
    """Answer to a bad record; it goes to the dead letters, with the original bytes."""

    code: Code
    message: str


class Unscorable(NamedTuple):
    """A Request that was refused when it was read; it has no value, so nothing else looks into it."""

    offset: int
    timestamp: int
    key: bytes | None
    headers: Headers
    """The headers that could be read."""
    refusal: Refusal
    kept: bytes | None = None
    """The value of its dead letter."""
    facts: Headers = ()
    """Headers in its dead letter that stand for a missing value: `value-size` and `value-sha256`, or what is known."""

    @property
    def value(self) -> None:
        """Always None: requests without a value leave the fast path, and are refused."""
        return


Answer: TypeAlias = bytes | Refusal
"""Result of one request: the operation's output message, serialized, or a refusal."""


class Unrefused(Sequence[bytes]):
    """Answers of which none is a refusal, in one buffer (codec/packed.py)."""

    buffer: bytes | bytearray | memoryview

    @property
    @abstractmethod
    def lengths(self) -> Sequence[int]:
        """The length of each answer, bytes."""


class ScoredBatch(NamedTuple):
    """The answers to a batch in the order of its requests, and the number of unknown categories per column."""

    answers: Sequence[Answer]
    unknown: Mapping[str, int]


Record: TypeAlias = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers to write to the request's partition of an output topic; a bare tuple for speed."""

HEADROOM_BYTES: Final = 65_536  # of a prediction, for its key and headers


class Limits(NamedTuple):
    """The largest messages that the output topics accept, bytes."""

    prediction: int
    dead_letter: int

    @property
    def answer(self) -> int:
        """The largest answer, bytes: the rest of a prediction is for its key and headers, unless it is small."""
        return self.prediction - HEADROOM_BYTES if self.prediction > HEADROOM_BYTES else self.prediction


class Stamp(NamedTuple):
    """The producer fields of the next record batch of answers (Kafka's producer protocol, KIP-98)."""

    producer_id: int
    producer_epoch: int
    sequence: int
    is_transactional: bool
    max_bytes: int
    """The largest record batch of more than one record, bytes."""


class Envelope(NamedTuple):
    """The addressing and bounds of a generation's answers to a partition, the same for every batch."""

    generation: Headers
    operation: Headers
    place: bytes
    """The header `source` of an answer, before the request's offset."""
    read_headers: tuple[str, ...]
    """The names of headers that say how to answer, or that are not copied: requests with one are declined."""
    single_headers: tuple[str, ...]
    """The names of other headers that a request may have once: requests with two of one are declined."""
    max_answer_bytes: int
    """Of an answer with its key and the copied headers, bytes; larger ones are declined, as are larger requests."""
    max_request_bytes: int
    max_record_bytes: int


class Seal(NamedTuple):
    """The order to answer requests, as the record batches that they arrived in, with finished record batches."""

    pieces: Sequence[memoryview]
    """The record batches, uncompressed."""
    first: int
    next: int
    """The requests are those from offset `first` up to `next`."""
    size: int
    """How many they are: transaction markers and aborted records have offsets too."""
    stamp: Stamp
    now_ms: int
    envelope: Envelope


class DeclinedRequest(NamedTuple):
    """A request that the fallback answers: its offset, and the place of its record in the record batches."""

    offset: int
    begin: int
    end: int


class Declined(NamedTuple):
    """The requests that a host declines to answer as record batches, in order. None of the batch is answered yet."""

    requests: Sequence[DeclinedRequest]


class Unsealed(StrEnum):
    """Why a host has answered nothing as record batches: the requests are parsed, and their values sent."""

    UNREADABLE = "it cannot read them"
    FAILED = "it died, or took too long"


class RecordBatch(NamedTuple):
    """A finished record batch in wire format (v2), with its number of records."""

    data: memoryview
    records: int


Given: TypeAlias = Mapping[int, Record | None]
"""Predictions for declined requests, by offset and in its order; None: the request has none."""


class Alike(NamedTuple):
    """Predictions whose records differ in key, value and the request's offset alone, by these columns."""

    keys: Sequence[bytes | None]
    values: Unrefused
    offsets: Sequence[int]
    """Of the requests, ascending; a range, if none is left out."""
    headers: Headers
    """All but the last, `source`."""
    place: bytes
    """The header `source`, before the request's offset."""

    def records(self) -> Iterator[Record]:
        """Yield them as records."""
        for key, value, offset in zip(self.keys, self.values, self.offsets, strict=True):
            yield key, value, [*self.headers, ("source", b"%b%d" % (self.place, offset))]


Predictions: TypeAlias = Sequence[Record] | Sequence[RecordBatch] | Alike
"""Predictions in the order of their requests: as records, as columns, or in record batches that are finished."""


class BatchAnswers(NamedTuple):
    """The records that a batch writes."""

    predictions: Predictions
    dead_letters: Sequence[Record]


class Transaction(NamedTuple):
    """The end of a transaction: its last answers, committed with all before them or not at all (I1, I11)."""

    predictions: Predictions
    dead_letters: Sequence[Record]
    next_offset: int
    generation: int
    """The generation that scored all its batches; from now on the partition's floor (I3)."""
    cut_over_at: int | None
    """First offset of the transaction if it is the generation's first on this partition (I4), else None."""


class Position(NamedTuple):
    """A partition's next offset, and the generation that scored it last (its floor; 0: none)."""

    offset: int
    floor: int = 0
