"""A model host's load request."""

from dataclasses import dataclass

from hotswap.generation import Configuration
from hotswap.host.sandbox import AUTO, Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The settings of a child without a generation: the kind of model and its JVM."""

    kind: str
    heap_mb: int
    jvm_library: str
    jvm_options: tuple[str, ...]
    classpath: tuple[str, ...]
    java_files: tuple[str, ...] = ()
    """The folders and files of that Java."""
    sandbox: Sandbox = AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The settings of a child's generation: model, proto, configuration and JVM.

    With `is_low_priority` the load yields the CPU to the generation that is serving; without it the stream is waiting.
    `max_answer_bytes`: the largest answer that the predictions topic allows; None: not known.
    """

    ground: Ground
    model: str
    proto: bytes
    is_descriptor_set: bool
    configuration: Configuration
    samples: tuple[bytes, ...]
    is_low_priority: bool = False
    max_answer_bytes: int | None = None
