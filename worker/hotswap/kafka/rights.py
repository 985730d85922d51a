"""What this user may do with topics and a group (KIP-430), by requests that aiokafka lacks or reads wrongly.

As internals.py and group.py, it uses aiokafka beyond its documented interface.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

# aiokafka reads the answer as that of version 2, which has no authorized operations.
DescribeGroupsRequest_v3.RESPONSE_TYPE = DescribeGroupsResponse_v3

_RIGHTS: Final = {"Read": 1 << 3, "Write": 1 << 4}
_UNKNOWN_TOPIC: Final = 3


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
        return request_struct_class(self._topics, False, False, True)


async def missing_rights(
    admin: AIOKafkaAdminClient, wanted: Mapping[str, str], group: str, retry_s: float
) -> list[tuple[str, str]]:
    """Return those of the `wanted` rights (topic -> right) that this user lacks, and "Read" of the group."""
    may = await topic_rights(admin, [*wanted])
    missing = [(right, topic) for topic, right in wanted.items() if topic in may and right not in may[topic]]
    return missing + ([] if "Read" in await group_rights(admin, group, retry_s) else [("Read", group)])


async def topic_rights(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, set[str]]:
    """Return what this user may do ("Read", "Write") with each of the topics that exist, or may not be described."""
    answer = (await admin._send_request(_RightsRequest(topics))).to_object()["topics"]
    known = [topic for topic in answer if topic["error_code"] != _UNKNOWN_TOPIC]
    return {topic["topic"]: _named(topic["authorized_operations"]) for topic in known}


async def group_rights(admin: AIOKafkaAdminClient, group: str, retry_s: float) -> set[str]:
    """Return what this user may do with a group, asking every `retry_s` until it has a coordinator.

    Of a group that has no members and no offsets yet, a broker tells only whether it may be described: then all rights.
    """
    while True:
        try:
            (answer,) = await admin.describe_consumer_groups([group], include_authorized_operations=True)
            break
        except GroupAuthorizationFailedError:
            return set()
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(retry_s)  # it is loading, or this is the first group that a new cluster hears of
    authorized = answer.to_object()["groups"][0]["authorized_operations"]
    return set(_RIGHTS) if authorized < 0 else _named(authorized)


def _named(authorized: int) -> set[str]:
    return {name for name, bit in _RIGHTS.items() if authorized & bit}
