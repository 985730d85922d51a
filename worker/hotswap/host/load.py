"""A generation as a model host receives it, and the order that it sends to its child."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hotswap.artifacts.pickles import first_pickle
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration, Proto
from hotswap.host.jvm_spec import make_ground
from hotswap.host.order import GuestPython, Order
from hotswap.host.sandbox import AUTO, Sandbox
from hotswap.runtimes.kinds import runtime_of
from hotswap.settings import Settings

_NO_PROTO: Final = Proto("")


async def _trust() -> None:
    """Accept the artifact unverified: it is the caller's own file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A generation as its host receives it: the artifact on disk, the proto's bytes, the configuration."""

    generation: int
    kind: str
    model: Path
    proto: bytes
    is_descriptor_set: bool
    configuration: Configuration
    samples: tuple[bytes, ...]
    heap_mb: int
    sandbox: Sandbox = AUTO
    max_answer_bytes: int | None = None
    """The largest answer that the predictions topic allows; None: not known."""
    interpreter: GuestPython | None = None
    """For a kind whose models run in a process of their own."""
    verify: Callable[[], Awaitable[None]] = field(default=_trust, compare=False)
    """Verifies before each load that the artifact is the one that was published; raises SwapError."""


async def make_order(load: Load) -> Order:
    """Verify the artifact and return everything the child needs to load the generation.

    Raises SwapError if the artifact is no longer available, has a pickle that its kind does not allow, or if a runtime,
    Java or a jar is missing.
    """
    ground = await asyncio.to_thread(make_ground, load.kind, load.heap_mb, load.sandbox)
    await load.verify()
    if runtime_of(load.kind).refuses_pickles and (name := await asyncio.to_thread(first_pickle, load.model)):
        raise SwapError(
            SwapCode.MODEL_INVALID,
            f"the model has a pickle, {name}, whose code runs as it is read: swap it as kind {load.kind}-pickle, which "
            "HOTSWAP_KINDS of every worker has to name, or save what is in it in a format that is data",
        )
    return Order(
        ground=ground,
        model=str(load.model.absolute()),
        proto=load.proto,
        is_descriptor_set=load.is_descriptor_set,
        configuration=load.configuration,
        samples=load.samples,
        max_answer_bytes=load.max_answer_bytes,
        interpreter=load.interpreter,
    )


def local_load(
    settings: Settings,
    kind: str,
    model: Path,
    interpreter: GuestPython | None,
    configuration: Configuration,
    proto: Proto = _NO_PROTO,
    samples: tuple[bytes, ...] = (),
) -> Load:
    """Return the load of a model that is of no deployment, for a host with the settings' memory and sandbox."""
    return Load(
        generation=0,
        kind=kind,
        model=model,
        proto=proto.source or b"",
        is_descriptor_set=proto.is_descriptor_set,
        configuration=configuration,
        samples=samples,
        heap_mb=settings.host_heap_mb,
        sandbox=sandbox_of(settings),
        interpreter=interpreter,
    )


def sandbox_of(settings: Settings) -> Sandbox:
    """Return how the hosts of a worker with these settings are shut in."""
    read = [Path(path.strip()).expanduser() for path in settings.sandbox_read.split(",") if path]
    return Sandbox(
        mode=settings.sandbox,
        read=tuple(str(path.absolute()) for path in read),
        cache=str(settings.artifacts.absolute()),
        has_network=settings.sandbox_network,
        folder_mb=settings.sandbox_folder_mb,
    )
