"""One request for all who ask for the same thing at about the same time, as partitions that open side by side do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from hotswap.kafka.connection import claimed

T = TypeVar("T")


class Together(Generic[T]):
    """Asks again and again, one request at a time, as long as somebody waits for an answer.

    Whoever asks while a request is under way gets the answer of the next one: it was sent after they asked, so it knows
    of all that was there before.
    """

    def __init__(self, request: Callable[[], Awaitable[T]]) -> None:
        self._request = request
        self._turn = asyncio.Lock()
        self._next: asyncio.Future[T] | None = None

    async def ask(self) -> T:
        """Return the answer; raise what the request raises."""
        if self._next is None:
            self._next = claimed(asyncio.ensure_future(self._ask()))
        return await asyncio.shield(self._next)

    async def _ask(self) -> T:
        async with self._turn:
            self._next = None
            return await self._request()
