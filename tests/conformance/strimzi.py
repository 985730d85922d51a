"""The parts of Strimzi's custom resources that ops/kubernetes uses, kept by hand: there is no package of them.

From the API reference of Strimzi 0.49, the first whose KafkaTopic and KafkaUser are v1. What is not here is refused, so
a field that another manifest needs is one more line.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Operation = Literal["Read", "Write", "Delete", "Alter", "Describe", "All", "IdempotentWrite", "Create"]
_Configs = Literal["AlterConfigs", "DescribeConfigs", "ClusterAction"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Labels(_Strict):
    model_config = ConfigDict(extra="allow", strict=True)
    cluster: str = Field(alias="strimzi.io/cluster")
    """The Kafka that the operators make it in."""


class _Metadata(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    namespace: str
    labels: _Labels


class _TopicSpec(_Strict):
    topicName: str | None = None  # noqa: N815 - Strimzi's own names
    partitions: Annotated[int, Field(ge=1)]
    replicas: Annotated[int, Field(ge=1, le=32_767)]
    config: dict[str, str | int | float | bool]


class KafkaTopic(_Strict):
    """A topic."""

    apiVersion: Literal["kafka.strimzi.io/v1"]  # noqa: N815
    kind: Literal["KafkaTopic"]
    metadata: _Metadata
    spec: _TopicSpec


class _Resource(_Strict):
    type: Literal["topic", "group", "cluster", "transactionalId"]
    name: str
    patternType: Literal["literal", "prefix"]  # noqa: N815


class _Rule(_Strict):
    type: Literal["allow", "deny"] = "allow"
    resource: _Resource
    host: str = "*"
    operations: Annotated[list[_Operation | _Configs], Field(min_length=1)]


class _Authorization(_Strict):
    type: Literal["simple"]
    acls: list[_Rule]


class _Authentication(_Strict):
    type: Literal["tls", "tls-external", "scram-sha-512"]


class _UserSpec(_Strict):
    authentication: _Authentication
    authorization: _Authorization


class KafkaUser(_Strict):
    """A user with its rights."""

    apiVersion: Literal["kafka.strimzi.io/v1"]  # noqa: N815
    kind: Literal["KafkaUser"]
    metadata: _Metadata
    spec: _UserSpec
