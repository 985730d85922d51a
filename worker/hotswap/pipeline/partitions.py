"""The loops of the partitions that a worker owns: started, watched and stopped as they are assigned and revoked."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.ports import Router
from hotswap.pipeline.states import PartitionState

_LOOK_S = 0.2
_IDLE_CUT_OVERS = 32


class Pipeline:
    """The loops of all owned partitions; the membership calls `rejoining` or `revoked`, and `assigned`."""

    def __init__(self, open_loop: Callable[[int], PartitionLoop], *, stop_timeout_s: float) -> None:
        self._open_loop = open_loop
        self._stop_timeout_s = stop_timeout_s
        self._running: dict[int, tuple[PartitionLoop, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[None] | None = None  # asyncio itself keeps no task alive
        self._is_stopped = False

    @property
    def states(self) -> dict[int, PartitionState]:
        """State of every partition that is owned now, by number."""
        return {partition: loop.state for partition, (loop, _) in self._running.items()}

    async def watch(self, router: Router) -> None:
        """Check for batches that take long, and for idle partitions that may cut over, until cancelled.

        That is cheaper than a timer for each batch. Only some idle partitions cut over at a time: batches of the others
        do not wait for a thousand transactions.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await router.changed.wait()
            cut_over = 0
            for loop, _ in self._running.values():
                loop.reconsider()
                if cut_over < _IDLE_CUT_OVERS:
                    cut_over += loop.cut_over_idle()

    def rejoining(self) -> None:
        """Let no loop open its partition until `assigned`: another worker may have it by then, and would be fenced."""
        for loop, _ in self._running.values():
            loop.hold_back()

    def assigned(
        self, partitions: AbstractSet[int], kept: AbstractSet[int] = frozenset(), moving: AbstractSet[int] = frozenset()
    ) -> asyncio.Future[None]:
        """Start a loop for each partition whose loop is not kept, and end the others.

        What is `moving` has no other owner yet, so its batch in hand is committed; the future is done once all of that
        has ended. Of what is not ours any more, nobody waits for the batch: who has it now has fenced it, or will.
        """
        ending = []
        for partition in self._running.keys() - kept:
            loop, task = self._running.pop(partition)
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            if partition in moving:
                ending.append(task)
            if partition in moving and loop.state.in_hand is not None:
                loop.stop()
            else:
                task.cancel()
        for loop, _ in self._running.values():
            loop.go_on()
        # A rebalance may still assign partitions to a worker that is about to leave.
        for partition in () if self._is_stopped else sorted(partitions - self._running.keys()):
            loop = self._open_loop(partition)
            task = asyncio.create_task(loop.run(), name=f"partition-{partition}")
            self._running[partition] = loop, task
        self._ending = asyncio.ensure_future(self._end(ending))
        return self._ending

    async def revoked(self) -> None:
        """Let every loop commit its batch in hand, or give it up after the timeout; no producer is left afterwards."""
        for loop, _ in self._running.values():
            loop.stop()
        await self._end([*(task for _, task in self._running.values()), *self._leaving])
        self._running.clear()

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait for loops that have been told to stop, until the timeout."""
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._stop_timeout_s)
            for task in late:
                # A batch given up here is not committed: the next owner's fencing aborts its transaction.
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Stop all loops for good, as `revoked` does, and ignore later assignments."""
        self._is_stopped = True
        await self.revoked()

    def failure(self) -> BaseException | None:
        """Return the exception that ended a loop which should be running: a bug, which stops the worker."""
        for _, task in self._running.values():
            if task.done() and not task.cancelled() and task.exception():
                return task.exception()
        return None
