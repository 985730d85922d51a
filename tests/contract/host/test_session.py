"""The session of a host stands behind others until it serves, where Linux weighs sessions (autogroups)."""

import asyncio
import math
import os
import signal
import sys
from pathlib import Path

import pytest

from fakes.examples import IRIS, READING
from hotswap.host import process, session, standby
from hotswap.host.parent import ModelHost
from hotswap.host.process import HostProcess
from hotswap.host.session import Session
from hotswap.host.spawn import BEHIND_SECONDS

pytestmark = pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no autogroups")

SAYS = """
from pathlib import Path
from hotswap.host.session import Session
own = Path("/proc/self/autogroup")
print(own.read_text().split()[-1], flush=True)
Session().come_forward()
print(own.read_text().split()[-1], flush=True)
"""


WAITS = """
import time
from pathlib import Path
own = Path("/proc/self/autogroup")
print(own.read_text().split()[-1], flush=True)
while own.read_text().split()[-1] != "0":
    time.sleep(0.01)
print("0", flush=True)
"""


@pytest.mark.parametrize(("behind_s", "said"), [(math.inf, ["10", "0"]), (0.0, ["0", "0"])])
async def test_a_host_starts_behind_others_on_request_and_comes_forward(behind_s, said):
    host = await HostProcess.start((sys.executable, "-c", SAYS), behind_s=behind_s)
    assert await host.close(10) == 0
    assert host.tail.split() == said
    host.dispose()


async def test_a_host_that_takes_long_to_load_stands_behind_others_no_longer_than_it_should():
    host = await HostProcess.start((sys.executable, "-c", WAITS), behind_s=0.01)
    assert await host.close(60) == 0
    assert host.tail.split() == ["10", "0"]
    host.dispose()


async def test_a_host_that_is_loaded_beside_another_starts_behind_it_and_serves_like_others(monkeypatch):
    spawn, begun = process.spawn, []
    monkeypatch.setattr(process, "spawn", lambda *given: begun.append(given[-1]) or spawn(*given))
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=lambda _: None, on_unknown=pytest.fail)
    await host.start(is_low_priority=True)
    served = [nice(host)]
    os.kill(host.pid, signal.SIGKILL)
    await host.score(IRIS.requests())
    served.append(nice(host))
    await host.stop()
    assert begun == [BEHIND_SECONDS, 0.0]
    assert served == ["0", "0"]


@pytest.mark.parametrize("is_low_priority", [True, False])
async def test_a_standby_waits_behind_others_and_comes_forward_when_it_is_taken(monkeypatch, is_low_priority):
    monkeypatch.setattr(standby, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(standby, "_BEHIND_SECONDS", math.inf)
    standbys = standby.Standbys(heap_mb=128, child=(sys.executable, "-m", "hotswap.host.child"), sandbox=READING)
    standbys.keep("h2o")
    async with asyncio.timeout(60):
        while not standbys.ready:
            await asyncio.sleep(0.01)
    waiting = nice(standbys._ready["h2o"][1])
    host = ModelHost(
        load=IRIS.load(sandbox=READING),
        deadline_s=30,
        on_restart=pytest.fail,
        on_unknown=pytest.fail,
        take_standby=standbys.take,
    )
    await host.start(is_low_priority=is_low_priority)
    assert (standbys.ready, waiting, nice(host)) == ([], "10", "0")
    await host.stop()
    await standbys.stop()


def nice(of):
    return Path(f"/proc/{of.pid}/autogroup").read_text().split()[-1]


def test_a_host_that_may_not_come_forward_serves_all_the_same(monkeypatch, tmp_path):
    def forbid(*_):
        raise PermissionError

    (file := tmp_path / "autogroup").write_text("/autogroup-7 nice 10\n")
    monkeypatch.setattr(session, "_AUTOGROUP", str(file))
    monkeypatch.setattr(session.os, "write", forbid)
    Session().come_forward()


def test_it_tries_again_while_linux_has_changed_another_session(monkeypatch, tmp_path):
    write, tried = os.write, []

    def refuse_twice(file, text):
        tried.append(text)
        if len(tried) < 3:
            raise BlockingIOError
        return write(file, text)

    (file := tmp_path / "autogroup").write_text("/autogroup-7 nice 10\n")
    monkeypatch.setattr(session, "_AUTOGROUP", str(file))
    monkeypatch.setattr(session.os, "write", refuse_twice)
    made = Session()
    made.come_forward()
    made.come_forward()
    assert (tried, file.read_text()) == ([b"0"] * 3, "/autogroup-7 nice 10\n0")
