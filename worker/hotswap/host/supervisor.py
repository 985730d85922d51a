"""The process between a worker and its model host: everything that a model starts ends with its host.

    python supervisor.py REPORT WORKER BEHIND COMMAND...

WORKER is the worker's process id, BEHIND for how many seconds at most the host's session stands behind others, unless
it serves before (session.py). COMMAND runs the host; the process id of its parent, as the host sees it, is appended.
Once the host has started, its process id is written to the descriptor REPORT, followed by a text for people to read
that names what could not be set up of:

    A PID namespace, whose processes the kernel kills together, and a private /dev/shm, which goes with it. Without
    privileges both need a user namespace, which many containers forbid. In that case the supervisor becomes the parent
    of the host's orphaned processes (a subreaper) and kills them.

SIGTERM ends the host, as does the worker's death. So does a folder, the one that both start in, that grows beyond the
host's limit on the size of a file, if it has one: looked at each second. The supervisor ends the way the host ended:
with its exit code, or by its signal; with a folder that is too large, by SIGXFSZ. It imports as little as possible, for
one runs beside each host. Linux only.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36
_NEWNS, _NEWUSER, _NEWPID = 0x20000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC, _REC, _SLAVE = 0x2, 0x4, 0x8, 0x4000, 0x80000
_SIGNALS = {signal.SIGTERM, signal.SIGCHLD}
_WATCH_SECONDS = 1.0
_NICE = "10"  # of a session that stands behind others
_ENTRY_BYTES = 4096  # that a file takes at least: empty ones can fill a disk, too

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run the host until it ends, then end the same way."""
    report, worker, behind_s, command = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
    connection = int(command[-1])
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    missing = _unshare()
    # Only now: entering a namespace may clear the death signal.
    _call("prctl", _PDEATHSIG, signal.SIGTERM)
    if os.getppid() != worker:
        os._exit(0)
    init = None
    if missing:
        _call("prctl", _CHILD_SUBREAPER, 1)
    else:
        init = _start_init(report, connection)
        missing = _mount_shared_memory()
    reader, writer = os.pipe()
    host = os.fork()
    if host == 0:
        with contextlib.suppress(OSError):
            os.write(writer, os.readlink("/proc/self").encode())
        _exec(command, report, behind_s)
    os.close(writer)
    seen_as = os.read(reader, 20).decode()  # the host's process id in this /proc, which may be its namespace's
    os.close(reader)
    os.write(report, f"{host} {missing}".encode())
    _close_inherited(report, connection)
    status = _wait(host, f"/proc/{seen_as}", behind_s)
    if init is None:
        _end_orphans()
    else:
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)  # returns once its namespace is empty
    _end_as(status)


def _unshare() -> str:
    """Put all processes started from now on into new namespaces; return why that failed, or an empty text."""
    why = ""
    # First without a user namespace, as root can: inside one, root may read less than outside.
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
        # Unmounts outside propagate into this namespace, but not the other way round.
        with contextlib.suppress(OSError):
            _call("mount", b"none", b"/", None, _REC | _SLAVE, None)
        return ""
    return f"namespaces are forbidden here ({why}): a model's files in /dev/shm stay behind, and so may its processes"


def _write(name: str, text: str) -> None:
    with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
        file.write(text)


def _mount_shared_memory() -> str:
    try:
        _call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", _NOSUID | _NODEV, b"mode=1777")
    except OSError as error:
        return f"a private /dev/shm cannot be mounted here ({error.strerror}): a model's files there stay behind"
    return ""


def _start_init(*descriptors: int) -> int:
    """Start the namespace's init: it reaps orphans, mounts a /proc of this namespace, and ends all of it by ending."""
    reader, writer = os.pipe()
    if init := os.fork():
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        return init
    _call("prctl", _PDEATHSIG, signal.SIGKILL)
    # Fails where a container masks parts of its /proc; the outer /proc then stays visible, as without a namespace.
    with contextlib.suppress(OSError):
        _call("mount", b"proc", b"/proc", b"proc", _NOSUID | _NODEV | _NOEXEC, None)
    _close_inherited(*descriptors, reader, writer)
    while True:
        signal.sigwait({signal.SIGCHLD})
        _reap()


def _exec(command: list[str], report: int, behind_s: float) -> NoReturn:
    os.close(report)
    os.setsid()
    if behind_s:
        _write("autogroup", _NICE)
    _call("prctl", _PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; the host starts with the default
    os.execvp(command[0], [*command, str(os.getppid())])  # noqa: S606 - the worker's own command


def _close_inherited(*descriptors: int) -> None:
    """Close the host's connection and output here, so that the worker sees both end when the host ends."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):
        os.dup2(nothing, standard)
    for descriptor in (nothing, *descriptors):
        os.close(descriptor)


def _wait(host: int, facts: str, behind_s: float) -> int:
    """Wait until the host has ended; `facts` is its folder in /proc."""
    is_full, until = False, time.monotonic() + behind_s
    session = _open_session(facts) if behind_s else None
    while True:
        received = signal.sigtimedwait(_SIGNALS, _WATCH_SECONDS)
        if received is None:
            limit = resource.prlimit(host, resource.RLIMIT_FSIZE)[0]
            is_full = limit != resource.RLIM_INFINITY and _has_more_than(limit, facts)
            if session is not None and time.monotonic() >= until and _has_come_forward(session):
                session = None
        if is_full or (received and received.si_signo == signal.SIGTERM):
            os.kill(host, signal.SIGKILL)
        status = _reap(host)
        if status is not None:
            return int(signal.SIGXFSZ) if is_full else status


def _open_session(facts: str) -> int | None:
    with contextlib.suppress(OSError):  # there are no autogroups
        return os.open(f"{facts}/autogroup", os.O_WRONLY)
    return None


def _has_come_forward(session: int) -> bool:
    """Let the host's session have as much CPU as others; return False if that is to be tried again (session.py)."""
    try:
        os.write(session, b"0")
    except BlockingIOError:
        return False
    except OSError:
        pass  # forbidden here
    os.close(session)
    return True


def _has_more_than(limit: int, facts: str) -> bool:
    """Return whether the files of this folder, and those removed from it that are open yet, are too large."""
    used, folders = 0, ["."]
    try:
        device = os.stat(".").st_dev
        while folders and used <= limit:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    used += _ENTRY_BYTES + 512 * entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        for path in _descriptors(facts):
            with contextlib.suppress(FileNotFoundError):
                file = os.stat(path)
                used += 512 * file.st_blocks if file.st_dev == device and not file.st_nlink else 0
    except FileNotFoundError:
        return False  # the worker has removed the folder, or the host has ended
    except OSError:
        return True  # nested so deep that its paths are too long
    return used > limit


def _descriptors(facts: str) -> Iterator[str]:
    """Yield the descriptors of the host, and those of its guest (guest.py), which is its child."""
    for name in os.listdir(f"{facts}/fd"):
        yield f"{facts}/fd/{name}"
    folder, _, host = facts.rpartition("/")
    try:
        with open(f"{facts}/task/{host}/children") as file:
            children = file.read().split()
    except FileNotFoundError:  # a kernel without this list
        children = list(_children(host))
    for child in children:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if _facts(child)[0] not in "ZX":  # those of one that has ended may be root's
                for name in os.listdir(f"{folder}/{child}/fd"):
                    yield f"{folder}/{child}/fd/{name}"


def _reap(host: int = 0) -> int | None:
    """Reap all children that have ended; return the host's status if it is among them, else None."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == host:
                status = ended[1]
    return status


def _end_orphans() -> None:
    """Kill all processes that the host left behind; their children become ours in turn."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children(str(os.getpid())):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            # A process that ends leaves its children to us.
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _children(parent: str) -> Iterator[str]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if _facts(name)[1] == parent:
                yield name


def _facts(process: str) -> list[str]:
    """Return what /proc tells of a process after its name: its state, its parent, and more."""
    with open(f"/proc/{process}/stat", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _end_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


if __name__ == "__main__":
    main()
