"""Workers that are forked from a process which has imported all that they need: each saves half a second of CPU."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Start the process that workers are forked from; it ends with this one."""
    _CONTEXT.set_forkserver_preload(["hotswap.service"])
    ensure_running()


class Forked:
    """A forked process, with what tests use of subprocess.Popen."""

    def __init__(self, source: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Run Python's source with these arguments; what it prints as errors is appended to `log`."""
        log.touch()
        self._process: BaseProcess = _CONTEXT.Process(
            target=_run, args=(source, list(arguments), dict(environment), log), daemon=True
        )
        self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(source: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    os.environ.clear()
    os.environ |= environment
    tempfile.tempdir = None
    sys.argv = ["-c", *arguments]
    with log.open("ab") as output:
        os.dup2(output.fileno(), 2)
    exec(source, {"__name__": "__main__"})
