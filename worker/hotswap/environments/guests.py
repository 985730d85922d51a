"""The Python that a model's own process runs on (host/guest.py), in the model's environment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hotswap.environments.environments import Environment, Environments
from hotswap.host.order import GuestPython
from hotswap.runtimes.kinds import runtime_of
from hotswap.settings import Settings


def interpreter_of(environment: Environment, settings: Settings) -> GuestPython:
    """Return an environment as a model host takes it."""
    return GuestPython(
        program=str(environment.python),
        site=str(environment.site),
        reads=environment.reads,
        memory_mb=settings.python_memory_mb,
    )


@asynccontextmanager
async def interpreter_for(settings: Settings, kind: str, model: Path) -> AsyncIterator[GuestPython | None]:
    """Yield the Python of a local model, if its kind has one, in an environment that is kept until the block ends.

    Raises SwapError, as Environments.prepare does.
    """
    if not runtime_of(kind).has_guest:
        yield None
        return
    environments = Environments(settings)
    try:
        environment = await environments.prepare(model)
        try:
            yield interpreter_of(environment, settings)
        finally:
            environments.release(environment)
    finally:
        await environments.stop()
