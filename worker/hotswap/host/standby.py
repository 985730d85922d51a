"""Warm standbys: children that have started Java and the libraries and wait for a model, so that no swap has to.

There is at most one per kind of model. It is used once; the next one is prepared some seconds after the next call of
`keep`. A standby that dies or cannot be prepared is replaced, with a back-off between attempts. A failure here never
fails a swap: without a standby, the swap starts a host from scratch.
"""

import asyncio
import logging
from collections.abc import Sequence
from itertools import count
from typing import Final

from hotswap.errors import SwapError, pause_before
from hotswap.host import frames
from hotswap.host.frames import FrameError, check_prepared
from hotswap.host.jvm_spec import make_ground
from hotswap.host.load import Load, make_order
from hotswap.host.order import Ground
from hotswap.host.process import HostGone, HostProcess
from hotswap.host.sandbox import AUTO, Sandbox

log = logging.getLogger(__name__)

_PREPARE_SECONDS: Final = 300.0
_BEHIND_SECONDS: Final = 20.0  # nothing waits for it; but on a busy machine it would never be ready
_PAUSE_SECONDS: Final = 10.0
_MAX_PAUSE_SECONDS: Final = 300.0


class Standbys:
    """At most one warm standby per kind of model; belongs to one event loop."""

    def __init__(self, *, heap_mb: int, child: Sequence[str], sandbox: Sandbox = AUTO) -> None:
        """Start with no standbys. `child` is the command of a model host; each gets a Java heap of `heap_mb` MiB.

        They are shut in before they get a model, so they can load only one that `sandbox` lets them read.
        """
        self._heap_mb = heap_mb
        self._sandbox = sandbox
        self._child = child
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._ready: dict[str, tuple[Ground, HostProcess]] = {}

    @property
    def ready(self) -> list[str]:
        """The kinds that have a standby waiting."""
        return sorted(self._ready)

    def keep(self, kind: str, prewarm_on: Load | None = None) -> None:
        """Prepare a standby of this kind in the background, unless there is one; it prewarms on `prewarm_on`."""
        keeper = self._keepers.get(kind)
        if keeper is None or keeper.done():
            self._keepers[kind] = asyncio.create_task(self._keep(kind, prewarm_on), name=f"standby-{kind}")

    async def take(self, ground: Ground) -> HostProcess | None:
        """Return the standby that runs on this JVM, or None; the caller takes ownership of it."""
        has, process = self._ready.get(ground.kind, (None, None))
        if process is None or has != ground:
            return None
        del self._ready[ground.kind]
        keeper = self._keepers.pop(ground.kind)
        keeper.cancel()
        # Only one task may receive from a process: wait until the keeper has stopped.
        await asyncio.gather(keeper, return_exceptions=True)
        return process

    async def stop(self) -> None:
        """Stop all standbys, including those still being prepared."""
        keepers = list(self._keepers.values())
        self._keepers.clear()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self.kill()

    def kill(self) -> None:
        """Kill all standbys that are ready."""
        while self._ready:
            _, (_, process) = self._ready.popitem()
            process.dispose()

    async def _keep(self, kind: str, prewarm_on: Load | None) -> None:
        for attempt in count(1):
            # Preparing takes more than a second of CPU: not right after a swap, when the stream has a backlog.
            await asyncio.sleep(pause_before(attempt, first=_PAUSE_SECONDS, most=_MAX_PAUSE_SECONDS))
            try:
                ground, process = await self._prepare(kind, prewarm_on)
            except (SwapError, HostGone, FrameError, TimeoutError) as error:
                log.warning("standby.failed", extra={"kind": kind, "why": str(error)})
            else:
                self._ready[kind] = ground, process
                log.info("standby.ready", extra={"kind": kind, "pid": process.pid})
                await self._watch(kind, process)

    async def _prepare(self, kind: str, prewarm_on: Load | None) -> tuple[Ground, HostProcess]:
        ground = await asyncio.to_thread(make_ground, kind, self._heap_mb, self._sandbox)
        order = await make_order(prewarm_on) if prewarm_on else None
        process = await HostProcess.start(self._child, behind_s=_BEHIND_SECONDS)
        try:
            process.send(frames.pack_prepare(ground, order))
            async with asyncio.timeout(_PREPARE_SECONDS):
                frame = await process.receive()
            check_prepared(frame)
        except BaseException as error:
            process.dispose()
            if isinstance(error, HostGone):
                raise HostGone(f"{error}{process.last_output}") from error
            raise
        return ground, process

    async def _watch(self, kind: str, process: HostProcess) -> None:
        """Wait until an untaken standby dies or sends a frame, which it must not, and discard it."""
        why = "it sent a frame without being asked"
        try:
            await process.receive()
        except (HostGone, FrameError) as error:
            why = str(error)
        del self._ready[kind]
        process.dispose()
        log.warning("standby.died", extra={"kind": kind, "why": why})
