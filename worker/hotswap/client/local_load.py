"""A generation as a model host of this machine loads it: what a worker would check, before any command."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hotswap.artifacts.store import Store
from hotswap.client import protos
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Generation, Proto
from hotswap.local.system import IS_POSIX
from hotswap.settings import Settings

if TYPE_CHECKING:
    from hotswap.host.load import Load

_HERE: Final = frozenset({SwapCode.KIND_MISSING, SwapCode.CACHE_FAILED})
"""The codes of what this machine lacks, which says nothing of the workers."""
_OF_STORES: Final = frozenset({SwapCode.ARTIFACT_UNREACHABLE, SwapCode.URI_DENIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLoad:
    """What became of a generation in a host of this machine; without a `fault` and `unchecked`, it can be loaded.

    `fault`: why a worker could not load it, either. `unchecked`: why it was not loaded here, which is no fault of it.
    `fits` has for each operation the columns of the model that have a field, `misfits` a line for each that has none.
    """

    description: str = ""
    seconds: float = 0.0
    samples: int = 0
    golden: int = 0
    """How many golden rows it has answered as expected."""
    fits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    misfits: Sequence[str] = ()
    fault: str = ""
    unchecked: str = ""


class OwnParts(NamedTuple):
    """Parts of a generation as they are before their upload.

    `proto` is the generation's in any case; `file` is its model, of this `kind` (None: detected); `golden` has the
    document of its golden answers. None: those in the store.
    """

    proto: Proto
    file: Path | None = None
    kind: str | None = None
    golden: bytes | None = None


async def load_here(
    settings: Settings,
    generation: Generation,
    own: OwnParts,
    *,
    is_inherited: bool = False,
    max_answer_bytes: int | None = None,
) -> LocalLoad:
    """Fetch, verify and load a generation, score its samples and compare its golden answers.

    A model that `is_inherited`, and such golden answers, need not be in reach of this machine: the workers have them.
    """
    if not IS_POSIX:
        return LocalLoad(unchecked="a model host needs Linux or macOS")
    store = Store(settings)
    try:
        contract = replace(own.proto, source=await store.fetch_proto(own.proto))
    except SwapError as error:
        return LocalLoad(fault=f"{error.code}: {error.message}")
    golden = own.golden
    if golden is None and generation.golden:
        try:
            golden = await store.fetch_golden(generation.golden)
        except SwapError as error:
            return LocalLoad(unchecked=f"its golden answers are not in reach: {error.message}")
    from hotswap.client.scoring import own_load  # noqa: PLC0415 - unavailable on Windows

    model, configuration = own.file or generation.model, generation.configuration
    try:
        async with own_load(settings, model, own.kind, contract, configuration, generation.samples) as load:
            return await _loaded(replace(load, max_answer_bytes=max_answer_bytes), golden or b"")
    except SwapError as error:
        if error.code in _HERE or (is_inherited and error.code in _OF_STORES):
            return LocalLoad(unchecked=error.message)
        return LocalLoad(fault=f"{error.code}: {error.message}")


async def _loaded(load: "Load", golden: bytes) -> LocalLoad:
    from hotswap.client.scoring import check  # noqa: PLC0415 - unavailable on Windows
    from hotswap.codec.golden import GoldenAnswers  # noqa: PLC0415 - few generations have some
    from hotswap.host.jvm_spec import make_ground  # noqa: PLC0415 - the same

    try:
        await asyncio.to_thread(make_ground, load.kind, load.heap_mb, load.sandbox)
    except SwapError as lacking:  # whatever it is, this machine lacks it
        return LocalLoad(unchecked=lacking.message)
    try:
        description = await check(load, golden)
    except SwapError as error:
        if error.code is not SwapCode.SCHEMA_MISMATCH:
            raise
        misfits = tuple(error.message.splitlines()[1:])
        return LocalLoad(fits=await _fits(load), misfits=misfits, fault=f"{error.code}: {error.message}")
    return LocalLoad(
        description=description.columns,
        seconds=sum(description.phase_seconds.values()),
        samples=len(load.samples),
        golden=len(GoldenAnswers.parse(golden).rows) if golden else 0,
        fits={name: _read(reads, description.fields.get(name, {})) for name, reads in description.reads.items()},
    )


def _read(reads: Mapping[str, Sequence[str]], fields: Mapping[str, str]) -> Sequence[str]:
    columns = {path: column for column, path in fields.items()}
    return tuple(_named(columns.get(path, path), path) for path in reads)


async def _fits(load: "Load") -> Mapping[str, Sequence[str]]:
    """Return the columns that have a field, although others have none; empty if that cannot be told."""
    from hotswap.codec.fields import descriptor_of  # noqa: PLC0415 - for a misfit alone
    from hotswap.codec.sources import find_sources  # noqa: PLC0415 - the same
    from hotswap.host.describe import ask  # noqa: PLC0415 - the same

    try:
        interface = await ask(load)
    except SwapError:
        return {}
    schema = await protos.compile(load.proto, load.is_descriptor_set)
    return {
        name: tuple(_named(source.column.name, source.path) for source in found.sources)
        for name, operation in schema.operations.items()
        for found in [find_sources(descriptor_of(operation.input), interface.columns or (), load.configuration.columns)]
    }


def _named(column: str, path: str) -> str:
    return column if column == path else f"{column} (field {path})"
