"""A worker's end of the control plane on a real Kafka: how much of the log it keeps, and how large a status may be."""

import asyncio
import contextlib
import tracemalloc
from types import SimpleNamespace

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hotswap.agenda.actions import Report
from hotswap.client.fleet import Told, WorkerView
from hotswap.client.overview import read_fleet, status_log
from hotswap.commands import encode_command
from hotswap.control import Control
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Model, Proto
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader
from hotswap.kafka.topics.writer import LogWriter
from hotswap.swap.command import Outcome, SwapCommand
from hotswap.swap.timeline import Timeline

FIRST = SwapCommand(command_id="first", generation=5, model=Model("file:///m", "a" * 64), proto=Proto.inline("x"))
SECONDS = 5


@contextlib.asynccontextmanager
async def control_of(deployment):
    """A worker's end of the control plane, without the rest of the worker."""
    settings = deployment.settings
    reader = LogReader(settings, settings.topics.control, read_committed=True)
    writer, timeline = LogWriter(settings), Timeline()
    try:
        await writer.start()
        await reader.start()
        yield Control(settings=settings, timeline=timeline, reader=reader, writer=writer), timeline
    finally:
        await reader.stop()
        await writer.stop()


async def test_refused_and_foreign_commands_are_read_and_not_kept(deployment):
    blob = bytes(900_000)
    topic = deployment.settings.topics.control
    async with control_of(deployment) as (control, timeline):
        await control._writer.append(topic, encode_command(deployment.name, FIRST), partition=0)
        for number in range(30):
            stale = SwapCommand(command_id=f"c{number}", generation=1 + number % 5, samples=(blob,))
            name = deployment.name if number % 2 else "another"
            await control._writer.append(topic, encode_command(name, stale), partition=0)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await control.replay()
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert timeline.newest == 5
    assert len(timeline._seen) == 1 + 15
    assert after - before < 4 * len(blob)  # what the client has prefetched of the 27 MB that were written
    assert peak - before < 10 * len(blob)


@pytest.mark.parametrize("most", [None, 20_000])
async def test_a_status_too_large_for_its_topic_is_shortened_and_the_next_verdict_arrives(deployment, most):
    settings = deployment.settings
    if most:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
        await admin.start()
        change = {"max.message.bytes": str(most)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.topics.status, change)])
        await admin.close()
        async with asyncio.timeout(SECONDS), Admin.connect(settings) as asking:
            while await asking.message_bytes(settings.topics.status) != most:
                await asyncio.sleep(0.05)
    paths = {f"/package.Service/{'Operation' * 80}{number}": "JVM, row by row" for number in range(1_500)}
    generation = SimpleNamespace(model=FIRST.model, proto=FIRST.proto)
    staging = SimpleNamespace(
        loaded=[1],
        main=1,
        newest_scored=0,
        restarts=0,
        paths=lambda _: paths,
        runtime=lambda _: "H2O 3",
        serving=lambda _: SimpleNamespace(generation=generation),
    )
    async with control_of(deployment) as (control, _), Admin.connect(settings) as admin:
        control._timeline.swaps[1] = SimpleNamespace(is_whole=True)
        control.max_status_bytes = await admin.message_bytes(settings.topics.status)
        publishing = asyncio.create_task(control.publish())
        await control.status(staging, {}, admin)
        for number in range(20):
            error = SwapError(SwapCode.SCHEMA_MISMATCH, f"{number}\n" + "columns that do not fit\n" * 200)
            swap = SimpleNamespace(command_id=f"c{number}", number=number)
            control.report(Report(swap, Outcome.FAILED, error))
        said = await said_within(settings, 21)
        publishing.cancel()
    assert {type(words) for words in said} == {WorkerView, Told}
    (view,) = (words for words in said if isinstance(words, WorkerView))
    assert view.generation == 1
    assert "operations are left out" in view.paths["…"]
    assert [words.command_id for words in said if isinstance(words, Told)] == [f"c{number}" for number in range(20)]


async def said_within(settings, count):
    said = []
    fleet = await read_fleet(settings)
    async with asyncio.timeout(SECONDS), status_log(settings) as reader:
        while len(said) < count:
            said += [words for record in await reader.read(0.1) if (words := fleet.receive(record.value))]
    return said
