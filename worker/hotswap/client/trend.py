"""Trends in a worker's reports of the last minutes: growth of the lag, restarts of hosts, a shared name."""

from dataclasses import dataclass
from typing import NamedTuple

RESTARTS_S = 600.0
"""How far back restarts of hosts are counted, as the alert HotswapHostRestarting does."""
GROWTH_S = 60.0
"""The time span over which the lag is compared."""

_EVERY_S = 20.0
_DOUBLE_S = 30.0


class Mark(NamedTuple):
    """The figures of a report; `at` in seconds since the epoch."""

    at: float
    lag: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Trend:
    """The reports of one name up to now; a new one makes a new trend."""

    marks: tuple[Mark, ...] = ()
    """One for each 20 s of the last ten minutes, of the worker that reported last, oldest first."""
    incarnation: str = ""
    _other: str = ""
    _doubled_at: float = float("-inf")

    def then(self, mark: Mark, incarnation: str) -> "Trend":
        """Return the trend with a further report."""
        if incarnation != self.incarnation:
            is_back = bool(incarnation) and incarnation == self._other
            doubled_at = mark.at if is_back else self._doubled_at
            return Trend((mark,), incarnation, self.incarnation, doubled_at)
        kept = tuple(one for one in self.marks if mark.at - one.at <= RESTARTS_S)
        is_new = not kept or mark.at - kept[-1].at >= _EVERY_S
        return Trend((*kept, mark) if is_new else kept, incarnation, self._other, self._doubled_at)

    def is_double(self, now: float) -> bool:
        """Whether two workers report in turns: when one is restarted, its old incarnation never comes back."""
        return now - self._doubled_at <= _DOUBLE_S

    def restarts(self, restarts: int) -> int:
        """Return how many of these restarts are known to be within `RESTARTS_S`."""
        return restarts - self.marks[0].restarts if self.marks else 0

    def lag_before(self, now: float) -> int | None:
        """Return the lag of `GROWTH_S` ago; None if unknown."""
        return next((mark.lag for mark in reversed(self.marks) if now - mark.at >= GROWTH_S), None)
