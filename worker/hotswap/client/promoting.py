"""The moment of a promotion: publishers change over between the end of their topic and the workers' knowledge of it."""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from hotswap.client import overview
from hotswap.client.fleet import Fleet
from hotswap.client.seen import heard_at
from hotswap.errors import Doubt
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader
from hotswap.settings import Settings
from hotswap.swap.command import PromoteCommand

_PAUSE_S = 0.1
_KNOWN_S = 10.0

ChangingOver = Callable[[], AbstractAsyncContextManager[None]]
"""Makes the block within which publishers change over."""


class Promotion:
    """A promotion that is about to be written: all that takes long has been done, so that publishers pause briefly."""

    def __init__(
        self,
        settings: Settings,
        command: PromoteCommand,
        at_ends: Collection[int],
        at_s: float | None,
        changing_over: ChangingOver | None,
    ) -> None:
        """`at_ends` are the partitions to cut at the end of their requests; all are, at their first of `at_s`."""
        self._settings = settings
        self._command = command
        self._at_ends = at_ends
        self._at_s = at_s
        self._changing_over = changing_over
        self._stack = AsyncExitStack()
        self._admin: Admin | None = None
        self._status: LogReader | None = None
        self._fleet = Fleet(settings.deployment)

    @property
    def cut(self) -> Mapping[int, int]:
        """Where it cuts: partition -> offset; complete once it is written."""
        return self._command.cut

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._at_ends or self._at_s is not None:
                self._admin = await stack.enter_async_context(Admin.connect(self._settings))
                await self._admin.end_offsets(self._settings.topics.requests)  # connects to the leaders
            if self._changing_over:
                self._status = await stack.enter_async_context(overview.status_log(self._settings))
                async for records in self._status.to_end():
                    for record in records:
                        self._fleet.receive(record.value, heard_at(record))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def complete(self) -> PromoteCommand:
        """Return the command with its cuts, and let publishers change over."""
        if self._changing_over:
            await self._stack.enter_async_context(self._changing_over())
        if self._admin:
            # The high watermark, not the last stable offset: a request in an open transaction precedes the cut.
            ends = await self._admin.end_offsets(self._settings.topics.requests)
            at_ends = {one: end for one, end in ends.items() if one in self._at_ends}
            if self._at_s is not None:
                firsts = await self._admin.offsets_at(self._settings.topics.requests, ends, int(self._at_s * 1000))
                at_ends = {one: end if (first := firsts[one]) is None else first for one, end in ends.items()}
            self._command = replace(self._command, cut={**self._command.cut, **at_ends})
        return self._command

    async def known(self) -> None:
        """Return once every live worker has read the command, if publishers wait for that.

        Raises:
            Doubt: a worker has not within seconds.

        """
        give_up = time.monotonic() + _KNOWN_S
        while self._status:
            answer = self._fleet.answer(self._command.command_id, self._fleet.live(time.time()), time.time())
            if answer.is_complete:
                return
            if time.monotonic() > give_up:
                raise Doubt(f"not known to have read the promotion: {', '.join(answer.missing) or 'any worker'}")
            for record in await self._status.read(_PAUSE_S):
                self._fleet.receive(record.value, heard_at(record))
