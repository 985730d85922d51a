"""The schedule of faults, their starts and durations: determined by the seed alone, before anything is broken."""

import random
from dataclasses import dataclass

CYCLE_S = 40.0
QUIET_S = 10.0
"""No fault begins in the last part of each cycle: without rest, recovery would never show."""

GAP_S = 2.5
"""The mean time between two faults, outside of the rests."""
_FIRST_S = 2.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A possible fault: its relative frequency, and how long it lasts, in seconds."""

    name: str
    weight: int
    shortest_s: float = 0.0
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A scheduled fault, in seconds after the start."""

    at: float
    name: str
    lasts_s: float

    def __str__(self):
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at:7.1f} s  {self.name}{lasts}"


def schedule(kinds, *, seed, seconds, gap_s=GAP_S):
    """Return the faults of a run in order; if there is time, each kind occurs at least once."""
    chance = random.Random(seed)
    moments = list(_moments(chance, seconds, gap_s))
    chosen = [*kinds, *chance.choices(kinds, [kind.weight for kind in kinds], k=max(0, len(moments) - len(kinds)))]
    chance.shuffle(chosen)
    return [
        Fault(at, kind.name, round(chance.uniform(kind.shortest_s, kind.longest_s), 1))
        for at, kind in zip(moments, chosen, strict=False)
    ]


def _moments(chance, seconds, gap_s):
    at = _FIRST_S
    while at < seconds:
        if at % CYCLE_S < CYCLE_S - QUIET_S:
            yield round(at, 1)
        at += chance.expovariate(1 / gap_s)
