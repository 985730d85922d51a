"""Scoring with a local host, without Kafka and without a worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hotswap.artifacts.detect import find_model
from hotswap.artifacts.store import Store
from hotswap.client.change import artifact_of, read_proto
from hotswap.environments.guests import interpreter_for
from hotswap.generation import Configuration, Model, Proto
from hotswap.host.facts import Description
from hotswap.host.load import local_load
from hotswap.host.parent import ModelHost
from hotswap.settings import Settings


@asynccontextmanager
async def own_host(
    settings: Settings,
    model: Path | Model,
    kind: str | None,
    proto: Path | Proto,
    configuration: Configuration,
    *,
    on_unknown: Callable[[str, int], None] = lambda _column, _count: None,
    on_restart: Callable[[str], None] = lambda _why: None,
) -> AsyncIterator[tuple[ModelHost, Description]]:
    """Yield a host with a local or stored model, and its description; `kind` None: detected from the file.

    Raises:
        SwapError: the model, the proto and the configuration do not fit; the message has the difference.

    """
    contract = read_proto(proto) if isinstance(proto, Path) else proto
    if isinstance(model, Model):
        model_kind, loading = model.kind, _stored(settings, model)
    else:
        file, model_kind = find_model(model, kind)
        loading = artifact_of(settings, file, model_kind)
    async with loading as artifact, interpreter_for(settings, model_kind, artifact) as interpreter:
        host = ModelHost(
            load=local_load(settings, model_kind, artifact, interpreter, configuration, contract),
            deadline_s=(configuration.deadline_ms or settings.deadline_ms) / 1000,
            on_restart=on_restart,
            on_unknown=on_unknown,
        )
        try:
            yield host, await host.start()
        finally:
            await host.stop()


@asynccontextmanager
async def _stored(settings: Settings, model: Model) -> AsyncIterator[Path]:
    store = Store(settings)
    artifact = await store.fetch(model)
    try:
        yield artifact
    finally:
        store.release(artifact)
