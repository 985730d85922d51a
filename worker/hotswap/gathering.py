"""Gathers what a generation is loaded from: the artifact, the proto, and the environment of the model's packages."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from hotswap.artifacts.store import Store
from hotswap.environments.environments import Environment, Environments
from hotswap.environments.guests import interpreter_of
from hotswap.errors import StartError, SwapCode, SwapError
from hotswap.failpoints import failpoint
from hotswap.generation import Generation, Model
from hotswap.host.load import Load, sandbox_of
from hotswap.runtimes.kinds import kinds, no_runtime, not_allowed, runtime_of
from hotswap.settings import Settings


@dataclass(slots=True)
class Underway:
    """A staging in progress."""

    deadline_s: float
    doing: Callable[[], str]
    """Returns what it does now, to complete "it was …"."""
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class GatheredParts:
    """What a generation is loaded from. `held` lets go of it; `environment` is its digest, if it has one."""

    load: Load
    held: ExitStack
    environment: str = ""
    golden: bytes = b""
    """The document of golden answers, for the first start alone."""


class Gathering:
    """Gathers the parts of generations for a worker."""

    def __init__(self, settings: Settings, store: Store, max_answer_bytes: Callable[[], Awaitable[int | None]]) -> None:
        """`max_answer_bytes` returns the largest answer that the predictions topic allows now; None: not known.

        Raises StartError: the settings name a kind of model that there is not.
        """
        if unknown := sorted(settings.kinds_allowed - set(kinds())):
            raise StartError(f"HOTSWAP_KINDS: {no_runtime(unknown[0], kinds())}")
        self._settings = settings
        self._store = store
        self._max_answer_bytes = max_answer_bytes
        self._environments = Environments(settings)

    async def gather(self, generation: Generation, underway: Underway, kept: Sequence[str]) -> GatheredParts:
        """Return the parts of a generation; `kept` are the environments of those that are loaded.

        Raises SwapError: KIND_MISSING if this worker does not load such models, or as Store and Environments do.
        """
        settings, kind = self._settings, generation.model.kind
        if kind not in settings.kinds_allowed:
            runtime_of(kind)  # raises for one that no worker of this version knows
            raise SwapError(SwapCode.KIND_MISSING, not_allowed(kind))
        started = monotonic()
        with ExitStack() as held:
            folder = await self._store.fetch(generation.model)
            held.callback(self._store.release, folder)
            underway.doing = lambda: "fetching the proto"
            proto = await self._store.fetch_proto(generation.proto)
            golden = b""
            if generation.golden:
                underway.doing = lambda: "fetching the golden answers"
                golden = await self._store.fetch_golden(generation.golden)
            underway.phases["fetch"] = monotonic() - started
            failpoint("stage.fetched")
            environment = None
            if runtime_of(kind).has_guest:
                environment = await self._prepare(folder, underway, kept)
                held.callback(self._environments.release, environment)
            load = Load(
                generation=generation.number,
                kind=kind,
                model=folder,
                proto=proto,
                is_descriptor_set=generation.proto.is_descriptor_set,
                configuration=generation.configuration,
                samples=generation.samples,
                heap_mb=settings.host_heap_mb,
                sandbox=sandbox_of(settings),
                max_answer_bytes=await self._max_answer_bytes(),
                interpreter=interpreter_of(environment, settings) if environment else None,
                verify=partial(self._verify, generation.model, environment),
            )
            return GatheredParts(load, held.pop_all(), environment.digest if environment else "", golden)

    async def stop(self) -> None:
        """Wait until what was cancelled has left nothing behind, for a bounded time."""
        await self._environments.stop()

    async def _prepare(self, folder: Path, underway: Underway, kept: Sequence[str]) -> Environment:
        started = monotonic()
        underway.doing = lambda: "preparing the environment of the model's packages"
        environment = await self._environments.prepare(folder)
        try:
            await self._environments.keep(self._settings.group_id, {environment.digest, *kept})
        except BaseException:
            self._environments.release(environment)
            raise
        underway.phases["environment"] = monotonic() - started
        return environment

    async def _verify(self, model: Model, environment: Environment | None) -> None:
        await self._store.verify(model)
        if environment:
            await self._environments.verify(environment)
