"""Loads a model that is being packed as a worker would stage it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

from hotswap.batch import Answer, Ask
from hotswap.client.change import artifact_of
from hotswap.environments.guests import interpreter_for
from hotswap.host.facts import Description
from hotswap.host.load import Load, local_load
from hotswap.host.parent import ModelHost
from hotswap.settings import Settings

_DEADLINE_S = 60.0  # of a batch of golden rows; the samples are scored while the host starts


@asynccontextmanager
async def loading(settings: Settings, model: Path, kind: str, *, is_served: bool) -> AsyncIterator[Callable[..., Load]]:
    """Yield what makes the load of a model, whose artifact and environment are kept meanwhile. Raises SwapError.

    Without `is_served`, there is no runtime for its kind here.
    """
    async with (
        artifact_of(settings, model, kind) as artifact,
        interpreter_for(settings, kind, artifact) if is_served else nullcontext() as interpreter,
    ):
        yield partial(local_load, settings, kind, artifact, interpreter)


async def check(load: Load) -> Description:
    """Load, score the samples, and return what the host says of itself. Raises SwapError."""
    return (await answer(load, 0))[0]


async def answer(load: Load, count: int) -> tuple[Description, Sequence[Answer]]:
    """Do as `check` does; return the answers to the first samples, too."""
    host = ModelHost(load=load, deadline_s=_DEADLINE_S, on_restart=lambda _: None, on_unknown=lambda _, __: None)
    try:
        description = await host.start()
        asks = [Ask(description.operations[0])] * len(load.samples[:count])
        return description, await host.score(load.samples[:count], asks)
    finally:
        await host.stop()
