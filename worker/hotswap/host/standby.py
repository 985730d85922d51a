"""Standby hosts: children whose Java and libraries are up and that wait for a model, so that no swap waits for these.

One for each kind that is kept. It is used once; the next one is prepared some seconds after `keep` is called again. One
that dies, or that cannot be prepared, is replaced, ever more seldom where that fails again. Nothing here fails a swap:
where there is no standby, a host is started from the beginning.
"""

import asyncio
import logging
from collections.abc import Sequence
from itertools import count
from typing import Final

from hotswap.errors import SwapError, pause_before
from hotswap.host import frames
from hotswap.host.frames import FrameError, Ground, check_prepared
from hotswap.host.jvm_spec import make_ground
from hotswap.host.load import Load, make_order
from hotswap.host.process import HostGone, HostProcess

log = logging.getLogger(__name__)

_PREPARE_SECONDS: Final = 300.0
_REST_SECONDS: Final = 10.0
_REST_AT_MOST_SECONDS: Final = 300.0
_LAST_WORDS: Final = 500


class Standbys:
    """At most one standby for each kind; belongs to one event loop."""

    def __init__(self, *, heap_mb: int, child: Sequence[str]) -> None:
        """Keep nothing yet. `child` is the command of a model host; each has a Java heap of `heap_mb` MiB."""
        self._heap_mb = heap_mb
        self._child = child
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._ready: dict[str, tuple[Ground, HostProcess]] = {}

    @property
    def ready(self) -> list[str]:
        """The kinds of which a standby is waiting."""
        return sorted(self._ready)

    def keep(self, kind: str, prewarm_on: Load | None = None) -> None:
        """See to it that there is a standby of this kind before long, which has prewarmed on a model of it."""
        keeper = self._keepers.get(kind)
        if keeper is None or keeper.done():
            self._keepers[kind] = asyncio.create_task(self._keep(kind, prewarm_on), name=f"standby-{kind}")

    async def take(self, ground: Ground) -> HostProcess | None:
        """Give the standby that stands on this ground, which is the caller's then; None where there is none."""
        has, process = self._ready.get(ground.kind, (None, None))
        if process is None or has != ground:
            return None
        del self._ready[ground.kind]
        keeper = self._keepers.pop(ground.kind)
        keeper.cancel()
        # Two cannot listen to one process: the caller must not begin before the keeper has ended.
        await asyncio.gather(keeper, return_exceptions=True)
        return process

    async def stop(self) -> None:
        """End all standbys, and those that are being prepared."""
        keepers = list(self._keepers.values())
        self._keepers.clear()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self.kill()

    def kill(self) -> None:
        """End all standbys at once."""
        while self._ready:
            _, (_, process) = self._ready.popitem()
            process.dispose()

    async def _keep(self, kind: str, prewarm_on: Load | None) -> None:
        for attempt in count(1):
            # It takes a second of CPU and more: not right after a swap, whose stream has just had to wait.
            await asyncio.sleep(pause_before(attempt, first=_REST_SECONDS, most=_REST_AT_MOST_SECONDS))
            try:
                ground, process = await self._prepare(kind, prewarm_on)
            except (SwapError, HostGone, FrameError, TimeoutError) as error:
                log.warning("spare.failed", extra={"kind": kind, "why": str(error)})
            else:
                self._ready[kind] = ground, process
                log.info("spare.ready", extra={"kind": kind, "pid": process.pid})
                await self._watch(kind, process)

    async def _prepare(self, kind: str, prewarm_on: Load | None) -> tuple[Ground, HostProcess]:
        ground = await asyncio.to_thread(make_ground, kind, self._heap_mb)
        order = await make_order(prewarm_on) if prewarm_on else None
        process = await HostProcess.start(self._child)
        try:
            process.send(frames.pack_prepare(ground, order))
            async with asyncio.timeout(_PREPARE_SECONDS):
                frame = await process.receive()
            check_prepared(frame)
        except BaseException as error:
            process.dispose()
            if isinstance(error, HostGone):
                raise HostGone(f"{error}; the last that it printed: {process.tail[-_LAST_WORDS:]}") from error
            raise
        return ground, process

    async def _watch(self, kind: str, process: HostProcess) -> None:
        """Wait until a standby that nobody has taken is gone; it has nothing to say before it is asked."""
        why = "it spoke without being asked"
        try:
            await process.receive()
        except (HostGone, FrameError) as error:
            why = str(error)
        del self._ready[kind]
        process.dispose()
        log.warning("spare.died", extra={"kind": kind, "why": why})
