"""The values that flow from a request to its answer."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes]]


class Request(Protocol):
    """One record of the requests topic, as the Kafka client delivers it (nothing is copied per record)."""

    @property
    def offset(self) -> int:
        """Position in its partition."""

    @property
    def key(self) -> bytes | None:
        """The user's key, copied to the answer."""

    @property
    def value(self) -> bytes | None:
        """The operation's input message, serialized."""

    @property
    def headers(self) -> Headers:
        """Names and values, copied to the answer."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""


class Format(StrEnum):
    """How a request or its answer is written, by its content type."""

    PROTOBUF = "application/x-protobuf"
    CSV = "text/csv"
    JSON = "application/json"


class Ask(NamedTuple):
    """What a request asks for: the operation, how its value is written, and how its answer is to be."""

    operation: str
    content: Format = Format.PROTOBUF
    accept: Format = Format.PROTOBUF


class Code(StrEnum):
    """Why a request was refused: the header `code` of its dead letter, and a label of the metrics."""

    UNREADABLE = "UNREADABLE"
    """The record itself cannot be read: its batch holds together, and what is in it is no record."""
    UNDECODABLE = "UNDECODABLE"
    """The value is not a message of the operation's input type, or there is no value."""
    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    """The header `operation` names no rpc of the serving proto, or is left out where there are several."""
    UNSUPPORTED_CONTENT_TYPE = "UNSUPPORTED_CONTENT_TYPE"
    """The header `content-type` or `accept` asks for a format that is not served."""
    MALFORMED_HEADER = "MALFORMED_HEADER"
    """A header's name is no UTF-8, or one of ours cannot be read (`not-after` that is no time)."""
    PROTO_MISMATCH = "PROTO_MISMATCH"
    """The header `proto-digest` names another proto than the serving one."""
    EXPIRED = "EXPIRED"
    """The header `not-after` has passed."""
    TOO_LARGE = "TOO_LARGE"
    """The request is larger than the configuration allows, or than a dead letter may be (it has no value then)."""
    ANSWER_TOO_LARGE = "ANSWER_TOO_LARGE"
    """The prediction is larger than the predictions topic takes."""
    MISSING_FIELD = "MISSING_FIELD"
    """A column has no value, and the policy for missing ones is REFUSE."""
    MISTYPED_FIELD = "MISTYPED_FIELD"
    """A text is no number where a number is needed, and the policy for mistyped ones is REFUSE."""
    UNKNOWN_CATEGORY = "UNKNOWN_CATEGORY"
    """A category that the model does not know, and the policy for unknown ones is REFUSE."""
    MODEL_ERROR = "MODEL_ERROR"
    """The model raised an error for this request."""
    HOST_CRASHED = "HOST_CRASHED"
    """The model host died (a crash, an exit, out of memory) while it scored this request alone."""
    HOST_TOO_SLOW = "HOST_TOO_SLOW"
    """The model host did not answer this request within the deadline."""


class Refusal(NamedTuple):
    """The answer to a bad record: it goes to the dead letters, with the original bytes."""

    code: Code
    message: str


class Unscorable(NamedTuple):
    """A record that was refused when it was read: a Request without a value, of which nothing is asked any more."""

    offset: int
    timestamp: int
    key: bytes | None
    headers: Headers
    """Those that could be read."""
    refusal: Refusal
    kept: bytes | None = None
    """What its dead letter has as the value."""
    facts: Headers = ()
    """What its dead letter says of a value that it does not have: `value-size` and `value-sha256`, or what is known."""

    @property
    def value(self) -> None:
        """None: whoever looks at requests looks twice at one without."""
        return


Answer: TypeAlias = bytes | Refusal
"""What became of one request: the operation's output message, serialized, or why there is none."""


class ScoredBatch(NamedTuple):
    """The answers to a batch in the order of its requests, and how many unknown categories each column had."""

    answers: Sequence[Answer]
    unknown: Mapping[str, int]


Record: TypeAlias = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers to be written to the request's partition of an output topic: a bare tuple, one per answer."""


class Transaction(NamedTuple):
    """All that one batch leaves behind; it is committed whole or not at all (I1, I11)."""

    predictions: Sequence[Record]
    dead_letters: Sequence[Record]
    next_offset: int
    generation: int
    """The generation that scored the batch: the partition's floor from now on (I3)."""
    cut_over_at: int | None
    """First offset of the batch, where it is the first of its generation on this partition (I4)."""


class Position(NamedTuple):
    """Where a partition stands: its next offset, and the generation that scored it last (its floor; 0: none)."""

    offset: int
    floor: int = 0
