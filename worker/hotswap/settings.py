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

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers: `host:port`, separated by commas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers: in the clear or over TLS, with or without SASL."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How to authenticate. Only SASL protocols use it, the user name and the password."
    )
    sasl_username: str | None = Field(None, description="User name to authenticate with.")
    sasl_password: str | None = Field(None, repr=False, description="Password of that user. It is never logged.")
    ssl_ca: Path | None = Field(
        None,
        description="PEM file with the certificate authority that signed the brokers' certificates. Without it, those "
        "that the system trusts.",
    )

    deployment: str = Field("", description="Name of the deployment. Its topics and its group are named after it.")
    requests_topic: str = Field("", description="Topic to score. Default: `<deployment>.requests`.")
    predictions_topic: str = Field("", description="Topic of the predictions. Default: `<deployment>.predictions`.")
    dead_letters_topic: str = Field(
        "", description="Topic of the refused requests. Default: `<deployment>.dead-letters`."
    )
    control_topic: str = Field(
        "hotswap.control", description="Topic of the commands. Deployments may share it; it is kept for ever."
    )
    status_topic: str = Field(
        "hotswap.status", description="Topic on which workers report. Deployments may share it; it is compacted."
    )
    group: str = Field("", description="Consumer group of the workers. Default: the deployment's name.")
    worker_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Unique name of this worker. Default: its host's name and its process id.",
    )

    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="`exactly_once`: the answers of a batch and its offset are committed in one transaction, so "
        "read_committed consumers see each request answered once. `at_least_once`: no transactions; after a crash or a "
        "rebalance, requests may be answered again, perhaps by a newer generation.",
    )
    session_timeout_ms: int = Field(
        6_000, ge=1_000, description="How soon the partitions of a worker that died are taken over."
    )
    group_instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Static membership: a name of this worker's own that it keeps across restarts. If it is back "
        "within `session_timeout_ms` (raise that to what a restart takes), it gets its partitions back and no other "
        "worker is disturbed. The price: until then nobody takes them over, not even after a clean stop, so removing a "
        "worker for good leaves its partitions unserved until its session ends. Of two workers with one name the older "
        "one ends.",
    )
    call_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Bound on each call to Kafka. Beyond it, its outcome is in doubt: the producer is discarded.",
    )

    max_batch_records: int = Field(
        5_000, ge=1, description="Most requests in a batch. A generation's configuration may ask for fewer."
    )
    linger_ms: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Least time from one batch of a partition to the next, unless a batch is full. Requests that "
        "arrive meanwhile share a transaction, which saves CPU of the worker and of Kafka and adds up to this much "
        "latency (BENCHMARKS.md has the plot). 0: never wait.",
    )
    max_request_bytes: int = Field(
        900_000, ge=1, description="Largest value of a request, unless a generation's configuration says otherwise."
    )
    max_queued_bytes: int = Field(
        1 << 20, ge=1, description="Requests held in memory per partition, as they were fetched: still compressed."
    )
    max_unpacked_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        description="Memory for decompressed requests: the bound for one record batch, and for all of this worker's "
        "together. Requests of a record batch that lie beyond it are refused without their values.",
    )
    deadline_ms: int = Field(
        10_000, ge=1, description="How long a model host may take for a batch, unless a configuration says otherwise."
    )
    max_deadline_ms: int = Field(
        600_000,
        ge=1,
        le=86_400_000,
        validate_default=True,
        description="Longest `deadline_ms` that a generation's configuration may ask for; one that asks for more is "
        "refused. It bounds a swap command's deadline too, unless `swap_deadline_ms` is longer. A model that loops "
        "holds its partition for so long, unless a rollback at once, a newer generation or a pause frees it. Kafka "
        "waits as long for a live worker in a rebalance, but no worker takes that long: each gives its batches up "
        "within half of `stop_timeout_s`.",
    )
    swap_deadline_ms: int = Field(
        120_000,
        ge=1,
        description="How long a worker may take to stage a generation, unless its command says otherwise.",
    )
    host_heap_mb: int = Field(512, ge=64, description="Java heap of a model host, MiB.")
    hosts: int = Field(
        0,
        ge=0,
        le=64,
        description="Model hosts per generation on this worker: as many partitions are scored at a time, and as many "
        "copies of the model are in memory. Never more than there are partitions. 0: one per available core but one, "
        "at most 4; one for kinds whose models may keep state (java, spark, spark-jar).",
    )
    spare_kinds: str = Field(
        "h2o,spark",
        description="Kinds of model, separated by commas, of which a warm standby host is kept once a generation of "
        "that kind was staged here: the next swap need not wait for its Java (1 s for h2o, 10 s for spark). It costs "
        "the memory of one more host, about 220 MiB for h2o and 500 MiB for spark. Empty: none.",
    )
    stop_timeout_s: float = Field(10.0, gt=0, description="How long a clean stop may take.")

    store: str = Field(
        default_factory=(user_data_path("hotswap") / "store").as_uri,
        description="Where `hotswap swap` uploads artifacts to: a URL that fsspec opens and every worker reaches. "
        "Default: the folder `store` in this user's data folder for hotswap.",
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("hotswap"),
        description="Folder of downloaded jars and fetched artifacts. Default: this user's cache folder for hotswap.",
    )
    cache_max_bytes: int = Field(
        10 << 30,
        ge=1,
        description="Disk space for fetched artifacts, unpacked ones (h2o, spark) counted with their archives. The "
        "least recently used are evicted.",
    )
    max_artifact_bytes: int = Field(2 << 30, ge=1, description="Largest artifact, as a file and unpacked.")

    http_host: str = Field("127.0.0.1", description="Address to serve `/metrics`, `/livez` and `/readyz` on.")
    http_port: int = Field(0, ge=0, le=65_535, description="Port of these. 0: any free port, which the log names.")
    failpoints: str = Field("", description="For tests: where this worker dies or stands still, see failpoints.py.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level to log.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="How log lines are written. `auto`: text on a terminal, else JSON."
    )

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
