"""This user's rights (KIP-430), by requests that aiokafka lacks."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from hotswap.kafka.client.acls import Right
from hotswap.kafka.client.cluster import KafkaClient

_OPERATIONS: Final = {"Create": 1 << 5, "Read": 1 << 3, "Write": 1 << 4, "Describe": 1 << 8, "DescribeConfigs": 1 << 10}
_DENIED: Final = (GroupAuthorizationFailedError.errno, TransactionalIdAuthorizationFailed.errno)
_NOBODY: Final = -1
_UNKNOWN_TOPIC: Final = 3
_NOT_TOLD: Final = -(1 << 31)
"""The operations of a topic from a broker that does not tell them; of one that may not be described, it tells none."""


def _is_of_no_denial(record: logging.LogRecord) -> bool:
    """Drop aiokafka's log of a denial at each fetch and metadata request: watched.py logs it once."""
    text = record.getMessage()
    return "uthorized" not in text and "AuthorizationFailed" not in text


for _name in ("cluster", "consumer.fetcher", "consumer.group_coordinator", "producer.sender"):
    logging.getLogger(f"aiokafka.{_name}").addFilter(_is_of_no_denial)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 3, 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class _MetadataMessage(RequestStruct):  # type: ignore[misc]
    API_KEY, API_VERSION = 3, 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _RightsRequest(Request[_MetadataMessage]):  # type: ignore[misc]
    """A metadata request that asks for authorized operations; aiokafka's end at version 5."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, False, True, True)


async def missing_rights(client: KafkaClient, wanted: Sequence[Right]) -> list[Right]:
    """Return those of the `wanted` rights that this user lacks, without changing anything.

    Topics that do not exist, or that the broker does not report, count as permitted.
    """
    topics = await topic_rights(client, sorted({right.name for right in wanted if right.kind == "topic"}))
    missing = []
    for right in wanted:
        if right.kind == "topic":
            has = right.operation in topics.get(right.name, _OPERATIONS)
        else:
            has = await _is_allowed(client, right)
        missing += [] if has else [right]
    return missing


async def topic_rights(client: KafkaClient, topics: Sequence[str]) -> dict[str, set[str]]:
    """Return the permitted operations on each topic that the broker reports; none if it is hidden."""
    rights: dict[str, set[str]] = {}
    for error, topic, _, _, operations in (await client.ask(_RightsRequest(topics))).topics:
        if error == TopicAuthorizationFailedError.errno:
            rights[topic] = set()
        elif error != _UNKNOWN_TOPIC and operations != _NOT_TOLD:
            rights[topic] = {name for name, bit in _OPERATIONS.items() if operations & bit}
    return rights


async def sees_every_group(client: KafkaClient) -> bool:
    """Return whether this user may describe the cluster; else a broker lists only groups that he may describe."""
    operations: int = (await client.ask(_RightsRequest([]))).authorized_operations
    return bool(operations & _OPERATIONS["Describe"])


async def is_hidden(client: KafkaClient, topic: str) -> bool:
    """Return whether a topic may not be described by this user: it is then missing where all are listed."""
    answer = await client.ask(_RightsRequest([topic]))
    return any(error == TopicAuthorizationFailedError.errno for error, *_ in answer.topics)


async def _is_allowed(client: KafkaClient, right: Right) -> bool:
    """Whether a request that needs this right is authorized; any broker checks that first.

    Of a group that has no members and no offsets yet, a broker does not tell what is authorized, and of transactional
    ids never (KIP-430). So a heartbeat of nobody is sent, and the abort of a transaction of no producer, which change
    nothing.
    """
    request: Any = FindCoordinatorRequest(right.name, 0)
    if right.kind == "transactional_id":
        request = EndTxnRequest(f"{right.name}0" if right.is_prefix else right.name, _NOBODY, _NOBODY, False)
    elif right.operation == "Read":
        request = HeartbeatRequest(right.name, _NOBODY, "")
    return (await client.ask(request)).error_code not in _DENIED
