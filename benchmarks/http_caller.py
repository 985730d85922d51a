"""The callers of gateways, in a separate process that costs little: it must not be what is measured.

    python benchmarks/http_caller.py PATH PER_SECOND PORT…

Every 5 ms a group of calls with one row each is due, in turns to each port. One that is late, since all connections
wait for replies, is made as soon as possible, and counts from when it was due (no coordinated omission). For each reply
it writes an ANSWER to stdout, as reader.py does for each answer.
"""

import asyncio
import itertools
import re
import sys
import time
from collections import deque

from publisher import TICK_S
from reader import ANSWER
from workload import documents

_CONNECTIONS = 100
"""To each port."""
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_GENERATION = re.compile(rb'"generation":(\d+)')


class Connection(asyncio.Protocol):
    """A connection that is kept, and used for a call at a time."""

    def __init__(self, free: deque["Connection"], late: deque[tuple[bytes, float]]) -> None:
        self._free = free
        self._late = late
        self._received = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for a call."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the process."""
        raise SystemExit(f"a gateway has closed a connection: {exc}")

    def call(self, request: bytes, due: float) -> None:
        """Makes a call."""
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Tells of a reply once it is whole, and makes the next call that is late."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or not length or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(self._received.decode())
        self._received = b""
        generation = _GENERATION.search(body)
        sys.stdout.buffer.write(ANSWER.pack(time.monotonic(), self._due, int(generation[1]) if generation else 0))
        if self._late:
            self.call(*self._late.popleft())
        else:
            self._free.append(self)


async def call(path: str, per_second: float, ports: list[int]) -> None:
    """Calls until it is killed."""
    free, late = deque[Connection](), deque[tuple[bytes, float]]()
    loop = asyncio.get_running_loop()
    for port in ports * _CONNECTIONS:
        await loop.create_connection(lambda: Connection(free, late), "127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [f"{head}{len(row)}\r\n\r\n".encode() + row for row in documents()]
    began, made = time.monotonic(), 0
    for tick in itertools.count(1):
        due = began + tick * TICK_S
        sys.stdout.buffer.flush()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        until = int(tick * TICK_S * per_second)
        for number in range(made, until):
            one = requests[number % len(requests)]
            if free:
                free.popleft().call(one, due)
            else:
                late.append((one, due))
        made = until


if __name__ == "__main__":
    asyncio.run(call(sys.argv[1], float(sys.argv[2]), [int(port) for port in sys.argv[3:]]))
