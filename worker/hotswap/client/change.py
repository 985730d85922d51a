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

if TYPE_CHECKING:  # few swaps have a canary, or golden answers
    from fractions import Fraction

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
class Rollout:
    """How a generation comes to its partitions once it is staged on the whole fleet; by default to all of them.

    `canary`: to this part of them, and to the others by a promotion of its own. `stagger`: to so many at a time, with
    `pause_s` seconds between. `at_s`: at this time, in seconds since the epoch. `is_barrier`: to none before all
    workers are ready, even if the protos would let each go first.
    """

    canary: "Fraction | None" = None
    stagger: int | None = None
    pause_s: float = 0.0
    at_s: float | None = None
    is_barrier: bool = False

    @property
    def is_by_parts(self) -> bool:
        """Whether some partitions come before others, or at a time: then both protos must read all requests."""
        return self.canary is not None or self.stagger is not None or self.at_s is not None

    @property
    def is_asked_for(self) -> bool:
        """Whether it must be in steps, whatever the protos."""
        return self.is_by_parts or self.is_barrier


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The parts that a swap replaces; a part that is None is inherited from `base`.

    A path is a local file: a model is uploaded to the settings' store (a folder as a zip); a proto (.proto, or a
    descriptor set .desc or .binpb) goes inline, or to the store if it is larger than 64 KiB. The samples take at most
    256 KiB. `kind` None: detected from the model's file. `name` None: the file's, without its suffix. `base` None: the
    newest generation that no worker failed to stage. `generation` None: the next free number. `deadline_s`: limit on a
    worker's staging; None: the worker's setting. `rollout`: it may be staged first, and `Client.await_swap` promotes
    it; None: in one step. `golden`: rows with the answers that it must give, from a CSV or JSON file, or as they are; a
    base that has some needs a choice if the model or the proto is replaced. `golden_tolerances` are those of the file's
    fields, beside its own.
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
    rollout: Rollout | None = None
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

    `incompatible` has the reasons for a cut after the backlog, if the protos caused it. `rollout`: the generation is
    only staged so far, and `steps` are the partitions of each promotion to come, None: all that are left. `partitions`:
    those that a promotion is about; None: all. `abandoned`: the generation that must not score any partition any more.
    `notes` are for the person who gave the command.
    """

    command_id: str
    generation: int
    cut: Mapping[int, int]
    deadline_s: float
    incompatible: tuple[str, ...] = ()
    rollout: Rollout | None = None
    steps: tuple[frozenset[int] | None, ...] = (None,)
    partitions: frozenset[int] | None = None
    abandoned: int = 0
    notes: tuple[str, ...] = ()

    def awaits(self, partition: int, generation: int) -> bool:
        """Whether a partition that `generation` scored last has yet to follow the command."""
        if self.abandoned:
            return generation == self.abandoned
        return generation < self.generation and (self.partitions is None or partition in self.partitions)


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
