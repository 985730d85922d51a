"""Every setting of a worker and of the command line, each once: environment variables HOTSWAP_<NAME>."""

import os
import socket
from pathlib import Path
from typing import Literal, NamedTuple

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from hotswap.errors import SwapCode, SwapError


class Topics(NamedTuple):
    """The five topics of a deployment."""

    requests: str
    predictions: str
    dead_letters: str
    control: str
    status: str


class Settings(BaseSettings):
    """Settings with defaults that are safe; a name of the field in capitals after HOTSWAP_ sets it."""

    model_config = SettingsConfigDict(env_prefix="HOTSWAP_", frozen=True, extra="forbid")

    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port, separated by commas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = Field(None, repr=False)
    ssl_ca: Path | None = Field(None, description="PEM file of the authority that signed the brokers' certificates")

    deployment: str = Field("", description="name of the deployment; the topics and the group are named after it")
    requests_topic: str = Field("", description="default <deployment>.requests")
    predictions_topic: str = Field("", description="default <deployment>.predictions")
    dead_letters_topic: str = Field("", description="default <deployment>.dead-letters")
    control_topic: str = "hotswap.control"
    status_topic: str = "hotswap.status"
    group: str = Field("", description="consumer group, default the deployment's name")
    worker_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}", description="unique name of this worker"
    )

    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    session_timeout_ms: int = Field(6_000, ge=1_000, description="how soon a dead worker's partitions are taken over")
    group_instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="static membership: a name of this worker's own that it keeps when it is started again. Within "
        "session_timeout_ms (raise it to what a restart takes) it gets its partitions back and no other worker is "
        "disturbed. The cost: until then nobody takes them over, not even after a clean stop, so whoever removes a "
        "worker for good waits for the session's end. Of two workers with one name the older one ends",
    )
    call_timeout_s: float = Field(10.0, gt=0, description="bound on each Kafka call; after it the producer is recycled")

    max_batch_records: int = Field(5_000, ge=1)
    linger_ms: int = Field(
        0,
        ge=0,
        le=10_000,
        description="the least time from one batch of a partition to its next, but for full ones: requests that wait "
        "together share a transaction, which saves CPU of the worker and of Kafka and costs up to so much latency "
        "(BENCHMARKS.md has the plot). 0: at once",
    )
    max_request_bytes: int = Field(900_000, ge=1)
    max_queued_bytes: int = Field(
        1 << 20, ge=1, description="requests held in memory per partition, bytes, as they were fetched"
    )
    max_unpacked_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        description="what a batch of compressed records may unpack to, bytes, and all that are unpacked on this worker "
        "together: the records of a batch that lie behind are refused, and their values not kept",
    )
    deadline_ms: int = Field(10_000, ge=1, description="how long the host may take for a batch")
    max_deadline_ms: int = Field(
        600_000,
        ge=1,
        le=86_400_000,
        validate_default=True,
        description="the greatest deadline_ms that a generation's configuration may ask for; one that asks for more is "
        "refused. Also what a swap command may ask for its staging, unless swap_deadline_ms is more. Ten minutes are "
        "sixty times the default, and still end: only a rollback at once, a newer generation or a pause frees a "
        "partition from a looping model before. Kafka waits for so long for a live worker in a rebalance, which it "
        "never takes: each gives its batches up within half of stop_timeout_s",
    )
    swap_deadline_ms: int = Field(120_000, ge=1, description="how long a worker may take to stage a generation")
    host_heap_mb: int = Field(512, ge=64, description="Java heap of a model host, MiB")
    hosts: int = Field(
        0,
        ge=0,
        le=64,
        description="model hosts of a generation on this worker: so many of its partitions are scored at a time, and "
        "as often the model is in memory; never more than there are partitions. 0: one for each core at hand but one, "
        "at most 4, and one alone of a kind whose models may keep a state (java, spark)",
    )
    spare_kinds: str = Field(
        "h2o,spark",
        description="kinds of model, separated by commas, of which a host is kept in spare once a generation of that "
        "kind was staged here: the next swap need not wait for its Java (1 s for h2o, 10 s for spark). It costs the "
        "memory of one more host, about 220 MiB for h2o and 500 MiB for spark; empty: none",
    )
    stop_timeout_s: float = Field(10.0, gt=0, description="how long a clean stop may take")

    store: str = Field(
        default_factory=(user_data_path("hotswap") / "store").as_uri,
        description="where `hotswap swap` uploads artifacts to: a URL that fsspec opens and every worker reaches",
    )
    cache: Path = Field(default_factory=lambda: user_cache_path("hotswap"), description="jars and fetched artifacts")
    cache_max_bytes: int = Field(
        10 << 30,
        ge=1,
        description="fetched artifacts kept on disk, what is unpacked (h2o, spark) packed too; the least recently "
        "used go",
    )
    max_artifact_bytes: int = Field(2 << 30, ge=1, description="an artifact's size, packed and unpacked")

    http_host: str = "127.0.0.1"
    http_port: int = Field(0, ge=0, le=65_535, description="/metrics, /livez, /readyz; 0: any free port")
    failpoints: str = Field("", description="for tests: where this worker dies or stands still, see failpoints.py")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"

    @field_validator("max_deadline_ms")
    @classmethod
    def _covers_the_default(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("deadline_ms", 0):
            raise PydanticCustomError("too_small", "is less than deadline_ms: raise it, or lower that one")
        return value

    @property
    def topics(self) -> Topics:
        """The topics by their settings, else named after the deployment."""
        return Topics(
            requests=self.requests_topic or f"{self.deployment}.requests",
            predictions=self.predictions_topic or f"{self.deployment}.predictions",
            dead_letters=self.dead_letters_topic or f"{self.deployment}.dead-letters",
            control=self.control_topic,
            status=self.status_topic,
        )

    def batch_ms(self, asked: int | None) -> int:
        """How long a host may take for a batch where its configuration asks for so much.

        Raises SwapError (CONFIGURATION_INVALID): that is more than this worker allows.
        """
        if (asked or 0) > self.max_deadline_ms:
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID,
                f"the configuration's deadline_ms is {asked}, and HOTSWAP_MAX_DEADLINE_MS of this worker is "
                f"{self.max_deadline_ms}: lower the one, or raise the other on every worker",
            )
        return asked or self.deadline_ms

    def staging_ms(self, asked: int | None) -> int:
        """How long staging may take where the command asks for so much: that, but no more than this worker allows."""
        return min(asked or self.swap_deadline_ms, max(self.swap_deadline_ms, self.max_deadline_ms))

    @property
    def artifacts(self) -> Path:
        """The folder of fetched artifacts."""
        return self.cache / "artifacts"

    @property
    def group_id(self) -> str:
        """The consumer group of the deployment's workers."""
        return self.group or self.deployment
