"""The requests about transactions that hang (KIP-664), as messages.py has those that a transaction is made of."""

from aiokafka.protocol.types import Boolean, CompactArray, Int16, Int32, Int64, Schema

from hotswap.kafka.wire.messages import _ERROR, _ERRORS_BY_TOPIC, _TAGS, _TEXT, _THROTTLE, Message, _answers, _list

_PARTITIONS_BY_TOPIC = _list(("topic", _TEXT), ("partitions", CompactArray(Int32)))


class DescribeProducers(Message):
    """Who writes to partitions of which a node is the leader, and since which offset in an open transaction."""

    API_KEY, API_VERSION, OLDEST = 61, 0, 0
    SCHEMA = Schema(("topics", _PARTITIONS_BY_TOPIC), _TAGS)
    RESPONSE_TYPE = _answers(
        API_KEY,
        _THROTTLE,
        (
            "topics",
            _list(
                ("topic", _TEXT),
                (
                    "partitions",
                    _list(
                        ("partition", Int32),
                        _ERROR,
                        ("message", _TEXT),
                        (
                            "producers",
                            _list(
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
    SCHEMA = Schema(("states", CompactArray(_TEXT)), ("producer_ids", CompactArray(Int64)), _TAGS)
    RESPONSE_TYPE = _answers(
        API_KEY,
        _THROTTLE,
        _ERROR,
        ("unknown_states", CompactArray(_TEXT)),
        ("transactions", _list(("transactional_id", _TEXT), ("producer_id", Int64), ("state", _TEXT))),
    )


class DescribeTransactions(Message):
    """What a coordinator knows of transactional ids."""

    API_KEY, API_VERSION, OLDEST = 65, 0, 0
    SCHEMA = Schema(("transactional_ids", CompactArray(_TEXT)), _TAGS)
    RESPONSE_TYPE = _answers(
        API_KEY,
        _THROTTLE,
        (
            "transactions",
            _list(
                _ERROR,
                ("transactional_id", _TEXT),
                ("state", _TEXT),
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
            _list(
                ("producer_id", Int64),
                ("epoch", Int16),
                ("is_commit", Boolean),
                ("topics", _PARTITIONS_BY_TOPIC),
                ("coordinator_epoch", Int32),
            ),
        ),
        _TAGS,
    )
    RESPONSE_TYPE = _answers(API_KEY, ("markers", _list(("producer_id", Int64), ("topics", _ERRORS_BY_TOPIC))))
