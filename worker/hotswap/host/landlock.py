"""Landlock, by which an unprivileged process gives up files, TCP and signals for good (kernel.org: landlock(7)).

What a kernel can take away depends on its version, the ABI: files since 1 (Linux 5.13), renames between folders since
2, truncation since 3 (6.2), TCP since 4 (6.7), ioctls of devices since 5, signals and abstract sockets since 6 (6.12).
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # alike on all architectures
_GET_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NO_NEW_PRIVS: Final = 38

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_OF_DEVICES: Final = 1 << 6 | 1 << 9 | 1 << 11  # to make sockets, and the two kinds of devices
_ALL_FILES: Final = (1 << 13) - 2  # of ABI 1, but to execute
_REFER, _IOCTL = 1 << 13, 1 << 15
_ALL_TCP: Final = 1 << 0 | 1 << 1
_ALL_SCOPES: Final = 1 << 0 | 1 << 1
_SIZES: Final = {1: 8, 4: 16, 6: 24}  # of the attributes, since which ABI


def abi() -> int:
    """Return the ABI of this kernel's Landlock; 0 if it has none, or it is disabled or forbidden here."""
    return max(0, int(_libc.syscall(_CREATE, None, 0, _GET_VERSION)))


def restrict(*, read: Iterable[str], write: Iterable[str], has_tcp: bool) -> None:
    """Leave this thread, and those that it starts, only files in `read` and `write`, which must be absolute paths.

    What cannot be opened is left out. `write` includes to read, to make and to remove; to execute is not restricted.
    Where the ABI allows: without `has_tcp` no TCP, and no signals or abstract sockets to the outside.

    Raises:
        OSError: the kernel refuses; ENOSYS or EOPNOTSUPP if it has no Landlock.

    """
    version = _call(_CREATE, None, 0, _GET_VERSION)
    files = _ALL_FILES
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL)):
        files |= right if version >= since else 0
    size = max(size for since, size in _SIZES.items() if version >= since)
    attributes = struct.pack("=QQQ", files, 0 if has_tcp else _ALL_TCP, _ALL_SCOPES)[:size]
    ruleset = _call(_CREATE, ctypes.c_char_p(attributes), size, 0)
    try:
        for path in read:
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        for path in write:
            _allow(ruleset, path, files & ~(_OF_DEVICES | _IOCTL))
        if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
    beneath = struct.pack("=Qi", rights, descriptor)
    try:
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(beneath), 0)
    finally:
        if not path.startswith("/proc/"):
            os.close(descriptor)  # the kernel may forget an inode of /proc, and the rule with it, unless it is open


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
