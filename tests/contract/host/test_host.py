"""A model host with a real MOJO: its description, and that callers get their own answers."""

import asyncio
import os
import re
import signal

import pytest

from fakes.examples import IRIS
from fakes.hostile_child import NEVER_RETURNS
from fakes.hosts import HOSTILE, with_magic
from fakes.processes import is_running
from hotswap.host import frames
from hotswap.host.parent import ModelHost


async def test_a_host_reports_what_it_serves_and_how_long_each_phase_took():
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail)
    description = await host.start()
    await host.stop()

    assert description.operations == ("Classify",)
    assert (description.inputs, description.outputs) == (
        {"Classify": "examples.iris.Iris"},
        {"Classify": "examples.iris.Species"},
    )
    assert "sepal_length (numeric)" in description.columns
    assert re.fullmatch(r"h2o-genmodel [0-9.]+, Java [0-9.]+", description.runtime)
    assert description.phase_seconds.keys() == {"start", "load", "warm"}
    assert all(seconds > 0 for seconds in description.phase_seconds.values())


async def test_a_host_loads_at_low_priority_on_request_but_not_when_it_replaces_a_dead_one(monkeypatch):
    orders, pack = [], frames.pack_load
    monkeypatch.setattr(frames, "pack_load", lambda order: orders.append(order) or pack(order))
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=lambda _: None, on_unknown=pytest.fail)
    await host.start(is_low_priority=True)
    os.kill(host.pid, signal.SIGKILL)
    await host.score(IRIS.requests())
    await host.stop()
    assert [order.is_low_priority for order in orders] == [True, False]


async def test_concurrent_batches_each_get_their_own_answers(hosts):
    host = await hosts.start()
    requests = IRIS.requests()
    expected = await host.score(requests)

    parts = [slice(start, start + 10) for start in range(0, 150, 10)]
    answers = await asyncio.gather(*(host.score(requests[part]) for part in parts))

    assert answers == [expected[part] for part in parts]
    assert await host.score([]) == []


async def test_a_batch_larger_than_every_buffer_is_answered_completely(hosts):
    host = await hosts.start()
    requests = IRIS.requests() * 400

    answers = await host.score(requests)

    assert len(answers) == 60_000
    assert answers[:150] == answers[-150:]


async def test_a_cancelled_caller_does_not_disturb_others_answers(hosts):
    host = await hosts.start()
    requests = IRIS.requests()
    expected = await host.score(requests)

    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await host.score(requests * 20)
        assert await host.score(requests[::-1]) == expected[::-1]
    assert hosts.restarts == []


async def test_a_caller_cancelled_late_kills_the_host_and_the_next_batch_gets_another(hosts):
    host = await hosts.start(*HOSTILE, deadline_s=600.0)
    requests = IRIS.requests()
    expected = await host.score(requests)
    pid = host.pid
    endless = asyncio.create_task(host.score(with_magic(requests, {0: NEVER_RETURNS})))
    waiting = asyncio.create_task(host.score(requests))
    async with asyncio.timeout(20):
        while host.busy_s < 0.6:
            await asyncio.sleep(0.01)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless

    assert await waiting == expected
    assert host.busy_s == 0.0
    assert not is_running(pid)
    assert hosts.restarts == ["too_slow"]
