import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Policy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_UNSPECIFIED: _ClassVar[Policy]
    POLICY_ACCEPT: _ClassVar[Policy]
    POLICY_REFUSE: _ClassVar[Policy]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_STAGING: _ClassVar[Outcome]
    OUTCOME_READY: _ClassVar[Outcome]
    OUTCOME_SERVING: _ClassVar[Outcome]
    OUTCOME_RETIRED: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_SUPERSEDED: _ClassVar[Outcome]
    OUTCOME_APPLIED: _ClassVar[Outcome]
    OUTCOME_DUPLICATE: _ClassVar[Outcome]
    OUTCOME_HELD: _ClassVar[Outcome]
POLICY_UNSPECIFIED: Policy
POLICY_ACCEPT: Policy
POLICY_REFUSE: Policy
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_STAGING: Outcome
OUTCOME_READY: Outcome
OUTCOME_SERVING: Outcome
OUTCOME_RETIRED: Outcome
OUTCOME_REFUSED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_SUPERSEDED: Outcome
OUTCOME_APPLIED: Outcome
OUTCOME_DUPLICATE: Outcome
OUTCOME_HELD: Outcome

class Command(_message.Message):
    __slots__ = ("command_id", "deployment", "swap", "rollback", "pause", "resume", "skip", "trust", "promote", "abandon", "shadow", "rules", "least_version")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    SWAP_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    PROMOTE_FIELD_NUMBER: _ClassVar[int]
    ABANDON_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    LEAST_VERSION_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    deployment: str
    swap: Swap
    rollback: Rollback
    pause: Pause
    resume: Resume
    skip: Skip
    trust: Trust
    promote: Promote
    abandon: Abandon
    shadow: Shadow
    rules: int
    least_version: int
    def __init__(self, command_id: _Optional[str] = ..., deployment: _Optional[str] = ..., swap: _Optional[_Union[Swap, _Mapping]] = ..., rollback: _Optional[_Union[Rollback, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., skip: _Optional[_Union[Skip, _Mapping]] = ..., trust: _Optional[_Union[Trust, _Mapping]] = ..., promote: _Optional[_Union[Promote, _Mapping]] = ..., abandon: _Optional[_Union[Abandon, _Mapping]] = ..., shadow: _Optional[_Union[Shadow, _Mapping]] = ..., rules: _Optional[int] = ..., least_version: _Optional[int] = ...) -> None: ...

class CommandAddress(_message.Message):
    __slots__ = ("command_id", "deployment", "least_version")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    LEAST_VERSION_FIELD_NUMBER: _ClassVar[int]
    command_id: bytes
    deployment: str
    least_version: int
    def __init__(self, command_id: _Optional[bytes] = ..., deployment: _Optional[str] = ..., least_version: _Optional[int] = ...) -> None: ...

class Swap(_message.Message):
    __slots__ = ("generation", "base", "model", "proto", "configuration", "samples", "cut_over", "not_after", "deadline_ms", "golden")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROTO_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    CUT_OVER_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_FIELD_NUMBER: _ClassVar[int]
    generation: int
    base: int
    model: Model
    proto: Proto
    configuration: Configuration
    samples: _containers.RepeatedScalarFieldContainer[bytes]
    cut_over: CutOver
    not_after: _timestamp_pb2.Timestamp
    deadline_ms: int
    golden: Golden
    def __init__(self, generation: _Optional[int] = ..., base: _Optional[int] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., proto: _Optional[_Union[Proto, _Mapping]] = ..., configuration: _Optional[_Union[Configuration, _Mapping]] = ..., samples: _Optional[_Iterable[bytes]] = ..., cut_over: _Optional[_Union[CutOver, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline_ms: _Optional[int] = ..., golden: _Optional[_Union[Golden, _Mapping]] = ...) -> None: ...

class Rollback(_message.Message):
    __slots__ = ("generation", "to", "cut_over")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    CUT_OVER_FIELD_NUMBER: _ClassVar[int]
    generation: int
    to: int
    cut_over: CutOver
    def __init__(self, generation: _Optional[int] = ..., to: _Optional[int] = ..., cut_over: _Optional[_Union[CutOver, _Mapping]] = ...) -> None: ...

class Promote(_message.Message):
    __slots__ = ("generation", "offsets", "complete")
    class OffsetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    generation: int
    offsets: _containers.ScalarMap[int, int]
    complete: bool
    def __init__(self, generation: _Optional[int] = ..., offsets: _Optional[_Mapping[int, int]] = ..., complete: _Optional[bool] = ...) -> None: ...

class Abandon(_message.Message):
    __slots__ = ("generation", "abandoned", "to", "offsets")
    class OffsetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    abandoned: int
    to: int
    offsets: _containers.ScalarMap[int, int]
    def __init__(self, generation: _Optional[int] = ..., abandoned: _Optional[int] = ..., to: _Optional[int] = ..., offsets: _Optional[_Mapping[int, int]] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resume(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Skip(_message.Message):
    __slots__ = ("partition", "offset")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Trust(_message.Message):
    __slots__ = ("revoked",)
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    revoked: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revoked: _Optional[_Iterable[str]] = ...) -> None: ...

class Shadow(_message.Message):
    __slots__ = ("of", "requests", "partitions", "per_million")
    OF_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    of: str
    requests: str
    partitions: _containers.RepeatedScalarFieldContainer[int]
    per_million: int
    def __init__(self, of: _Optional[str] = ..., requests: _Optional[str] = ..., partitions: _Optional[_Iterable[int]] = ..., per_million: _Optional[int] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("uri", "sha256", "kind", "name")
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    uri: str
    sha256: str
    kind: str
    name: str
    def __init__(self, uri: _Optional[str] = ..., sha256: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Proto(_message.Message):
    __slots__ = ("text", "descriptor_set", "uri", "sha256")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_SET_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    text: str
    descriptor_set: bytes
    uri: str
    sha256: str
    def __init__(self, text: _Optional[str] = ..., descriptor_set: _Optional[bytes] = ..., uri: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Golden(_message.Message):
    __slots__ = ("uri", "sha256")
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    uri: str
    sha256: str
    def __init__(self, uri: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("columns", "outputs", "missing", "mistyped", "unknown_category", "max_batch_records", "max_request_bytes", "deadline_ms", "runtime", "text")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class OutputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RuntimeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MISTYPED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.ScalarMap[str, str]
    outputs: _containers.ScalarMap[str, str]
    missing: Policy
    mistyped: Policy
    unknown_category: Policy
    max_batch_records: int
    max_request_bytes: int
    deadline_ms: int
    runtime: _containers.ScalarMap[str, str]
    text: Text
    def __init__(self, columns: _Optional[_Mapping[str, str]] = ..., outputs: _Optional[_Mapping[str, str]] = ..., missing: _Optional[_Union[Policy, str]] = ..., mistyped: _Optional[_Union[Policy, str]] = ..., unknown_category: _Optional[_Union[Policy, str]] = ..., max_batch_records: _Optional[int] = ..., max_request_bytes: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., runtime: _Optional[_Mapping[str, str]] = ..., text: _Optional[_Union[Text, _Mapping]] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("delimiter", "missing", "ignore_unknown")
    DELIMITER_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    IGNORE_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    delimiter: str
    missing: _containers.RepeatedScalarFieldContainer[str]
    ignore_unknown: bool
    def __init__(self, delimiter: _Optional[str] = ..., missing: _Optional[_Iterable[str]] = ..., ignore_unknown: _Optional[bool] = ...) -> None: ...

class CutOver(_message.Message):
    __slots__ = ("offsets", "staged", "promote_by")
    class OffsetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    STAGED_FIELD_NUMBER: _ClassVar[int]
    PROMOTE_BY_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.ScalarMap[int, int]
    staged: bool
    promote_by: _timestamp_pb2.Timestamp
    def __init__(self, offsets: _Optional[_Mapping[int, int]] = ..., staged: _Optional[bool] = ..., promote_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SwapStatus(_message.Message):
    __slots__ = ("command_id", "deployment", "generation", "worker", "outcome", "code", "message", "at", "phase_seconds", "reads", "runtime", "cpu")
    class PhaseSecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ReadsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FieldPaths
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FieldPaths, _Mapping]] = ...) -> None: ...
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    PHASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    deployment: str
    generation: int
    worker: str
    outcome: Outcome
    code: str
    message: str
    at: _timestamp_pb2.Timestamp
    phase_seconds: _containers.ScalarMap[str, float]
    reads: _containers.MessageMap[str, FieldPaths]
    runtime: str
    cpu: str
    def __init__(self, command_id: _Optional[str] = ..., deployment: _Optional[str] = ..., generation: _Optional[int] = ..., worker: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phase_seconds: _Optional[_Mapping[str, float]] = ..., reads: _Optional[_Mapping[str, FieldPaths]] = ..., runtime: _Optional[str] = ..., cpu: _Optional[str] = ...) -> None: ...

class FieldPaths(_message.Message):
    __slots__ = ("paths", "known", "columns")
    class KnownEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: KnownValues
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[KnownValues, _Mapping]] = ...) -> None: ...
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PATHS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    known: _containers.MessageMap[str, KnownValues]
    columns: _containers.ScalarMap[str, str]
    def __init__(self, paths: _Optional[_Iterable[str]] = ..., known: _Optional[_Mapping[str, KnownValues]] = ..., columns: _Optional[_Mapping[str, str]] = ...) -> None: ...

class KnownValues(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class WorkerStatus(_message.Message):
    __slots__ = ("deployment", "worker", "at", "generation", "model_sha256", "proto_sha256", "accepted", "loaded", "partitions", "paused", "stopped", "paths", "warnings", "machine", "model_name", "latency_p99_s", "host_restarts", "trust_sha256", "held", "incarnation", "kinds", "runtime", "contract")
    class PathsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MachineEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class KindsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROTO_SHA256_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P99_S_FIELD_NUMBER: _ClassVar[int]
    HOST_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    TRUST_SHA256_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    worker: str
    at: _timestamp_pb2.Timestamp
    generation: int
    model_sha256: str
    proto_sha256: str
    accepted: int
    loaded: _containers.RepeatedScalarFieldContainer[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionStatus]
    paused: bool
    stopped: bool
    paths: _containers.ScalarMap[str, str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    machine: _containers.ScalarMap[str, str]
    model_name: str
    latency_p99_s: float
    host_restarts: int
    trust_sha256: str
    held: str
    incarnation: str
    kinds: _containers.ScalarMap[str, str]
    runtime: str
    contract: int
    def __init__(self, deployment: _Optional[str] = ..., worker: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generation: _Optional[int] = ..., model_sha256: _Optional[str] = ..., proto_sha256: _Optional[str] = ..., accepted: _Optional[int] = ..., loaded: _Optional[_Iterable[int]] = ..., partitions: _Optional[_Iterable[_Union[PartitionStatus, _Mapping]]] = ..., paused: _Optional[bool] = ..., stopped: _Optional[bool] = ..., paths: _Optional[_Mapping[str, str]] = ..., warnings: _Optional[_Iterable[str]] = ..., machine: _Optional[_Mapping[str, str]] = ..., model_name: _Optional[str] = ..., latency_p99_s: _Optional[float] = ..., host_restarts: _Optional[int] = ..., trust_sha256: _Optional[str] = ..., held: _Optional[str] = ..., incarnation: _Optional[str] = ..., kinds: _Optional[_Mapping[str, str]] = ..., runtime: _Optional[str] = ..., contract: _Optional[int] = ...) -> None: ...

class PartitionStatus(_message.Message):
    __slots__ = ("partition", "position", "generation", "lag", "held", "damaged", "deleted_from", "deleted_to", "model_s", "oldest_ms")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    DELETED_FROM_FIELD_NUMBER: _ClassVar[int]
    DELETED_TO_FIELD_NUMBER: _ClassVar[int]
    MODEL_S_FIELD_NUMBER: _ClassVar[int]
    OLDEST_MS_FIELD_NUMBER: _ClassVar[int]
    partition: int
    position: int
    generation: int
    lag: int
    held: str
    damaged: bool
    deleted_from: int
    deleted_to: int
    model_s: float
    oldest_ms: int
    def __init__(self, partition: _Optional[int] = ..., position: _Optional[int] = ..., generation: _Optional[int] = ..., lag: _Optional[int] = ..., held: _Optional[str] = ..., damaged: _Optional[bool] = ..., deleted_from: _Optional[int] = ..., deleted_to: _Optional[int] = ..., model_s: _Optional[float] = ..., oldest_ms: _Optional[int] = ...) -> None: ...

class CutOverDone(_message.Message):
    __slots__ = ("deployment", "generation", "partition", "first_offset", "worker")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    generation: int
    partition: int
    first_offset: int
    worker: str
    def __init__(self, deployment: _Optional[str] = ..., generation: _Optional[int] = ..., partition: _Optional[int] = ..., first_offset: _Optional[int] = ..., worker: _Optional[str] = ...) -> None: ...

class DeploymentForgotten(_message.Message):
    __slots__ = ("deployment",)
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    def __init__(self, deployment: _Optional[str] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("swap", "worker", "cut_over", "forgotten")
    SWAP_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CUT_OVER_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    swap: SwapStatus
    worker: WorkerStatus
    cut_over: CutOverDone
    forgotten: DeploymentForgotten
    def __init__(self, swap: _Optional[_Union[SwapStatus, _Mapping]] = ..., worker: _Optional[_Union[WorkerStatus, _Mapping]] = ..., cut_over: _Optional[_Union[CutOverDone, _Mapping]] = ..., forgotten: _Optional[_Union[DeploymentForgotten, _Mapping]] = ...) -> None: ...
