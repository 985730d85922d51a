"""The states of a partition's loop, drawn here and moved in one place.

    CLOSED ──▶ WAITING ──▶ QUEUED ──▶ SCORING ──▶ COMMITTING ──▶ WAITING     a transaction
                                        ▲             │
                                        └─────────────┘                      the backlog's next batch
    WAITING, QUEUED ──▶ CUTTING_OVER ──▶ WAITING      where there is no request
    SCORING ──▶ OVERTAKEN ──▶ CLOSED                  the model takes too long: the batch is given up
    any ──▶ HELD                                      nothing may be scored; left as WAITING is
    any ──▶ CLOSED                                    in doubt, or stopped

Only behind a backlog does a loop queue for a turn. A loop whose model takes long stays SCORING, and says so in `held`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import Final

from hotswap.batch import Position


class Step(StrEnum):
    """State of a partition's loop; the module's docstring draws the legal transitions."""

    CLOSED = "closed"
    WAITING = "waiting"
    HELD = "held"
    QUEUED = "queued"
    SCORING = "scoring"
    OVERTAKEN = "overtaken"
    COMMITTING = "committing"
    CUTTING_OVER = "cutting over"


_NEXT: Final = {Step.WAITING, Step.QUEUED, Step.SCORING, Step.CUTTING_OVER}
_LEGAL: Final = {
    Step.CLOSED: {Step.WAITING},
    Step.WAITING: _NEXT,
    Step.HELD: _NEXT,
    Step.QUEUED: _NEXT - {Step.QUEUED},
    Step.SCORING: {Step.SCORING, Step.OVERTAKEN, Step.COMMITTING},
    Step.OVERTAKEN: set[Step](),
    Step.COMMITTING: {Step.SCORING, Step.WAITING},
    Step.CUTTING_OVER: {Step.WAITING},
}
_ALWAYS_LEGAL: Final = {Step.HELD, Step.CLOSED}


@dataclass(slots=True, kw_only=True)
class PartitionState:
    """A partition's public state, for the status topic, the metrics and the retirement of generations."""

    step: Step = Step.CLOSED
    position: Position | None = None
    """As of the last `open` or commit; None until it was opened once."""
    in_hand: int | None = None
    """Generation of the batch in hand; None: there is none."""
    held: str = "being opened"
    """Why nothing is answered now, for a person; empty: requests are answered, or there is none."""
    model_s: float = 0.0
    """How long the model has had the batch in hand, seconds, where that is long; else 0."""
    damage: str = ""
    """Why the partition is held, if that is a damaged batch; else empty."""
    deleted: tuple[int, int] = (0, 0)
    """See Source.deleted."""
    last_batch_at: float = field(default_factory=perf_counter)

    def move(self, step: Step, *, held: str = "", in_hand: int | None = None) -> None:
        """Change the state, with its reason and the generation of its batch; the only place that does."""
        if step not in _LEGAL[self.step] | _ALWAYS_LEGAL:
            raise AssertionError(f"{self.step} -> {step} is not a legal transition")
        self.step, self.held, self.in_hand, self.model_s = step, held, in_hand, 0.0
