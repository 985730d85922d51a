"""One request for concurrent queries of the same kind, such as those of partitions that open."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

from hotswap.errors import Doubt
from hotswap.kafka.client.connection import claimed

K = TypeVar("K")
T = TypeVar("T")


class Together(Generic[K, T]):
    """Batches queries into one request at a time, as long as a caller waits for an answer.

    Queries made while a request is under way share the next one, which is sent after them, so its answer is as new as
    they are. If it fails, each query is sent alone: one that fails does not fail the others.
    """

    def __init__(self, request: Callable[[AbstractSet[K]], Awaitable[Mapping[K, T]]]) -> None:
        self._request = request
        self._turn = asyncio.Lock()
        self._keys: set[K] = set()
        self._next: asyncio.Future[Mapping[K, T]] | None = None

    async def ask(self, key: K) -> T:
        """Return the answer for a key.

        Raises:
            Doubt: from the request for this key alone.

        """
        if self._next is None:
            self._keys = set()
            self._next = claimed(asyncio.ensure_future(self._share(self._keys)))
        keys, shared = self._keys, self._next
        keys.add(key)
        try:
            answers = await asyncio.shield(shared)
        except Doubt:
            if keys == {key}:
                raise
            answers = await self._request({key})
        return answers[key]

    async def _share(self, keys: AbstractSet[K]) -> Mapping[K, T]:
        async with self._turn:
            self._next = None
            return await self._request(keys)
