"""Scores with a model of one's own: a host beside the caller, without Kafka and without a worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hotswap.artifacts.detect import find_kind
from hotswap.client.change import artifact_of, read_proto
from hotswap.generation import Configuration, Proto
from hotswap.host.facts import Description
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost
from hotswap.settings import Settings


@asynccontextmanager
async def own_host(
    settings: Settings,
    model: Path,
    kind: str | None,
    proto: Path | Proto,
    configuration: Configuration,
    *,
    on_unknown: Callable[[str, int], None] = lambda _column, _count: None,
    on_restart: Callable[[str], None] = lambda _why: None,
) -> AsyncIterator[tuple[ModelHost, Description]]:
    """Yield a host with a local model, and what the model reads; `kind` None: detected from its file.

    Raises:
        SwapError: the model, the proto and the configuration do not fit each other, with what does not.

    """
    given = read_proto(proto) if isinstance(proto, Path) else proto
    found = kind or find_kind(model)
    async with artifact_of(settings, model, found) as artifact:
        host = ModelHost(
            load=Load(
                generation=0,
                kind=found,
                model=artifact,
                proto=given.source or b"",
                is_descriptor_set=given.is_descriptor_set,
                configuration=configuration,
                samples=(),
                heap_mb=settings.host_heap_mb,
            ),
            deadline_s=(configuration.deadline_ms or settings.deadline_ms) / 1000,
            on_restart=on_restart,
            on_unknown=on_unknown,
        )
        try:
            yield host, await host.start()
        finally:
            await host.stop()
