"""The loops of the partitions that a worker owns: started, watched and ended as the group hands them out."""

import asyncio
from collections.abc import Callable, Sequence

from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.ports import PartitionState

_LOOK_S = 0.2


class Pipeline:
    """The loops of all partitions that this worker owns; told by the membership what comes and goes."""

    def __init__(self, open_loop: Callable[[int], PartitionLoop], *, stop_timeout_s: float) -> None:
        self._open_loop = open_loop
        self._stop_timeout_s = stop_timeout_s
        self._running: dict[int, tuple[PartitionLoop, asyncio.Task[None]]] = {}
        self._is_stopped = False

    @property
    def states(self) -> dict[int, PartitionState]:
        """Partition -> its state, for every partition that is owned now."""
        return {partition: loop.state for partition, (loop, _) in self._running.items()}

    async def watch(self) -> None:
        """Looks after the batches that take long, until cancelled: this costs less than a timer for each batch."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for loop, _ in self._running.values():
                loop.reconsider()

    def assigned(self, partitions: Sequence[int]) -> None:
        """Starts a loop for each partition."""
        # A rebalance may still hand out partitions to a worker that is about to leave.
        for partition in () if self._is_stopped else partitions:
            loop = self._open_loop(partition)
            task = asyncio.create_task(loop.run(), name=f"partition-{partition}")
            self._running[partition] = loop, task

    async def revoked(self) -> None:
        """Lets every loop commit its batch in hand or gives it up, within the bound; then no producer is left."""
        tasks = [task for _, task in self._running.values()]
        for loop, _ in self._running.values():
            loop.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._stop_timeout_s)
            for task in late:
                # A batch that is given up here was not committed: its next owner's fence ends the transaction.
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()

    async def stop(self) -> None:
        """As `revoked`, for good: what is assigned from now on is left alone."""
        self._is_stopped = True
        await self.revoked()

    def failure(self) -> BaseException | None:
        """The error that ended a loop which should be running: a defect, and the reason to stop the worker."""
        for _, task in self._running.values():
            if task.done() and not task.cancelled() and task.exception():
                return task.exception()
        return None
