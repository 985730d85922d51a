"""The meaning of a broker's answer for a request of a transaction: a pure function of Kafka's error codes.

The codes are those of org.apache.kafka.common.protocol.Errors; KIP-98, KIP-890 and the retries of Java's client
show which of them leave a request undone.
"""

from enum import Enum, auto
from typing import Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class Call(Enum):
    """A request of a transaction."""

    INIT = auto()
    ADD = auto()
    PRODUCE = auto()
    OFFSET = auto()
    END = auto()


class Reaction(Enum):
    """The reaction to an answer."""

    DONE = "it was carried out"
    AGAIN = "nothing has changed: ask again"
    ELSEWHERE = "nothing has changed: ask again, whoever leads or coordinates now"
    REJOINED = "nothing has changed: ask again as the group's member of now"
    FAILED = "it will not be carried out, and the transaction fails with it"


_LOADING: Final = frozenset({14, 51})
"""COORDINATOR_LOAD_IN_PROGRESS, CONCURRENT_TRANSACTIONS: the last one is being ended."""
_MOVED: Final = frozenset({15, 16})
"""COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR."""
_LEADERLESS: Final = frozenset({3, 5, 6, 9, 56, 74, 75})
"""UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REPLICA_NOT_AVAILABLE, KAFKA_STORAGE_ERROR,
FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH."""
_UNACKNOWLEDGED: Final = frozenset({2, 7, 19, 20})
"""CORRUPT_MESSAGE, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND: a batch that was appended
nevertheless is known by its sequence numbers when it is sent again."""
_APPENDED: Final = 46
"""DUPLICATE_SEQUENCE_NUMBER."""
_OLDER: Final = 22
"""ILLEGAL_GENERATION: the group has been shared out anew."""

_DENIALS: Final = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

_AGAIN: Final = {
    Call.INIT: _LOADING,
    Call.ADD: _LOADING | {3},
    Call.PRODUCE: _LOADING | _MOVED | _UNACKNOWLEDGED,  # version 2: the broker asks the coordinator by itself
    Call.OFFSET: _LOADING | {3, 7},
    Call.END: _LOADING,
}
_ELSEWHERE: Final = dict.fromkeys(Call, _MOVED) | {Call.PRODUCE: _LEADERLESS}


def verdict(call: Call, code: int) -> Reaction:
    """Return the reaction to an error code (0: none) in an answer to a request."""
    if not code or (call is Call.PRODUCE and code == _APPENDED):
        return Reaction.DONE
    if code in _AGAIN[call]:
        return Reaction.AGAIN
    if code in _ELSEWHERE[call]:
        return Reaction.ELSEWHERE
    if call is Call.OFFSET and code == _OLDER:
        return Reaction.REJOINED
    return Reaction.FAILED


def unsent(error: KafkaError) -> Reaction:
    """Return the reaction if no node was found to send a request to."""
    return Reaction.FAILED if isinstance(error, _DENIALS) else Reaction.ELSEWHERE


def unanswered(call: Call, error: KafkaError) -> Reaction:
    """Return the reaction if a request could not be sent, or has no answer.

    What ends a transaction, or its offset, is not sent twice: in version 1 the network could deliver the first copy
    within the next transaction, and Kafka would commit the offset of that one before its answers are written.
    """
    if isinstance(error, NodeNotReadyError):  # it was not sent
        return Reaction.ELSEWHERE
    if isinstance(error, IncompatibleBrokerVersion) or call in (Call.OFFSET, Call.END):
        return Reaction.FAILED
    return Reaction.ELSEWHERE
