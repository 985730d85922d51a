"""Ends a process when the one that started it dies, however that happens."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_WATCH_SECONDS: Final = 1.0


def die_with(parent: int) -> None:
    """End this process when its parent, the process `parent`, dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # The parent may have died before either was in place.
    if os.getppid() != parent:
        os._exit(0)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(0)


def start_watchdog() -> subprocess.Popen[bytes]:
    """Start the leader of a process group, which kills the whole group when this process ends, however it ends.

    Whoever is started with `process_group=watchdog.pid` is in the group. As a context manager it kills the group at the
    end of its block; so does `communicate`.

    A parent-death signal (Linux only) would need code between fork and exec, and is sent already when the *thread* that
    started the process ends. The end of a pipe works everywhere: `read` returns when nobody holds the other end. There
    is no moment without guard: a process is born into the group, and until it has become its program it holds the pipe
    too.
    """
    return subprocess.Popen(["/bin/sh", "-c", "read -r _; kill -9 0"], stdin=subprocess.PIPE, process_group=0)
