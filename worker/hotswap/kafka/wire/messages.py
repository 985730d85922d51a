"""The requests of a transaction, in versions that aiokafka lacks, and those that describe transactions.

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

TEXT = CompactString()
TAGS = ("tags", TaggedFields)
_NONE: Final[dict[int, bytes]] = {}


def list_of(*fields: tuple[str, Any]) -> CompactArray:
    """Return the type of a list of structures with these fields."""
    return CompactArray(*fields, TAGS)


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


def answers(key: int, *fields: tuple[str, Any]) -> type[Response]:
    """Return the type of the answers to a request, with these fields."""
    return type("Answer", (Response,), {"API_KEY": key, "API_VERSION": 0, "SCHEMA": Schema(*fields, TAGS)})


ERROR, THROTTLE = ("error", Int16), ("throttle_ms", Int32)
_WHO = (("transactional_id", TEXT), ("producer_id", Int64), ("epoch", Int16))
ERRORS_BY_TOPIC = list_of(("topic", TEXT), ("partitions", list_of(("partition", Int32), ERROR)))


class FindCoordinators(Message):
    """Which brokers coordinate groups (`kind` 0) or transactional ids (1)."""

    API_KEY, API_VERSION, OLDEST = 10, 4, 4
    SCHEMA = Schema(("kind", Int8), ("keys", CompactArray(TEXT)), TAGS)
    RESPONSE_TYPE = answers(
        API_KEY,
        THROTTLE,
        (
            "coordinators",
            list_of(("key", TEXT), ("node", Int32), ("host", TEXT), ("port", Int32), ERROR, ("message", TEXT)),
        ),
    )


class InitProducerId(Message):
    """Get a producer's id and epoch; with a transactional id, after its open transaction has ended."""

    API_KEY, API_VERSION, OLDEST = 22, 5, 3
    SCHEMA = Schema(("transactional_id", TEXT), ("timeout_ms", Int32), ("producer_id", Int64), ("epoch", Int16), TAGS)
    RESPONSE_TYPE = answers(API_KEY, THROTTLE, ERROR, ("producer_id", Int64), ("epoch", Int16))


class AddPartitions(Message):
    """Add partitions to a transaction: version 1 only."""

    API_KEY, API_VERSION, OLDEST = 24, 3, 3
    SCHEMA = Schema(*_WHO, ("topics", list_of(("topic", TEXT), ("partitions", CompactArray(Int32)))), TAGS)
    RESPONSE_TYPE = answers(API_KEY, THROTTLE, ("topics", ERRORS_BY_TOPIC))


class AddOffsets(Message):
    """Add a group's offsets to a transaction: version 1 only."""

    API_KEY, API_VERSION, OLDEST = 25, 3, 3
    SCHEMA = Schema(*_WHO, ("group", TEXT), TAGS)
    RESPONSE_TYPE = answers(API_KEY, THROTTLE, ERROR)


class Produce(Message):
    """Append a record batch to each of some partitions; no partition is in a transaction by itself."""

    API_KEY, API_VERSION, OLDEST = 0, 11, 9
    SCHEMA = Schema(
        ("transactional_id", TEXT),
        ("acks", Int16),
        ("timeout_ms", Int32),
        ("topics", list_of(("topic", TEXT), ("partitions", list_of(("partition", Int32), ("records", CompactBytes))))),
        TAGS,
    )
    RESPONSE_TYPE = answers(
        API_KEY,
        (
            "topics",
            list_of(
                ("topic", TEXT),
                (
                    "partitions",
                    list_of(
                        ("partition", Int32),
                        ERROR,
                        ("offset", Int64),
                        ("appended_ms", Int64),
                        ("start", Int64),
                        ("records", list_of(("index", Int32), ("message", TEXT))),
                        ("message", TEXT),
                    ),
                ),
            ),
        ),
        THROTTLE,
    )


class ProduceInTransaction(Produce):
    """The same in a transaction of version 2, whose partitions the broker adds by itself."""

    API_VERSION, OLDEST = 12, 12


class CommitOffset(Message):
    """Send a group's offset as part of a transaction, to which the group has been added."""

    API_KEY, API_VERSION, OLDEST = 28, 4, 3
    SCHEMA = Schema(
        ("transactional_id", TEXT),
        ("group", TEXT),
        ("producer_id", Int64),
        ("epoch", Int16),
        ("membership", Int32),
        ("member", TEXT),
        ("instance", TEXT),
        (
            "topics",
            list_of(
                ("topic", TEXT),
                (
                    "partitions",
                    list_of(("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", TEXT)),
                ),
            ),
        ),
        TAGS,
    )
    RESPONSE_TYPE = answers(API_KEY, THROTTLE, ("topics", ERRORS_BY_TOPIC))


class CommitOffsetInTransaction(CommitOffset):
    """The same in a transaction of version 2, to which the broker adds the group by itself."""

    API_VERSION, OLDEST = 5, 5


class EndTransaction(Message):
    """Commit or abort the open transaction of a transactional id."""

    API_KEY, API_VERSION, OLDEST = 26, 4, 3
    SCHEMA = Schema(*_WHO, ("is_commit", Boolean), TAGS)
    RESPONSE_TYPE = answers(API_KEY, THROTTLE, ERROR)


class EndTransactionAndEpoch(Message):
    """The same in version 2: the producer's epoch ends with it, and the answer has the next one."""

    API_KEY, API_VERSION, OLDEST = 26, 5, 5
    SCHEMA = EndTransaction.SCHEMA
    RESPONSE_TYPE = answers(API_KEY, THROTTLE, ERROR, ("producer_id", Int64), ("epoch", Int16))


class Features(Message):
    """The cluster's finalized features (KIP-584): a request for the API versions of a broker."""

    API_KEY, API_VERSION, OLDEST = 18, 4, 3
    SCHEMA = Schema(("software", TEXT), ("version", TEXT), TAGS)
    RESPONSE_TYPE = answers(
        API_KEY, ERROR, ("versions", list_of(("key", Int16), ("low", Int16), ("high", Int16))), THROTTLE
    )

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """Read the header, which is that of version 0: a broker may not know ours."""
        return ResponseHeader_v0.decode(read_buffer)


_FINALIZED_AT: Final = 2
FINALIZED = list_of(("name", TEXT), ("high", Int16), ("low", Int16))


def finalized(answer: Any) -> dict[str, int]:
    """Return the features that a cluster has, with their levels, of the answer to `Features`."""
    features = answer.tags.get(_FINALIZED_AT)
    return {name: high for name, high, *_ in FINALIZED.decode(BytesIO(features))} if features else {}


def one(topic: str, partition: int, *fields: Any) -> list[Any]:
    """Return the field `topics` of a request that names one partition."""
    return [(topic, [(partition, *fields, _NONE)], _NONE)]
