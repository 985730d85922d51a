"""Decides, without I/O, which input files make up each partition of the output, and what a second run may add."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from hotswap.errors import UsageError

_MOST_BYTES: Final = 256 << 20
_LEAST_BYTES: Final = 8 << 20
_PARTS: Final = 32
"""Into about so many partitions a small input is divided: a run that is interrupted loses one of them at most."""


PARTITION: Final = "partition"
"""The column that has a row's partition, which its folder names."""


class File(NamedTuple):
    """An input file: its size in bytes, and when it was modified, milliseconds since the epoch."""

    path: str
    size: int
    modified_ms: int


class Origin(BaseModel):
    """What scored an output: `digest` is that of everything which decides the answers; the rest is for people."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    digest: str
    generation: int
    """0: a package was given, not a deployment's generation."""
    kind: str
    model_sha256: str
    proto_sha256: str
    operation: str

    def __str__(self) -> str:
        """`generation 7 (model 0123456789ab…, rpc predict)`."""
        name = f"generation {self.generation}" if self.generation else "a package"
        return f"{name} ({self.kind} model {self.model_sha256[:12]}…, rpc {self.operation})"


class OutputManifest(BaseModel):
    """The content of an output's `_hotswap.json`, which its second run reads."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal["hotswap.batch:1"] = "hotswap.batch:1"
    origin: Origin
    partitions: list[list[tuple[str, int, int]]]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """An output: what scores it, and the input files of each partition, whose number is its place."""

    origin: Origin
    partitions: tuple[tuple[File, ...], ...]

    def to_json(self) -> str:
        """Return the content of `_hotswap.json`."""
        files: list[list[tuple[str, int, int]]] = [list(partition) for partition in self.partitions]
        return OutputManifest(origin=self.origin, partitions=files).model_dump_json()

    @classmethod
    def of_json(cls, text: str) -> "BatchPlan":
        """Read the content of `_hotswap.json`. Raises ValueError if it is not that."""
        kept = OutputManifest.model_validate_json(text)
        return cls(kept.origin, tuple(tuple(File(*file) for file in files) for files in kept.partitions))


def begin(origin: Origin, files: Sequence[File]) -> BatchPlan:
    """Plan a new output."""
    return BatchPlan(origin, tuple(divide(files)))


def resume(plan: BatchPlan, origin: Origin, files: Sequence[File], output: str) -> BatchPlan:
    """Return the plan of an output that exists, with partitions for files that have been added to the input.

    Raises:
        UsageError: something else scored it, or files have changed since.

    """
    if (plan.origin.digest, plan.origin.operation) != (origin.digest, origin.operation):
        raise UsageError(
            f"{output} exists, and was made by {plan.origin}, not by {origin}: name another --output, or remove it"
        )
    now = {file.path: file for file in files}
    known = {file.path: file for partition in plan.partitions for file in partition}
    if changed := [path for path, file in known.items() if path in now and now[path] != file]:
        raise UsageError(
            f"{output} was begun with other content of {_listed(changed)}: its rows may have been scored as they were; "
            "name another --output, or remove this one"
        )
    added = [file for file in files if file.path not in known]
    return replace(plan, partitions=(*plan.partitions, *divide(added)))


def divide(files: Iterable[File]) -> list[tuple[File, ...]]:
    """Return files that follow each other, by their paths, as partitions of similar sizes."""
    ordered = sorted(files)
    size = min(_MOST_BYTES, max(_LEAST_BYTES, sum(file.size for file in ordered) // _PARTS))
    partitions: list[tuple[File, ...]] = []
    some: list[File] = []
    room = size
    for file in ordered:
        some.append(file)
        room -= file.size
        if room <= 0:
            partitions.append(tuple(some))
            some, room = [], size
    return [*partitions, tuple(some)] if some else partitions


def check_there(partition: Iterable[File], now: Mapping[str, File]) -> None:
    """Raise UsageError if files of a partition that is to be scored are no longer there."""
    if gone := [file.path for file in partition if file.path not in now]:
        raise UsageError(f"{_listed(gone)} belonged to the input when the output was begun, and is no longer there")


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"
