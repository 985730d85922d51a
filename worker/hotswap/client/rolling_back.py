"""A rollback: the generation whose parts it brings back, and its command."""

import uuid
from typing import NamedTuple

from hotswap.client.cut_overs import read_cut_overs
from hotswap.client.preparing import CutOver, Known
from hotswap.generation import Proto
from hotswap.settings import Settings
from hotswap.swap.command import RollbackCommand
from hotswap.swap.timeline import Swap


class RollbackTarget(NamedTuple):
    """The generation to roll back to; `swap` None: the log has none of this number, as its verdict will say."""

    number: int
    swap: Swap | None

    @property
    def proto(self) -> Proto | None:
        """Its proto."""
        return self.swap.generation.proto if self.swap else None


async def target_of(settings: Settings, known: Known, to: int | None) -> RollbackTarget:
    """Return the generation `to`; None: the one that served before.

    Raises:
        UsageError: no earlier generation is known to have served.

    """
    if to:
        return RollbackTarget(to, known.history.timeline.swaps.get(to))
    served = known.scored | set(await read_cut_overs(settings))
    swap = known.history.before(known.fleet, known.scored, served)
    return RollbackTarget(swap.number, swap)


def rollback_command(known: Known, target: RollbackTarget, cut_over: CutOver) -> RollbackCommand:
    """Return the command for a rollback that cuts over there."""
    return RollbackCommand(
        command_id=str(uuid.uuid4()),
        generation=known.next_number,
        to=target.number,
        cut=cut_over.offsets,
        is_staged=cut_over.rollout is not None,
        promote_by_ms=cut_over.promote_by_ms,
    )
