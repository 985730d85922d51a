"""A worker's agenda without hosts, clock or Kafka, and its actions in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from hotswap.agenda.actions import Action, Cancel, Join, KeepStandby, Report, Retire, Stage, StayOut
from hotswap.agenda.agenda import Agenda
from hotswap.batch import Position
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Model, Proto
from hotswap.pipeline.states import PartitionState
from hotswap.swap.command import AbandonCommand, Outcome, PromoteCommand, SwapCommand
from hotswap.swap.timeline import Timeline


class Desk:
    """A worker's agenda whose methods return the actions in words."""

    def __init__(self, *numbers: int, partitions: int = 1) -> None:
        self.timeline, self.now, self.partitions = Timeline(), 100.0, partitions
        self.own: dict[int, PartitionState] = {}
        self.agenda = Agenda(self.timeline, partitions=partitions)
        for number in numbers:
            self.command(number)

    def command(self, number: int, kind: str = "h2o", **parts: Any) -> None:
        model = Model(f"m{number}", "a" * 64, kind)
        command = SwapCommand(command_id=f"c{number}", generation=number, model=model, proto=Proto.inline("x"), **parts)
        assert self.timeline.receive(command, 0).outcome is None

    def promote(self, number: int, cut: Mapping[int, int] | None = None, *, is_complete: bool = False) -> None:
        self._apply(PromoteCommand(command_id=self._id(), generation=number, cut=cut or {}, is_complete=is_complete))

    def abandon(self, abandoned: int, to: int = 0, cut: Mapping[int, int] | None = None) -> None:
        """Abandon a generation; the one in its place has the next number."""
        number = self.timeline.newest + 1
        self._apply(AbandonCommand(command_id=self._id(), generation=number, abandoned=abandoned, to=to, cut=cut or {}))

    def _id(self) -> str:
        return f"revision {self.timeline.revision}"

    def _apply(self, command: PromoteCommand | AbandonCommand) -> None:
        assert self.timeline.receive(command, 0).outcome is Outcome.APPLIED

    def stands(self, floor: int, offset: int = 50, partition: int = 0, **more: Any) -> None:
        """Set the state of a partition that this worker owns."""
        self.own[partition] = PartitionState(position=Position(offset, floor), **more)

    def looked(self, *positions: Position) -> None:
        self.agenda.looked(dict(enumerate(positions)), self.now)

    def turn(self) -> list[str]:
        """Perform what is due, which is the same whether it was remembered or is decided anew."""
        remembered = self.agenda.turn(self.now, self.own)
        self.agenda._decision = None
        assert remembered == self.agenda.turn(self.now, self.own) == self.agenda.turn(self.now, self.own)
        return self._perform(remembered)

    def _perform(self, actions: Sequence[Action]) -> list[str]:
        for action in actions:
            self.agenda.did(action)
        return words(actions)

    def ready(self, number: int) -> list[str]:
        return self._perform(self.agenda.ready(number, {"load": 0.1}))

    def failed(self, number: int, code: SwapCode = SwapCode.CACHE_FAILED, why: str = "why") -> list[str]:
        return self._perform(self.agenda.failed(number, SwapError(code, why), self.now))

    def out_of_reach(self, number: int) -> list[str]:
        error = SwapError(SwapCode.ARTIFACT_UNREACHABLE, "why")
        return self._perform(self.agenda.failed(number, error, self.now, is_out_of_reach=True))

    def restarted(self) -> Self:
        """Treat the commands so far as those that were there when this worker started."""
        self.agenda.replayed()
        self.looked(*[Position(0)] * self.partitions)
        return self

    def given_up(self, number: int) -> list[str]:
        return self._perform(self.agenda.given_up(number))

    def serves(self, *numbers: int) -> Self:
        """Stage each generation to its end, one after the other, with partitions at their beginning."""
        self.looked(*[Position(0)] * self.partitions)
        for number in numbers:
            assert f"stage {number}" in self.turn()
            self.ready(number)
        self.turn()
        return self

    def retried_after(self) -> float:
        """Return the seconds until the failed generation is staged again; 0 if it never is."""
        began = self.now
        while self.now - began < 1_000:
            self.now += 0.5
            if any(word.startswith("stage") for word in self.turn()):
                return self.now - began
        return 0


def words(actions: Sequence[Action]) -> list[str]:
    return [word for action in actions if (word := in_words(action))]


def in_words(action: Action) -> str:
    match action:
        case Stage(swap):
            said = f"stage {swap.number}"
        case Report(swap, outcome, error):
            said = f"{swap.number} {outcome} {error.code}" if error else f"{swap.number} {outcome}"
        case Retire(number):
            said = f"retire {number}"
        case KeepStandby(generation):
            said = f"standby {generation.model.kind} {generation.number}"
        case Cancel():
            said = "cancel"
        case Join():
            said = "join"
        case StayOut(why):
            said = f"stay out: {why}" if "does not know the partitions' positions" not in why else ""
    return said
