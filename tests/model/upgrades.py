"""Workers of two versions in the model's world, and commands that need the later one."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from fakes.later import needing
from hotswap.commands import encode_command
from hotswap.swap.command import MOST_VERSION, PauseCommand, SwapCommand
from model.chances import PROTOS, cuts, event, model, partitions, records, workers
from model.handovers import Handovers
from model.meaning import Command


class Upgrades(Handovers):
    """Workers are upgraded one by one, and somebody may command what only the upgraded ones can read."""

    @event(2, number=workers, calls=st.integers(0, 12), is_clean=st.booleans())
    def upgrade(self, number: int, calls: int, *, is_clean: bool) -> None:
        self.world.versions[f"worker-{number}"] = 2
        if not is_clean:
            self.crash(number, calls)
        elif process := self.slots[number]:
            process.terminate()  # the next one in its place is of the new version

    @event(1, kind=st.sampled_from(["swap", "swap", "pause", "resume", "foreign", "beyond"]), cut=cuts)
    def later_command(self, kind: str, cut: Mapping[int, int]) -> None:
        """A command of version 2: a worker of version 1 could fold it, and would be wrong to."""
        good: Command = SwapCommand(
            command_id=self.new_id(),
            generation=self.newest + 1,
            model=model(self.ids),
            proto=PROTOS[0],
            cut=self.cut(cut),
        )
        if kind in ("pause", "resume"):
            good = PauseCommand(command_id=good.command_id, is_paused=kind == "pause")
        if kind == "foreign":
            self.append(needing(encode_command("another deployment", good), 2), None)
        elif kind == "beyond":
            self.append(needing(encode_command("d", good), MOST_VERSION + 1), None)
        else:
            self.append(needing(encode_command("d", good), 2), good)

    @event(1, partition=partitions, kinds=records, cut=cuts)
    def loop_at_a_later_command(self, partition: int, kinds: Sequence[str], cut: Mapping[int, int]) -> None:
        """A model does not come back with a batch; then there is a command of version 2."""
        self.begin_batch(partition, kinds, "score")
        if owner := self.world.group.owners[partition]:
            owner.unanswered = frozenset(["score"])
            self.later_command("swap", cut)
            self.flow_all(3)

    def upgrade_all(self) -> None:
        """What an operator does where the log needs it."""
        if self.world.fold.later is None:
            return
        for number, process in enumerate(self.slots):
            self.world.versions[f"worker-{number}"] = 2
            if process and process.version == 1:
                self.crash(number, 0)
