"""Loads a model that is being packed as a worker would stage it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

from hotswap.client.change import artifact_of
from hotswap.environments.guests import interpreter_for
from hotswap.host.load import Load, local_load
from hotswap.settings import Settings


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
