"""Everything that a model starts ends with its host: in namespaces, and where these are forbidden."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.examples import IRIS
from fakes.processes import gone, is_running, left_behind, nothing_left
from hotswap.host import spawn
from hotswap.host.parent import ModelHost
from hotswap.host.process import HostProcess

FAKES = Path(__file__).parents[2] / "fakes"
ROOT = FAKES.parents[1]
LITTERING = (sys.executable, str(FAKES / "littering_child.py"))
UNPRIVILEGED = (sys.executable, str(FAKES / "unprivileged_supervisor.py"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it takes what only Linux has")


@pytest.fixture(params=["in namespaces", "without namespaces"])
def is_namespaced(request, monkeypatch):
    if request.param == "without namespaces":
        monkeypatch.setattr(spawn, "_SUPERVISOR", UNPRIVILEGED)
        return False
    return True


@pytest.fixture
async def host():
    made = ModelHost(
        load=IRIS.load(), deadline_s=10, on_restart=lambda _: None, on_unknown=pytest.fail, child=LITTERING
    )
    await made.start()
    yield made
    await made.stop()


def started_by(worker):
    """Return the processes that a worker's models have started, by their command lines."""
    mark = f"hotswap-host-{worker}-".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended in the meantime
            if mark in (each / "cmdline").read_bytes():
                found.append(int(each.name))
    return found


def shared_memory(worker):
    return list(Path("/dev/shm").glob(f"hotswap-host-{worker}-*"))


async def stop(host):
    await host.stop()


async def kill(host):
    host.kill()


async def kill_from_outside(host):
    os.kill(host.pid, signal.SIGKILL)
    await host.score([b"again"])


async def make_it_exit(host):
    await host.score([b"exit"])


@pytest.mark.parametrize("end", [stop, kill, kill_from_outside, make_it_exit])
async def test_nothing_that_a_model_starts_outlives_its_host(is_namespaced, host, end):
    assert await host.score([b"litter"]) == [b"litter"]
    left = started_by(os.getpid())
    assert left

    await end(host)

    assert not any(map(is_running, left))
    if is_namespaced and not HostProcess.uncontained:
        assert shared_memory(os.getpid()) == []
    for file in shared_memory(os.getpid()):
        file.unlink()


async def test_a_killed_worker_leaves_no_processes_of_its_models(is_namespaced):
    script = f"""if True:
        import asyncio, sys
        sys.path[:0] = [{str(FAKES.parent)!r}, {str(ROOT / "worker")!r}]
        from fakes.examples import IRIS
        from hotswap.host import spawn
        from hotswap.host.parent import ModelHost

        async def main():
            spawn._SUPERVISOR = {spawn._SUPERVISOR!r}
            host = ModelHost(load=IRIS.load(), deadline_s=60, on_restart=print, on_unknown=print, child={LITTERING!r})
            await host.start()
            await host.score([b"litter"])
            print(host.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())"""
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    pid = int(await worker.stdout.readline())
    left = started_by(worker.pid)
    assert left

    worker.kill()
    await worker.wait()

    for each in (pid, *left):
        await gone(each)
    for file in shared_memory(worker.pid):
        assert not is_namespaced or HostProcess.uncontained
        file.unlink()


async def test_what_this_machine_cannot_contain_is_known_once_a_host_has_started(monkeypatch):
    monkeypatch.setattr(HostProcess, "uncontained", "")
    monkeypatch.setattr(spawn, "_SUPERVISOR", UNPRIVILEGED)
    before = left_behind()
    host = await HostProcess.start(LITTERING)
    assert HostProcess.uncontained == "namespaces are forbidden here (by the test)"
    await host.close(5)
    await nothing_left(before)


@pytest.mark.parametrize(
    ("program", "code"), [("raise SystemExit(9)", 9), ("import os; os.kill(os.getpid(), 11)", -11)]
)
async def test_the_exit_status_of_a_host_is_reported(is_namespaced, program, code):
    host = await HostProcess.start((sys.executable, "-c", program))
    assert await host.close(5) == code
