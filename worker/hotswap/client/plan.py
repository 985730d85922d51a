"""The plan of a swap or a rollback: what its command would be and do, and every reason against it; a value."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from hotswap.client.local_load import LocalLoad
from hotswap.client.preparing import CutOver
from hotswap.codec.versions import VersionStep
from hotswap.generation import Configuration, Model, Proto
from hotswap.printable import counted, numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapPlan:
    """What the command would be, as of now; nothing of it is written.

    `generation` is the number that it would have (0: not known), `serving` the one that serves (0: none does), `base`
    the one whose parts it has where it is `inherited`. `changed` are its parts that differ from the serving ones.
    `live` is the number of live workers. `ahead` are the requests of each partition that are not answered yet.
    """

    deployment: str
    generation: int = 0
    serving: int = 0
    base: int = 0
    inherited: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    model: Model | None = None
    proto: Proto | None = None
    configuration: Configuration | None = None
    is_uploaded: bool = False
    """Whether the model is a local file, which the command would upload to its URI first."""
    step: VersionStep | None = None
    """From the serving proto's version to the one of this proto; None: it is the same, or nothing serves."""
    incompatible: tuple[str, ...] = ()
    """Why this proto would misread requests of the serving one."""
    cut_over: CutOver = field(default_factory=lambda: CutOver({}))
    partitions: int = 0
    ahead: Mapping[int, int] = field(default_factory=dict)
    live: int = 0
    local: LocalLoad = field(default_factory=lambda: LocalLoad(unchecked="it was not loaded here"))
    refused: str = ""
    """Why the log would refuse the command, or the change cannot be made one."""
    impossible: str = ""
    """Why it cannot come to its partitions in the way that is asked for."""
    lacking: str = ""
    """Which live workers cannot load this kind of model."""
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason against it; empty if the command can be given."""
        return tuple(filter(None, (self.refused, self.impossible, self.lacking, self.local.fault)))

    @property
    def is_good(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons

    @property
    def backlog(self) -> int:
        """The requests before the cut that are not answered yet."""
        return sum(self.ahead.get(partition, 0) for partition in self.cut_over.offsets)

    @property
    def course(self) -> tuple[str, ...]:
        """How it would come to its partitions, step by step."""
        cut = self.cut_over
        if self.impossible or not self.generation:
            return ()
        if cut.rollout is None:
            if not cut.offsets:
                return ("in one step, at once: each partition at its next batch",)
            offsets = ", ".join(f"{number} at {offset:,}" for number, offset in sorted(cut.offsets.items()))
            before = f"{counted(self.backlog, 'unanswered request')} before it"
            return (f"in one step, after the backlog as of now ({before}): partition {offsets}",)
        first = f"staged on all live workers ({self.live}) first"
        return (first, *self._promotions())

    def _promotions(self) -> tuple[str, ...]:
        cut = self.cut_over
        assert cut.rollout is not None, "only a staged generation is promoted"
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(cut.rollout.at_s)) if cut.rollout.at_s else ""
        when = f"at {at}" if at else "once all are ready"
        where = "after the backlog of then" if self.incompatible else "each at its next batch"
        if cut.steps == (None,):
            return (f"promoted on all partitions {when}, {where}",)
        if cut.rollout.canary is not None:
            (part,) = cut.steps
            first = f"promoted on partition {numbers(part or ())} {when} ({len(part or ())} of {self.partitions})"
            return (first, "promoted on the others by `hotswap promote`")
        pause = f", {cut.rollout.pause_s:g} s apart" if cut.rollout.pause_s else ""
        groups = [numbers(part) if part is not None else "the others" for part in cut.steps]
        return (f"promoted in {counted(len(groups), 'step')}{pause}, {when}: partition {'; '.join(groups)}",)
