"""Error codes of Kafka that aiokafka does not know, and one whose class would end a producer as unexpected.

These are patches of the library, process-wide, as those of internals.py, which imports them.
"""

import aiokafka.producer.sender
from aiokafka.errors import BrokerResponseError, ProducerFenced, kafka_errors


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


class ForgottenProducerError(ProducerFenced):  # type: ignore[misc]
    """The broker has forgotten a producer (INVALID_PRODUCER_ID_MAPPING), as it does after a week without a transaction.

    As aiokafka's own class for it, this would end the producer's sender as unexpected, with a traceback in the log.
    """

    errno = 49

    def __init__(self) -> None:
        super().__init__("the broker has forgotten this producer (transactional.id.expiration.ms)")


kafka_errors[ForgottenProducerError.errno] = ForgottenProducerError
aiokafka.producer.sender.InvalidProducerIdMapping = ForgottenProducerError
