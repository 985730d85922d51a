"""The session of a host stands behind others until it serves, where Linux weighs sessions (autogroups)."""

import os
import sys
from pathlib import Path

import pytest

from fakes.examples import IRIS
from hotswap.host import session
from hotswap.host.parent import ModelHost
from hotswap.host.process import HostProcess
from hotswap.host.session import Session

pytestmark = pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no autogroups")

SAYS = """
from pathlib import Path
from hotswap.host.session import Session
own = Path("/proc/self/autogroup")
print(own.read_text().split()[-1], flush=True)
Session().come_forward()
print(own.read_text().split()[-1], flush=True)
"""


@pytest.mark.parametrize(("is_background", "said"), [(True, ["10", "0"]), (False, ["0", "0"])])
async def test_a_host_starts_behind_others_on_request_and_comes_forward(is_background, said):
    host = await HostProcess.start((sys.executable, "-c", SAYS), is_background=is_background)
    assert await host.close(10) == 0
    assert host.tail.split() == said
    host.dispose()


async def test_a_host_that_was_loaded_beside_another_serves_like_others():
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail)
    await host.start(is_low_priority=True)
    nice = Path(f"/proc/{host.pid}/autogroup").read_text().split()[-1]
    await host.stop()
    assert nice == "0"


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
