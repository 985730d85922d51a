"""Error codes of Kafka that aiokafka does not know.

These are patches of the library, process-wide, as those of internals.py, which imports them.
"""

from aiokafka.errors import BrokerResponseError, kafka_errors


class FencedInstanceIdError(BrokerResponseError):  # type: ignore[misc]
    """Another member has joined with our `group_instance_id` (KIP-345); aiokafka does not know this error code."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


kafka_errors[FencedInstanceIdError.errno] = FencedInstanceIdError


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]
    """The broker rejects a record, as one without a key on a compacted topic; aiokafka does not know this code."""

    errno = 87
    message = "INVALID_RECORD"


kafka_errors[InvalidRecordError.errno] = InvalidRecordError


class ProducerFencedError(BrokerResponseError):  # type: ignore[misc]
    """Another producer has been initialized with our transactional id; aiokafka does not know this error code."""

    errno = 90
    message = "PRODUCER_FENCED"


kafka_errors[ProducerFencedError.errno] = ProducerFencedError


class TransactionAbortableError(BrokerResponseError):  # type: ignore[misc]
    """The transaction can only be aborted (KIP-890); aiokafka does not know this error code."""

    errno = 120
    message = "TRANSACTION_ABORTABLE"


kafka_errors[TransactionAbortableError.errno] = TransactionAbortableError
