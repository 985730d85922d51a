"""All settings of the worker and the command line: from variables HOTSWAP_<NAME>, secret files and a TOML file."""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.settings.group import GroupSettings
from hotswap.settings.kafka import KafkaSettings
from hotswap.settings.python import PythonSettings
from hotswap.settings.trust import TrustSettings

PREFIX = "HOTSWAP_"
CONFIG_FILE = "HOTSWAP_CONFIG_FILE"
SECRETS_DIR = "HOTSWAP_SECRETS_DIR"
_BESIDE = (CONFIG_FILE, SECRETS_DIR, "HOTSWAP_MAVEN_URL")  # variables that are no settings
_OF_TESTS = "HOTSWAP_TEST_"
OWN_CONTROL = ".control"
"""What follows a deployment's name in that of its own control topic."""
OWN_SHADOW = ".shadow"
"""What follows a deployment's name in that of its shadow, unless that gets another one."""
_ALIKE = 0.8


class Topics(NamedTuple):
    """The five topics of a deployment."""

    requests: str
    predictions: str
    dead_letters: str
    control: str
    status: str


class Settings(KafkaSettings, GroupSettings, TrustSettings, PythonSettings):
    """Settings with safe defaults; each field is set by the variable HOTSWAP_ plus its name in capitals.

    What an argument does not set comes from the first of these that does: the environment; the file of that name in the
    folder HOTSWAP_SECRETS_DIR; the key of that name in the TOML file HOTSWAP_CONFIG_FILE; the default.

    Raises:
        pydantic.ValidationError: a value is invalid, or the TOML file has a key that is no setting.
        UsageError: the folder or the file cannot be read.

    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    deployment: str = Field(
        "", description="Name of the deployment. Its topics and its consumer group are named after it."
    )
    requests_topic: str = Field("", description="Topic of the requests to score. Default: `<deployment>.requests`.")
    predictions_topic: str = Field("", description="Topic of the predictions. Default: `<deployment>.predictions`.")
    dead_letters_topic: str = Field(
        "", description="Topic of the refused requests. Default: `<deployment>.dead-letters`."
    )
    control_topic: str = Field(
        "",
        description="Topic of the commands; its records never expire. Default: `<deployment>.control`, or "
        "`hotswap.control`, which deployments used to share, if this one's commands are there and not in a topic of "
        "its own.",
    )
    status_topic: str = Field(
        "hotswap.status", description="Topic of the workers' reports. Deployments may share it; it is compacted."
    )
    group: str = Field("", description="Consumer group of the workers. Default: the deployment's name.")
    worker_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Unique name of this worker. Default: its machine's host name and its process id.",
    )

    call_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Timeout of each call to Kafka. A call that exceeds it is in doubt: the producer is discarded.",
    )

    max_batch_records: int = Field(
        5_000,
        ge=1,
        description="Most requests in a batch, which a model host answers at once. A generation's configuration may "
        "set a lower limit. Under a backlog, several batches are committed in one transaction.",
    )
    linger_ms: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Least time between the starts of two batches of a partition, unless a batch is full. Requests "
        "that arrive meanwhile share a transaction, which adds up to this much latency and saves CPU in the worker and "
        "in Kafka where it makes batches much larger: at 1,000 requests/s 50 did, 20 did not (BENCHMARKS.md). 0: "
        "never wait.",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none",
        description="Codec of the answers and the dead letters. Most of a small answer is its headers, which are "
        "alike: `lz4` makes such answers about a sixth as large, and no difference in CPU was measured. Every reader "
        "needs the codec; Java's client has all of them.",
    )
    max_request_bytes: int = Field(
        900_000, ge=1, description="Largest value of a request, unless a generation's configuration overrides it."
    )
    max_queued_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of fetched requests queued in memory per partition, still compressed. 0: 20 MiB, shared out "
        "among the worker's partitions, from 1 to 5 MiB for each.",
    )
    max_unpacked_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        description="Memory for decompressed requests: the limit for one record batch, and for all record batches of "
        "this worker together. Requests of a record batch beyond the limit are refused without their values.",
    )
    deadline_ms: int = Field(
        10_000, ge=1, description="How long a model host may take for a batch, unless a configuration overrides it."
    )
    max_deadline_ms: int = Field(
        600_000,
        ge=1,
        le=86_400_000,
        validate_default=True,
        description="Longest `deadline_ms` that a generation's configuration may set; staging one with more fails. "
        "It bounds a swap command's deadline too, unless `swap_deadline_ms` is longer. A model that loops holds its "
        "partition for this long, unless an immediate rollback, a newer generation or a pause frees it. In a "
        "rebalance Kafka waits this long for a live worker, but no worker takes that long: each gives up its batches "
        "within half of `stop_timeout_s`.",
    )
    swap_deadline_ms: int = Field(
        120_000,
        ge=1,
        description="How long a worker may take to stage a generation, unless the command overrides it.",
    )
    host_heap_mb: int = Field(512, ge=64, description="Java heap of a model host, MiB.")
    hosts: int = Field(
        0,
        ge=0,
        le=64,
        description="Model hosts per generation on this worker: the number of partitions scored in parallel, and of "
        "copies of the model in memory. Never more than the deployment has partitions. 0: the available cores minus "
        "one, at most 4; one for kinds whose models may keep state (java, spark, spark-jar).",
    )
    spare_kinds: str = Field(
        "h2o,spark",
        description="Kinds of model, separated by commas, for which a warm standby host is kept once a generation of "
        "that kind was staged here: the next swap need not wait for Java to start (1 s for h2o, 10 s for spark). It "
        "costs the memory of one more host, about 220 MiB for h2o and 500 MiB for spark. Empty: none.",
    )
    kinds: str = Field(
        "h2o,java,lightgbm,onnx,spark,spark-jar,xgboost",
        description="Kinds of model, separated by commas, that this worker loads; of others, staging fails, and a swap "
        "is refused before its command is written. Not among the defaults: `python`, whose models are functions in "
        "Python, and `python-pickle`, whose models may be or have pickles, too (SECURITY.md).",
    )
    sandbox: Literal["auto", "require", "off"] = Field(
        "auto",
        description="What a model host may do. `auto`: it reads its model and its libraries, writes its own folder, "
        "and has no network, as far as this machine can deny it the rest; `hotswap status` says what it cannot. "
        "`require`: staging fails where a part of that is missing. `off`: whatever the worker may do.",
    )
    sandbox_read: str = Field(
        "",
        description="Files and folders, separated by commas, that models may read in addition, such as a table that "
        "a jar looks things up in.",
    )
    sandbox_network: bool = Field(
        default=False,
        description="Whether models may use this worker's network, such as a jar that asks a service.",
    )
    sandbox_folder_mb: int = Field(
        256, ge=1, description="MiB that a model may write, such as a jar's native libraries; more ends its host."
    )
    stop_timeout_s: float = Field(10.0, gt=0, description="How long a clean stop may take.")

    store: str = Field(
        default_factory=(user_data_path("hotswap") / "store").as_uri,
        description="Where `hotswap swap` uploads artifacts: a URL that fsspec can open and every worker can reach. "
        "Default: the folder `store` in this user's data folder for hotswap.",
    )
    allowed_stores: str = Field(
        "",
        description="Stores that artifacts may be fetched from, by their URLs, separated by commas. A generation whose "
        "URI lies elsewhere fails with URI_DENIED, and nothing is opened. User info in these URLs counts for the URIs "
        "below them, which need none. Default: `HOTSWAP_STORE` alone.",
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("hotswap"),
        description="Folder for downloaded jars and fetched artifacts. Default: this user's cache folder for hotswap.",
    )
    cache_max_bytes: int = Field(
        10 << 30,
        ge=1,
        description="Disk space for fetched artifacts; unpacked ones (h2o, spark) count with their archives. The "
        "least recently used are evicted. Environments of Python models may take as much again.",
    )
    max_artifact_bytes: int = Field(
        2 << 30, ge=1, description="Largest size of an artifact, both as a file and unpacked."
    )

    http_host: str = Field("127.0.0.1", description="Address on which to serve `/metrics`, `/livez` and `/readyz`.")
    http_port: int = Field(0, ge=0, le=65_535, description="Port for these. 0: any free port; the log names it.")
    failpoints: str = Field("", description="For tests: where this worker is killed or stopped; see failpoints.py.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level to log.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of log lines. `auto`: text on a terminal, else JSON."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls with its name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say where settings come from, the strongest first."""
        return init_settings, *(source for _, source in _sources(settings_cls))

    @field_validator("max_deadline_ms")
    @classmethod
    def _covers_the_default(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("deadline_ms", 0):
            raise PydanticCustomError("too_small", "is less than deadline_ms: raise it, or lower deadline_ms")
        return value

    @property
    def topics(self) -> Topics:
        """The topics as set, or else named after the deployment."""
        return Topics(
            requests=self.requests_topic or f"{self.deployment}.requests",
            predictions=self.predictions_topic or f"{self.deployment}.predictions",
            dead_letters=self.dead_letters_topic or f"{self.deployment}.dead-letters",
            control=self.control_topic or f"{self.deployment}{OWN_CONTROL}",
            status=self.status_topic,
        )

    def named(self, name: str) -> "Settings":
        """Return those of another deployment, whose group and topics of answers are named after it."""
        unset = dict.fromkeys(("group", "predictions_topic", "dead_letters_topic"), "")
        return self.model_copy(update={"deployment": name} | unset)

    def batch_ms(self, requested: int | None) -> int:
        """Return a host's deadline for a batch, given the one that its configuration asks for, milliseconds.

        Raises:
            SwapError: CONFIGURATION_INVALID, it asks for more than this worker allows.

        """
        if (requested or 0) > self.max_deadline_ms:
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID,
                f"the configuration's deadline_ms is {requested}, but HOTSWAP_MAX_DEADLINE_MS of this worker is "
                f"{self.max_deadline_ms}: lower the former, or raise the latter on every worker",
            )
        return requested or self.deadline_ms

    def staging_ms(self, requested: int | None) -> int:
        """Return the time limit for staging, milliseconds: the command's, bounded by the allowed one."""
        return min(requested or self.swap_deadline_ms, max(self.swap_deadline_ms, self.max_deadline_ms))

    @property
    def kinds_allowed(self) -> frozenset[str]:
        """The kinds of model that are loaded."""
        return frozenset(filter(None, map(str.strip, self.kinds.split(","))))

    @property
    def store_url(self) -> str:
        """The URL of the store that artifacts are uploaded to."""
        return as_url(self.store)

    @property
    def stores(self) -> tuple[str, ...]:
        """The URLs of the stores that artifacts may be fetched from."""
        named = filter(None, map(str.strip, self.allowed_stores.split(",")))
        return tuple(map(as_url, named)) or (self.store_url,)

    @property
    def artifacts(self) -> Path:
        """The folder of fetched artifacts."""
        return self.cache / "artifacts"

    @property
    def environments(self) -> Path:
        """The folder of the environments of Python models."""
        return self.cache / "environments"

    @property
    def group_id(self) -> str:
        """The consumer group of the deployment's workers."""
        return self.group or self.deployment


def as_url(store: str) -> str:
    """Return the URL of a store that may be given as a folder: a worker elsewhere does not know our working folder."""
    return store if "://" in store else Path(store).resolve().as_uri()


def _sources(settings: type[BaseSettings]) -> Iterator[tuple[str, PydanticBaseSettingsSource]]:
    """Yield a source's name for a person, and the source; the strongest first. Raises UsageError."""
    yield "environment", EnvSettingsSource(settings)
    if folder := os.environ.get(SECRETS_DIR):
        if not Path(folder).is_dir():
            raise UsageError(f"{SECRETS_DIR} is {folder}, which is no folder: correct it, or unset it")
        yield folder, SecretsSettingsSource(settings, secrets_dir=folder, env_prefix="")
    if file := os.environ.get(CONFIG_FILE):
        if not Path(file).is_file():
            raise UsageError(f"{CONFIG_FILE} is {file}, which is no file: correct it, or unset it")
        try:
            yield file, TomlConfigSettingsSource(settings, toml_file=file)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} is no TOML that can be read: {error}") from error


def origins() -> Mapping[str, str]:
    """Return where each setting that has no default value comes from: its name -> the environment, or a path.

    Raises UsageError, as Settings does.
    """
    places: dict[str, str] = {}
    for where, source in reversed(list(_sources(Settings))):
        places |= dict.fromkeys(source(), where)
    return places


def unknown_variables() -> Mapping[str, str]:
    """Return each variable HOTSWAP_* that is no setting -> the setting's that it nearly spells, or nothing."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | set(_BESIDE)
    unknown = [name for name in sorted(os.environ) if name.upper().startswith(PREFIX) and name.upper() not in known]
    return {name: nearest(name.upper(), known) for name in unknown if not name.startswith(_OF_TESTS)}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of `known` that `name` nearly spells; nothing if none is near. The prefix does not count."""
    bare = {one.removeprefix(PREFIX): one for one in known}
    return next((bare[one] for one in get_close_matches(name.removeprefix(PREFIX), bare, 1, _ALIKE)), "")
