"""Spare hosts, real ones: used once, replaced, and never the reason that a swap fails."""

import asyncio
import os
import signal
import sys

import pytest

from fakes.examples import CANCER, IRIS
from fakes.processes import gone, left_behind, nothing_left
from hotswap.errors import SwapCode, SwapError
from hotswap.host import standby as module
from hotswap.host.jvm_spec import make_ground
from hotswap.host.parent import ModelHost
from hotswap.host.standby import Spares

CHILD = (sys.executable, "-m", "hotswap.host.child")
HEAP_MB = 128


@pytest.fixture
async def spares(monkeypatch):
    monkeypatch.setattr(module, "_REST_SECONDS", 0.0)
    made = Spares(heap_mb=HEAP_MB, child=CHILD)
    yield made
    await made.stop()


async def ready(spares, other_than=None):
    """Wait for a spare, and give its process."""
    async with asyncio.timeout(60):
        while not spares.ready or spares._ready["h2o"][1] is other_than:
            await asyncio.sleep(0.01)
    return spares._ready["h2o"][1]


async def started(spares, **load):
    host = ModelHost(
        load=IRIS.load(**load), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, take_spare=spares.take
    )
    await host.start()
    return host


async def test_a_spare_is_used_once_and_another_one_is_prepared_when_asked_for(spares):
    spares.keep("h2o")
    first = await ready(spares)
    hosts = [await started(spares)]
    assert spares.ready == []
    hosts.append(await started(spares))
    spares.keep("h2o")
    second = await ready(spares)
    hosts.append(await started(spares))

    answers = [await host.score(IRIS.requests()) for host in hosts]
    pids = [host.pid for host in hosts]
    for host in hosts:
        await host.stop()

    assert answers[0] == answers[1] == answers[2]
    assert (pids[0], pids[2]) == (first.pid, second.pid)
    assert pids[1] not in (first.pid, second.pid), "there was no spare: it was started from the beginning"


async def test_a_spare_that_has_practised_on_one_model_answers_as_another_one(spares):
    spares.keep("h2o", CANCER.load())
    spare = await ready(spares)
    practised, fresh = await started(spares), await started(spares)
    answers = [await host.score(IRIS.requests()) for host in (practised, fresh)]
    pids = practised.pid, fresh.pid
    for host in (practised, fresh):
        await host.stop()
    assert pids[0] == spare.pid != pids[1]
    assert answers[0] == answers[1]


async def test_a_spare_whose_practice_is_gone_is_a_spare_all_the_same(spares, tmp_path):
    spares.keep("h2o", IRIS.load(model=tmp_path / "retired.zip"))
    spare = await ready(spares)
    host = await started(spares)
    pid = host.pid
    await host.stop()
    assert pid == spare.pid


async def test_a_spare_that_dies_is_replaced(spares):
    spares.keep("h2o")
    spares.keep("h2o")
    first = await ready(spares)
    os.kill(first.pid, signal.SIGKILL)

    assert (await ready(spares, other_than=first)).pid != first.pid
    await gone(first.pid)


async def test_a_spare_that_dies_as_it_is_taken_costs_time_and_no_swap(spares):
    spares.keep("h2o")
    spare = await ready(spares)
    os.kill(spare.pid, signal.SIGKILL)  # the loop has not heard of it yet

    host = await started(spares)
    pid = host.pid
    await host.stop()

    assert pid not in (None, spare.pid)


async def test_a_model_that_is_refused_in_a_spare_is_refused_for_its_own_reason(spares, tmp_path):
    (tmp_path / "model.zip").write_bytes(b"this is no zip at all")
    spares.keep("h2o")
    spare = await ready(spares)

    with pytest.raises(SwapError, match="no H2O MOJO"):
        await started(spares, model=tmp_path / "model.zip")

    await gone(spare.pid)


async def test_a_spare_on_other_ground_is_not_taken(spares):
    spares.keep("h2o")
    spare = await ready(spares)

    assert await spares.take(make_ground("h2o", HEAP_MB + 1)) is None
    assert await spares.take(make_ground("h2o", HEAP_MB)) is spare
    spare.dispose()


async def test_a_kind_that_cannot_be_prepared_is_tried_again_and_stopped_with_the_rest(spares, monkeypatch):
    tries = asyncio.Queue()

    def fails(kind, heap_mb):
        tries.put_nowait(kind)
        raise SwapError(SwapCode.HOST_FAILED, "it is not installed")

    monkeypatch.setattr(module, "make_ground", fails)
    spares.keep("spark")
    async with asyncio.timeout(10):
        assert [await tries.get() for _ in range(3)] == ["spark"] * 3
    await spares.stop()

    assert spares.ready == []


async def test_stopping_leaves_no_spare_and_none_that_is_being_prepared():
    spares = Spares(heap_mb=HEAP_MB, child=CHILD)
    await asyncio.to_thread(make_ground, "h2o", HEAP_MB)
    before = left_behind()
    spares.keep("h2o")
    await ready(spares)
    await spares.stop()
    spares.keep("h2o")
    await asyncio.sleep(0)
    await spares.stop()

    assert spares.ready == []
    await nothing_left(before)
