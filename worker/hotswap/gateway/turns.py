"""Shares places fairly among callers: they take turns."""

from asyncio import CancelledError, Future, get_running_loop
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from http import HTTPStatus
from itertools import count

from hotswap.gateway.problems import Problem

MOST_WAITING = 64
"""How many pieces of work of one caller may wait."""


class Turns:
    """So many places, of which one caller takes at most `of_one` at a time.

    Callers whose work waits take turns; of each the least costly piece comes first. Work that costs more than `large`
    leaves a place to other work: to that of others, and to smaller pieces of the same caller.
    """

    def __init__(self, places: int, *, of_one: int, large: int | None = None) -> None:
        self._free = places
        self._of_one = of_one
        self._large = large
        self._number = count()
        self._taken = Counter[str]()
        self._large_taken = Counter[str]()
        self._waiting: dict[str, list[tuple[int, int, Future[None]]]] = {}  # in the order of their turns

    @asynccontextmanager
    async def turn(self, caller: str, cost: int) -> AsyncIterator[None]:
        """Take a place, in turn.

        Raises:
            Problem: 429, too much work of this caller waits.

        """
        await self._take(caller, cost)
        try:
            yield
        finally:
            self._give_back(caller, cost)

    async def _take(self, caller: str, cost: int) -> None:
        queue = self._waiting.setdefault(caller, [])
        if len(queue) >= MOST_WAITING:
            detail = f"{len(queue)} calls of this caller wait for their rows to be read or written: try again soon"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=2)
        turn = get_running_loop().create_future()
        heappush(queue, (cost, next(self._number), turn))
        self._hand_out()
        try:
            await turn
        except CancelledError:
            if turn.cancelled():
                self._forget(caller)
            else:
                self._give_back(caller, cost)
            raise

    def _forget(self, caller: str) -> None:
        left = sorted(one for one in self._waiting.pop(caller, ()) if not one[-1].done())
        if left:
            self._waiting[caller] = left

    def _give_back(self, caller: str, cost: int) -> None:
        self._free += 1
        add_to(self._taken, caller, -1)
        if self._is_large(cost):
            add_to(self._large_taken, caller, -1)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and (caller := self._next()) is not None:
            cost, _, turn = heappop(self._waiting[caller])
            if left := self._waiting.pop(caller):
                self._waiting[caller] = left  # behind the others
            if turn.done():
                continue  # its caller has left
            self._free -= 1
            add_to(self._taken, caller, 1)
            if self._is_large(cost):
                add_to(self._large_taken, caller, 1)
            turn.set_result(None)

    def _next(self) -> str | None:
        return next((caller for caller, queue in self._waiting.items() if self._may(caller, queue[0][0])), None)

    def _may(self, caller: str, cost: int) -> bool:
        if self._taken[caller] >= self._of_one:
            return False
        return not self._is_large(cost) or (self._free > 1 and self._large_taken[caller] < self._of_one - 1)

    def _is_large(self, cost: int) -> bool:
        return self._large is not None and cost > self._large


def add_to(counter: Counter[str], caller: str, by: int) -> None:
    """Count for a caller; those of whom nothing is left are forgotten."""
    counter[caller] += by
    if counter[caller] <= 0:
        del counter[caller]
