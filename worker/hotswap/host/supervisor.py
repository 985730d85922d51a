"""The process between a worker and its model host: whatever a model starts ends with its host, however that ends.

    python supervisor.py REPORT WORKER COMMAND...

WORKER is the process id of the worker. COMMAND becomes the host; its parent's id, as it sees that, is added to it. Once
it is started REPORT, a descriptor, gets its process id and what of this was not to be had, for a person:

    A process namespace, whose end the kernel makes the end of all in it, and a /dev/shm of its own, which goes with it.
    Without privileges both need a user namespace, which many a container forbids. Then whatever the host's own
    processes leave alone becomes this one's child, and is killed by it.

SIGTERM ends the host, and so does the worker's death. It says how the host has ended by ending in the same way. It
imports as little as can be, for there is one beside each host. Linux only.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36
_NEWNS, _NEWUSER, _NEWPID = 0x20000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC, _REC, _SLAVE = 0x2, 0x4, 0x8, 0x4000, 0x80000
_SIGNALS = {signal.SIGTERM, signal.SIGCHLD}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run the host until it ends, and end as it did."""
    report, worker, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    connection = int(command[-1])
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    lacks = _unshare()
    # Only now: whoever comes into a namespace may lose it.
    _call("prctl", _PDEATHSIG, signal.SIGTERM)
    if os.getppid() != worker:
        os._exit(0)
    init = None
    if lacks:
        _call("prctl", _CHILD_SUBREAPER, 1)
    else:
        init = _start_init(report, connection)
        lacks = _own_shared_memory()
    host = os.fork()
    if host == 0:
        _become(command, report)
    os.write(report, f"{host} {lacks}".encode())
    _let_go(report, connection)
    status = _wait(host)
    if init is None:
        _end_orphans()
    else:
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)  # returns when nothing is left in its namespace
    _end_as(status)


def _unshare() -> str:
    """Have all that is started from now on in namespaces of its own; gives why that cannot be."""
    why = ""
    # As root without a user namespace: in one, root may read less than outside.
    for more in (0, _NEWUSER):
        user, group = os.getuid(), os.getgid()
        try:
            _call("unshare", _NEWNS | _NEWPID | more)
        except OSError as error:
            why = error.strerror or str(error)
            continue
        if more:
            _write("setgroups", "deny")
            _write("uid_map", f"{user} {user} 1")
            _write("gid_map", f"{group} {group} 1")
        # What is unmounted outside is to be unmounted here too, and the other way round not.
        with contextlib.suppress(OSError):
            _call("mount", b"none", b"/", None, _REC | _SLAVE, None)
        return ""
    return f"namespaces are forbidden here ({why}): what a model leaves in /dev/shm stays, and so may its processes"


def _write(name: str, text: str) -> None:
    with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
        file.write(text)


def _own_shared_memory() -> str:
    try:
        _call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", _NOSUID | _NODEV, b"mode=1777")
    except OSError as error:
        return f"no /dev/shm of its own is to be had here ({error.strerror}): what a model leaves there stays"
    return ""


def _start_init(*given: int) -> int:
    """Start what the namespace begins and ends with: it reaps there, and mounts a /proc of these processes alone."""
    reader, writer = os.pipe()
    if init := os.fork():
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        return init
    _call("prctl", _PDEATHSIG, signal.SIGKILL)
    # Not where a container covers parts of its /proc; then that one is seen, as it is without a namespace.
    with contextlib.suppress(OSError):
        _call("mount", b"proc", b"/proc", b"proc", _NOSUID | _NODEV | _NOEXEC, None)
    _let_go(*given, reader, writer)
    while True:
        signal.sigwait({signal.SIGCHLD})
        _reap()


def _become(command: list[str], report: int) -> NoReturn:
    os.close(report)
    os.setsid()
    _call("prctl", _PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as Python has found it
    os.execvp(command[0], [*command, str(os.getppid())])  # noqa: S606 - the worker's own command


def _let_go(*given: int) -> None:
    """Close what is the host's: its connection, and what it prints to, must be seen to end with it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):
        os.dup2(nothing, standard)
    for descriptor in (nothing, *given):
        os.close(descriptor)


def _wait(host: int) -> int:
    while True:
        if signal.sigwait(_SIGNALS) == signal.SIGTERM:
            os.kill(host, signal.SIGKILL)
        status = _reap(host)
        if status is not None:
            return status


def _reap(host: int = 0) -> int | None:
    """Take note of all children that have ended; gives how the host has, where it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == host:
                found = ended[1]
    return found


def _end_orphans() -> None:
    """Kill all that the host has left; their children become ours in turn."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            # Whoever ends leaves its children to us.
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _children() -> Iterator[int]:
    me = str(os.getpid())
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", errors="replace") as file:
            if file.read().rpartition(")")[2].split()[1] == me:
                yield int(name)


def _end_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


if __name__ == "__main__":
    main()
