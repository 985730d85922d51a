"""How a model host starts and stops, what it may access, and that it leaves nothing behind."""

import asyncio
import errno
import json
import os
import subprocess
import sys

import pytest

from fakes.examples import IRIS, MIXED_GLM
from fakes.hostile_child import NEVER_RETURNS
from fakes.hosts import FAKES, HOSTILE, with_magic
from fakes.processes import gone, is_running, left_behind, nothing_left, proc
from hotswap.errors import HostError, SwapError
from hotswap.host.parent import ModelHost


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("print('some last words'); raise SystemExit(9)", "exit code 9; its last output: some last words"),
        ("import os, sys; os.write(int(sys.argv[1]), b'\\1\\0\\0\\0x')", "a frame of 1 bytes has an unknown kind"),
        ("import os, sys; os.write(int(sys.argv[1]), b'\\7\\0\\0\\0\\1\\0\\0\\0\\0{}')", "of itself is malformed"),
        (
            "import os, sys; os.write(int(sys.argv[1]), b'\\0\\0\\0\\4\\1'); os.read(int(sys.argv[1]), 1)",
            "READY frame of 67,108,864",
        ),
        (None, "could not be started"),
    ],
)
async def test_a_child_that_does_not_become_ready_is_a_failed_host_with_its_last_output(program, told):
    before = left_behind()
    child = (sys.executable, "-c", program) if program else ("/no/such/program",)
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=child)

    with pytest.raises(SwapError) as failed:
        await host.start()

    assert failed.value.code == "HOST_FAILED"
    assert told in failed.value.message
    await nothing_left(before)


HANGS = """if True:
    import socket, sys
    from hotswap.host import frames
    connection = socket.socket(fileno=int(sys.argv[2]))
    frames.receive(connection)
    for step in sys.argv[1].split():
        connection.sendall(frames.pack_step(frames.StartStep[step]))
    frames.receive(connection)"""
"""A host that says what it does, and then nothing more."""


def hanging(steps, **bounds):
    child = (sys.executable, "-c", HANGS, steps)
    return ModelHost(
        load=IRIS.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=child, **bounds
    )


@pytest.mark.parametrize(
    ("steps", "doing"),
    [
        ("LOADING", "loading the model"),
        ("LOADING SAMPLING", "scoring the samples"),
        ("LOADING WARMING", "warming up"),
    ],
)
async def test_what_a_host_was_doing_is_known_when_its_start_is_given_up(steps, doing):
    before, host = left_behind(), hanging(steps)
    start = asyncio.create_task(host.start())
    while host.doing != doing and not start.done():
        await asyncio.sleep(0.01)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert host.doing == doing
    await asyncio.sleep(0)  # closed transports release their descriptors in the loop's next iteration
    await nothing_left(before)


async def test_a_start_that_nobody_gives_up_ends_within_its_bound_and_says_what_the_host_was_doing():
    before = left_behind()
    with pytest.raises(SwapError, match=r"not ready within 0\.2 s: it was starting Java") as failed:
        await hanging("", start_s=0.2).start()
    assert failed.value.code == "HOST_TOO_SLOW"
    await nothing_left(before)


async def test_a_host_that_takes_a_step_back_is_a_failed_host():
    with pytest.raises(SwapError, match="failed while it was warming up: it was warming up, and then") as failed:
        await hanging("WARMING LOADING").start()
    assert failed.value.code == "HOST_FAILED"


@pytest.mark.parametrize(("what", "error"), [("tempfile.mkdtemp", errno.ENOSPC), ("os.pipe", errno.EMFILE)])
async def test_a_host_that_runs_out_of_resources_fails_and_leaves_nothing_behind(what, error, hosts, monkeypatch):
    before = left_behind()

    def fails(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(what, fails)
    with pytest.raises(SwapError, match=os.strerror(error)) as failed:
        await hosts.start()

    assert failed.value.code == "HOST_FAILED"
    await nothing_left(before)


async def test_a_host_leaves_nothing_behind_however_it_ends(hosts):
    before = left_behind()

    stopped = await hosts.start()
    first = stopped.pid
    await stopped.score(IRIS.requests())
    await stopped.stop()
    killed = await hosts.start()
    second = killed.pid
    killed.kill()
    cancelled = asyncio.create_task(hosts.start())
    while not hosts.made[-1].pid or hosts.made[-1] is killed:
        await asyncio.sleep(0)
    third = hosts.made[-1].pid
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await asyncio.sleep(0)  # closed transports release their descriptors in the loop's next iteration

    await nothing_left(before)
    assert not any(map(is_running, (first, second, third)))


async def test_stop_kills_a_host_that_never_returns_and_its_batch_is_in_doubt(hosts):
    host = await hosts.start(*HOSTILE)
    pid = host.pid
    batch = asyncio.create_task(host.score(with_magic(IRIS.requests(), {0: NEVER_RETURNS})))
    await asyncio.sleep(0)

    async with asyncio.timeout(6):
        await host.stop()

    with pytest.raises(HostError, match="stopped"):
        await batch
    with pytest.raises(HostError, match="stopped"):
        await host.score(IRIS.requests())
    assert not is_running(pid)
    assert hosts.restarts == []


async def test_stop_lets_the_batch_in_progress_finish(hosts):
    host = await hosts.start()
    batch = asyncio.create_task(host.score(IRIS.requests()))
    await asyncio.sleep(0)

    await host.stop()

    assert all(isinstance(answer, bytes) for answer in await batch)


async def test_a_host_has_no_credentials_no_core_files_and_a_limit_on_its_memory(hosts, monkeypatch):
    monkeypatch.setenv("HOTSWAP_SASL_PASSWORD", "secret")
    host = await hosts.start()

    environment, limits = proc(host.pid, "environ"), proc(host.pid, "limits").splitlines()

    assert "secret" not in environment
    assert "HOME=" not in environment
    assert {name: line.split()[-3] for line in limits for name in ("core", "data") if f"Max {name}" in line} == {
        "core": "0",
        "data": str((128 + 1536) << 20),
    }
    assert os.getsid(host.pid) == host.pid


@pytest.mark.parametrize("magic", [5.0, NEVER_RETURNS])
async def test_a_host_dies_with_a_worker_that_is_killed_idle_or_not(tmp_path, magic):
    script = f"""if True:
        import asyncio
        from fakes.examples import IRIS
        from hotswap.host.parent import ModelHost

        async def main():
            request = IRIS.operation.input(sepal_length={magic}).SerializeToString()
            host = ModelHost(load=IRIS.load(), deadline_s=60, on_restart=print, on_unknown=print, child={HOSTILE})
            await host.start()
            batch = asyncio.create_task(host.score([request]))
            await asyncio.wait([batch], timeout=0.2 if {magic == NEVER_RETURNS} else None)
            print(host.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())"""
    environment = {**os.environ, "PYTHONPATH": f"{FAKES.parent}:{FAKES.parents[1] / 'worker'}", "TMPDIR": str(tmp_path)}
    command = (sys.executable, "-c", script)
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
    pid = int(await worker.stdout.readline())
    worker.kill()
    await worker.wait()

    await gone(pid)
    assert not is_running(pid)


async def test_unknown_categories_are_reported():
    seen = {}
    host = ModelHost(load=MIXED_GLM.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=seen.__setitem__)
    await host.start()
    message = MIXED_GLM.operation.input

    await host.score(
        [message(color="mauve", country="XX").SerializeToString(), message(color="teal").SerializeToString()]
    )
    await host.stop()

    assert seen == {"color": 2, "country": 1}


def test_the_parent_never_imports_the_childs_modules():
    script = "import sys, json, hotswap.host.parent; print(json.dumps([*sys.modules]))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)

    assert not {"jpype", "numpy", "google.protobuf", "aiokafka"} & set(loaded)
