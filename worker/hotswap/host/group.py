"""The model hosts of one generation on a worker: as many batches are scored at a time as there are hosts."""

import asyncio
from collections.abc import Sequence

from hotswap.batch import Answer, Ask
from hotswap.host.facts import Description
from hotswap.host.parent import ModelHost


class HostGroup:
    """One host or several of the same generation, which start, serve and end together."""

    def __init__(self, hosts: Sequence[ModelHost]) -> None:
        self._hosts = hosts
        self._batches = [0] * len(hosts)

    @property
    def deadline_s(self) -> float:
        """How long each may take for a batch, and then for each request by itself, seconds."""
        return self._hosts[0].deadline_s

    @property
    def busy_s(self) -> float:
        """For how long the one that has been at its batch longest has been at it, seconds; 0: none has one."""
        return max(host.busy_s for host in self._hosts)

    async def start(self, *, is_low_priority: bool = False) -> Description:
        """Start the first one, and once that knows that the model is good, all others beside each other.

        Raises SwapError as ModelHost.start does; none is left running then.
        """
        try:
            description = await self._hosts[0].start(is_low_priority=is_low_priority)
            async with asyncio.TaskGroup() as others:
                for host in self._hosts[1:]:
                    others.create_task(host.start(is_low_priority=is_low_priority))
        except BaseException as error:
            self.kill()
            if isinstance(error, ExceptionGroup):
                raise error.exceptions[0] from error
            raise
        return description

    async def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None) -> list[Answer]:
        """Answer a batch as ModelHost.score does, by the host that has the fewest in hand."""
        place = self._batches.index(min(self._batches))
        self._batches[place] += 1
        try:
            return await self._hosts[place].score(values, asks)
        finally:
            self._batches[place] -= 1

    async def stop(self) -> None:
        """Finish the batches in hand and end all, within 2 seconds."""
        await asyncio.gather(*(host.stop() for host in self._hosts))

    def kill(self) -> None:
        """End all at once."""
        for host in self._hosts:
            host.kill()
