"""The plan of a batch, without I/O: the input files of each partition, and the additions of a second run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from hotswap.errors import UsageError

_MOST_BYTES: Final = 256 << 20
_LEAST_BYTES: Final = 8 << 20
_PARTITIONS: Final = 32
"""The approximate number of partitions of a small input: an interrupted run loses at most one."""


PARTITION: Final = "partition"
"""The column with a row's partition, from the folder's name."""


class File(NamedTuple):
    """An input file: its size in bytes, and its modification time in milliseconds since the epoch."""

    path: str
    size: int
    modified_ms: int


class Origin(BaseModel):
    """The scorer of an output: `digest` covers everything that decides the answers; the rest is for people."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    digest: str
    generation: int
    """0: of a package."""
    kind: str
    model_sha256: str
    proto_sha256: str
    operation: str

    def __str__(self) -> str:
        """`generation 7 (model 0123456789ab…, rpc predict)`."""
        name = f"generation {self.generation}" if self.generation else "a package"
        return f"{name} ({self.kind} model {self.model_sha256[:12]}…, rpc {self.operation})"


class OutputManifest(BaseModel):
    """The content of an output's `_hotswap.json`, read by a second run."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal["hotswap.batch:1"] = "hotswap.batch:1"
    origin: Origin
    partitions: list[list[tuple[str, int, int]]]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """An output: its origin, and the input files of each partition, in the order of their numbers."""

    origin: Origin
    partitions: tuple[tuple[File, ...], ...]

    def to_json(self) -> str:
        """Return the content of `_hotswap.json`."""
        files: list[list[tuple[str, int, int]]] = [list(partition) for partition in self.partitions]
        return OutputManifest(origin=self.origin, partitions=files).model_dump_json()

    @classmethod
    def of_json(cls, text: str) -> "BatchPlan":
        """Parse the content of `_hotswap.json`. Raises ValueError if it is invalid."""
        kept = OutputManifest.model_validate_json(text)
        return cls(kept.origin, tuple(tuple(File(*file) for file in files) for files in kept.partitions))


def begin(origin: Origin, files: Sequence[File]) -> BatchPlan:
    """Plan a new output."""
    return BatchPlan(origin, tuple(divide(files)))


def resume(plan: BatchPlan, origin: Origin, files: Sequence[File], output: str) -> BatchPlan:
    """Return the plan of an existing output, with partitions for files added to the input.

    Raises:
        UsageError: the output has another origin, or files have changed.

    """
    if (plan.origin.digest, plan.origin.operation) != (origin.digest, origin.operation):
        raise UsageError(
            f"{output} exists, and was scored by {plan.origin}, not by {origin}: name another --output, or remove it"
        )
    now = {file.path: file for file in files}
    known = {file.path: file for partition in plan.partitions for file in partition}
    if changed := [path for path, file in known.items() if path in now and now[path] != file]:
        raise UsageError(
            f"{output} was begun with other content of {_listed(changed)}, whose old rows may have been scored; "
            "name another --output, or remove this one"
        )
    added = [file for file in files if file.path not in known]
    return replace(plan, partitions=(*plan.partitions, *divide(added)))


def divide(files: Iterable[File]) -> list[tuple[File, ...]]:
    """Return the files, ordered by path, as partitions of similar sizes."""
    ordered = sorted(files)
    size = min(_MOST_BYTES, max(_LEAST_BYTES, sum(file.size for file in ordered) // _PARTITIONS))
    partitions: list[tuple[File, ...]] = []
    group: list[File] = []
    room = size
    for file in ordered:
        group.append(file)
        room -= file.size
        if room <= 0:
            partitions.append(tuple(group))
            group, room = [], size
    return [*partitions, tuple(group)] if group else partitions


def check_exist(partition: Iterable[File], now: Mapping[str, File]) -> None:
    """Raise UsageError if files of a partition no longer exist."""
    if gone := [file.path for file in partition if file.path not in now]:
        raise UsageError(f"{_listed(gone)} belonged to the input when the output was begun, and no longer exists")


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"
