"""Callers of a server over HTTP in a closed loop, in a separate process: each makes its next call at the reply.

    python benchmarks/closed_caller.py PORT CALLERS FILE

FILE has the requests, a base64 of each a line. For each reply it writes an ANSWER to stdout, as reader.py does for each
answer: it is due when it is sent.
"""

import asyncio
import base64
import itertools
import sys
import time
from collections import deque
from pathlib import Path

from http_caller import Connection
from publisher import TICK_S


class Endless(deque[tuple[bytes, float]]):
    """Calls without end, each due when it is taken."""

    def __init__(self, requests: list[bytes]) -> None:
        super().__init__(maxlen=0)
        self._requests = itertools.cycle(requests)

    def __bool__(self) -> bool:
        return True

    def popleft(self) -> tuple[bytes, float]:
        """Return the next call."""
        return next(self._requests), time.monotonic()


async def call(port: int, callers: int, requests: list[bytes]) -> None:
    """Calls until it is killed."""
    free, calls, loop = deque[Connection](), Endless(requests), asyncio.get_running_loop()
    for _ in range(callers):
        await loop.create_connection(lambda: Connection(free, calls), "127.0.0.1", port)
    for connection in free:
        connection.call(*calls.popleft())
    while True:
        await asyncio.sleep(TICK_S)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    made = [base64.b64decode(line) for line in Path(sys.argv[3]).read_bytes().split()]
    asyncio.run(call(int(sys.argv[1]), int(sys.argv[2]), made))
