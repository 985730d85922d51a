"""A hostile jar, by Java's library and by JNI: what it reaches without the sandbox, it does not reach in one."""

import asyncio
import contextlib
import os
import socket
import sys
from dataclasses import replace

import pytest

from fakes.jar_hosts import HOSTILE, hosting, load
from hotswap.batch import Refusal
from hotswap.host.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox takes what only Linux has")

HAS_NATIVE = os.uname().machine == "x86_64"
"""Whether the jar's native code is of this machine."""


@pytest.fixture
def home(tmp_path):
    """Return a folder with a canary, a cache that hosts may read, and a socket."""
    (tmp_path / "cache").mkdir()
    for name in ("canary", "cache/model"):
        (tmp_path / name).write_text("untouched")
    return tmp_path


@contextlib.asynccontextmanager
async def hostile(put, home, **sandbox):
    given = load(put("hostile"), HOSTILE, {"act": "What Said"}, {"class": "hostile.Escapes"})
    given = replace(given, sandbox=Sandbox(read=(str(home / "cache"),), **sandbox))
    async with hosting(given) as served:

        async def act(*words):
            answer = await served.ask("act", {"what": "|".join(map(str, words))})
            return answer.message if isinstance(answer, Refusal) else answer.said

        yield act


@contextlib.contextmanager
def listening(home):
    with contextlib.ExitStack() as open_ones:
        ports = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            made = open_ones.enter_context(socket.socket(socket.AF_INET, kind))
            made.bind(("127.0.0.1", 0))
            ports.append(made.getsockname()[1])
            if kind == socket.SOCK_STREAM:
                made.listen()
        path = open_ones.enter_context(socket.socket(socket.AF_UNIX))
        path.bind(str(home / "socket"))
        path.listen()
        datagrams = open_ones.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        datagrams.bind(str(home / "datagrams"))
        yield ports


def attempts(home, ports):
    return (
        ("read", home / "canary"),
        ("list", home),
        ("watch", home),
        ("write", home / "new"),
        ("write", home / "cache" / "new"),
        ("write", home / "cache" / "model"),
        ("delete", home / "cache" / "model"),
        ("read", f"/proc/{os.getpid()}/environ"),
        ("read", "/proc/1/environ"),
        ("connect", ports[0]),
        ("send", ports[1]),
        ("listen",),
        ("connect to a path", home / "socket"),
        *([("send from a pair", home / "datagrams")] if HAS_NATIVE else []),
        ("run", "true"),
        ("run for ever", 5),
        ("bomb", 0),
        ("write", "/dev/shm/hotswap-jar"),
    )


async def test_a_jar_reaches_without_the_sandbox_what_it_does_not_reach_in_it(put, home):
    with listening(home) as ports:
        async with hostile(put, home, mode="off") as act:
            # This process, whose id differs in the host's namespace, cannot be seen even so.
            outside = [await act(*words) for words in attempts(home, ports) if not str(words[-1]).startswith("/proc/")]
        (home / "cache" / "model").write_text("untouched")
        for path in (home / "new", home / "cache" / "new"):
            path.unlink(missing_ok=True)
        async with hostile(put, home, mode="require") as act:
            inside = {words: await act(*words) for words in attempts(home, ports)}
            folder = (await act("folder")).removeprefix("done ")
            own = [await act("write", f"{folder}/mine"), await act("read", f"{folder}/mine")]
            cached = await act("read", home / "cache" / "model")

    assert [said for said in outside if not said.startswith("done")] == []
    assert {words: said for words, said in inside.items() if said.startswith("done")} == {}
    assert own == ["done", "done escaped"]
    assert cached == "done untouched"
    assert (home / "canary").read_text() == "untouched"


async def test_a_jar_cannot_kill_the_worker(put, home):
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    async with hostile(put, home, mode="require") as act:
        said = [await act("kill", victim.pid), await act("run", f"kill -9 {victim.pid}")]
    is_alive = victim.returncode is None
    victim.kill()
    await victim.wait()

    assert is_alive
    assert not [each for each in said if each.startswith("done")]
