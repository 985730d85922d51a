"""Ends processes when the one that started them dies, however it dies."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_WATCH_SECONDS: Final = 1.0


def die_with(parent: int) -> None:
    """End this process when its parent, whose process id is `parent`, dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # The parent may have died before either took effect.
    if os.getppid() != parent:
        os._exit(0)


def signal_name(number: int) -> str:
    """Return what a signal is called, for people to read."""
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time ones
        return str(number)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(0)


def start_watchdog() -> subprocess.Popen[bytes]:
    """Start the leader of a process group that kills the whole group when this process ends, however it ends.

    Processes started with `process_group=watchdog.pid` join the group. Used as a context manager, the watchdog kills
    the group at the end of the block; so does `communicate`.

    A parent-death signal (Linux only) would need code between fork and exec, and is sent as soon as the *thread* that
    started the process ends. Closing a pipe works everywhere: `read` returns once nobody holds the other end. There is
    no unguarded moment: a process starts in the group, and until exec it holds the pipe too.
    """
    return subprocess.Popen(["/bin/sh", "-c", "read -r _; kill -9 0"], stdin=subprocess.PIPE, process_group=0)


def start_beside(watchdog: subprocess.Popen[bytes], command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program in a watchdog's group, with this process's own standard streams."""
    return subprocess.Popen(command, process_group=watchdog.pid)
