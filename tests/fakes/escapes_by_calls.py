"""Attempts to get out of a model host by system calls that Python's library mostly lacks: ways to a socket, and others.

As in escaping_child.py, whose table they are part of. The numbers of calls are the filter's own.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from hotswap.host import seccomp

libc = ctypes.CDLL(None, use_errno=True)
_CALLS = {name: numbers[0 if os.uname().machine == "x86_64" else 1] for name, numbers in seccomp._BOTH.items()}
_HERE = -100  # AT_FDCWD
_TIPC, _ALG, _VSOCK = 30, 38, 40
_UNPRIVILEGED_FANOTIFY = 0x200
_NOTIFY_OF_ALL = 0x3F
_NO_ACCESS_TIME = 0x80  # a flag of a file
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_OF_THIS_THREAD = -1  # keyring


def call(name: str, *arguments: Any) -> int:
    number = _CALLS[name]
    assert number is not None
    return call_number(number, *arguments)


def call_number(number: int, *arguments: Any) -> int:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), number)
    return result


# ---- sockets


def _kind(name: str) -> int:
    return sum(int(getattr(socket, f"SOCK_{each.upper()}")) for each in name.split("+"))


def _address(path: str) -> str:
    return path.replace("@", "\0", 1) if path.startswith("@") else path


def send_from_a_pair(kind: str, path: str) -> None:
    """Send a datagram to a path, or with @ to an abstract name."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, _kind(kind))
    with ours, theirs:
        ours.sendto(b"x", _address(path))


def send_a_message_from_a_pair(path: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.sendmsg([b"x"], [], 0, path)


def connect_a_pair(path: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.connect(path)
        ours.send(b"x")


def bind_a_pair(kind: str, path: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, _kind(kind))
    with ours, theirs:
        ours.bind(_address(path))


def send_with_an_address() -> None:
    """Name an address in `sendto`, at a multiple of 4 GiB; the kernel reads it before it knows that there is none."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            call("sendto", ours.fileno(), ctypes.c_char_p(b"x"), 1, 0, 1 << 32, 110)
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise


def hand_over_a_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open("/dev/null", "rb") as file:  # noqa: PTH123
        socket.send_fds(ours, [b"x"], [file.fileno()])


def open_socket(family: str, kind: str) -> None:
    known = {"tipc": _TIPC, "alg": _ALG, "vsock": _VSOCK}
    number = known.get(family) or getattr(socket, f"AF_{family.upper()}")
    protocol = socket.IPPROTO_ICMP if (family, kind) == ("inet", "raw") else 0
    os.close(tipc_pair(number, kind) if family == "tipc" else call("socket", int(number), _kind(kind), protocol))


def tipc_pair(family: int, kind: str) -> int:
    pair = (ctypes.c_int * 2)()
    call("socketpair", family, _kind(kind), 0, pair)
    os.close(pair[1])
    return int(pair[0])


# ---- what tells of files, and changes them


def watch(path: str) -> None:
    descriptor = call("inotify_init1", 0)
    try:
        call("inotify_add_watch", descriptor, ctypes.c_char_p(path.encode()), 0xFFF)
    finally:
        os.close(descriptor)


def watch_by_the_oldest_call(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(descriptor, fcntl.F_NOTIFY, _NOTIFY_OF_ALL)
        fcntl.fcntl(descriptor, fcntl.F_NOTIFY, 0)
    finally:
        os.close(descriptor)


def set_flags(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8)))
        fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("l", flags ^ _NO_ACCESS_TIME))
    finally:
        os.close(descriptor)


def set_attributes(path: str) -> None:
    none = ctypes.create_string_buffer(24)
    call("file_setattr", _HERE, ctypes.c_char_p(path.encode()), none, 24, 0)


# ---- what is the machine's


def read_segment(number: str) -> None:
    libc.shmat.restype = ctypes.c_void_p
    if libc.shmat(int(number), None, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")


def read_message(number: str) -> None:
    call("msgrcv", int(number), ctypes.create_string_buffer(16), 8, 0, 0o4000)


def remove(name: str, number: str) -> None:
    call(name, int(number), *([0] if name == "semctl" else []), 0, 0)


def read_log() -> None:
    call("syslog", 3, ctypes.create_string_buffer(4096), 4096)


def descriptor_of(pid: str) -> None:
    os.close(call("pidfd_getfd", os.pidfd_open(int(pid)), 0, 0))


def ring() -> None:
    os.close(call("io_uring_setup", 1, ctypes.create_string_buffer(120)))


def by_x32() -> None:
    call_number(0x40000000 + 39)  # getpid


def by_32_bits() -> str:
    """Call `getpid` as a program of 32 bits does; the answer is in EAX."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    return "" if function() == os.getpid() else "another answer"


ATTEMPTS: dict[str, Callable[..., Any]] = {
    "send from a pair": send_from_a_pair,
    "send a message from a pair": send_a_message_from_a_pair,
    "connect a pair": connect_a_pair,
    "bind a pair": bind_a_pair,
    "send with an address": send_with_an_address,
    "hand over a descriptor": hand_over_a_descriptor,
    "open a socket": open_socket,
    "watch": watch,
    "watch by the oldest call": watch_by_the_oldest_call,
    "watch by fanotify": lambda: os.close(call("fanotify_init", _UNPRIVILEGED_FANOTIFY, 0)),
    "set flags": set_flags,
    "set attributes": set_attributes,
    "read a segment": read_segment,
    "read a message": read_message,
    "remove": remove,
    "remove a queue": lambda name: call("mq_unlink", ctypes.c_char_p(name.encode())),
    "read the log": read_log,
    "take a descriptor": descriptor_of,
    "compare": lambda pid: call("kcmp", os.getpid(), int(pid), 1, 0, 0),
    "ring": ring,
    "open a tree": lambda: os.close(call("open_tree", _HERE, ctypes.c_char_p(b"/"), 0)),
    "open a file system": lambda: os.close(call("fsopen", ctypes.c_char_p(b"tmpfs"), 0)),
    "bpf": lambda: os.close(call("bpf", 0, struct.pack("IIII", 2, 4, 4, 1) + bytes(112), 128)),
    "handle faults": lambda: os.close(call("userfaultfd", 1)),
    "count events": lambda: os.close(call("perf_event_open", struct.pack("IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0)),
    "keys": lambda: call("keyctl", 0, _OF_THIS_THREAD, 1),
    "x32": by_x32,
    "32 bits": by_32_bits,
}
