"""Differences of operating systems, in one place: the client and most commands run on all.

What belongs to workers and model hosts (`service`, `host/`, the rest of `local/`) needs Linux or macOS, and is loaded
where it is used. tests/unit/local/test_system.py keeps all else free of what Windows or macOS lacks.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from hotswap.errors import StartError

if sys.platform != "win32":
    import fcntl
    import resource
    import termios
    import tty

IS_POSIX: Final = sys.platform != "win32"
"""Whether folders can be locked, and processes end with those that started them."""

_AT_ONCE: Final = 256


def need_posix(what: str) -> None:
    """Raise StartError where workers and model hosts cannot run; `what` needs them, or runs as they do."""
    if not IS_POSIX:
        why = f"{what} needs Linux or macOS, and this is {sys.platform}: run it there, or in WSL or a container"
        raise StartError(why)


def bound_process(*, cpu_s: int, memory_bytes: int) -> None:
    """Bound this process's CPU time, and on Linux its memory; on Windows nothing. It leaves no core dump."""
    if sys.platform == "win32":
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if sys.platform == "linux":  # elsewhere the limit does not cover mapped memory
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


# Three that only the cache of workers and of clients uses, which there is none of on Windows.


def open_folder(path: Path) -> int:
    """Return a descriptor of a folder, which can be locked. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def lock(descriptor: int, *, is_exclusive: bool = False) -> None:
    """Lock an open file until it is closed. Raises OSError if it is to be exclusive and somebody has it."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if is_exclusive else fcntl.LOCK_SH)


def open_plain(path: Path) -> BinaryIO:
    """Open a regular file, not a link nor anything that could block. Raises OSError."""
    file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")  # noqa: PTH123, SIM115 - by flags
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return file


@contextlib.contextmanager
def keyboard(press: Callable[[str], None]) -> Iterator[None]:
    """Call `press` with each typed key, while in the block, if there is a keyboard; on Windows, as if there is none."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import asyncio  # noqa: PLC0415 - takes longer than the rest of `--help`

    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: press(os.read(descriptor, _AT_ONCE).decode(errors="replace")))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
