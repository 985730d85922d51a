"""What scores a lake: the parts of a package, or of a generation that a deployment's control log has."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hotswap.artifacts.store import Store
from hotswap.client import overview, protos
from hotswap.client.offsets import generations, read_offsets
from hotswap.codec.proto import Schema
from hotswap.errors import UsageError
from hotswap.generation import Configuration, Generation, Proto, TextOptions
from hotswap.lake.plan import Origin
from hotswap.settings import Settings

_OF_HOSTS: Final = (
    *("deadline_ms", "host_heap_mb"),
    *("sandbox", "sandbox_folder_mb", "sandbox_network", "sandbox_read"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginScorer:
    """A model's file, and what it is scored with; `generation` 0: a package, not a deployment's generation."""

    generation: int
    kind: str
    model: Path
    proto: Proto
    """Inline."""
    configuration: Configuration

    def origin(self, operation: str, fields: Mapping[str, str] | None = None) -> Origin:
        """Return what an output remembers of it; reads the whole model.

        `fields` are those of the model's columns that are called otherwise, as a host of the model reported.
        """
        with self.model.open("rb") as file:
            model = hashlib.file_digest(file, "sha256").hexdigest()
        configuration = asdict(self.configuration.picklable())
        del configuration["text"]["columns"]  # no part of a text's options
        parts = {"kind": self.kind, "model": model, "proto": self.proto.sha256, "configuration": configuration}
        if fields:  # tables with these names were once scored without them
            parts["fields"] = dict(fields)
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=sorted).encode()).hexdigest()
        return Origin(
            digest=digest,
            generation=self.generation,
            kind=self.kind,
            model_sha256=model,
            proto_sha256=self.proto.sha256,
            operation=operation,
        )

    def parcel(self, settings: Settings, origin: Origin, fields: Mapping[str, str] | None = None) -> "Parcel":
        """Return what executors are sent to score with, in hosts as these settings say; `fields` as for `origin`."""
        return Parcel(
            digest=origin.digest,
            generation=self.generation,
            kind=self.kind,
            model=f"hotswap-{origin.digest[:12]}",
            proto=self.proto,
            configuration=self.configuration.picklable(),
            fields=dict(fields or {}),
            operation=origin.operation,
            most_bytes=self.configuration.max_request_bytes or settings.max_request_bytes,
            settings={name: getattr(settings, name) for name in _OF_HOSTS},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What an executor is sent to score with; its files are Spark's, by their names."""

    digest: str
    generation: int
    kind: str
    model: str
    proto: Proto
    """Inline."""
    configuration: Configuration
    fields: dict[str, str]
    """Of the model's columns that are called otherwise."""
    operation: str
    most_bytes: int
    """Of a request."""
    settings: dict[str, Any]
    """Those of its hosts: memory, deadline, sandbox."""

    def table(self) -> TextOptions:
        """Return how the rows of tables are read."""
        return self.configuration.table(self.fields)

    def schema(self) -> Schema:
        """Return the proto, compiled."""
        return protos.compile_now(self.proto.source or b"", self.proto.is_descriptor_set)


async def fetch(settings: Settings, number: int | None, folder: Path) -> OriginScorer:
    """Return a generation of the deployment, with its model in a file of this folder; None: the one that serves.

    Raises:
        UsageError: there is none, or none of that number.
        SwapError: a part of it cannot be fetched from the store.

    """
    generation = await _generation(settings, number)
    store = Store(settings)
    source = await store.fetch_proto(generation.proto)
    model = folder / "model"
    with model.open("w+b") as file:
        await store.save(generation.model, file)
    return OriginScorer(
        generation=generation.number,
        kind=generation.model.kind,
        model=model,
        proto=replace(generation.proto, source=source, uri=None),
        configuration=generation.configuration,
    )


async def _generation(settings: Settings, number: int | None) -> Generation:
    history, fleet = await overview.read_history(settings), await overview.read_fleet(settings)
    swaps = history.timeline.swaps
    scored = generations(await read_offsets(settings)) if number is None else ()
    swap = history.serving(fleet, scored) if number is None else swaps.get(number)
    if swap is None:
        known = ", ".join(map(str, swaps)) or "none"
        wanted = "no generation" if number is None else f"no generation {number}"
        raise UsageError(f"deployment {settings.deployment!r} has {wanted} (accepted: {known}): name a --package")
    return swap.generation
