"""An environment in the cache: made once for all workers, verified, made again, and left by nobody half made."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys

import pytest

from fakes.builders import builders, children, until, waits_for_a_lock
from fakes.processes import gone, is_running
from fakes.python_index import wheel
from hotswap.artifacts.cache import Cache
from hotswap.environments.environments import Environments
from hotswap.errors import SwapCode, SwapError

WHEEL = "alpha-1.0-py3-none-any.whl"
WORKER = """
import asyncio, sys
from pathlib import Path
from hotswap.environments.environments import Environments
from hotswap.settings import Settings

async def main():
    await Environments(Settings(cache=Path(sys.argv[1]), python_index=sys.argv[2])).prepare(Path(sys.argv[3]))

asyncio.run(main())
"""


def left(settings):
    return sorted(path.name for path in settings.environments.iterdir())


@pytest.fixture
def alpha(index, model):
    return model(index.add("alpha", wheel("alpha")))


@pytest.fixture
async def hanging(environments, index, alpha):
    """Return a prepare that waits for the index, and the processes that work for it."""
    index.is_open.clear()
    preparing = asyncio.create_task(environments.prepare(alpha))
    await until(index.was_asked.is_set)
    (builder,) = builders()
    (uv,) = children(builder)
    yield preparing, builder, uv
    index.is_open.set()
    preparing.cancel()
    with contextlib.suppress(asyncio.CancelledError, SwapError):
        await preparing


async def test_workers_of_a_machine_share_an_environment(environments, settings, index, alpha):
    mine = await environments.prepare(alpha)
    theirs = Environments(settings)
    shared = await theirs.prepare(alpha)
    assert shared == mine
    assert index.downloads() == [WHEEL]
    theirs.release(shared)
    environments.release(mine)
    await theirs.stop()


async def test_of_two_workers_that_want_the_same_at_once_one_makes_it(hanging, settings, index, alpha):
    preparing, builder, _ = hanging
    theirs = Environments(settings)
    waiting = asyncio.create_task(theirs.prepare(alpha))
    await until(lambda: any(map(waits_for_a_lock, set(builders()) - {builder})))
    index.is_open.set()
    assert (await waiting) == (await preparing)
    assert index.downloads() == [WHEEL]
    await theirs.stop()
    assert left(settings) == [waiting.result().digest]


async def test_when_the_one_that_makes_it_dies_the_one_that_waits_makes_it(hanging, settings, index, alpha):
    preparing, builder, uv = hanging
    theirs = Environments(settings)
    waiting = asyncio.create_task(theirs.prepare(alpha))
    await until(lambda: any(map(waits_for_a_lock, set(builders()) - {builder})))
    index.was_asked.clear()
    os.kill(builder, signal.SIGKILL)
    with pytest.raises(SwapError, match="check the logs of this worker and of the system"):
        await preparing
    await gone(uv)
    index.is_open.set()
    environment = await waiting
    assert (environment.site / "alpha.py").exists()
    theirs.release(environment)
    await theirs.stop()
    assert left(settings) == [environment.digest]


async def test_one_that_is_given_up_ends_at_once_with_all_its_processes_and_leaves_nothing(
    hanging, environments, settings
):
    preparing, builder, uv = hanging
    assert len(left(settings)) == 2
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    await gone(builder)
    await gone(uv)
    await environments.stop()
    assert left(settings) == []


async def test_what_makes_one_dies_with_its_worker_and_the_next_worker_removes_what_it_left(
    environments, settings, index, alpha
):
    index.is_open.clear()
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(settings.cache), index.url, str(alpha)
    )
    await until(index.was_asked.is_set)
    (builder,) = builders(worker.pid)
    (uv,) = children(builder)
    worker.kill()
    await worker.wait()
    await gone(builder)
    await gone(uv)
    index.is_open.set()
    environment = await environments.prepare(alpha)
    await environments.stop()
    assert left(settings) == [environment.digest]
    environments.release(environment)


CHANGES = {
    "changed": lambda site: (site / "alpha.py").write_text("import os\n"),
    "gone": lambda site: (site / "alpha.py").unlink(),
    "one more": lambda site: (site / "sitecustomize.py").touch(),
    "all gone": lambda site: shutil.rmtree(site.parent),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_one_that_was_changed_is_made_again_in_the_same_place(environments, settings, index, alpha, change):
    environment = await environments.prepare(alpha)
    await environments.verify(environment)
    assert index.downloads() == [WHEEL]
    change(environment.site)
    await environments.verify(environment)
    assert index.downloads() == [WHEEL, WHEEL]
    assert (environment.site / "alpha.py").read_text() == "VERSION = '1.0'\n"
    assert not (environment.site / "sitecustomize.py").exists()
    environments.release(environment)
    environments.release(await environments.prepare(alpha))
    assert left(settings) == [environment.digest], "the faulty one is removed once nobody holds it"


async def test_one_that_was_changed_while_no_worker_ran_is_made_again(environments, settings, index, alpha):
    environment = await environments.prepare(alpha)
    environments.release(environment)
    (environment.site / "alpha.py").write_text("import os\n")
    later = Environments(settings)
    again = await later.prepare(alpha)
    assert (again.site / "alpha.py").read_text() == "VERSION = '1.0'\n"
    later.release(again)
    await later.stop()


def prune(settings, environments):
    """Have another worker with little room make an environment of its own."""
    other = Cache(settings.environments, max_bytes=1, needed=environments._needed.names)
    other.release(other.put("other", lambda folder: (folder / "content").write_bytes(bytes(100))))


async def test_one_that_is_in_use_stays_and_one_that_is_released_may_go(environments, settings, alpha):
    environment = await environments.prepare(alpha)
    await environments.stop()
    prune(settings, environments)
    assert environment.site.exists()
    environments.release(environment)
    prune(settings, environments)
    assert not environment.site.exists()


async def test_one_that_a_group_needs_stays_while_no_worker_runs(environments, settings, index, model, alpha):
    settings = settings.model_copy(update={"cache_max_bytes": 1})
    environment = await environments.prepare(alpha)
    await environments.keep("group", [environment.digest])
    environments.release(environment)
    await environments.stop()
    others = Environments(settings)
    other = await others.prepare(model(index.add("beta", wheel("beta"))))
    others.release(other)
    await others.stop()
    assert environment.site.exists()
    await others.keep("group", [])
    others.release(await others.prepare(model(index.add("gamma", wheel("gamma")))))
    assert not environment.site.exists()
    await others.stop()


async def test_a_cache_that_cannot_be_written_is_named(environments, settings, alpha):
    settings.cache.mkdir()
    settings.environments.write_text("a file")
    with pytest.raises(SwapError, match=r"cannot be kept in .*: free space there, or set HOTSWAP_CACHE") as raised:
        await environments.prepare(alpha)
    assert raised.value.code is SwapCode.CACHE_FAILED
    await environments.stop()


async def test_an_environment_that_was_made_leaves_no_process(environments, alpha):
    environment = await environments.prepare(alpha)
    pids = builders()
    await environments.stop()
    assert [pid for pid in pids if is_running(pid)] == []
    environments.release(environment)
