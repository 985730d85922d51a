"""The errors of Kafka by their codes, those too that aiokafka does not know."""

from typing import Final

import aiokafka.errors
from aiokafka.errors import BrokerResponseError

FENCED_INSTANCE_ID: Final = 82
"""Another member has joined a group with our `group_instance_id` (KIP-345)."""


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]
    """The broker rejects a record, as one without a key on a compacted topic."""

    errno = 87
    message = "INVALID_RECORD"


class ProducerFencedError(BrokerResponseError):  # type: ignore[misc]
    """Another producer has been initialized with our transactional id."""

    errno = 90
    message = "PRODUCER_FENCED"


class TransactionAbortableError(BrokerResponseError):  # type: ignore[misc]
    """The transaction can only be aborted (KIP-890)."""

    errno = 120
    message = "TRANSACTION_ABORTABLE"


_MORE: Final = {error.errno: error for error in (InvalidRecordError, ProducerFencedError, TransactionAbortableError)}


def for_code(code: int) -> type[BrokerResponseError]:
    """Return the error that a broker answers with this code."""
    known: type[BrokerResponseError] = _MORE.get(code) or aiokafka.errors.for_code(code)
    return known
