"""Scoring with a local host, without Kafka and without a worker."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from hotswap.artifacts.detect import find_model
from hotswap.artifacts.store import Store
from hotswap.batch import Answer, Ask
from hotswap.client.change import artifact_of, read_proto
from hotswap.environments.guests import interpreter_for
from hotswap.generation import Configuration, Model, Proto
from hotswap.host.facts import Description
from hotswap.host.load import Load, local_load
from hotswap.host.parent import ModelHost
from hotswap.settings import Settings

_DEADLINE_S = 60.0  # of a batch of golden rows; the samples are scored while the host starts


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
    async with own_load(settings, model, kind, contract, configuration) as load:
        host = ModelHost(
            load=load,
            deadline_s=(configuration.deadline_ms or settings.deadline_ms) / 1000,
            on_restart=on_restart,
            on_unknown=on_unknown,
        )
        try:
            yield host, await host.start()
        finally:
            await host.stop()


@asynccontextmanager
async def own_load(
    settings: Settings,
    model: Path | Model,
    kind: str | None,
    proto: Proto,
    configuration: Configuration,
    samples: tuple[bytes, ...] = (),
) -> AsyncIterator[Load]:
    """Yield the load of a local or stored model, whose artifact and environment are kept meanwhile.

    Raises:
        SwapError: it cannot be fetched, or there is no runtime for its kind here.

    """
    if isinstance(model, Model):
        model_kind, loading = model.kind, _stored(settings, model)
    else:
        file, model_kind = find_model(model, kind)
        loading = artifact_of(settings, file, model_kind)
    async with loading as artifact, interpreter_for(settings, model_kind, artifact) as interpreter:
        yield local_load(settings, model_kind, artifact, interpreter, configuration, proto, samples)


async def check(load: Load, golden: bytes = b"") -> Description:
    """Load, score the samples, compare golden answers (a document), and return what the host says of itself.

    Raises SwapError.
    """
    return (await answer(load, 0, golden))[0]


async def answer(load: Load, count: int, golden: bytes = b"") -> tuple[Description, Sequence[Answer]]:
    """Do as `check` does; return the answers to the first samples, too."""
    host = ModelHost(load=load, deadline_s=_DEADLINE_S, on_restart=lambda _: None, on_unknown=lambda _, __: None)
    try:
        description = await host.start(golden=golden)
        asks = [Ask(description.operations[0])] * len(load.samples[:count])
        return description, await host.score(load.samples[:count], asks)
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
