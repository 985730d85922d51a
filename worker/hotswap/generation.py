"""The immutable triple that a deployment scores with: a model, a proto and a configuration."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

MOST = (1 << 64) - 1
"""The highest number that a generation can have."""
MAX_PROTO_BYTES = 4 << 20
"""The largest proto, text or descriptor set: anything larger is not a proto."""
MAX_GOLDEN_BYTES = 4 << 20
"""The largest document of golden answers."""


class Policy(StrEnum):
    """How to treat a value that does not fit: score it as missing, or refuse the request."""

    ACCEPT = "accept"
    REFUSE = "refuse"


def frozen(items: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return a read-only copy of a mapping."""
    return MappingProxyType(dict(items or {}))


@dataclass(frozen=True, slots=True)
class Model:
    """A model artifact in a store: its URI, its SHA-256 (64 hexadecimal digits), and the runtime that loads it.

    The `name` is for people, and identifies nothing.
    """

    uri: str
    sha256: str
    kind: str = "h2o"
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Proto:
    """A proto: a .proto text or a serialized FileDescriptorSet, inline (`source`) or in a store (`uri`)."""

    sha256: str
    source: bytes | None = None
    uri: str | None = None
    is_descriptor_set: bool = False

    @classmethod
    def inline(cls, source: bytes | str, *, is_descriptor_set: bool = False) -> "Proto":
        """Create a Proto from its full content, with its digest."""
        content = source.encode() if isinstance(source, str) else source
        return cls(sha256=hashlib.sha256(content).hexdigest(), source=content, is_descriptor_set=is_descriptor_set)


@dataclass(frozen=True, slots=True)
class Golden:
    """A file of golden answers in a store: its URI and its SHA-256; without a URI: none."""

    uri: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How text is read: CSV's delimiter, the cells that mean missing, and whether to refuse JSON's unknown fields.

    `columns` are columns of the model, each with the path of the field that it is read from (codec/text/names.py). A
    configuration has them beside its text: `Configuration.table` puts them together.
    """

    delimiter: str = ","
    missing: frozenset[str] = frozenset({""})
    is_strict: bool = True
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Runtime and serving options of a generation; None means the worker's setting."""

    columns: Mapping[str, str] = field(default_factory=frozen)
    outputs: Mapping[str, str] = field(default_factory=frozen)
    missing: Policy = Policy.ACCEPT
    mistyped: Policy = Policy.REFUSE
    unknown_category: Policy = Policy.ACCEPT
    max_batch_records: int | None = None
    max_request_bytes: int | None = None
    deadline_ms: int | None = None
    text: TextOptions = field(default_factory=TextOptions)
    runtime: Mapping[str, str] = field(default_factory=frozen)

    def table(self, found: Mapping[str, str] | None = None) -> TextOptions:
        """Return how a table is read: the text's options, and the fields of the model's columns.

        Beside those that the configuration maps there are those `found`, as a host that has the model tells.
        """
        return replace(self.text, columns=tuple(sorted({**self.columns, **(found or {})}.items())))

    def picklable(self) -> "Configuration":
        """Return the same with plain dicts: a read-only mapping cannot be pickled."""
        return replace(self, columns=dict(self.columns), outputs=dict(self.outputs), runtime=dict(self.runtime))


@dataclass(frozen=True, slots=True)
class Generation:
    """A model, a proto and a configuration that serve together; numbers only grow and are never reused."""

    number: int
    model: Model
    proto: Proto
    configuration: Configuration = field(default_factory=Configuration)
    samples: tuple[bytes, ...] = ()
    golden: Golden | None = None
