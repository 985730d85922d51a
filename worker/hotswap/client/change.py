"""A change that a publisher requests of a fleet, and its local files."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING

from hotswap.artifacts.detect import as_file
from hotswap.artifacts.store import Store
from hotswap.client import protos
from hotswap.client.cut import Cut
from hotswap.codec.proto import Schema, has_own_imports
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.generation import MAX_PROTO_BYTES, Configuration, Model, Proto
from hotswap.settings import Settings

if TYPE_CHECKING:  # few swaps have golden answers
    from hotswap.codec.golden import GoldenAnswers

MAX_INLINE_PROTO_BYTES = 64 << 10
"""Limit above which a proto goes to the store: workers replay the control topic at each start and keep it in memory."""

MAX_SAMPLES_BYTES = 256 << 10
"""Limit on all samples of a swap together, for the same reason."""

MOST_SAMPLES = 200
"""Limit on the messages of a file that a swap takes as samples."""

_LONGEST_S = ((1 << 32) - 1) // 1000  # a command carries its deadline as 32 bits of milliseconds


class GoldenChoice(StrEnum):
    """What becomes of the base's golden answers, if a swap brings none of its own."""

    INHERIT = "inherit"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The parts that a swap replaces; a part that is None is inherited from `base`.

    A path is a local file: a model is uploaded to the settings' store (a folder as a zip); a proto (.proto, or a
    descriptor set .desc or .binpb) goes inline, or to the store if it is larger than 64 KiB. The samples take at most
    256 KiB. `kind` None: detected from the model's file. `name` None: the file's, without its suffix. `base` None: the
    newest generation that no worker failed to stage. `generation` None: the next free number. `deadline_s`: limit on a
    worker's staging; None: the worker's setting. `golden`: rows with the answers that it must give, from a CSV or JSON
    file, or as they are; a base that has some needs a choice if the model or the proto is replaced. `golden_tolerances`
    are those of the file's fields, beside its own.
    """

    model: Path | Model | None = None
    kind: str | None = None
    name: str | None = None
    proto: Path | Proto | None = None
    configuration: Configuration | None = None
    samples: tuple[bytes, ...] = ()
    generation: int | None = None
    base: int | None = None
    cut: Cut = Cut.AUTO
    deadline_s: float | None = None
    golden: "Path | GoldenAnswers | GoldenChoice | None" = None
    golden_tolerances: Mapping[str, float] = field(default_factory=dict)

    @property
    def deadline_ms(self) -> int | None:
        """The deadline in milliseconds. Raises UsageError if it does not fit into a command."""
        if not self.deadline_s:
            return None
        if not self.deadline_s <= _LONGEST_S:  # refuses NaN, too
            raise UsageError(f"a deadline of {self.deadline_s:g} s is not possible: the longest is {_LONGEST_S} s")
        return int(self.deadline_s * 1000)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An accepted command of the control log; `cut` is partition -> offset, empty for a cut at once.

    `incompatible` has the reasons for a cut after the backlog, if the protos caused it.
    """

    command_id: str
    generation: int
    cut: Mapping[int, int]
    deadline_s: float
    incompatible: tuple[str, ...] = ()


def as_samples(values: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return as many of the first messages as a command may carry as samples."""
    first = list(islice(values, MOST_SAMPLES))
    ends = accumulate(map(len, first))
    return tuple(value for value, end in zip(first, ends, strict=True) if end <= MAX_SAMPLES_BYTES)


def read_proto(path: Path) -> Proto:
    """Read a proto from a local file: a .proto text, or a serialized FileDescriptorSet (.desc, .binpb).

    A text that imports other files, by paths relative to its folder, becomes a descriptor set with all of them.

    Raises:
        UsageError: the file cannot be read.
        SwapError: PROTO_INVALID, if it is too large, or an imported file is missing or does not compile.

    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_PROTO_BYTES else b""
    except OSError as error:
        raise UsageError(f"proto {path} cannot be read: {error.strerror}") from error
    if size > MAX_PROTO_BYTES:
        reason = f"{path}: the proto has {size:,} bytes: at most {MAX_PROTO_BYTES:,} are allowed"
        raise SwapError(SwapCode.PROTO_INVALID, reason)
    if path.suffix in (".desc", ".binpb"):
        return Proto.inline(content, is_descriptor_set=True)
    if has_own_imports(content):
        return Proto.inline(protos.gather(path), is_descriptor_set=True)
    return Proto.inline(content)


def compile_file(path: Path) -> Schema:
    """Compile the proto of a local file.

    Raises:
        UsageError: the file cannot be read.
        SwapError: PROTO_INVALID, with the file and protoc's line.

    """
    proto = read_proto(path)
    try:
        return protos.compile_now(proto.source or b"", proto.is_descriptor_set)
    except SwapError as error:
        raise SwapError(error.code, f"{path}: {error.message}") from error


@asynccontextmanager
async def artifact_of(settings: Settings, path: Path, kind: str) -> AsyncIterator[Path]:
    """Yield a local model as a worker would get it from the store: verified and unpacked."""
    with as_file(path) as file:
        model = _local_model(file, kind)
        store = Store(settings, stores=(model.uri,))
        artifact = await store.fetch(model)
    try:
        yield artifact
    finally:
        store.release(artifact)


def _local_model(path: Path, kind: str) -> Model:
    with path.open("rb") as file:
        return Model(path.resolve().as_uri(), hashlib.file_digest(file, "sha256").hexdigest(), kind)
