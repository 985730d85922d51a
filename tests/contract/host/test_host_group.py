"""Several real hosts of one generation: they score batches concurrently, and one's death does not affect the others."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from fakes.examples import IRIS
from fakes.hostile_child import NEVER_RETURNS
from fakes.processes import gone, left_behind, nothing_left
from hotswap.batch import Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.host.group import HostGroup
from hotswap.host.jvm_spec import make_ground
from hotswap.host.parent import ModelHost

HOSTILE = (sys.executable, str(Path(__file__).parents[2] / "fakes" / "hostile_child.py"))


class Group(HostGroup):
    """Two hosts; `restarts` has the reason of each restart of either."""

    def __init__(self, *child, **load):
        self.restarts = []
        self.hosts = [
            ModelHost(
                load=IRIS.load(**load),
                deadline_s=3,
                on_restart=self.restarts.append,
                on_unknown=pytest.fail,
                **({"child": child} if child else {}),
            )
            for _ in range(2)
        ]
        super().__init__(self.hosts)


async def test_a_slow_batch_does_not_delay_others():
    group = Group(*HOSTILE)
    await group.start()
    endless = [IRIS.operation.input(sepal_length=NEVER_RETURNS).SerializeToString()]
    slow = asyncio.create_task(group.score(endless))
    await asyncio.sleep(0)
    answers = [await group.score(IRIS.requests()) for _ in range(3)]
    was_slow = not slow.done()
    (refused,) = await slow
    await group.stop()

    assert was_slow
    assert answers[0] == answers[1] == answers[2]
    assert isinstance(refused, Refusal)
    assert set(group.restarts) == {"too_slow"}


async def test_concurrent_batches_are_distributed_and_each_gets_its_own_answers():
    group = Group()
    await group.start()
    requests = IRIS.requests()
    expected = await group.score(requests)
    parts = [slice(start, start + 10) for start in range(0, 150, 10)]
    answers = await asyncio.gather(*(group.score(requests[part]) for part in parts))
    tickets = [host._exchange.ticket for host in group.hosts]
    await group.stop()

    assert answers == [expected[part] for part in parts]
    assert min(tickets) >= len(parts) // 2


async def test_a_host_that_dies_is_replaced_alone():
    group = Group()
    await group.start()
    first, second = (host.pid for host in group.hosts)
    os.kill(first, signal.SIGKILL)
    await gone(first)
    answers = await asyncio.gather(*(group.score(IRIS.requests()) for _ in range(2)))
    pids = [host.pid for host in group.hosts]
    await group.stop()

    assert answers[0] == answers[1]
    assert pids[0] != first
    assert pids[1] == second
    assert group.restarts == ["crashed"]


async def test_a_model_is_refused_once_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "model.zip").write_bytes(b"this is no zip at all")
    before = left_behind()
    group = Group(model=tmp_path / "model.zip")
    with pytest.raises(SwapError, match="not a readable H2O MOJO"):
        await group.start()
    await nothing_left(before)


async def test_all_hosts_are_stopped_if_one_cannot_be_started(monkeypatch):
    await asyncio.to_thread(make_ground, "h2o", 128)  # downloaded jars do not count as left behind
    before = left_behind()
    group = Group()

    async def fails(**_):
        raise SwapError(SwapCode.HOST_FAILED, "no memory for a second one")

    monkeypatch.setattr(group.hosts[1], "start", fails)
    with pytest.raises(SwapError, match="no memory for a second one"):
        await group.start()
    assert [host.pid for host in group.hosts] == [None, None]
    await nothing_left(before)
