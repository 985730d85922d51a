"""What is written to the control topic and the status topic, for the golden files of formats."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.kafka_logs import FakeCluster
from golden.values import DIGEST, KEY, SETTINGS, SWAP, TOPIC, fixed_now, records
from hotswap import control as control_module
from hotswap.agenda.actions import Report
from hotswap.batch import Position, Transaction
from hotswap.client import client as client_module
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.client.commanding import write_command
from hotswap.client.forget import forget
from hotswap.control import Control
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Model
from hotswap.host.process import HostProcess
from hotswap.kafka.partition import outbox
from hotswap.pipeline.states import PartitionState
from hotswap.swap.command import Outcome, TrustCommand
from hotswap.swap.timeline import Swap, Timeline
from hotswap.v1 import control_pb2 as wire


async def commands() -> bytes:
    """What a client writes to the control topic: each kind of command, the last ones signed."""
    with pytest.MonkeyPatch.context() as patch:
        ids = iter(f"c{number}" for number in range(2, 99))
        patch.setattr(client_module.uuid, "uuid4", lambda: next(ids))
        cluster = FakeCluster().create(SETTINGS).install(patch)
        async with Client(SETTINGS) as client:
            await write_command(SETTINGS, client._writer, SWAP, None)
            await client.swap(Change(model=Model("s3://models/b.jar", DIGEST, "java", "b")))
            await client.rollback(1)
            await client.pause()
            await client.resume()
            await client.skip(3, 70)
            signing = SETTINGS.model_copy(update={"sign_with": Path("key.pem")})
            await write_command(signing, client._writer, TrustCommand(command_id="c7", revoked=("ab" * 8,)), KEY)
        return records(*((one.key, one.value, one.headers) for one in cluster.topics[TOPIC][0]))


async def statuses() -> bytes:
    """What a worker writes to the status topic, and an operator who forgets a deployment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_module, "_now", fixed_now)
        patch.setattr(HostProcess, "layers", staticmethod(lambda: "landlock 6, seccomp"))
        patch.setattr(HostProcess, "warnings", staticmethod(lambda: ["what a model may reach"]))
        patch.setattr(control_module, "cpu", lambda: "a CPU")
        patch.setattr(control_module, "lacks", lambda _: {"h2o": "", "onnx": "onnxruntime is not installed here"})
        reader, written = SimpleNamespace(unreadable=1, damaged=""), Written()
        control = Control(settings=SETTINGS, timeline=Timeline(), reader=reader, writer=written)
        control.oldest_ms, control._incarnation = lambda *_: 1_789_999_995_000, "a1b2c3d4"
        control.transactions = lambda: "version 2"
        control._latency_p99_s()  # of the answers that other tests have counted
        control._timeline.receive(SWAP, 0)
        swap: Swap = control._timeline.swaps[1]
        for outcome in (Outcome.STAGING, Outcome.READY, Outcome.SERVING, Outcome.RETIRED):
            reads = {"score": {"x": ("1", "2")}} if outcome in (Outcome.READY, Outcome.SERVING) else {}
            fields = {"score": {"x y": "x"}} if outcome is Outcome.SERVING else {}
            runtime = "x 1, Java 21" if outcome is not Outcome.STAGING else ""
            control.report(Report(swap, outcome, phases={"load": 0.5}, reads=reads, fields=fields, runtime=runtime))
        control.report(Report(swap, Outcome.FAILED, SwapError(SwapCode.SCHEMA_MISMATCH, "column X is missing")))
        control._timeline.held = "why it answers nothing"
        serving = SimpleNamespace(generation=swap.generation)
        staging = SimpleNamespace(
            loaded=[1],
            main=1,
            serving=lambda _: serving,
            paths=lambda _: {"score": "in the JVM"},
            runtime=lambda _: "x 1, Java 21",
            restarts=2,
            newest_scored=1,
        )
        states = {
            3: PartitionState(position=Position(70, 1), held="waits", damage="at 70", deleted=(60, 65), model_s=1.5)
        }
        await control.status(staging, states, SimpleNamespace(end_offsets=_ends))
        await control.farewell(SimpleNamespace(loaded=[], main=0, restarts=0, newest_scored=0))
        cluster = FakeCluster().create(SETTINGS).install(patch)
        await forget(SETTINGS)
        forgotten = ((one.key, one.value, one.headers) for one in cluster.topics["hotswap.status"][0])
        return records(*map(_ordered, written.records), *(await _cut_over()), *forgotten)


def _ordered(record: tuple[bytes, bytes, Any]) -> tuple[bytes, bytes, Any]:
    """The same with the entries of its maps in order: on the wire they have none."""
    key, value, headers = record
    return key, wire.Status.FromString(value).SerializeToString(deterministic=True), headers


class Written:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes, Any]] = []

    async def append_many(self, _: str, given: Sequence[tuple[bytes, bytes, Any]]) -> None:
        self.records += given


async def _ends(*_: object, **__: object) -> Mapping[int, int]:
    return {3: 80}


async def _cut_over() -> list[tuple[bytes, bytes, Any]]:
    sent: list[tuple[bytes, bytes, Any]] = []

    class Recorded(outbox.Outbox):
        def _send(self, topic, records, partition=None):
            assert (topic, partition) == ("hotswap.status", 0)
            sent.extend(records)

    made = Recorded(None, SETTINGS, 3, 1_000)
    made.announce(Transaction((), (), 71, 7, 70))
    return sent


def contract() -> bytes:
    """The messages of control.proto, as a descriptor set's file."""
    return wire.DESCRIPTOR.serialized_pb
