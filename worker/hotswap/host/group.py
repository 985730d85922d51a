"""The model hosts of one generation on a worker, which score as many batches at a time as there are hosts."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hotswap.batch import Answer, Ask, Declined, Given, RecordBatch, Seal, Unsealed
from hotswap.host.facts import Description
from hotswap.host.parent import ModelHost


class HostGroup:
    """One or more hosts of the same generation, which start, serve and stop together."""

    def __init__(self, hosts: Sequence[ModelHost]) -> None:
        self._hosts = hosts
        self._batches = [0] * len(hosts)

    @property
    def deadline_s(self) -> float:
        """The deadline for a batch, and for each request of a one-by-one retry, seconds."""
        return self._hosts[0].deadline_s

    @property
    def busy_s(self) -> float:
        """How long the longest-running batch has been in its host, seconds; 0 when all hosts are idle."""
        return max(host.busy_s for host in self._hosts)

    @property
    def doing(self) -> str:
        """The current or last step of the first host that is not ready, to complete "it was …"."""
        return next(filter(None, (host.doing for host in self._hosts)), "")

    async def start(self, *, is_low_priority: bool = False, golden: bytes = b"") -> Description:
        """Start the first host and, once it has accepted the model, all others concurrently.

        The first alone scores the `golden` rows.
        Raises SwapError as ModelHost.start does; no host is left running then.
        """
        try:
            description = await self._hosts[0].start(is_low_priority=is_low_priority, golden=golden)
            async with asyncio.TaskGroup() as others:
                for host in self._hosts[1:]:
                    others.create_task(host.start(is_low_priority=is_low_priority))
        except BaseException as error:
            self.kill()
            if isinstance(error, ExceptionGroup):
                raise error.exceptions[0] from error
            raise
        return description

    @property
    def can_seal(self) -> bool:
        """See ModelHost.can_seal."""
        return self._hosts[0].can_seal

    async def score(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None = None, *, is_suspect: bool = False
    ) -> Sequence[Answer]:
        """Answer a batch as ModelHost.score does, on the host with the fewest batches."""
        with self._idlest() as host:
            return await host.score(values, asks, is_suspect=is_suspect)

    async def seal(self, seal: Seal, given: Given) -> Sequence[RecordBatch] | Declined | Unsealed:
        """Answer a batch as ModelHost.seal does, on the host with the fewest batches."""
        with self._idlest() as host:
            return await host.seal(seal, given)

    async def stop(self) -> None:
        """Finish the batches in progress and stop all hosts, within 2 seconds."""
        await asyncio.gather(*(host.stop() for host in self._hosts))

    def kill(self) -> None:
        """Kill all hosts."""
        for host in self._hosts:
            host.kill()

    @contextmanager
    def _idlest(self) -> Iterator[ModelHost]:
        """Lend the host with the fewest batches."""
        place = self._batches.index(min(self._batches))
        self._batches[place] += 1
        try:
            yield self._hosts[place]
        finally:
            self._batches[place] -= 1
