"""The demo's steady stream: publishes the rows of a domain in a cycle, and follows the answers."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from demo_domains import Domain

from hotswap.client.answers import Answers, Outgoing, Refused
from hotswap.client.client import Client

_TICK_S = 0.01
_RATE_OVER_S = 1.0
_DRAIN_S = 30.0


class Stream:
    """Publishes at a steady rate until `stop`; `asked`, `answered` and the rest show the progress."""

    def __init__(self, client: Client, domain: Domain, *, per_second: float) -> None:
        self._client = client
        self._domain = domain
        self._per_second = per_second
        self._started = asyncio.Event()
        self._all_answered = asyncio.Event()
        self._is_open = True
        self._publishing = asyncio.Lock()
        self.asked = 0
        self.refused = 0
        self.rate = 0.0
        self.answered_by: Counter[int] = Counter()

    @property
    def answered(self) -> int:
        """The number of predictions that have arrived."""
        return self.answered_by.total()

    @property
    def serving(self) -> int:
        """The newest generation that has answered."""
        return max(self.answered_by, default=0)

    async def publish(self) -> None:
        """Publishes from `start` to `stop`; a request's key names its row, `iris-17`, to check its answer."""
        await self._started.wait()
        due, last = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            # After a pause it continues at the same rate: there is no burst to catch up.
            due, last = due + min(now - last, 2 * _TICK_S) * self._per_second, now
            async with self._publishing:
                if not self._is_open:
                    return
                size = len(self._domain.requests)
                rows = [(self.asked + n) % size for n in range(int(due))]
                await self._client.publish(
                    Outgoing(self._domain.requests[row], key=f"{self._domain.name}-{row}".encode()) for row in rows
                )
                self.asked += len(rows)
            due -= len(rows)

    @asynccontextmanager
    async def switched_to(self, domain: Domain) -> AsyncIterator[None]:
        """Publishes nothing within the block, and rows of another domain after it.

        A swap to another proto is staged, and then cut: what was published before the cut is for the old generation,
        and what is published after it is for the new one. So a publisher waits from the cut until all workers have read
        where it is (some hundredths of a second), not for the swap.
        """
        async with self._publishing:
            yield
            self._domain = domain

    async def follow(self, answers: Answers) -> None:
        """Counts the answers as they arrive; `rate` is that of the last second."""
        arrivals: deque[tuple[float, int]] = deque()
        while True:
            arrived = await answers.read(0.1)
            for answer in arrived:
                if isinstance(answer, Refused):
                    self.refused += 1
                else:
                    self.answered_by[answer.generation] += 1
            arrivals.append((time.monotonic(), len(arrived)))
            while arrivals[-1][0] - arrivals[0][0] > _RATE_OVER_S:
                arrivals.popleft()
            self.rate = sum(count for _, count in arrivals) / _RATE_OVER_S
            if not self._is_open and self.answered + self.refused >= self.asked:
                self._all_answered.set()

    def start(self) -> None:
        """Starts publishing; does nothing if already started."""
        self._started.set()

    async def stop(self) -> None:
        """Stops publishing, and waits until everything is answered; what is not after half a minute is lost."""
        async with self._publishing:
            self._is_open = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered.wait(), _DRAIN_S)
