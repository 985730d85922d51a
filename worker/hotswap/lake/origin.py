"""The scorer of a lake: the parts of a package, or of a generation in a deployment's control log."""

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

_HOST_SETTINGS: Final = (
    *("deadline_ms", "host_heap_mb"),
    *("sandbox", "sandbox_folder_mb", "sandbox_network", "sandbox_read"),
    *("pythons", "environment_max_bytes", "python_memory_mb"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginScorer:
    """A model file with its proto and configuration; `generation` 0: of a package."""

    generation: int
    kind: str
    model: Path
    proto: Proto
    """Inline."""
    configuration: Configuration

    def origin(self, operation: str, fields: Mapping[str, str] | None = None) -> Origin:
        """Return the origin to record in an output; reads the whole model.

        `fields`: column -> field where the names differ, as reported by a host of the model.
        """
        with self.model.open("rb") as file:
            model = hashlib.file_digest(file, "sha256").hexdigest()
        configuration = asdict(self.configuration.picklable())
        del configuration["text"]["columns"]  # not an option of text
        parts = {"kind": self.kind, "model": model, "proto": self.proto.sha256, "configuration": configuration}
        if fields:  # an earlier version scored tables with these names without them
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

    def spec(
        self, settings: Settings, origin: Origin, fields: Mapping[str, str] | None = None, *, is_local: bool = False
    ) -> "ScoringSpec":
        """Return the specification for executors, with the settings of their hosts; `fields` as for `origin`.

        `is_local`: they run on this machine, and share the cache.
        """
        cache = {"cache": settings.cache.absolute()} if is_local else {}
        return ScoringSpec(
            digest=origin.digest,
            generation=self.generation,
            kind=self.kind,
            model=f"hotswap-{origin.digest[:12]}",
            proto=self.proto,
            configuration=self.configuration.picklable(),
            fields=dict(fields or {}),
            operation=origin.operation,
            most_bytes=self.configuration.max_request_bytes or settings.max_request_bytes,
            settings={name: getattr(settings, name) for name in _HOST_SETTINGS} | _index(settings) | cache,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSpec:
    """The specification of a scoring job, sent to executors; its files are sent by Spark, by name."""

    digest: str
    generation: int
    kind: str
    model: str
    proto: Proto
    """Inline."""
    configuration: Configuration
    fields: dict[str, str]
    """Column -> field, where the names differ."""
    operation: str
    most_bytes: int
    """The maximum size of a request."""
    settings: dict[str, Any]
    """Host settings: memory, deadline, sandbox, the environments of Python models."""

    def table(self) -> TextOptions:
        """Return the options for reading tables."""
        return self.configuration.table(self.fields)

    def schema(self) -> Schema:
        """Return the compiled proto."""
        return protos.compile_now(self.proto.source or b"", self.proto.is_descriptor_set)


def _index(settings: Settings) -> dict[str, str]:
    """Return the index of packages, unless it may have user info: executors are sent no credentials."""
    index = settings.python_index
    return {"python_index": index} if index and "@" not in index else {}


async def fetch(settings: Settings, number: int | None, folder: Path) -> OriginScorer:
    """Return a generation of the deployment (None: the serving one), with its model in a file in `folder`.

    Raises:
        UsageError: there is no such generation.
        SwapError: a part cannot be fetched from the store.

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
        lacking = "no generation" if number is None else f"no generation {number}"
        raise UsageError(f"deployment {settings.deployment!r} has {lacking} (accepted: {known}): name a --package")
    return swap.generation
