"""What may happen in the world of the model: requests, commands, answers late or lost, crashes, rebalances."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hotswap.commands import encode_command
from hotswap.generation import Configuration, Model, Proto
from hotswap.swap.command import PauseCommand, RollbackCommand, SwapCommand
from model.broker import Request
from model.brokers import End
from model.chances import (
    CONFIGURATIONS,
    FAULTS,
    HEADERS,
    LOST,
    ORDERS,
    PARTS,
    PROTOS,
    SLOW,
    STAGES,
    WORKERS,
    Happening,
    cuts,
    event,
    events,
    model,
    partitions,
    records,
    topics,
    workers,
)
from model.meaning import Command
from model.steps import WRITES, Call, Process
from model.world import PARTITIONS, World


class Happenings(RuleBasedStateMachine):
    """The world and its workers; each example is a draw of events."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ids = 0
        self.slots: list[Process | None] = [None] * WORKERS

    # ------------------------------------------------------------------ how it begins

    @initialize(is_warm=st.sampled_from([True, True, True, False]), version=st.sampled_from([1, 2, 2]))
    def begin(self, *, is_warm: bool, version: int) -> None:
        self.world.version = version
        if is_warm:
            self.swap(model(0), PROTOS[0])
        self.slots = [self.world.start(f"worker-{number}") for number in range(WORKERS)]
        if is_warm:
            self.flow_all(3)
            self.share()
            self.flow_all(1)

    @rule(happening=st.deferred(events))
    def happens(self, happening: Happening) -> None:
        getattr(self, happening.name)(**happening.arguments)

    # ------------------------------------------------------------------ requests

    @event(2, partition=partitions, kinds=records)
    def publish(self, partition: int, kinds: Sequence[str]) -> None:
        log = self.world.broker.requests[partition]
        for kind in kinds:
            offset = len(log)
            value = {"undecodable": b"bad", "no value": None, "large": b"l" * 20}.get(kind, b"%d" % offset)
            request = Request(offset=offset, key=b"k%d" % offset, value=value, headers=HEADERS.get(kind, []), kind=kind)
            log.append(None if kind == "marker" else request)

    @event(6, partition=partitions, kinds=records, stage=st.sampled_from(STAGES))
    def begin_batch(self, partition: int, kinds: Sequence[str], stage: str) -> None:
        """Requests come, and their owner gets as far with them as to wait for this answer."""
        self.publish(partition, kinds)
        if owner := self.world.group.owners[partition]:
            owner.reach(stage)

    # ------------------------------------------------------------------ commands

    @event(
        5,
        number=workers,
        calls=st.integers(0, 8),
        parts=st.sampled_from(PARTS),
        is_broken=st.sampled_from([False] * 5 + [True]),
        cut=cuts,
        base=st.sampled_from([0, 0, 0, 0, 1, 2, 99]),
        step=st.sampled_from([1, 1, 1, 1, 1, 3, 0, -1]),
    )
    def swaps(
        self,
        *,
        number: int,
        calls: int,
        parts: tuple[bool, bool, int | None],
        is_broken: bool,
        cut: Mapping[int, int],
        base: int,
        step: int,
    ) -> None:
        """A swap is commanded, and one worker gets as far with it as so many answers take it."""
        has_model, has_proto, configuration = parts
        self.swap(
            model(self.ids, is_broken=is_broken) if has_model or is_broken else None,
            PROTOS[self.ids % 2] if has_proto else None,
            None if configuration is None else CONFIGURATIONS[configuration],
            step=step,
            base=base,
            cut=self.cut(cut),
        )
        if process := self.slots[number]:
            process.flow(calls)

    def swap(
        self,
        a_model: Model | None,
        proto: Proto | None,
        configuration: Configuration | None = None,
        *,
        step: int = 1,
        base: int = 0,
        cut: Mapping[int, int] | None = None,
    ) -> None:
        command = SwapCommand(
            command_id=self.new_id(),
            generation=max(self.newest + step, 0),
            base=base,
            model=a_model,
            proto=proto,
            configuration=configuration,
            cut=cut or {},
        )
        self.command(command)

    @event(2, to=st.sampled_from([1, 1, 2, 3, 99]), cut=cuts)
    def rollback(self, to: int, cut: Mapping[int, int]) -> None:
        generation = self.newest + 1
        self.command(RollbackCommand(command_id=self.new_id(), generation=generation, to=to, cut=self.cut(cut)))

    @event(1, is_paused=st.sampled_from([True, False, False]))
    def pause_command(self, *, is_paused: bool) -> None:
        self.command(PauseCommand(command_id=self.new_id(), is_paused=is_paused))

    @event(
        2,
        which=st.integers(0, 5),
        kind=st.sampled_from(["again", "other content", "expired", "malformed", "foreign", "no id"]),
    )
    def bad_command(self, which: int, kind: str) -> None:
        fold = self.world.fold
        if not fold.records:
            return
        which = len(fold.records) - 1 - which % len(fold.records)
        (_, value), old = fold.records[which], fold.commands[which]
        good = SwapCommand(command_id=self.new_id(), generation=self.newest + 1, model=model(666), proto=PROTOS[0])
        if kind == "again":
            self.append(value, old)
        elif kind == "other content" and old is not None:
            self.command(replace(good, command_id=old.command_id))
        elif kind == "expired":
            self.command(replace(good, not_after_ms=self.now_ms - 1))
        elif kind == "no id":
            self.command(replace(good, command_id=""))
        elif kind == "malformed":
            self.append(encode_command("d", replace(good, model=Model("model 666", "no digest"))), None)
        else:
            self.append(encode_command("another deployment", good), None)

    def command(self, command: Command) -> None:
        self.append(encode_command("d", command), command)

    def append(self, value: bytes, command: Command | None) -> None:
        self.world.fold.append(self.now_ms, value, command)

    def cut(self, cut: Mapping[int, int]) -> dict[int, int]:
        """Where the cuts are drawn around the end of what has been published."""
        return {p: max(self.world.broker.end(p) + distance, 0) for p, distance in cut.items()}

    def new_id(self) -> str:
        self.ids += 1
        return f"command {self.ids}"

    @property
    def newest(self) -> int:
        return max(self.world.fold.now.accepted, default=0)

    @property
    def now_ms(self) -> int:
        return int(self.world.clock.now * 1000)

    # ------------------------------------------------------------------ the world's answers, one by one or all of them

    @event(6, number=workers, order=st.sampled_from(ORDERS), limit=st.sampled_from([1, None]))
    def step(self, number: int, order: Sequence[int], limit: int | None) -> None:
        self.world.read_limit = limit
        process = self.slots[number]
        for pick in order:
            if process and (due := process.due()):
                process.serve(due[pick % len(due)])
                process.settle()

    @event(3, number=workers, turns=st.integers(1, 3))
    def flow(self, number: int, turns: int) -> None:
        for _ in range(turns):
            if process := self.slots[number]:
                process.flow()
            self.pass_time(0.3)

    @event(3, turns=st.integers(1, 3))
    def flow_all(self, turns: int) -> None:
        for _ in range(turns):
            for process in self.processes:
                process.flow()
            self.pass_time(0.3)

    @event(4, number=workers, stage=st.sampled_from([*FAULTS]), effect=st.sampled_from(["none", "had", "later"]))
    def fault(self, number: int, stage: str, effect: str) -> None:
        """A call fails for its caller, and has had its effect, or yet will, or none. (A silent broker: left alone.)"""
        process = self.slots[number]
        if process and (call := process.reach(stage)):
            if effect == "had" and call.kind in WRITES:
                call.take_effect()
            process.refuse(call, FAULTS[stage](), is_on_its_way=effect == "later" and call.kind in WRITES)
            process.settle()

    @event(2, seconds=st.sampled_from([0.1, 0.6, 3, 11, 70]))
    def pass_time(self, seconds: float) -> None:
        self.world.clock.now += seconds
        for process in self.processes:
            process.settle()

    @event(2, which=st.integers(0, 3), is_lost=st.booleans())
    def land(self, which: int, *, is_lost: bool) -> None:
        """What was on its way since its sender gave it up, or died, arrives or gets lost."""
        if found := self.on_the_way():
            home, call = found[which % len(found)]
            home.remove(call)
            if not is_lost:
                call.take_effect()

    def on_the_way(self) -> list[tuple[list[Call], Call]]:
        astray = [(self.world.astray, call) for call in self.world.astray]
        return astray + [(process.calls, call) for process in self.processes for call in process.held()]

    @property
    def processes(self) -> list[Process]:
        return [process for process in self.slots if process]

    # ------------------------------------------------------------------ crashes, rebalances, the broker

    @event(4, partition=partitions, number=workers, calls=st.integers(0, 12))
    def give(self, partition: int, number: int, calls: int) -> None:
        """One worker gets a partition and begins with it; its last owner is not told until its own turn comes."""
        process = self.slots[number]
        if process in self.world.group.members:
            self.world.group.give(partition, process)
            process.settle()
            process.flow(calls)

    @event(2, number=workers, kind=st.sampled_from(SLOW))
    def slow(self, number: int, kind: str) -> None:
        """From now on a worker gets no answer to such calls: it stages slowly, hears late of commands, and so on."""
        if process := self.slots[number]:
            process.unanswered = frozenset([kind])

    @event(2, partition=partitions, kinds=records, is_paused=st.sampled_from([False, False, True]))
    def loop(self, partition: int, kinds: Sequence[str], *, is_paused: bool) -> None:
        """A model does not come back with a batch; then there is a pause, or the next generation."""
        self.begin_batch(partition, kinds, "score")
        if owner := self.world.group.owners[partition]:
            owner.unanswered = frozenset(["score"])
            if is_paused:
                self.pause_command(is_paused=True)
            else:
                self.swap(model(self.ids), None)
            self.flow_all(3)

    @event(1, number=workers)
    def pause(self, number: int) -> None:
        if process := self.slots[number]:
            process.is_paused = True

    @event(2, number=workers)
    def wake(self, number: int) -> None:
        if process := self.slots[number]:
            process.is_paused = False
            process.settle()

    @event(2, number=workers, calls=st.integers(0, 12))
    def crash(self, number: int, calls: int) -> None:
        """A worker is killed, and another one is started in its place."""
        if process := self.slots[number]:
            self.world.crash(process)
            self.slots[number] = None
        self.start(number, calls)

    def start(self, number: int, calls: int) -> None:
        if self.slots[number] is None:
            process = self.slots[number] = self.world.start(f"worker-{number}")
            process.flow(calls)

    @event(1, number=workers)
    def terminate(self, number: int) -> None:
        if process := self.slots[number]:
            process.terminate()

    def share(self) -> None:
        members = self.world.group.members
        for partition in range(PARTITIONS if members else 0):
            owner = members[partition % len(members)]
            if self.world.group.owners[partition] is not owner:
                self.world.group.give(partition, owner)

    @event(2, number=workers, turns=st.integers(1, 3), is_back=st.booleans())
    def lose_store(self, number: int, turns: int, *, is_back: bool) -> None:
        """A worker is killed, and the one in its place, without a cache, cannot reach the store for a while."""
        self.world.is_store_away = True
        self.crash(number, 0)
        self.flow(number, turns)
        self.world.is_store_away = not is_back

    @event(1, is_loading=st.booleans())
    def coordinator(self, *, is_loading: bool) -> None:
        self.world.broker.is_loading = is_loading

    @event(2, partition=partitions, kinds=records, lost=topics)
    def lone_broker(self, partition: int, kinds: Sequence[str], lost: Collection[str]) -> None:
        """A broker without replicas is killed at a commit: the transaction is decided, markers get lost."""
        self.publish(partition, kinds)
        owner = self.world.group.owners[partition]
        if owner and (call := owner.reach("end")) and isinstance(call.effect, End) and call.effect.can_lose(lost):
            call.effect.lose(lost)
            owner.refuse(call, LOST())
            owner.settle()

    @event(2, partition=partitions, kinds=records)
    def two_brokers(self, partition: int, kinds: Sequence[str]) -> None:
        """Of three brokers two are killed at a commit: one commits the offset when it is back, the third aborts all."""
        self.publish(partition, kinds)
        owner = self.world.group.owners[partition]
        if owner and (call := owner.reach("end")) and isinstance(call.effect, End) and call.effect.can_tear():
            call.effect.tear()
            owner.refuse(call, LOST())
            owner.settle()
