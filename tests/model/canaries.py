"""Generations that are staged in the model's world, then promoted, abandoned, followed, or left by their publisher."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from hotswap.commands import encode_command
from hotswap.swap.command import AbandonCommand, PromoteCommand, RollbackCommand, SwapCommand
from hotswap.v1 import control_pb2 as wire
from model.chances import PROTOS, cuts, event, model, partitions, records, workers
from model.meaning import Command
from model.steps import Process
from model.upgrades import Upgrades

_WHICH = st.sampled_from([0, 0, 0, 0, 0, 1, 2, -1])
"""How many accepted generations before the newest one: 0 is the right one, -1 has never been accepted."""
_UNTIL = st.sampled_from([None, None, None, None, 5, 0.2, -1])
"""In how many seconds a promote is too late."""
_NEW = st.sampled_from([{}, {}, {}, {0: 0}, {1: 0}, {0: 2}, {1: 1}])
_ENDS = ["abandon", "abandon", "abandon at", "rest", "all", "swap", "stage", "forget", "rewind", "crash"]


class Canaries(Upgrades):
    """A generation takes one partition before the others, or none of them."""

    @event(
        2,
        cut=_NEW,
        until=_UNTIL,
        is_broken=st.sampled_from([False] * 7 + [True]),
        calls=st.integers(0, 8),
        number=workers,
    )
    def stages(self, *, cut: Mapping[int, int], until: float | None, is_broken: bool, calls: int, number: int) -> None:
        """A swap that is staged, and one worker gets as far with it as so many answers take it."""
        self.stage(cut, until, is_broken=is_broken)
        if process := self.slots[number]:
            process.flow(calls)

    def stage(self, cut: Mapping[int, int], until: float | None = None, *, is_broken: bool = False) -> None:
        self.command(
            SwapCommand(
                command_id=self.new_id(),
                generation=self.newest + 1,
                model=model(self.ids, is_broken=is_broken),
                proto=PROTOS[self.ids % 2],
                cut=self.cut(cut),
                is_staged=True,
                promote_by_ms=None if until is None else self.now_ms + int(until * 1000),
            )
        )

    @event(1, to=st.sampled_from([1, 1, 2]), cut=_NEW)
    def stage_rollback(self, to: int, cut: Mapping[int, int]) -> None:
        number = self.newest + 1
        self.command(
            RollbackCommand(command_id=self.new_id(), generation=number, to=to, cut=self.cut(cut), is_staged=True)
        )

    @event(
        4,
        which=_WHICH,
        cut=cuts,
        is_complete=st.sampled_from([False, False, True]),
        calls=st.integers(0, 8),
        number=workers,
    )
    def promotes(self, *, which: int, cut: Mapping[int, int], is_complete: bool, calls: int, number: int) -> None:
        self.promote(self.accepted(which), self.cut(cut), is_complete=is_complete)
        if process := self.slots[number]:
            process.flow(calls)

    def promote(self, number: int, cut: Mapping[int, int], *, is_complete: bool = False) -> None:
        command = PromoteCommand(command_id=self.new_id(), generation=number, cut=cut, is_complete=is_complete)
        self.append(encode_command("d", command), command if cut or is_complete else None)

    @event(3, which=_WHICH, to=st.sampled_from([0, 0, 0, 1, 2, 99]), cut=_NEW, calls=st.integers(0, 8), number=workers)
    def abandons(self, *, which: int, to: int, cut: Mapping[int, int], calls: int, number: int) -> None:
        self.abandon(self.accepted(which), to, cut)
        if process := self.slots[number]:
            process.flow(calls)

    def abandon(self, abandoned: int, to: int = 0, cut: Mapping[int, int] | None = None) -> None:
        self.command(
            AbandonCommand(
                command_id=self.new_id(),
                generation=self.newest + 1,
                abandoned=abandoned,
                to=to,
                cut=self.cut(cut or {}),
            )
        )

    @event(
        5,
        partition=partitions,
        kinds=records,
        at=st.integers(-1, 2),
        end=st.sampled_from(_ENDS),
        calls=st.integers(0, 9),
    )
    def canary(self, partition: int, kinds: Sequence[str], at: int, end: str, calls: int) -> None:
        """A whole life: staged on each worker, promoted for a partition, whose requests it answers; then its end."""
        self.stage({})
        self.flow_all(1)
        self.promote(self.newest, self.cut({partition: at}))
        self.publish(partition, kinds)
        if owner := self.owner(partition):
            owner.flow()
            self.publish(1 - partition, kinds)
            self.end_canary(owner, partition, end)
            self.publish(partition, kinds)
            owner.flow(calls)

    def end_canary(self, owner: Process, partition: int, end: str) -> None:
        match end:
            case "abandon":
                self.abandon(self.newest)
            case "abandon at":
                self.abandon(self.newest, cut={partition: 1})
            case "rest":
                self.promote(self.newest, self.cut({1 - partition: 0}))
            case "all":
                self.promote(self.newest, {}, is_complete=True)
            case "swap":
                self.swap(model(self.ids), None)
            case "stage":
                self.stage({})
            case "rewind":
                self.rewind()
            case "crash":
                self.crash(self.slots.index(owner), 5)
            case _:
                """Its publisher is lost."""

    @event(1, kind=st.sampled_from(["stage", "stage", "promote", "abandon"]))
    def forgetful(self, kind: str) -> None:
        """A command of version 2 that names none: what version 1 has of it is read, which is no promote or abandon."""
        number = self.newest + 1
        commands: dict[str, tuple[Command, Command | None]] = {
            "promote": (PromoteCommand(command_id=self.new_id(), generation=self.newest, is_complete=True), None),
            "abandon": (AbandonCommand(command_id=self.new_id(), generation=number, abandoned=self.newest), None),
        }
        plain = SwapCommand(command_id=self.new_id(), generation=number, model=model(self.ids), proto=PROTOS[0])
        staged = SwapCommand(
            command_id=plain.command_id, generation=number, model=plain.model, proto=plain.proto, is_staged=True
        )
        written, read = commands.get(kind, (staged, plain))
        said = wire.Command.FromString(encode_command("d", written))
        said.ClearField("least_version")
        self.append(said.SerializeToString(), read)

    @event(1)
    def rewind(self) -> None:
        """The control topic loses its last record, a promote, with its broker; the workers are started anew."""
        if not self.world.fold.lose_promote():
            return
        for number, process in enumerate(self.slots):
            if process:
                self.world.crash(process)
                self.slots[number] = self.world.start(f"worker-{number}")

    def accepted(self, which: int) -> int:
        """The number of an accepted generation, counted from the newest one; of none where there are too few."""
        numbers = sorted(self.world.fold.now.accepted, reverse=True)
        return numbers[which] if 0 <= which < len(numbers) else 99
