"""What a model host prints: its end is kept for messages, and a bounded part of it goes into the worker's log.

A model may print without end, and the worker reads it in its event loop: 1 GiB cost it 0.3 s of CPU, and batches of
other hosts up to 20 ms. Past a budget for each second the worker stops reading, so that the one who prints waits.
"""

import asyncio
import contextlib
import logging
import os
from typing import Final

log = logging.getLogger(__name__)

_SECOND_BYTES: Final = 1 << 20
_READ_BYTES: Final = 64 << 10
_MOST_PIPE_BYTES: Final = 1 << 20  # whoever writes may enlarge a pipe to that
_TAIL_BYTES: Final = 8 << 10
_MINUTE_S: Final = 60.0
_MINUTE_LINES: Final = 100
_MINUTE_BYTES: Final = 16 << 10
_LINE_BYTES: Final = 2_000


class Excerpt:
    """The part of a host's output that is logged: of each minute 100 lines and 16 KiB, then what was left out.

    A line is logged once it is complete, or in pieces of 2,000 bytes. Nothing is logged until `generation` is set.
    """

    def __init__(self) -> None:
        self.generation: int | None = None
        self._line = b""
        self._until = 0.0
        self._lines = self._bytes = 0
        self._left_out_lines = self._left_out_bytes = 0

    def add(self, output: bytes, now: float) -> None:
        """Log the lines of an output that came at this time, seconds."""
        if self.generation is None:
            return
        if now >= self._until:
            self._report()
            self._until, self._lines, self._bytes = now + _MINUTE_S, _MINUTE_LINES, _MINUTE_BYTES
        while self._lines and self._bytes > 0:
            line, end, rest = (self._line + output).partition(b"\n")
            self._line, output = line[:_LINE_BYTES], b""
            if len(line) <= _LINE_BYTES and not end:
                return
            output = line[_LINE_BYTES:] + end + rest if len(line) > _LINE_BYTES else rest
            self._say()
        self._left_out_lines += output.count(b"\n")
        self._left_out_bytes += len(output)

    def end(self) -> None:
        """Log an incomplete line, and what has been left out."""
        if self._line:
            self._say()
        self._report()

    def _say(self) -> None:
        line, self._line = self._line, b""
        self._lines -= 1
        self._bytes -= len(line)
        if text := line.decode(errors="replace").rstrip():
            log.info("model.printed", extra={"generation": self.generation, "text": text})

    def _report(self) -> None:
        if self._left_out_bytes:
            left_out = {"left_out_lines": self._left_out_lines, "left_out_bytes": self._left_out_bytes}
            log.info("model.printed", extra={"generation": self.generation, **left_out})
        self._left_out_lines = self._left_out_bytes = 0


class Printed:
    """The output of a host, by the descriptor of a pipe, which it owns: read on the event loop until it is closed.

    reading ⇄ resting     until the second is over of which the budget has been read
    each ──▶ ended        at the end of the file
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._tail = bytearray()
        self._excerpt = Excerpt()
        self._second_ends, self._left = 0.0, 0
        self._rest: asyncio.TimerHandle | None = None
        self._is_open = True
        self._loop.add_reader(descriptor, self._read)

    def belongs_to(self, generation: int) -> None:
        """Log from now on, as the output of this generation."""
        self._excerpt.generation = generation

    @property
    def tail(self) -> str:
        """The last 8 KiB."""
        self._take(_MOST_PIPE_BYTES)
        return self._tail.decode(errors="replace").strip()

    def close(self) -> None:
        """Read the rest, and close the pipe; call it once."""
        self._take(_MOST_PIPE_BYTES)
        self._excerpt.end()
        if self._rest:
            self._rest.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._is_open = False

    def _read(self) -> None:
        now = self._loop.time()
        if now >= self._second_ends:
            self._second_ends, self._left = now + 1.0, _SECOND_BYTES
        size = self._take(_READ_BYTES)
        if size == 0:  # end of file: it would stay readable for ever
            self._loop.remove_reader(self._descriptor)
            return
        self._left -= size or 0
        if self._left <= 0:
            self._loop.remove_reader(self._descriptor)
            self._rest = self._loop.call_at(self._second_ends, self._read_again)

    def _read_again(self) -> None:
        self._rest = None
        self._loop.add_reader(self._descriptor, self._read)

    def _take(self, most: int) -> int | None:
        """Read what is there; return its size, 0 at the end of the file, or None if there is nothing now."""
        if not self._is_open:
            return None
        with contextlib.suppress(BlockingIOError):
            output = os.read(self._descriptor, most)
            self._tail += output
            del self._tail[:-_TAIL_BYTES]
            self._excerpt.add(output, self._loop.time())
            return len(output)
        return None
