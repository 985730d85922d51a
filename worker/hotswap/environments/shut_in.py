"""Runs a program that installs packages: shut in like a model host, but it may start processes, and reach an index.

It reads the system's libraries, the certificates of authorities and what it is told; it writes its working folder only;
it has no capabilities, and limits on its memory and its files. It dies with this process.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hotswap.errors import SwapCode, SwapError
from hotswap.host import seccomp
from hotswap.host.sandbox import Enclosure, Sandbox, rules_of_installers
from hotswap.local.lifeline import die_with

CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the certificates of authorities in place of the system's."""
_AUTHORITIES: Final = (
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
    *("/usr/share/pki", "/etc/crypto-policies"),
)
_MEMORY_BYTES: Final = 8 << 30  # of addresses, which Rust's threads and allocator reserve generously
_REFUSED: Final = 117  # an exit code that no program here has
_WATCH_SECONDS: Final = 0.4
_PRINTED: Final = 64 << 10  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallerSandbox:
    """How a program is shut in; `reads` are absolute paths."""

    folder: Path
    """Its working folder, the only one that it may write."""
    max_bytes: int
    """Largest file."""
    reads: Sequence[str]
    has_network: bool
    mode: Literal["auto", "require", "off"]

    def run(self, command: Sequence[str], environment: Mapping[str, str], watch: Callable[[], None]) -> tuple[int, str]:
        """Run a program until it ends; return its exit code (negative: a signal), and what it printed.

        `watch` is called twice a second; what it raises ends the program, and propagates. Call it in a process with one
        thread.

        Raises:
            SwapError: HOST_FAILED, HOTSWAP_SANDBOX is `require`, and this machine cannot shut it in.
            OSError: it cannot be started.

        """
        said = self.folder / "said"
        with said.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=self._enter(os.getpid()),  # noqa: PLW1509 - this process has one thread
            )
        try:
            while True:
                try:
                    process.wait(_WATCH_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    watch()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        with said.open(encoding="utf-8", errors="replace") as file:
            printed = file.read(_PRINTED)
        if process.returncode == _REFUSED:
            raise SwapError(
                SwapCode.HOST_FAILED,
                f"HOTSWAP_SANDBOX is require, but this worker cannot shut in what installs packages: {printed}; give "
                "it a kernel and a container that can (docs/using.md), or set HOTSWAP_SANDBOX=auto",
            )
        return process.returncode, printed

    def _enter(self, parent: int) -> Callable[[], None]:
        authorities = [path for name in CERTIFICATES if (path := os.environ.get(name)) and Path(path).is_absolute()]
        reads = [*_AUTHORITIES, *authorities, *self.reads]

        def enter() -> None:
            missing = self._shut(reads)
            if missing and self.mode == "require":
                os.write(2, "; ".join(missing).encode())
                os._exit(_REFUSED)
            die_with(parent)  # last: entering a namespace may clear the death signal

        return enter

    def _shut(self, reads: Sequence[str]) -> list[str]:
        sandbox = Sandbox(mode=self.mode, has_network=self.has_network, folder_mb=-(-self.max_bytes >> 20))
        enclosure = Enclosure(sandbox, needs_loopback=False)
        enclosure.enter(reads)
        if self.mode == "off" or sys.platform != "linux":
            return enclosure.missing
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        try:
            seccomp.install(rules_of_installers(has_network=self.has_network))
        except OSError as error:
            return [*enclosure.missing, f"system calls (seccomp): {error.strerror}"]
        return enclosure.missing
