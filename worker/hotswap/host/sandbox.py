"""Confines a model host, without privileges, to its model, its folder and its worker.

    files       Landlock: reads its model, the runtime's libraries, Python, Java, the cache of artifacts and what the
                worker's configuration adds; writes its own folder; sees nothing of other processes in /proc
    calls       seccomp: starts no process and no program, opens no socket, watches no file, signals itself only, cannot
                change the rights of files, their locks, or other processes' priorities, limits and memory
    network     its own loopback interface, which nothing else reaches, for the kinds that need one (Spark): a network
                namespace, which takes a user namespace. Other kinds have no sockets, and need no namespace. All have
                pairs of stream sockets, which asyncio needs: connected for good, they lead nowhere else

Beside these it loses capabilities, a user namespace hides it where the kernel allows that, and limits bound its open
files and their size. Linux only.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import socket
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hotswap.errors import SwapCode, SwapError
from hotswap.host import landlock, seccomp
from hotswap.host.seccomp import Rule, Test

_OPEN_FILES: Final = 4096
_TASKS: Final = 4096
_NEWUSER, _NEWNET, _NEWIPC = 0x10000000, 0x40000000, 0x08000000
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41  # of an interface
_CAPABILITIES: Final = 0x20080522, 0  # the version of the structure; this thread
_SYSTEM: Final = (
    *("/bin", "/usr/bin"),  # until its calls are filtered, libraries may start programs
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
    *(f"/etc/{name}" for name in ("ld.so.cache", "localtime", "timezone", "passwd", "group", "nsswitch.conf")),
    *(f"/etc/{name}" for name in ("hosts", "host.conf", "resolv.conf", "gai.conf")),
    *(f"/dev/{name}" for name in ("null", "zero", "random", "urandom")),
    *(f"/proc/{name}" for name in ("self", "meminfo", "cpuinfo", "stat", "loadavg", "filesystems", "sys", "cgroups")),
    *("/sys/fs/cgroup", "/sys/devices/system", "/sys/kernel/mm"),
)
_CHANGE_RIGHTS: Final = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr"),
    *("removexattrat", "file_setattr", "utime", "utimes", "futimesat", "utimensat"),
)
_START: Final = ("fork", "vfork")
_EXEC: Final = ("execve", "execveat")
_OTHERS: Final = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("ioprio_set", "migrate_pages", "move_pages"),
)
_OUTLIVE: Final = ("shmget", "msgget", "semget", "mq_open")
_OF_THE_MACHINE: Final = (  # by numbers and names that anybody can guess, where there is no IPC namespace
    *("shmat", "shmctl", "msgsnd", "msgrcv", "msgctl", "semop", "semtimedop", "semctl", "mq_unlink", "syslog"),
)
_WATCH: Final = ("inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init")
_OF_SOCKETS: Final = ("connect", "bind", "listen", "accept", "accept4", "sendmsg", "sendmmsg")
"""What a pair of stream sockets does not need. `sendmsg` also hands over descriptors."""
_KERNEL: Final = (
    *("unshare", "setns", "mount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr", "fsopen"),
    *("fsconfig", "fsmount", "fspick", "mount_setattr", "bpf", "userfaultfd", "perf_event_open", "io_uring_setup"),
    *("io_uring_enter", "io_uring_register", "add_key", "request_key", "keyctl", "open_by_handle_at"),
)
_SHARED_ANONYMOUS, _GROWS_DOWN = 0x21, 0x100  # of mmap's flags
_CLONE_THREAD: Final = 0x10000
_CLONE_NAMESPACES: Final = 0x7E020000
_ACCESS: Final = 0x203  # of an open's flags: what for, and O_TRUNC
_READS_AND_TRUNCATES: Final = 0x200
_OWNER, _OWNER_EX = 8, 15  # of fcntl: who gets SIGIO
_LEASE, _NOTIFY = 1024, 1026  # of fcntl: what stalls the next one to open a file; the oldest way to watch a folder
_GROUP, _ANY_FILE, _ANY_SOCKET = 0xFF00, 0x5400, 0x8900  # of ioctl; other groups change files and file systems
_OF_TERMINALS: Final = (0x8901, 0x8902, 0x5412, 0x541C)  # of ioctl: the same owner, twice; input to a terminal
_KIND: Final = 0xF  # of a socket's type; the rest are flags

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """How hosts are shut in: as well as this machine can (auto), wholly or not at all (require), or never (off).

    `read`: absolute paths of files and folders that they may read beside what they need; `cache`: that of artifacts,
    which a standby reads before it knows its model. `has_network`: they keep the worker's network. `folder_mb`: the
    largest file, and the largest folder (supervisor.py), that they may write, MiB.
    """

    mode: Literal["auto", "require", "off"] = "auto"
    read: tuple[str, ...] = ()
    cache: str = ""
    has_network: bool = False
    folder_mb: int = 256


AUTO: Final = Sandbox()
"""As well as this machine can, with nothing granted."""


class Enclosure:
    """Shuts this process in, in two steps: `enter` while it has one thread, `close` before it loads a model.

    Landlock, namespaces and capabilities bind a thread and those that it starts, so Java must not have begun. A filter
    of system calls binds all threads, and what starts Java and the libraries may still need them.
    """

    def __init__(self, sandbox: Sandbox, *, needs_loopback: bool) -> None:
        """`needs_loopback`: this kind of model does not run without sockets of the loopback interface."""
        self._sandbox = sandbox
        self._needs_loopback = needs_loopback and not sandbox.has_network
        self._has_sockets = needs_loopback or sandbox.has_network
        self.holds: list[str] = []
        """The layers in force, for people to read."""
        self.missing: list[str] = []
        """The layers that this machine lacks, each with the reason."""

    def enter(self, read: Iterable[str], fork: Callable[[], None] = lambda: None) -> None:
        """Keep only the current folder, which is writable, and a host's readable folders, with `read`.

        `fork` may start a process that shuts itself in (shut_guest). It is called in the namespaces, and before files
        are restricted: a rule for /proc/self is one for the process that made it, so that a child of the restricted
        process could not read its own, as threadpoolctl does, without which scikit-learn's forests are not loaded.
        """
        if self._sandbox.mode == "off":
            fork()
            return
        if sys.platform != "linux":
            self.missing.append(f"files and system calls: {sys.platform} has no sandbox for them")
            fork()
            return
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            self.missing.append("files: threads that have begun already keep their rights")
        _limit(self._sandbox.folder_mb << 20)
        self._enter_namespaces()
        fork()
        paths = [*_SYSTEM, *_python(), *self._sandbox.read, *filter(None, [self._sandbox.cache]), *read]
        self._try(
            f"files (Landlock, ABI {landlock.abi()})",
            lambda: landlock.restrict(read=paths, write=(str(Path.cwd()), "/dev/null"), has_tcp=self._has_sockets),
        )
        _drop_capabilities()

    def close(self) -> None:
        """Give up system calls. Raises SwapError HOST_FAILED if the sandbox is required, and a layer is missing."""
        if self._sandbox.mode == "off":
            return
        if sys.platform == "linux":
            self._try("system calls (seccomp)", lambda: seccomp.install(_rules(has_sockets=self._has_sockets)))
        if self.missing and self._sandbox.mode == "require":
            raise SwapError(
                SwapCode.HOST_FAILED,
                f"HOTSWAP_SANDBOX is require, but this worker cannot shut its model hosts in: {'; '.join(self.missing)}"
                "; give it a kernel and a container that can (docs/using.md), or set HOTSWAP_SANDBOX=auto",
            )

    def shut_guest(self, read: Iterable[str], folder: str) -> None:
        """Shut in a process that `enter` had forked off this one, before it starts a program of its own (guest.py).

        It keeps only `folder`, which is writable, the system's files and `read`. It may start a program, in its own
        place: none can do more than it could. It has no memory beside its limit's.

        Raises OSError if the machine's Landlock refuses.
        """
        if self._sandbox.mode == "off" or sys.platform != "linux":
            return
        if landlock.abi():  # without, this process reports it of itself; with one, it has to hold
            paths = [*_SYSTEM, *self._sandbox.read, *read]
            landlock.restrict(read=paths, write=(folder, "/dev/null"), has_tcp=self._has_sockets)
        _drop_capabilities()
        with contextlib.suppress(OSError):
            seccomp.install(_rules(has_sockets=self._has_sockets, is_guest=True))

    def _enter_namespaces(self) -> None:
        try:
            _unshare(_NEWUSER | _NEWIPC | (0 if self._sandbox.has_network else _NEWNET))
        except OSError as error:
            if self._needs_loopback:
                why = f"no namespaces here ({error.strerror})"
                self.missing.append(f"network: this kind of model needs a loopback interface of its own, and {why}")
            return
        self.holds.append("namespaces" if self._sandbox.has_network else "namespaces, one of them for the network")
        if not self._sandbox.has_network:
            _start_loopback()
        if os.getuid():  # counted per namespace; outside of one, it would count the threads of all this user's programs
            resource.setrlimit(resource.RLIMIT_NPROC, (_TASKS, _TASKS))

    def _try(self, layer: str, shut: Callable[[], None]) -> None:
        try:
            shut()
        except OSError as error:
            self.missing.append(f"{layer}: {error.strerror}")
        else:
            self.holds.append(layer)


def _limit(folder_bytes: int) -> None:
    for which, most in (
        (resource.RLIMIT_FSIZE, folder_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (least, least))


def _unshare(flags: int) -> None:
    """Move this thread into new namespaces, as the same user. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def _drop_capabilities() -> None:
    head, none = struct.pack("=Ii", *_CAPABILITIES), bytes(24)
    if _libc.capset(head, none):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _python() -> Iterator[str]:
    """Yield where Python finds modules, and the libraries that these load."""
    yield from filter(os.path.isabs, sys.path)
    yield from (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/lib")


# Never AF_UNIX: Landlock does not know of sockets that have a path, such as a container engine's.
_INTERNET: Final = (
    Rule(
        ("socket",),
        [
            Test(0, (socket.AF_INET, socket.AF_INET6)),
            Test(1, (socket.SOCK_STREAM, socket.SOCK_DGRAM), mask=_KIND),
        ],
    ),
)
_NO_SOCKETS: Final = (
    Rule(("socket", *_OF_SOCKETS)),
    Rule(("sendto",), [Test(4, (0,)), Test(4, (0,), is_upper=True)]),  # without an address, as `send` calls it
)


# All memory of a guest is what its limit, RLIMIT_DATA, counts: not shared, not a file without a name, no second stack.
_OF_GUESTS: Final = (
    Rule(("memfd_create", "memfd_secret")),
    Rule(
        ("mmap",),
        [
            Test(3, (_SHARED_ANONYMOUS,), is_one=False, mask=_SHARED_ANONYMOUS),
            Test(3, (_GROWS_DOWN,), is_one=False, mask=_GROWS_DOWN),
        ],
    ),
)


def _rules(*, has_sockets: bool, is_guest: bool = False) -> Sequence[Rule]:
    """Return the system calls that are refused."""
    me, nobody_else = (os.getpid(),), (0, os.getpid())
    return (
        *(_OF_GUESTS if is_guest else (Rule(_EXEC),)),
        Rule((*_START, *_OTHERS, *_OUTLIVE, *_OF_THE_MACHINE, *_WATCH, *_KERNEL, *_CHANGE_RIGHTS, "flock", "truncate")),
        Rule(("clone",), [Test(0, (_CLONE_THREAD,), mask=_CLONE_THREAD)]),
        # Their arguments are in memory, where a filter cannot see them; glibc and Java then use the older calls.
        Rule(("clone3", "openat2"), error=errno.ENOSYS),
        Rule(("kill", "tgkill"), [Test(0, me)]),
        Rule(("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr"), [Test(0, nobody_else)]),
        Rule(("sched_setaffinity",), [Test(0, nobody_else)]),
        Rule(("setpriority",), [Test(0, (os.PRIO_PROCESS,)), Test(1, (0,))]),
        *(_INTERNET if has_sockets else _NO_SOCKETS),
        # A datagram socket sends to any path, also one of a pair. SOCK_RAW is one, too, and other families have pairs.
        Rule(("socketpair",), [Test(0, (socket.AF_UNIX,)), Test(1, (socket.SOCK_STREAM,), mask=_KIND)]),
        # Before its ABI 3, Landlock does not know of truncation.
        Rule(("open",), [Test(1, (_READS_AND_TRUNCATES,), is_one=False, mask=_ACCESS)]),
        Rule(("openat",), [Test(2, (_READS_AND_TRUNCATES,), is_one=False, mask=_ACCESS)]),
        Rule(("fcntl",), [Test(1, (_OWNER, _OWNER_EX, _LEASE, _NOTIFY), is_one=False)]),
        Rule(
            ("ioctl",),
            [Test(1, (_ANY_FILE, _ANY_SOCKET), mask=_GROUP), Test(1, _OF_TERMINALS, is_one=False)],
        ),
    )


def rules_of_installers(*, has_network: bool) -> Sequence[Rule]:
    """Return the system calls that are refused to a program that installs packages, which may start processes."""
    return (
        Rule((*_OTHERS, *_OUTLIVE, *_OF_THE_MACHINE, *_WATCH, *_KERNEL)),
        Rule(("clone",), [Test(0, (0,), mask=_CLONE_NAMESPACES)]),
        Rule(("clone3", "openat2"), error=errno.ENOSYS),  # as in `_rules`
        *(_INTERNET if has_network else (Rule(("socket",)),)),
    )
