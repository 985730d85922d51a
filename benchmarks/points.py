"""The points of the curves: a measurement for an amount of something."""

from dataclasses import dataclass, field

from stream import Steady


@dataclass(slots=True)
class Lingering:
    """A steady stream with one setting of linger_ms."""

    linger_ms: int
    steady: Steady


@dataclass(slots=True)
class Point:
    """The cost of a row of a backlog with an amount of something, and the memory of worker and hosts afterwards.

    Where they were measured more than once, both are medians; `turns` has each cost.
    """

    much: int
    cpu_us_per_row: float
    memory_mb: float
    rows: int
    turns: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Growth:
    """The cost of a row over rows in a backlog, partitions and columns."""

    rows: list[Point]
    partitions: list[Point]
    columns: list[Point]
