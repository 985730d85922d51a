"""Whatever runs in a model host stays in it: each attempt to get out succeeds without the sandbox, and fails in it."""

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.examples import IRIS
from hotswap.errors import SwapError
from hotswap.host import spawn
from hotswap.host.parent import ModelHost
from hotswap.host.process import HostProcess
from hotswap.host.sandbox import Sandbox

FAKES = Path(__file__).parents[2] / "fakes"
ESCAPING = (sys.executable, str(FAKES / "escaping_child.py"))
UNPRIVILEGED = (sys.executable, str(FAKES / "unprivileged_supervisor.py"))
POD = ("--without", "unshare,setns,mount,umount2,pivot_root,bpf,keyctl,add_key,perf_event_open,userfaultfd")
"""A pod under the restricted standard: no capabilities, and the default filter of its container's engine."""
DENIED = {b"EPERM", b"EACCES", b"ENOSYS", b"EXDEV"}
FILES = (
    ("read", "canary"), ("list", "."), ("write", "canary"), ("write", "new"), ("make", "folder"), ("unlink", "canary"),
    ("rename", "canary", "moved"), ("link", "link", "canary"), ("truncate", "canary"), ("chmod", "canary"),
    ("open only to truncate", "canary"), ("touch", "canary"),
)  # fmt: skip
CACHE = (
    ("write", "cache/model"), ("write", "cache/new"), ("unlink", "cache/model"), ("truncate", "cache/model"),
    ("rename", "cache/model", "cache/moved"), ("chmod", "cache/model"), ("open only to truncate", "cache/model"),
    ("touch", "cache/model"), ("lock", "cache"),
)  # fmt: skip
PROCESSES = (
    "read|/proc/VICTIM/environ", "open memory|VICTIM", "read memory|VICTIM", "trace|VICTIM", "kill|VICTIM",
    "stop|VICTIM", "kill by a queued signal|VICTIM", "kill by a thread's id|VICTIM", "kill by descriptor|VICTIM",
    "kill by SIGIO|VICTIM", "limit|VICTIM", "slow down|VICTIM", "fork", "clone", "leave memory", "leave a segment",
    "enter a namespace",
)  # fmt: skip
WAYS_TO_A_SOCKET = (
    *(f"send from a pair|{kind}|PATH" for kind in ("dgram", "raw", "dgram+cloexec+nonblock")),
    "send from a pair|dgram|@NAME", "send a message from a pair|PATH", "connect a pair|PATH",
    *(f"bind a pair|{kind}|NEW" for kind in ("dgram", "stream")), "bind a pair|dgram|@NEW",
    "send with an address", "hand over a descriptor", "take a descriptor|VICTIM",
    "open a socket|unix|stream", "open a socket|unix|dgram", "open a socket|netlink|raw",
)  # fmt: skip
WAYS_OF_SOME_KERNELS = (
    "open a socket|vsock|stream", "open a socket|vsock|dgram", "open a socket|alg|seqpacket",
    "open a socket|tipc|dgram", "open a socket|packet|raw", "open a socket|inet|raw", "ring", "x32",
)  # fmt: skip
OTHER_CALLS = (
    "watch|FOLDER", "watch by the oldest call|FOLDER/cache", "watch by fanotify", "open a tree", "compare|VICTIM",
    "keys", "read a segment|SEGMENT", "remove|shmctl|SEGMENT", "read a message|MESSAGES", "remove|msgctl|MESSAGES",
    "remove|semctl|SEMAPHORES", "remove a queue|QUEUE",
)  # fmt: skip
OTHER_CALLS_OF_SOME_KERNELS = (
    "set flags|FOLDER/cache/model", "set attributes|FOLDER/cache/model", "read the log", "open a file system", "bpf",
    "handle faults", "count events",
)  # fmt: skip
LACKS = {b"ENOSYS", b"EAFNOSUPPORT", b"ENODEV", b"ENOTTY", b"EOPNOTSUPP", b"EINVAL", b"EPERM", b"EACCES"}
"""What an attempt ends with, without the sandbox, on a kernel that does not offer it, or not to this user."""
DRASTIC = ("vfork", "exec", "slow all down", "kill|-1", "kill|0")
"""Attempts that nobody may make without the sandbox."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox takes what only Linux has")


@pytest.fixture
def there(tmp_path):
    """Return a folder that hosts must not reach, but for the cache in it, which they may read."""
    (tmp_path / "cache").mkdir()
    for name in ("canary", "cache/model"):
        (tmp_path / name).write_text("untouched")
    return tmp_path


@pytest.fixture
def services(there):
    """Yield attempts to reach the sockets that listen here, the last one to listen, and the socket of a `send`."""
    with contextlib.ExitStack() as listening:
        sockets = []
        for family, kind, address in (
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_STREAM, str(there / "socket")),
            (socket.AF_UNIX, socket.SOCK_STREAM, f"\0hotswap-{os.getpid()}"),
        ):
            listener = listening.enter_context(socket.socket(family, kind))
            listener.bind(address)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            sockets.append(listener)
        tcp, udp, path, name = (listener.getsockname() for listener in sockets)
        lines = (
            f"connect|{tcp[1]}", f"send|{udp[1]}", f"connect to a path|{path}",
            f"connect to a name|{name[1:].decode()}", "listen",
        )  # fmt: skip
        yield SimpleNamespace(lines=lines, received=lambda: _received(sockets[1]))


@pytest.fixture
def listener(there):
    """Listen for datagrams on a path and on an abstract name; return the words that stand for what is outside."""
    words = {"PATH": str(there / "datagrams"), "@NAME": f"@hotswap-datagrams-{os.getpid()}"}
    words |= {"@NEW": f"@hotswap-new-{os.getpid()}", "NEW": str(there / "new"), "FOLDER": str(there)}
    with contextlib.ExitStack() as listening:
        sockets = [listening.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in ("PATH", "@NAME")]
        for made, word in zip(sockets, ("PATH", "@NAME"), strict=True):
            made.bind(words[word].replace("@", "\0"))
        yield SimpleNamespace(words=words, received=lambda: b"".join(map(_received, sockets)))


_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def of_the_machine():
    """Yield what stands for a segment, messages, semaphores and a queue that are here."""
    segment, messages = _libc.shmget(0, 4096, 0o1600), _libc.msgget(0, 0o1600)
    semaphores, queue = _libc.semget(0, 1, 0o1600), f"hotswap-{os.getpid()}".encode()
    _libc.msgsnd(messages, (ctypes.c_long * 2)(1, 1), 8, 0)
    descriptor = _libc.mq_open(b"/" + queue, os.O_CREAT | os.O_RDWR, 0o600, None)
    assert min(segment, messages, semaphores, descriptor) >= 0
    os.close(descriptor)
    try:
        yield {"SEGMENT": segment, "MESSAGES": messages, "SEMAPHORES": semaphores, "QUEUE": queue.decode()}
    finally:
        _libc.shmctl(segment, 0, None)
        _libc.msgctl(messages, 0, None)
        _libc.semctl(semaphores, 0, 0)
        _libc.mq_unlink(b"/" + queue)


def _received(listener):
    listener.setblocking(False)
    try:
        return listener.recv(1)
    except BlockingIOError:
        return b""


@contextlib.asynccontextmanager
async def escaping(there, *words, on_restart=pytest.fail, **sandbox):
    """A host that tries to escape; its supervisor has no namespaces, so that the sandbox alone hides processes."""
    given = Sandbox(read=(str(there / "cache"),), **sandbox)
    load = replace(IRIS.load(kind="java", sandbox=given), model=there / "cache" / "model")
    host = ModelHost(load=load, deadline_s=30, on_restart=on_restart, on_unknown=pytest.fail, child=(*ESCAPING, *words))
    await host.start()
    try:
        yield lambda line: _attempt(host, line)
    finally:
        await host.stop()


async def _attempt(host, line):
    (answer,) = await host.score([line.encode()])
    return answer


async def outcomes(attempt, there, lines, words=()):
    """Make each attempt, with a process of its own as the victim, and files as they were; return how each ended."""
    ended = {}
    for line in lines:
        for name in ("canary", "cache/model"):
            (there / name).write_text("untouched")
        (there / "new").unlink(missing_ok=True)
        victim = await asyncio.create_subprocess_exec("sleep", "60", stdin=subprocess.DEVNULL)
        try:
            with of_the_machine() as here:
                meant = {**dict(words), **here, "VICTIM": victim.pid}
                ended[line] = await attempt("|".join(_meant(word, meant) for word in line.split("|")))
        finally:
            with contextlib.suppress(ProcessLookupError):
                victim.kill()
            await victim.wait()
    Path("/dev/shm/hotswap-escaped").unlink(missing_ok=True)
    return ended


def _meant(word, words):
    found = next((each for each in ("FOLDER", "VICTIM") if each in word), word)
    return word.replace(found, str(words.get(found, found)))


def lines_of(there, services):
    files = ("|".join((name, *(str(there / path) for path in paths))) for name, *paths in (*FILES, *CACHE))
    return (*files, *PROCESSES, *services.lines)


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(spawn, "_SUPERVISOR", UNPRIVILEGED)


async def test_without_the_sandbox_each_attempt_succeeds(alone, there, services):
    lines = [line for line in lines_of(there, services) if "new" not in line]
    async with escaping(there, mode="off") as attempt:
        ended = await outcomes(attempt, there, lines)

    # An address that is not there is an error behind the permission to read it.
    failed = {line: how for line, how in ended.items() if not how.startswith(b"done") and how != b"EFAULT"}
    assert failed == {}


@pytest.mark.parametrize("words", [(), POD], ids=["with namespaces", "in a restricted pod"])
async def test_in_the_sandbox_none_succeeds_and_the_host_can_still_work(alone, there, services, words):
    async with escaping(there, *words, mode="require") as attempt:
        ended = await outcomes(attempt, there, (*lines_of(there, services), *DRASTIC))
        folder = (await attempt("folder")).decode().removeprefix("done ")
        own = await attempt(f"own|{folder}")
        read = await attempt(f"read|{there / 'cache' / 'model'}")
        holds = HostProcess.shut["java"].holds

    assert {line: how for line, how in ended.items() if how not in DENIED} == {}
    assert (own, read) == (b"done all of it", b"done")
    assert (there / "canary").read_text() == (there / "cache" / "model").read_text() == "untouched"
    assert sorted(path.name for path in there.iterdir()) == ["cache", "canary", "socket"]
    assert any("namespaces" in layer for layer in holds) == (words == ())


async def test_without_the_sandbox_each_call_that_this_kernel_offers_succeeds(alone, there, listener):
    lines = (*WAYS_TO_A_SOCKET, *WAYS_OF_SOME_KERNELS, *OTHER_CALLS, *OTHER_CALLS_OF_SOME_KERNELS)
    async with escaping(there, mode="off") as attempt:
        ended = await outcomes(attempt, there, lines, listener.words)

    lacking = {line for line in (*WAYS_OF_SOME_KERNELS, *OTHER_CALLS_OF_SOME_KERNELS) if ended[line] in LACKS}
    assert {line: how for line, how in ended.items() if line not in lacking and not how.startswith(b"done")} == {}
    assert listener.received() == b"xx"


@pytest.mark.parametrize(
    "words", [(), ("--loopback",), POD], ids=["with namespaces", "as Spark", "in a restricted pod"]
)
async def test_in_the_sandbox_no_call_leads_to_a_socket_or_tells_or_changes_what_is_outside(
    alone, there, listener, words
):
    lines = (*WAYS_TO_A_SOCKET, *WAYS_OF_SOME_KERNELS, *OTHER_CALLS, *OTHER_CALLS_OF_SOME_KERNELS)
    async with escaping(there, *words, mode="require") as attempt:
        ended = await outcomes(attempt, there, lines, listener.words)
        own = await attempt(f"own|{(await attempt('folder')).decode().removeprefix('done ')}")

    # Spark's host may bind and send, by sockets of the internet, which are its own; a stream pair leads nowhere.
    spark = (
        {"send with an address", "hand over a descriptor", "bind a pair|stream|NEW"} if "--loopback" in words else set()
    )
    assert {line: how for line, how in ended.items() if how not in DENIED and line not in spark} == {}
    assert (own, listener.received()) == (b"done all of it", b"")
    assert sorted(path.name for path in there.iterdir()) == ["cache", "canary", "datagrams"]


async def test_access_and_stat_tell_of_paths_outside_as_the_documents_say(alone, there):
    async with escaping(there, mode="require") as attempt:
        told = [await attempt(f"look at|{there / name}") for name in ("canary", "absent")]

    assert told == [b"done True 9", b"ENOENT"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="no other architecture has calls of 32 bits here")
async def test_a_call_of_32_bits_ends_the_host(there):
    async with escaping(there, on_restart=lambda _: None) as attempt:
        refusal = await attempt("32 bits")

    assert refusal.code == "HOST_CRASHED"


async def test_a_host_has_no_descriptors_but_its_connection_its_output_and_what_pins_its_view_of_proc(there):
    async with escaping(there) as attempt:
        told = (await attempt("descriptors")).decode().split()[1:]

    others = [target for target in told if not target.startswith(("/proc/", "pipe:", "socket:", "/dev/null"))]
    assert (others, sum(target.startswith("socket:") for target in told)) == ([], 1)


async def test_a_kind_that_needs_a_network_has_one_of_its_own(alone, there, services):
    async with escaping(there, "--loopback", mode="require") as attempt:
        ended = await outcomes(attempt, there, services.lines)

    tcp, udp, path, name, own = ended.values()
    assert (tcp, udp, own) == (b"ECONNREFUSED", b"done", b"done")  # to itself
    assert {path, name} <= DENIED
    assert services.received() == b""


async def test_such_a_kind_is_refused_in_a_restricted_pod_if_the_sandbox_is_required_and_else_told(alone, there):
    with pytest.raises(SwapError, match=r"HOTSWAP_SANDBOX is require.* network: .* a loopback interface of its own"):
        async with escaping(there, "--loopback", *POD, mode="require"):
            pass
    async with escaping(there, "--loopback", *POD) as attempt:
        ended = await outcomes(attempt, there, ["read|" + str(there / "canary"), "fork"])
        (missing,) = HostProcess.shut["java"].missing

    assert set(ended.values()) <= DENIED
    assert missing.startswith("network: ")


@pytest.mark.parametrize(
    ("call", "layer"), [("landlock_create_ruleset", "files"), ("seccomp", "system calls")], ids=["Landlock", "seccomp"]
)
async def test_on_a_kernel_without_a_layer_a_host_is_refused_if_the_sandbox_is_required_and_else_told(
    there, call, layer
):
    with pytest.raises(SwapError, match=f"cannot shut its model hosts in: {layer}") as refused:
        async with escaping(there, "--without", call, mode="require"):
            pass
    async with escaping(there, "--without", call):
        (missing,) = HostProcess.shut["java"].missing

    assert refused.value.code == "HOST_FAILED"
    assert missing.startswith(layer)


async def test_what_the_worker_grants_is_granted(alone, there, services):
    async with escaping(there, mode="require", has_network=True) as attempt:
        ended = await outcomes(attempt, there, services.lines)
        canary = await attempt(f"read|{there / 'canary'}")

    tcp, udp, path, name, own = ended.values()
    assert (tcp, udp, own) == (b"done", b"done", b"done")
    assert {path, name, canary} <= DENIED


@pytest.mark.parametrize("how", ["fill", "fill unseen"])
@pytest.mark.parametrize("supervisor", [None, UNPRIVILEGED], ids=["in namespaces", "without namespaces"])
async def test_a_host_that_fills_its_folder_is_killed_and_the_request_is_refused(there, monkeypatch, supervisor, how):
    monkeypatch.setattr(spawn, "_SUPERVISOR", supervisor or spawn._SUPERVISOR)
    async with escaping(there, on_restart=lambda _: None, folder_mb=10) as attempt:
        refusal = await attempt(f"{how}|20")

    assert refusal.code == "HOST_CRASHED"
    assert "it wrote more to its folder than it may" in refusal.message
