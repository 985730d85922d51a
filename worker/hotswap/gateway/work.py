"""The reading and writing of rows for a call: cheap work at once, the rest in another process, in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from hotswap.gateway.converters import Converters
from hotswap.gateway.turns import Turns

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

ROWS = 200_000
"""The most rows of one call."""
_AT_ONCE = 16 << 10
"""What costs less is done on the event loop: about 2 ms, as long as it takes to ask another process."""
_PER_ROW = 64
"""What a row costs, whatever is in it, in bytes."""


def cost_of(size: int, rows: int) -> int:
    """Return the cost of reading or writing, in bytes."""
    return size + _PER_ROW * rows


@dataclass(frozen=True, slots=True)
class Work:
    """Reads and writes rows for a caller, in turn with others."""

    caller: str
    turns: Turns
    converters: Converters

    async def do(self, cost: int, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return the result of a function, called at once if it is cheap, else in another process.

        If the call is cancelled, since its client disconnected, the process ends.

        Raises:
            Problem: 429, too much work of the caller waits; 413, it takes too long, or too much memory.

        """
        if cost <= _AT_ONCE:
            return function(*args)
        async with self.turns.turn(self.caller, cost):
            return await self.converters.do(function, *args)
