"""Real warm standbys: used once, replaced, and never the reason that a swap fails."""

import asyncio
import os
import signal
import sys

import pytest

from fakes.examples import CANCER, IRIS, READING
from fakes.processes import gone, left_behind, nothing_left
from hotswap.errors import SwapCode, SwapError
from hotswap.host import standby as module
from hotswap.host.jvm_spec import make_ground
from hotswap.host.parent import ModelHost
from hotswap.host.standby import Standbys

CHILD = (sys.executable, "-m", "hotswap.host.child")
HEAP_MB = 128


@pytest.fixture
async def standbys(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    made = Standbys(heap_mb=HEAP_MB, child=CHILD, sandbox=READING)
    yield made
    await made.stop()


async def ready(standbys, other_than=None):
    """Wait for a standby and return its process."""
    async with asyncio.timeout(60):
        while not standbys.ready or standbys._ready["h2o"][1] is other_than:
            await asyncio.sleep(0.01)
    return standbys._ready["h2o"][1]


async def started(standbys, **load):
    host = ModelHost(
        load=IRIS.load(sandbox=READING, **load),
        deadline_s=30,
        on_restart=pytest.fail,
        on_unknown=pytest.fail,
        take_standby=standbys.take,
    )
    await host.start()
    return host


async def test_a_standby_is_used_once_and_another_is_prepared_on_request(standbys):
    standbys.keep("h2o")
    first = await ready(standbys)
    hosts = [await started(standbys)]
    assert standbys.ready == []
    hosts.append(await started(standbys))
    standbys.keep("h2o")
    second = await ready(standbys)
    hosts.append(await started(standbys))

    answers = [await host.score(IRIS.requests()) for host in hosts]
    pids = [host.pid for host in hosts]
    for host in hosts:
        await host.stop()

    assert answers[0] == answers[1] == answers[2]
    assert (pids[0], pids[2]) == (first.pid, second.pid)
    assert pids[1] not in (first.pid, second.pid), "there was no standby: it was started from scratch"


async def test_a_standby_prewarmed_on_one_model_serves_another(standbys):
    standbys.keep("h2o", CANCER.load())
    standby = await ready(standbys)
    prewarmed, fresh = await started(standbys), await started(standbys)
    answers = [await host.score(IRIS.requests()) for host in (prewarmed, fresh)]
    pids = prewarmed.pid, fresh.pid
    for host in (prewarmed, fresh):
        await host.stop()
    assert pids[0] == standby.pid != pids[1]
    assert answers[0] == answers[1]


async def test_a_standby_whose_prewarm_model_is_gone_can_still_be_used(standbys, tmp_path):
    standbys.keep("h2o", IRIS.load(model=tmp_path / "retired.zip"))
    standby = await ready(standbys)
    host = await started(standbys)
    pid = host.pid
    await host.stop()
    assert pid == standby.pid


async def test_a_standby_that_dies_is_replaced(standbys):
    standbys.keep("h2o")
    standbys.keep("h2o")
    first = await ready(standbys)
    os.kill(first.pid, signal.SIGKILL)

    assert (await ready(standbys, other_than=first)).pid != first.pid
    await gone(first.pid)


async def test_a_standby_that_dies_when_taken_delays_the_swap_but_does_not_fail_it(standbys):
    standbys.keep("h2o")
    standby = await ready(standbys)
    os.kill(standby.pid, signal.SIGKILL)  # the loop has not noticed yet

    host = await started(standbys)
    pid = host.pid
    await host.stop()

    assert pid not in (None, standby.pid)


async def test_a_model_that_is_refused_in_a_standby_is_refused_for_its_own_reason(standbys, tmp_path):
    (tmp_path / "model.zip").write_bytes(b"this is no zip at all")
    standbys.keep("h2o")
    standby = await ready(standbys)

    with pytest.raises(SwapError, match="not a readable H2O MOJO"):
        await started(standbys, model=tmp_path / "model.zip")

    await gone(standby.pid)


async def test_a_standby_on_another_jvm_is_not_taken(standbys):
    standbys.keep("h2o")
    standby = await ready(standbys)

    assert await standbys.take(make_ground("h2o", HEAP_MB + 1, READING)) is None
    assert await standbys.take(make_ground("h2o", HEAP_MB, READING)) is standby
    standby.dispose()


async def test_preparing_a_kind_is_retried_until_the_standbys_stop(standbys, monkeypatch):
    tries = asyncio.Queue()

    def fails(kind, heap_mb, _):
        tries.put_nowait(kind)
        raise SwapError(SwapCode.HOST_FAILED, "it is not installed")

    monkeypatch.setattr(module, "make_ground", fails)
    standbys.keep("spark")
    async with asyncio.timeout(10):
        assert [await tries.get() for _ in range(3)] == ["spark"] * 3
    await standbys.stop()

    assert standbys.ready == []


async def test_stopping_ends_all_standbys_including_those_being_prepared():
    standbys = Standbys(heap_mb=HEAP_MB, child=CHILD, sandbox=READING)
    await asyncio.to_thread(make_ground, "h2o", HEAP_MB)
    before = left_behind()
    standbys.keep("h2o")
    await ready(standbys)
    await standbys.stop()
    standbys.keep("h2o")
    await asyncio.sleep(0)
    await standbys.stop()

    assert standbys.ready == []
    await nothing_left(before)
