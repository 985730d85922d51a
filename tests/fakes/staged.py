"""A deployment of four partitions in memory, where a generation is staged, promoted on some, or abandoned."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from fakes.client import SHA, proto
from fakes.kafka_logs import FakeCluster, stamp
from hotswap.commands import encode_command
from hotswap.generation import Model
from hotswap.settings import Settings
from hotswap.swap.command import AbandonCommand, Command, PromoteCommand, SwapCommand
from hotswap.v1 import control_pb2 as wire

PARTITIONS = 4
ALL = dict.fromkeys(range(PARTITIONS), 1)
"""What scores each partition before any promote."""
CANARY = {**ALL, 0: 2}
EVERYWHERE = dict.fromkeys(ALL, 2)


class StagedFleet:
    """Generation 1 serves, generation 2 is staged; w1 owns partitions 0 and 1, w2 the others."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.cluster = FakeCluster().create(settings, PARTITIONS).install(monkeypatch)
        self.publish(
            SwapCommand(command_id="c1", generation=1, model=Model("file:///a.zip", SHA, name="old"), proto=proto())
        )

    def stage(self, promote_by_ms: int | None = None) -> None:
        """Publish generation 2, and have both workers load it."""
        model = Model("file:///b.zip", "b" * 64, name="new")
        self.publish(
            SwapCommand(command_id="c2", generation=2, model=model, is_staged=True, promote_by_ms=promote_by_ms)
        )
        self.report(ALL)

    async def looked(self, rounds: int = 3) -> None:
        """Wait until whoever follows both logs has begun so many rounds more: all but the last have ended."""
        goal = self.cluster.log_reads + 2 * rounds
        async with asyncio.timeout(10):
            while self.cluster.log_reads < goal:
                await asyncio.sleep(0.001)

    def promote(self, cut: Mapping[int, int], *, is_complete: bool = False) -> None:
        """Promote generation 2."""
        self.publish(PromoteCommand(command_id=f"p{cut}", generation=2, cut=cut, is_complete=is_complete))

    def abandon(self, cut: Mapping[int, int] | None = None) -> None:
        """Abandon generation 2; generation 3 gets its partitions."""
        self.publish(AbandonCommand(command_id="c3", generation=3, abandoned=2, cut=cut or {}))

    def publish(self, command: Command) -> None:
        """Append a command to the control topic."""
        self.cluster.append(self.settings.topics.control, encode_command(self.settings.deployment, command))

    def report(self, scored: Mapping[int, int], loaded: tuple[int, ...] = (1, 2), *, is_committed: bool = True) -> None:
        """Have both workers report which generation scored each partition last; commit that, too."""
        if is_committed:
            self.cluster.scored = dict(scored)
        for name, own in (("w1", (0, 1)), ("w2", (2, 3))):
            parts = [wire.PartitionStatus(partition=number, generation=scored[number]) for number in own]
            main = max(scored[number] for number in own)
            said = wire.WorkerStatus(
                deployment=self.settings.deployment, worker=name, at=stamp(time.time()), partitions=parts,
                generation=main, accepted=2, loaded=loaded, model_name="old" if main == 1 else "new",
            )  # fmt: skip
            self.cluster.append(self.settings.topics.status, wire.Status(worker=said).SerializeToString())

    def say(self, generation: int, outcome: str) -> None:
        """Have both workers report on the command that made a generation; nothing is committed."""
        for name in ("w1", "w2"):
            said = wire.SwapStatus(
                command_id=f"c{generation}",
                deployment=self.settings.deployment,
                generation=generation,
                worker=name,
                outcome=f"OUTCOME_{outcome}",
                at=stamp(time.time()),
            )
            self.cluster.append(self.settings.topics.status, wire.Status(swap=said).SerializeToString())

    def request(self, *partitions: int, age_s: float = 0.0) -> None:
        """Append a request to each of these partitions, as if it were older by this."""
        topic = self.settings.topics.requests
        for partition in partitions:
            self.cluster.append(topic, b"", partition=partition)
            self.cluster.topics[topic][partition][-1].timestamp -= int(age_s * 1000)
