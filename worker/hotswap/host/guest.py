"""Starts the process in which a Python model runs, from a model host that is about to be shut in.

The interpreter is the model's, and a file of its packages may run before any line of ours. So the process is shut in
between fork and exec, more tightly than the host: it reads its packages and its model, and nothing of the host's. It
writes a folder in the host's, not that itself: what a host finds there, such as a module or a library, it may run.
"""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from hotswap.host.order import GuestPython
from hotswap.host.sandbox import Enclosure
from hotswap.local.lifeline import die_with
from hotswap.runtimes.python.calls import Guest

_FOLDER: Final = Path(__file__).parents[1] / "runtimes" / "python"
_FILE: Final = str(_FOLDER / "guest.py")
_FILES: Final = (_FILE, str(_FOLDER / "guest_model.py"), str(_FOLDER / "flavors.py"))
_FLAGS: Final = ("-I", "-B", "-S", "-u", "-X", "utf8")
"""-u: what a model prints is in the log at once, and what it printed last is known if it ends."""
_SOCKET_BYTES: Final = 1 << 20
_OWN_FOLDER: Final = "guest"
_STACK_BYTES: Final = 8 << 20


def start_guest(interpreter: GuestPython, model: str, enclosure: Enclosure) -> Guest:
    """Start the guest of a model; call it while this process has one thread, and enters the enclosure.

    Raises OSError: the interpreter cannot be started.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
    (own := Path.cwd() / _OWN_FOLDER).mkdir(mode=0o700)
    folder, host = str(own), os.getpid()

    def shut_in() -> None:
        die_with(host)
        _limit(interpreter.memory_mb << 20)
        read = [interpreter.program, *filter(None, [interpreter.site]), *interpreter.reads, model, *_FILES]
        enclosure.shut_guest(read, folder)

    with theirs:
        process = subprocess.Popen(
            [interpreter.program, *_FLAGS, _FILE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=folder,
            env=_environment(folder),
            preexec_fn=shut_in,  # noqa: PLW1509 - this process has one thread yet
        )
    return Guest(process, ours)


def _limit(memory: int) -> None:
    if sys.platform != "linux":  # elsewhere the limit does not cover mapped memory
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # A stack is not counted there: its own limit could be raised as far as this one.
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    stack = _STACK_BYTES if stack == resource.RLIM_INFINITY else stack
    resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))


def _environment(folder: str) -> dict[str, str]:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder, **one_thread}
