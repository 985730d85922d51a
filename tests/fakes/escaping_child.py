"""A model host without Java whose requests try to get out of it, as native code could; each answer says how that ended.

    escaping_child.py [--loopback] [--without CALLS] FD PARENT

A request is a line: the name of an attempt and its arguments. The answer is "done", with what it got, or the name of
the error that the kernel gave. `--loopback`: it needs a loopback interface, as Spark does. `--without`: the system
calls, separated by commas, that its container forbids; or that its kernel does not know, if Landlock's is among them.
"""

import asyncio
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotswap.batch import ScoredBatch
from hotswap.errors import SwapError
from hotswap.host import frames, seccomp
from hotswap.host.frames import Kind
from hotswap.host.sandbox import Enclosure

if TYPE_CHECKING:
    from fakes import escapes_by_calls
    from fakes.escapes_by_calls import call, libc
    from fakes.liar_child import FACTS
else:
    sys.path.append(str(Path(__file__).parent))
    import escapes_by_calls
    from escapes_by_calls import call, libc
    from liar_child import FACTS


def start() -> None:
    """Start a process by the oldest of calls; it ends at once."""
    if call("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)
    os.wait()


def start_many() -> str:
    started = 0
    for _ in range(50):
        try:
            if os.fork() == 0:
                os._exit(0)
        except OSError:
            continue
        os.wait()
        started += 1
    if not started:
        raise OSError(errno.EPERM, "fork")
    return str(started)


def run() -> None:
    path = ctypes.create_string_buffer(b"/bin/true")
    nothing = (ctypes.c_char_p * 2)(b"true", None)
    if sys.argv and not call("execve", path, nothing, None):
        raise AssertionError


def connect(family: int, kind: int, address: Any) -> None:
    with socket.socket(family, kind) as made:
        made.connect(address)
        made.send(b"x")


def listen() -> None:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()


def leave_memory() -> None:
    os.close(os.open("/dev/shm/hotswap-escaped", os.O_CREAT | os.O_WRONLY))


def leave_segment() -> None:
    number = call("shmget", 0, 4096, 0o1600)
    libc.shmctl(number, 0, None)


def share_memory(pid: str) -> None:
    with open(f"/proc/{pid}/mem", "rb"):  # noqa: PTH123
        pass


def read_memory(pid: str) -> None:
    there = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(there), 8)
    call("process_vm_readv", int(pid), vector, 1, vector, 1, ctypes.c_long(0))


def trace(pid: str) -> None:
    call("ptrace", 16, int(pid), 0, 0)
    os.waitpid(int(pid), 0)
    call("ptrace", 17, int(pid), 0, 0)


def signal_by_owner(pid: str) -> None:
    """Have the kernel send SIGIO, which kills, to the owner of a socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETOWN, int(pid))
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)
        theirs.send(b"x")


def open_only_to_truncate(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


def lock(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def use_what_is_its_own(folder: str) -> str:
    """Do what a model may: use its folder, threads, memory files, socket pairs and an event loop."""
    path = Path(folder, "mine")
    path.write_text("mine")
    path.rename(path.with_name("renamed"))
    Path(folder, "renamed").unlink()
    for _ in range(5):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    descriptor = os.memfd_create("mine")
    os.write(descriptor, b"mine")
    with open(f"/proc/self/fd/{descriptor}", "rb") as file:  # noqa: PTH123
        assert file.read() == b"mine"
    os.close(descriptor)
    mmap.mmap(-1, 1 << 16).close()
    for pair in socket.socketpair():
        pair.close()
    asyncio.run(asyncio.sleep(0))
    os.kill(os.getpid(), 0)
    Path(os.devnull).write_text("x")
    return "all of it"


def fill(count: str) -> None:
    """Write files of a MiB to the folder, then wait for what happens."""
    for number in range(int(count)):
        Path(f"{number}").write_bytes(bytes(1 << 20))
    time.sleep(60)


def fill_unseen(count: str) -> None:
    """Do the same with files that have no name any more."""
    kept = []
    for number in range(int(count)):
        kept.append(Path(f"{number}").open("wb"))  # noqa: SIM115 - it stays open
        Path(f"{number}").unlink()
        kept[-1].write(bytes(1 << 20))
        kept[-1].flush()
    time.sleep(60)


def descriptors() -> str:
    kept = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            kept.append(str(entry.readlink()))
        except OSError:
            continue  # the one that lists them
    return " ".join(sorted(kept))


ATTEMPTS: dict[str, Callable[..., Any]] = {
    "read": lambda path: Path(path).read_bytes() and None,
    "look at": lambda path: f"{os.access(path, os.R_OK)} {Path(path).stat().st_size}",
    "list": lambda path: list(Path(path).iterdir()) and None,
    "write": lambda path: Path(path).write_text("escaped") and None,
    "make": lambda path: Path(path).mkdir(),
    "link": lambda path, to: Path(path).symlink_to(to),
    "rename": lambda path, to: Path(path).rename(to),
    "unlink": lambda path: Path(path).unlink(),
    "truncate": lambda path: os.truncate(path, 0),
    "open only to truncate": open_only_to_truncate,
    "chmod": lambda path: os.chmod(path, 0o777),  # noqa: PTH101
    "touch": os.utime,
    "lock": lock,
    "fork": start_many,
    "clone": start,
    "vfork": lambda: call("vfork"),
    "exec": run,
    "kill": lambda pid: os.kill(int(pid), signal.SIGKILL),
    "stop": lambda pid: os.kill(int(pid), signal.SIGSTOP),
    "kill by a queued signal": lambda pid: call("rt_sigqueueinfo", int(pid), 9, (ctypes.c_int * 32)(9, 0, -1)),
    "kill by a thread's id": lambda pid: call("tkill", int(pid), signal.SIGKILL),
    "kill by descriptor": lambda pid: signal.pidfd_send_signal(os.pidfd_open(int(pid)), signal.SIGKILL),
    "kill by SIGIO": signal_by_owner,
    "limit": lambda pid: resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (3, 3)),
    "slow down": lambda pid: os.setpriority(os.PRIO_PROCESS, int(pid), 19),
    "slow all down": lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19),
    "trace": trace,
    "read memory": read_memory,
    "open memory": share_memory,
    "connect": lambda port: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(port))),
    "send": lambda port: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", int(port))),
    "listen": listen,
    "connect to a path": lambda path: connect(socket.AF_UNIX, socket.SOCK_STREAM, path),
    "connect to a name": lambda name: connect(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}"),
    "leave memory": leave_memory,
    "leave a segment": leave_segment,
    "enter a namespace": lambda: call("unshare", 0x10000000),
    "own": use_what_is_its_own,
    "fill": fill,
    "fill unseen": fill_unseen,
    "descriptors": descriptors,
    "folder": Path.cwd,
    **escapes_by_calls.ATTEMPTS,
}


def attempt(line: str) -> bytes:
    name, *arguments = line.split("|")
    try:
        got = ATTEMPTS[name](*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0].encode()
    return f"done {got or ''}".strip().encode()


def main() -> None:
    if needs_loopback := sys.argv[1] == "--loopback":
        del sys.argv[1]
    if sys.argv[1] == "--without":
        calls = sys.argv[2].split(",")
        del sys.argv[1:3]
        error = errno.ENOSYS if "landlock_create_ruleset" in calls else errno.EPERM
        seccomp.install([seccomp.Rule(calls, error=error)])
    connection = socket.socket(fileno=int(sys.argv[1]))
    message = frames.receive(connection)
    assert message
    ground = message[1].ground
    enclosure = Enclosure(ground.sandbox, needs_loopback=needs_loopback)
    try:
        enclosure.enter([*ground.java_files, *ground.classpath, message[1].model])
        enclosure.close()
    except SwapError as error:
        connection.sendall(frames.pack_facts(Kind.FAILED, {"code": error.code, "message": error.message}))
        return
    told = {"kind": ground.kind, "holds": enclosure.holds, "missing": enclosure.missing}
    connection.sendall(frames.pack_facts(Kind.SHUT_IN, told))
    connection.sendall(frames.pack_facts(Kind.READY, FACTS))
    while message := frames.receive(connection):
        verb, ticket, _, values = message
        if verb == "one_by_one":
            connection.sendall(frames.pack_announcement(ticket, 0))
        answers = [attempt(bytes(value).decode()) for value in values]
        connection.sendall(frames.pack_answers(ticket, ScoredBatch(answers, {})))


if __name__ == "__main__":
    main()
