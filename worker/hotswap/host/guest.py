"""Starts the process in which a Python model runs, from a model host that is about to be shut in.

The interpreter is the model's, and a file of its packages may run before any line of ours. So the process is shut in
between fork and exec, more tightly than the host: it reads its packages and its model, and nothing of the host's.
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


def start_guest(interpreter: GuestPython, model: str, enclosure: Enclosure) -> Guest:
    """Start the guest of a model; call it while this process has one thread, and enters the enclosure.

    Raises OSError: the interpreter cannot be started.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
    folder, host = str(Path.cwd()), os.getpid()

    def shut_in() -> None:
        die_with(host)
        if sys.platform == "linux":  # elsewhere the limit does not cover mapped memory
            limit = interpreter.memory_mb << 20
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        read = [interpreter.program, *filter(None, [interpreter.site]), *interpreter.reads, model, *_FILES]
        enclosure.shut_guest(read, folder)

    with theirs:
        process = subprocess.Popen(
            [interpreter.program, *_FLAGS, _FILE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environment(folder),
            preexec_fn=shut_in,  # noqa: PLW1509 - this process has one thread yet
        )
    return Guest(process, ours)


def _environment(folder: str) -> dict[str, str]:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder, **one_thread}
