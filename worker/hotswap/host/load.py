"""A generation as a model host gets it, and what its child is told of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from hotswap.generation import Configuration
from hotswap.host.frames import Order
from hotswap.host.jvm_spec import make_ground


async def _trust() -> None:
    """Take the artifact as it is: it is the caller's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A generation as its host gets it: the artifact on disk, the proto's bytes, the configuration."""

    generation: int
    kind: str
    model: Path
    proto: bytes
    is_descriptor_set: bool
    configuration: Configuration
    samples: tuple[bytes, ...]
    heap_mb: int
    verify: Callable[[], Awaitable[None]] = field(default=_trust, compare=False)
    """Sees to it that the artifact is what was published, before each load; raises SwapError."""


async def make_order(load: Load) -> Order:
    """Give what the child needs to hold it, once the artifact is known to be what was published.

    Raises SwapError where it cannot be had any more, or where there is no runtime, Java or jar for it.
    """
    ground = await asyncio.to_thread(make_ground, load.kind, load.heap_mb)
    await load.verify()
    return Order(
        ground=ground,
        model=str(load.model.absolute()),
        proto=load.proto,
        is_descriptor_set=load.is_descriptor_set,
        configuration=load.configuration,
        samples=load.samples,
    )
