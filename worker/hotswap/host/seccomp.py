"""Seccomp filters, by which an unprivileged process gives up system calls for good (seccomp(2)).

A filter is a program of classic BPF that the kernel runs at each system call: it sees the call's number and arguments,
but not what they point to. It costs nothing at a call that it never refuses: the kernel keeps a bitmap of those.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

_libc: Final = ctypes.CDLL(None, use_errno=True)
_NO_NEW_PRIVS: Final = 38
_SET_FILTER: Final = 1
_ALL_THREADS, _NO_MITIGATIONS = 1, 4
_LOAD, _EQUAL, _AT_LEAST, _AND, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x05, 0x06  # BPF, on 32 bits
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; each argument has 8 bytes
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32: Final = 0x40000000  # from this number on: calls of another ABI on the same architecture
_UNKNOWN: Final = 470  # from this number on: calls that came after Linux 6.17, which nobody here has looked at

# name: its number on x86_64 and on aarch64, which does not have all
_BOTH: Final = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "add_key": (248, 217),
    "bind": (49, 200),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chown": (92, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "flock": (73, 32),
    "fork": (57, None),
    "fremovexattr": (199, 16),
    "fsconfig": (431, 431),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "futimesat": (261, None),
    "inotify_add_watch": (254, 27),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "landlock_create_ruleset": (444, 444),
    "lchown": (94, None),
    "listen": (50, 201),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mmap": (9, 222),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "open": (2, None),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "openat": (257, 56),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "truncate": (76, 45),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
    "vfork": (58, None),
}
_MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


class Test(NamedTuple):
    """Whether a call passes: an argument, of which the bits `mask` count, must be one of `values`, or none of them.

    It is the lower half of the argument, or with `is_upper` the other one: a pointer takes both.
    """

    argument: int
    values: Collection[int]
    is_one: bool = True
    mask: int = 0xFFFFFFFF
    is_upper: bool = False


class Rule(NamedTuple):
    """Refuse these calls with an error, unless they pass all of the tests, if there are any."""

    calls: Collection[str]
    tests: Sequence[Test] = ()
    error: int = errno.EPERM


def install(rules: Sequence[Rule]) -> None:
    """Refuse these calls to all threads of this process, and to all that they start.

    Raises:
        OSError: the kernel refuses, or this architecture is unknown here (ENOSYS).

    """
    program = _compile(rules)
    buffer = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    filters = _Program(len(program) // 8, ctypes.addressof(buffer))
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    # Without the second flag, kernels before 5.16 would slow down all code of the process, against speculation.
    flags = _ALL_THREADS | _NO_MITIGATIONS
    result = _libc.syscall(_BOTH["seccomp"][_machine()[1]], _SET_FILTER, flags, ctypes.byref(filters))
    if result:
        error = ctypes.get_errno() if result < 0 else errno.EBUSY  # else a thread that has another filter
        raise OSError(error, os.strerror(error))


def _machine() -> tuple[int, int]:
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known")
    return _MACHINES[machine]


def _compile(rules: Sequence[Rule]) -> bytes:
    architecture, column = _machine()
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if column == 0:
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE | errno.EPERM)]
    code += [(_AT_LEAST, 0, 1, _UNKNOWN), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]  # as on an older kernel
    for rule in rules:
        body = _body(rule)
        for name in rule.calls:
            number = _BOTH[name][column]
            if number is not None:
                code += [(_EQUAL, 0, len(body), number), *body]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *one) for one in code)


def _body(rule: Rule) -> list[tuple[int, int, int, int]]:
    """Return the instructions that decide on a call of the rule; it ends with a return on every path."""
    refuse = (_RETURN, 0, 0, _REFUSE | rule.error)
    if not rule.tests:
        return [refuse]
    body: list[tuple[int, int, int, int]] = []
    for test in rule.tests:
        half = _ARGUMENTS + 8 * test.argument + 4 * test.is_upper  # both architectures are little-endian
        body += [(_LOAD, 0, 0, half), (_AND, 0, 0, test.mask)]
        # One of the values: past the refusal. None of them: the same, by the jump before it, which a match jumps over.
        body += [(_EQUAL, len(test.values) - place, 0, value) for place, value in enumerate(test.values)]
        body += [refuse] if test.is_one else [(_JUMP, 0, 0, 1), refuse]
    return [*body, (_RETURN, 0, 0, _ALLOW)]
