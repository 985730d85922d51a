"""The process that fetches, a real one: a store that hangs costs the swap that names it, and nobody else anything."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.examples import COLD, EXAMPLES, IRIS
from fakes.fetching import MODEL, Fetching, model
from fakes.processes import gone, is_running, proc
from hotswap.artifacts import fetcher as module
from hotswap.artifacts.cache import Cache
from hotswap.batch import Position
from hotswap.errors import SwapError
from hotswap.generation import Model, Proto
from hotswap.host.jvm_spec import make_ground
from hotswap.pipeline.states import PartitionState
from hotswap.staging import Staging, Surroundings
from hotswap.swap.command import SwapCommand
from hotswap.swap.timeline import Timeline

HANGING_SWAPS = 20


async def test_what_is_fetched_by_the_process_is_whole_and_the_same_process_fetches_the_next(fetching):
    pid = fetching.pid
    folder = await fetching.store.fetch(model())
    proto = EXAMPLES / "protos" / "iris.proto"
    source = await fetching.store.fetch_proto(Proto(hashlib.sha256(proto.read_bytes()).hexdigest(), uri=proto.as_uri()))
    assert (folder / "model.ini").exists()
    assert source == proto.read_bytes()
    assert fetching.pid == pid


async def test_what_was_fetched_is_held_by_the_worker_and_no_longer_by_the_process(fetching):
    folder = await fetching.store.fetch(model())
    other = Cache(fetching.settings.cache / "artifacts", max_bytes=1)

    def prune():
        other.release(other.put("x", lambda entry: (entry / "content").write_bytes(b"x")))
        return folder.exists()

    assert prune()
    fetching.store.release(folder)
    with pytest.raises(SwapError):  # it answers the next one only once it has let go of the last one
        await fetching.store.fetch(model(Path("/no/such.zip"), sha256="0" * 64))
    assert not prune()


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        (Model("file:///no/such.zip", "0" * 64), "ARTIFACT_UNREACHABLE", "cannot be reached"),
        (Model(MODEL.as_uri(), "0" * 64), "DIGEST_MISMATCH", "it was changed or damaged"),
        (model(EXAMPLES / "protos" / "iris.proto"), "ARTIFACT_INVALID", "is no model but text"),
        (Model(MODEL.as_uri(), "no digest"), "ARTIFACT_INVALID", "64 digits"),
    ],
)
async def test_a_refusal_comes_with_its_own_code_and_words_and_the_process_stays(fetching, wanted, code, told):
    pid = fetching.pid
    with pytest.raises(SwapError) as refused:
        await fetching.store.fetch(wanted)
    assert (refused.value.code, told in refused.value.message) == (code, True)
    assert (fetching.pid, fetching.left()) == (pid, [])


async def test_a_fetch_that_is_given_up_ends_its_process_and_leaves_nothing_in_the_cache(fetching, silent):
    pid = fetching.pid
    task = asyncio.create_task(fetching.store.fetch(silent.model))
    await silent.is_asked()
    assert fetching.left() != []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fetching.pid != pid, "another one is ready for the next"
    await gone(pid)
    async with asyncio.timeout(60):
        while fetching.left():  # the next process begins by sweeping
            await asyncio.sleep(0.01)


async def test_two_at_once_do_not_wait_for_each_other(fetching, silent):
    task = asyncio.create_task(fetching.store.fetch(silent.model))
    await silent.is_asked()
    assert (await fetching.store.fetch(model())).is_dir()
    silent.connections[0].close()
    with pytest.raises(SwapError, match=r"model\.zip cannot be reached"):
        await task


async def test_a_process_that_dies_fails_its_fetch_and_one_that_died_before_is_replaced(fetching, silent):
    idle = fetching.pid
    os.kill(idle, signal.SIGKILL)
    await gone(idle)
    assert (await fetching.store.fetch(model())).is_dir()
    busy = fetching.pid
    task = asyncio.create_task(fetching.store.fetch(silent.model))
    await silent.is_asked()
    os.kill(busy, signal.SIGKILL)
    with pytest.raises(SwapError, match=r"model\.zip was not fetched: .* ended before it was done") as failed:
        await task
    assert failed.value.code == "ARTIFACT_UNREACHABLE"
    assert (await fetching.store.fetch(model())).is_dir()


async def test_a_process_that_cannot_be_started_fails_the_swap_and_is_tried_again(fetching, monkeypatch):
    def fails(*_, **__):
        raise OSError(24, "Too many open files")

    os.kill(fetching.pid, signal.SIGKILL)
    await gone(fetching.pid)
    with monkeypatch.context() as patch:
        patch.setattr(module.subprocess, "Popen", fails)
        with pytest.raises(SwapError, match="Too many open files"):
            await fetching.store.fetch(model())
    assert (await fetching.store.fetch(model())).is_dir()


async def test_a_full_disk_is_a_failure_of_the_cache_also_where_a_failpoint_fills_it(tmp_path):
    full = Fetching(cache=tmp_path / "cache", failpoints="cache.write=full@1")
    with pytest.raises(SwapError, match="No space left") as failed:
        await full.store.fetch(model())
    assert failed.value.code == "CACHE_FAILED"
    assert (await full.store.fetch(model())).is_dir()
    await full.fetcher.stop()


async def test_the_process_knows_the_settings_of_stores_and_no_password_of_kafka(tmp_path, monkeypatch):
    for name in ("HOTSWAP_SASL_PASSWORD", "hotswap_sasl_username"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    fetching = Fetching(cache=tmp_path / "cache")
    await fetching.store.fetch(model())  # so that it has begun
    environment, arguments = proc(fetching.pid, "environ"), proc(fetching.pid, "cmdline")
    await fetching.fetcher.stop()
    assert "AWS_REGION=eu-central-1" in environment
    assert "hunter2" not in environment + arguments


WORKER = """
import asyncio, sys
from pathlib import Path
from hotswap.artifacts.fetcher import Fetcher
from hotswap.generation import Model
from hotswap.settings import Settings
from hotswap.artifacts.store import Store

async def main(cache, failpoints, uri):
    settings = Settings(cache=Path(cache), failpoints=failpoints, allowed_stores=uri)
    fetcher = Fetcher(settings)
    fetcher.start()
    print(fetcher._idle._process.pid, flush=True)
    await Store(settings, fetcher.fetch).fetch(Model(uri, "0" * 64))

asyncio.run(main(*sys.argv[1:]))
"""


async def worker_that_fetches(*arguments):
    """A process that has a Fetcher as a worker has, and the process id of that."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, *arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return worker, int(await worker.stdout.readline())


async def test_the_process_dies_with_a_worker_that_is_killed_also_while_a_store_hangs(tmp_path, silent):
    worker, pid = await worker_that_fetches(str(tmp_path), "", silent.uri)
    await silent.is_asked()
    worker.kill()
    await worker.wait()
    await gone(pid)
    assert not is_running(pid)


@pytest.mark.parametrize("orders", [1, 2])
def test_the_process_ends_without_a_word_once_its_worker_is_gone_with_an_answer_unread(tmp_path, orders):
    settings = {"cache": str(tmp_path), "max_bytes": 1, "log": {"level": "INFO", "style": "text"}, "failpoints": ""}
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", module.__name__, str(theirs.fileno()), str(os.getpid()), json.dumps(settings)],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
    with ours:
        ours.sendall(orders * module._line({"find": {"uri": MODEL.as_uri(), "stores": []}}))
        ours.recv(1, socket.MSG_PEEK)
    assert (process.communicate(timeout=60)[1], process.returncode) == (b"", 0)


async def test_a_failpoint_in_the_process_strikes_the_worker(tmp_path):
    worker, pid = await worker_that_fetches(str(tmp_path), "cache.write=kill@1", MODEL.as_uri())
    async with asyncio.timeout(60):
        assert await worker.wait() == -signal.SIGKILL
    await gone(pid)


@contextlib.asynccontextmanager
async def staging_of(fetching, timeline, said):
    """Staging at work; what it reports of each generation is appended to `said`."""

    async def committed():
        return {0: Position(0)}

    async def no_bound():
        return None

    around = Surroundings(
        partitions=1,
        states=lambda: {0: PartitionState(position=Position(0))},
        committed=committed,
        max_answer_bytes=no_bound,
        report=lambda told: said.append((told.swap.number, told.error.code if told.error else told.outcome)),
    )
    staging = Staging(settings=fetching.settings, timeline=timeline, store=fetching.store, child=COLD, around=around)
    running = asyncio.create_task(staging.run())
    try:
        yield staging
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await staging.stop()


async def test_after_many_swaps_to_stores_that_hang_a_good_one_is_ready_and_a_killed_host_is_started_again(
    fetching, silent, tmp_path
):
    os.mkfifo(tmp_path / "hangs.zip")
    await asyncio.to_thread(make_ground, "h2o", 128)
    said, timeline = [], Timeline()

    async def swap(number, wanted, outcome, **more):
        command = SwapCommand(
            command_id=f"c{number}", generation=number, model=wanted, proto=Proto.inline(IRIS.source.decode()), **more
        )
        assert timeline.receive(command, 0).outcome is None
        staging.poke()
        async with asyncio.timeout(60):
            while (number, outcome) not in said:
                await asyncio.sleep(0.01)

    async with staging_of(fetching, timeline, said) as staging:
        await swap(1, model(), "READY")
        for number in range(2, 2 + HANGING_SWAPS):
            uri = (tmp_path / "hangs.zip").as_uri() if number % 2 else silent.uri
            await swap(number, Model(uri, "0" * 64), "DEADLINE_EXCEEDED", deadline_ms=200)
        host = staging.serving(1).host
        (one,) = host._hosts
        os.kill(one.pid, signal.SIGKILL)
        await gone(one.pid)
        async with asyncio.timeout(60):
            assert len(await host.score(IRIS.requests())) == len(IRIS.requests())
        await swap(2 + HANGING_SWAPS, model(EXAMPLES / "models" / "iris_glm.zip"), "READY")


async def test_an_artifact_is_looked_for_where_it_was_published_and_nothing_is_read(fetching, tmp_path):
    file = tmp_path / "model.zip"
    file.write_bytes(b"any bytes")
    assert await fetching.fetcher.find(file.as_uri()) == ""
    file.unlink()
    why = await fetching.fetcher.find(f"{file.as_uri()}?signature=secret")
    assert "cannot be reached: No such file or directory" in why
    assert "secret" not in why
    assert fetching.left() == []


async def test_a_store_that_hangs_is_not_looked_into_for_ever(fetching, silent, monkeypatch):
    monkeypatch.setattr(module, "_FIND_SECONDS", 0.1)
    first = fetching.pid
    assert await fetching.fetcher.find(silent.uri) == f"{silent.uri} was not found within 0.1 s"
    await gone(first)
    monkeypatch.undo()
    assert await fetching.fetcher.find(MODEL.as_uri()) == ""


async def test_a_process_that_died_while_idle_is_not_taken_for_a_store_that_has_lost_something(fetching):
    idle = fetching.pid
    os.kill(idle, signal.SIGKILL)
    await gone(idle)
    assert await fetching.fetcher.find(MODEL.as_uri()) == ""
