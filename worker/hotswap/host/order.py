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
class GuestPython:
    """The Python of a model's own process (guest.py): the program, the folder of the packages, its memory in MiB.

    `reads`: the files and folders beside these that it needs. `site`: empty if there are no packages.
    """

    program: str
    site: str = ""
    reads: tuple[str, ...] = ()
    memory_mb: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The settings of a child's generation: model, proto, configuration and JVM.

    With `is_low_priority` the load yields the CPU to the generation that is serving; without it the stream is waiting.
    `max_answer_bytes`: the largest answer that the predictions topic allows; None: not known. `interpreter`: for kinds
    whose models run in a process of their own.
    """

    ground: Ground
    model: str
    proto: bytes
    is_descriptor_set: bool
    configuration: Configuration
    samples: tuple[bytes, ...]
    is_low_priority: bool = False
    max_answer_bytes: int | None = None
    interpreter: GuestPython | None = None
    golden: bytes = b""
    """A document of golden answers (codec/golden.py); empty: none."""
