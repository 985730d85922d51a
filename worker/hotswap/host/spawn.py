"""Starts the process of a model host, behind its supervisor and in a folder of its own."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

BEHIND_SECONDS: Final = 3.0
"""How long a host that a swap waits for stands behind others; with a core free, all but Spark's have loaded by then."""
_FOLDER: Final = "hotswap-host-"
_CODE: Final = Path(__file__).parents[2]
_SUPERVISOR: Final = (sys.executable, "-ISB", str(Path(__file__).with_name("supervisor.py")))


def spawn(child: Sequence[str], descriptor: int, reports: int, behind_s: float) -> dict[str, Any]:
    """Start the process, in a session that stands behind others for so long at most (session.py).

    Call it on the loop's thread: to Linux, the parent dies with the *thread* that forked.
    """
    if not shutil.which(child[0]):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), child[0])
    _remove_stale_folders()
    command = [*child, str(descriptor)]
    if sys.platform == "linux":
        command = [*_SUPERVISOR, str(reports), str(os.getpid()), str(behind_s), *command]
    else:
        command.append(str(os.getpid()))
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        reader, writer = os.pipe()
        undo.callback(os.close, reader)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                pass_fds=[descriptor, reports],
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        undo.pop_all()
    return {"process": process, "printed": reader, "folder": folder}


def _remove_stale_folders() -> None:
    """Remove the folders of workers that were killed while they staged a generation."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        owner = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs as another user
    return True


def _environment(folder: Path) -> dict[str, str]:
    """Return the child's environment. It inherits nothing, for the worker's holds credentials; only the code's path."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder),
        "PYTHONPATH": str(_CODE),
        "PYTHONSAFEPATH": "1",  # or `-m` would look for modules in the folder first, where models write
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",  # a host does no linear algebra, and each thread would reserve memory
    }
