"""Partitions that change hands in the model's world at the worst moment."""

from collections.abc import Sequence

from hypothesis import strategies as st

from model.chances import STAGES, event, model, partitions, records
from model.late import Late
from model.steps import Process


class Handovers(Late):
    """Partitions go from one worker to another."""

    @event(4, partition=partitions, kinds=records, stage=st.sampled_from(STAGES), later=st.integers(0, 20))
    def zombie(self, partition: int, kinds: Sequence[str], stage: str, later: int) -> None:
        """An owner stops in the middle of a batch, another one takes the partition over, and the first one wakes up."""
        owner, heir = self.owner(partition), self.heir(partition)
        if owner and heir is not None:
            self.begin_batch(partition, kinds, stage)
            owner.is_paused = True
            self.give(partition, heir, later)
            self.wake(self.slots.index(owner))

    @event(2, partition=partitions, kinds=records, later=st.integers(0, 20))
    def fall_back(self, partition: int, kinds: Sequence[str], later: int) -> None:
        """An owner answers with a new generation, then a worker takes the partition over that has yet to load it."""
        owner, heir = self.owner(partition), self.heir(partition)
        if owner and heir is not None and (slow := self.slots[heir]):
            slow.unanswered = frozenset(["load"])
            self.swap(model(self.ids), None)
            owner.flow()
            self.publish(partition, kinds)
            owner.flow()
            slow.flow()
            self.publish(partition, kinds)
            self.give(partition, heir, later)

    def owner(self, partition: int) -> Process | None:
        """Who has it, if that one is alive."""
        owner = self.world.group.owners[partition]
        return owner if owner in self.processes else None

    def heir(self, partition: int) -> int | None:
        """The number of a worker that could take it over."""
        owner = self.world.group.owners[partition]
        return next((number for number, process in enumerate(self.slots) if process is not owner), None)
