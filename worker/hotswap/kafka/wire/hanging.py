"""The requests about hanging transactions (KIP-664); messages.py has those of a transaction."""

from aiokafka.protocol.types import Boolean, CompactArray, Int16, Int32, Int64, Schema

from hotswap.kafka.wire.messages import ERROR, ERRORS_BY_TOPIC, TAGS, TEXT, THROTTLE, Message, answers, list_of

_PARTITIONS_BY_TOPIC = list_of(("topic", TEXT), ("partitions", CompactArray(Int32)))


class DescribeProducers(Message):
    """The producers of partitions that a node leads, and the start offsets of their open transactions."""

    API_KEY, API_VERSION, OLDEST = 61, 0, 0
    SCHEMA = Schema(("topics", _PARTITIONS_BY_TOPIC), TAGS)
    RESPONSE_TYPE = answers(
        API_KEY,
        THROTTLE,
        (
            "topics",
            list_of(
                ("topic", TEXT),
                (
                    "partitions",
                    list_of(
                        ("partition", Int32),
                        ERROR,
                        ("message", TEXT),
                        (
                            "producers",
                            list_of(
                                ("producer_id", Int64),
                                ("epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_ms", Int64),
                                ("coordinator_epoch", Int32),
                                ("start", Int64),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


class ListTransactions(Message):
    """The transactional ids of some producers that a node coordinates, without those that this user may not see."""

    API_KEY, API_VERSION, OLDEST = 66, 0, 0
    SCHEMA = Schema(("states", CompactArray(TEXT)), ("producer_ids", CompactArray(Int64)), TAGS)
    RESPONSE_TYPE = answers(
        API_KEY,
        THROTTLE,
        ERROR,
        ("unknown_states", CompactArray(TEXT)),
        ("transactions", list_of(("transactional_id", TEXT), ("producer_id", Int64), ("state", TEXT))),
    )


class DescribeTransactions(Message):
    """Transactional ids, as their coordinator knows them."""

    API_KEY, API_VERSION, OLDEST = 65, 0, 0
    SCHEMA = Schema(("transactional_ids", CompactArray(TEXT)), TAGS)
    RESPONSE_TYPE = answers(
        API_KEY,
        THROTTLE,
        (
            "transactions",
            list_of(
                ERROR,
                ("transactional_id", TEXT),
                ("state", TEXT),
                ("timeout_ms", Int32),
                ("started_ms", Int64),
                ("producer_id", Int64),
                ("epoch", Int16),
                ("topics", _PARTITIONS_BY_TOPIC),
            ),
        ),
    )


class WriteMarkers(Message):
    """Write a transaction's markers to partitions of which a node is the leader, past its coordinator."""

    API_KEY, API_VERSION, OLDEST = 27, 1, 1
    SCHEMA = Schema(
        (
            "markers",
            list_of(
                ("producer_id", Int64),
                ("epoch", Int16),
                ("is_commit", Boolean),
                ("topics", _PARTITIONS_BY_TOPIC),
                ("coordinator_epoch", Int32),
            ),
        ),
        TAGS,
    )
    RESPONSE_TYPE = answers(API_KEY, ("markers", list_of(("producer_id", Int64), ("topics", ERRORS_BY_TOPIC))))
