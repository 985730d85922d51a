"""A lab whose fast path is held by the fallback: each batch of Spark's is answered both ways, to the same bytes.

An answer's counts of unknown values have one more entry: how many requests the JVM DECLINED.
"""

from collections.abc import Sequence
from typing import Any

from harness import lab
from hotswap.batch import ScoredBatch
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.spark import flat

DECLINED = "declined"


class BothWays(FlatPlan):
    """The fast path beside its fallback."""

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer a batch both ways. Raises AssertionError, which ends the lab, where they differ."""
        plain, counted = self._fallback, _Counted(self._fallback)
        vars(self)["_fallback"] = counted
        given = super().answer(values)
        vars(self)["_fallback"] = plain
        expected = plain.answer(values)
        for value, *both in zip(values, given.answers, expected.answers, strict=True):
            assert both[0] == both[1], (value.hex(), both)
        assert given.unknown == expected.unknown
        return ScoredBatch(given.answers, {**given.unknown, DECLINED: counted.count})


class _Counted:
    """A plan that counts its requests."""

    def __init__(self, plan: Any) -> None:
        self.count = 0
        self._plan = plan

    def answer(self, values: Sequence[bytes]) -> Any:
        self.count += len(values)
        return self._plan.answer(values)


if __name__ == "__main__":
    vars(flat)["FlatPlan"] = BothWays
    lab.serve()
