"""What a publisher asks of a fleet, and the local files that it is made of."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hotswap.artifacts.detect import as_file
from hotswap.artifacts.store import Store
from hotswap.codec.proto import Schema, gather, has_own_imports
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, Model, Proto
from hotswap.settings import Settings

MAX_INLINE_PROTO_BYTES = 64 << 10
"""A larger proto goes into the store: every worker keeps the control topic's commands, and reads them at each start."""

MAX_SAMPLES_BYTES = 256 << 10
"""Of the samples of a swap together, for the same reason."""


class Cut(StrEnum):
    """Where the new generation takes over."""

    AUTO = "auto"
    """After the backlog where the proto changes incompatibly, else at once."""
    AT_ONCE = "at-once"
    """On each partition at its next batch once the generation is ready."""
    AFTER_BACKLOG = "after-backlog"
    """What was published before the command is answered by the old generation, what comes after by the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a swap puts in the place of what serves; a part that is None is inherited from `base`.

    A path is a local file: a model is uploaded into the settings' store (a folder as a zip), a proto (.proto, or a
    descriptor set .desc or .binpb) goes inline, or into the store where it is larger than 64 KiB. The samples have at
    most 256 KiB. `kind` None: found out from the model's file. `base` None: the newest generation that no worker failed
    to stage. `generation` None: the next free number. `deadline_s`: how long a worker may take to stage it; None: the
    worker's setting.
    """

    model: Path | Model | None = None
    kind: str | None = None
    proto: Path | Proto | None = None
    configuration: Configuration | None = None
    samples: tuple[bytes, ...] = ()
    generation: int | None = None
    base: int | None = None
    cut: Cut = Cut.AUTO
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A command that the control log has accepted; `cut` is partition -> offset, empty where it cuts at once.

    `incompatible` says why the cut is after the backlog, where that was decided by the protos.
    """

    command_id: str
    generation: int
    cut: Mapping[int, int]
    deadline_s: float
    incompatible: tuple[str, ...] = ()


def read_proto(path: Path) -> Proto:
    """The proto of a local file: a .proto text, or a serialized FileDescriptorSet (.desc, .binpb).

    A text that imports other files, by their paths from its own folder, becomes a descriptor set with all of them.

    Raises:
        UsageError: it cannot be read.
        SwapError: PROTO_INVALID, where the files that it imports are not there, or do not compile.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"proto {path} cannot be read: {error.strerror}") from error
    if path.suffix in (".desc", ".binpb"):
        return Proto.inline(content, is_descriptor_set=True)
    if has_own_imports(content):
        return Proto.inline(gather(path), is_descriptor_set=True)
    return Proto.inline(content)


def compile_file(path: Path) -> Schema:
    """The compiled proto of a local file.

    Raises:
        UsageError: it cannot be read.
        SwapError: PROTO_INVALID, with the file and protoc's line.

    """
    proto = read_proto(path)
    try:
        return compile_proto(proto.source or b"", proto.is_descriptor_set)
    except SwapError as error:
        raise SwapError(error.code, f"{path}: {error.message}") from error


@asynccontextmanager
async def artifact_of(settings: Settings, path: Path, kind: str) -> AsyncIterator[Path]:
    """A local model as the store would give it to a worker: checked and unpacked."""
    store = Store(settings)
    with as_file(path) as file:
        artifact = await store.fetch(_local_model(file, kind))
    try:
        yield artifact
    finally:
        store.release(artifact)


def _local_model(path: Path, kind: str) -> Model:
    with path.open("rb") as file:
        return Model(path.absolute().as_uri(), hashlib.file_digest(file, "sha256").hexdigest(), kind)
