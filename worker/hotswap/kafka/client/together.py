"""One request for all who ask for the same kind of thing at about the same time, as partitions that open do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

from hotswap.errors import Doubt
from hotswap.kafka.client.connection import claimed

K = TypeVar("K")
T = TypeVar("T")


class Together(Generic[K, T]):
    """Asks again and again, one request at a time, as long as somebody waits for an answer.

    Whoever asks while a request is under way shares the next one: it is sent after they asked, so its answer knows of
    all that was there before. If it fails, each asks alone: who cannot be answered fails nobody else.
    """

    def __init__(self, request: Callable[[AbstractSet[K]], Awaitable[Mapping[K, T]]]) -> None:
        self._request = request
        self._turn = asyncio.Lock()
        self._asked: set[K] = set()
        self._next: asyncio.Future[Mapping[K, T]] | None = None

    async def ask(self, key: K) -> T:
        """Return the answer for a key.

        Raises:
            Doubt: from the request for this key alone.

        """
        if self._next is None:
            self._asked = set()
            self._next = claimed(asyncio.ensure_future(self._share(self._asked)))
        asked, shared = self._asked, self._next
        asked.add(key)
        try:
            answers = await asyncio.shield(shared)
        except Doubt:
            if asked == {key}:
                raise
            answers = await self._request({key})
        return answers[key]

    async def _share(self, asked: AbstractSet[K]) -> Mapping[K, T]:
        async with self._turn:
            self._next = None
            return await self._request(asked)
