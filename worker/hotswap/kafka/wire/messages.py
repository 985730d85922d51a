"""The requests that a transaction is made of, in versions that aiokafka lacks, and those that tell of transactions.

As Kafka's message definitions have them (clients/src/main/resources/common/message), in terms of aiokafka's types: its
clients send them as they send their own. All are flexible (KIP-482), so each structure ends with tagged fields.
"""

from io import BytesIO
from typing import Any, ClassVar, Final, Self

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_TEXT = CompactString()
_TAGS = ("tags", TaggedFields)
_NONE: Final[dict[int, bytes]] = {}


def _list(*fields: tuple[str, Any]) -> CompactArray:
    return CompactArray(*fields, _TAGS)


class Message(RequestStruct):  # type: ignore[misc]
    """A request of one layout, sent in the newest of its versions that the broker has."""

    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION, RESPONSE_TYPE, SCHEMA = -1, -1, Response, Schema()
    OLDEST: ClassVar = -1
    """The oldest version that has this layout, and that will do."""

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Self:
        """Choose the version, by those that a broker has.

        Raises:
            IncompatibleBrokerVersion: it has none that will do.

        """
        low, high = versions.get(self.API_KEY, (0, -1))
        version = min(high, type(self).API_VERSION)
        if version < max(low, self.OLDEST):
            wanted = f"{type(self).__name__} in version {self.OLDEST} to {type(self).API_VERSION}"
            raise IncompatibleBrokerVersion(f"{wanted}: the broker has {low} to {high}")
        self.API_VERSION = version
        return self


def _answers(key: int, *fields: tuple[str, Any]) -> type[Response]:
    return type("Answer", (Response,), {"API_KEY": key, "API_VERSION": 0, "SCHEMA": Schema(*fields, _TAGS)})


_ERROR, _THROTTLE = ("error", Int16), ("throttle_ms", Int32)
_WHO = (("transactional_id", _TEXT), ("producer_id", Int64), ("epoch", Int16))
_ERRORS_BY_TOPIC = _list(("topic", _TEXT), ("partitions", _list(("partition", Int32), _ERROR)))


class FindCoordinators(Message):
    """Which brokers coordinate groups (`kind` 0) or transactional ids (1)."""

    API_KEY, API_VERSION, OLDEST = 10, 4, 4
    SCHEMA = Schema(("kind", Int8), ("keys", CompactArray(_TEXT)), _TAGS)
    RESPONSE_TYPE = _answers(
        API_KEY,
        _THROTTLE,
        (
            "coordinators",
            _list(("key", _TEXT), ("node", Int32), ("host", _TEXT), ("port", Int32), _ERROR, ("message", _TEXT)),
        ),
    )


class InitProducerId(Message):
    """Give a producer its id and epoch; with a transactional id, after what is open under it has ended."""

    API_KEY, API_VERSION, OLDEST = 22, 5, 3
    SCHEMA = Schema(("transactional_id", _TEXT), ("timeout_ms", Int32), ("producer_id", Int64), ("epoch", Int16), _TAGS)
    RESPONSE_TYPE = _answers(API_KEY, _THROTTLE, _ERROR, ("producer_id", Int64), ("epoch", Int16))


class AddPartitions(Message):
    """Add partitions to a transaction: version 1 only."""

    API_KEY, API_VERSION, OLDEST = 24, 3, 3
    SCHEMA = Schema(*_WHO, ("topics", _list(("topic", _TEXT), ("partitions", CompactArray(Int32)))), _TAGS)
    RESPONSE_TYPE = _answers(API_KEY, _THROTTLE, ("topics", _ERRORS_BY_TOPIC))


class AddOffsets(Message):
    """Add a group's offsets to a transaction: version 1 only."""

    API_KEY, API_VERSION, OLDEST = 25, 3, 3
    SCHEMA = Schema(*_WHO, ("group", _TEXT), _TAGS)
    RESPONSE_TYPE = _answers(API_KEY, _THROTTLE, _ERROR)


class Produce(Message):
    """Append a record batch to each of some partitions; no partition is in a transaction by itself."""

    API_KEY, API_VERSION, OLDEST = 0, 11, 9
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("acks", Int16),
        ("timeout_ms", Int32),
        ("topics", _list(("topic", _TEXT), ("partitions", _list(("partition", Int32), ("records", CompactBytes))))),
        _TAGS,
    )
    RESPONSE_TYPE = _answers(
        API_KEY,
        (
            "topics",
            _list(
                ("topic", _TEXT),
                (
                    "partitions",
                    _list(
                        ("partition", Int32),
                        _ERROR,
                        ("offset", Int64),
                        ("appended_ms", Int64),
                        ("start", Int64),
                        ("records", _list(("index", Int32), ("message", _TEXT))),
                        ("message", _TEXT),
                    ),
                ),
            ),
        ),
        _THROTTLE,
    )


class ProduceInTransaction(Produce):
    """The same in a transaction of version 2, whose partitions the broker adds by itself."""

    API_VERSION, OLDEST = 12, 12


class CommitOffset(Message):
    """Send a group's offset as part of a transaction, to which the group has been added."""

    API_KEY, API_VERSION, OLDEST = 28, 4, 3
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group", _TEXT),
        ("producer_id", Int64),
        ("epoch", Int16),
        ("membership", Int32),
        ("member", _TEXT),
        ("instance", _TEXT),
        (
            "topics",
            _list(
                ("topic", _TEXT),
                (
                    "partitions",
                    _list(("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", _TEXT)),
                ),
            ),
        ),
        _TAGS,
    )
    RESPONSE_TYPE = _answers(API_KEY, _THROTTLE, ("topics", _ERRORS_BY_TOPIC))


class CommitOffsetInTransaction(CommitOffset):
    """The same in a transaction of version 2, to which the broker adds the group by itself."""

    API_VERSION, OLDEST = 5, 5


class EndTransaction(Message):
    """Commit or abort what is open under a transactional id."""

    API_KEY, API_VERSION, OLDEST = 26, 4, 3
    SCHEMA = Schema(*_WHO, ("is_commit", Boolean), _TAGS)
    RESPONSE_TYPE = _answers(API_KEY, _THROTTLE, _ERROR)


class EndTransactionAndEpoch(Message):
    """The same in version 2: the producer's epoch ends with it, and the answer has the next one."""

    API_KEY, API_VERSION, OLDEST = 26, 5, 5
    SCHEMA = EndTransaction.SCHEMA
    RESPONSE_TYPE = _answers(API_KEY, _THROTTLE, _ERROR, ("producer_id", Int64), ("epoch", Int16))


class Features(Message):
    """What the cluster's brokers have agreed upon (KIP-584): a request for the versions that a broker has."""

    API_KEY, API_VERSION, OLDEST = 18, 4, 3
    SCHEMA = Schema(("software", _TEXT), ("version", _TEXT), _TAGS)
    RESPONSE_TYPE = _answers(
        API_KEY, _ERROR, ("versions", _list(("key", Int16), ("low", Int16), ("high", Int16))), _THROTTLE
    )

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """Read the header, which is that of version 0: a broker may not know ours."""
        return ResponseHeader_v0.decode(read_buffer)


_FINALIZED_AT: Final = 2
_FINALIZED = _list(("name", _TEXT), ("high", Int16), ("low", Int16))


def finalized(answer: Any) -> dict[str, int]:
    """Return the features that a cluster has, with their levels, of the answer to `Features`."""
    told = answer.tags.get(_FINALIZED_AT)
    return {name: high for name, high, *_ in _FINALIZED.decode(BytesIO(told))} if told else {}


def one(topic: str, partition: int, *fields: Any) -> list[Any]:
    """Return the field `topics` of a request that names one partition."""
    return [(topic, [(partition, *fields, _NONE)], _NONE)]
