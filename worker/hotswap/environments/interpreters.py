"""The Pythons of this machine that models may run on, each asked once for its version and its folders."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError
from hotswap.local.system import open_plain

FILE: Final = ".python-version"
"""The file of a model's folder that names its Python, as pyenv and uv write it."""
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,4})(?:\.\d{1,4})?")
_MAX_BYTES: Final = 4096
_PROBE_SECONDS: Final = 20.0
_SHOWN: Final = 100
_PROBE: Final = """
import json, os, sys, sysconfig
libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", ()) else ""
print(json.dumps({
    "program": getattr(sys, "_base_executable", None) or sys.executable,
    "implementation": sys.implementation.name,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "build": [sys.version, sysconfig.get_platform(), sysconfig.get_config_var("SOABI"), libc],
    "folders": [sys.base_prefix + "/lib", sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"),
                sysconfig.get_config_var("LIBDIR")],
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of this machine, outside of any virtual environment."""

    path: Path
    """Its program, links resolved."""
    version: str
    """Its full version, such as 3.12.4."""
    reads: tuple[str, ...]
    """Absolute paths that it must be able to read, beside the system's libraries."""
    digest: str
    """Identifies it: SHA-256 over its version, its build, the platform and its program."""

    @property
    def minor(self) -> str:
        """The version that packages are made for, such as 3.12."""
        return ".".join(self.version.split(".")[:2])


class Interpreters:
    """Those that HOTSWAP_PYTHONS names, or the worker's own. Safe for threads."""

    def __init__(self, pythons: str = "") -> None:
        """`pythons`: the paths of their programs, separated by commas; empty: the one that this process runs on."""
        own = getattr(sys, "_base_executable", None) or sys.executable
        self._programs: Sequence[str] = [*filter(None, map(str.strip, pythons.split(",")))] or [own]
        self._known: dict[str, Interpreter] = {}
        self._mutex = threading.Lock()

    def find(self, version: str) -> Interpreter:
        """Return the first one of a version, such as "3.12" or "3.12.4", whose last part does not count; "": the first.

        It runs each program that was not asked before, for 20 s at most; call it in a thread.

        Raises SwapError ENVIRONMENT_INVALID: none has that version, or `version` is no version; the message says which
        there are, and which programs are no Python.
        """
        minor = _minor(version, "the Python that was asked for") if version else ""
        there, faults = [], []
        for program in self._programs:
            try:
                found = self._ask(program)
            except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                faults.append(f"{program} is no Python that can be used ({_why(error)})")
                continue
            if minor in ("", found.minor):
                return found
            there.append(found.version)
        have = f"it has {', '.join(there)}" if there else "it has none that works"
        said = "".join(f"; {fault}" for fault in faults)
        what = f"Python {minor}" if minor else "a Python"
        raise SwapError(
            SwapCode.ENVIRONMENT_INVALID,
            f"the model needs {what}, and this worker has none ({have}{said}): install it, and name the path of its "
            "program in HOTSWAP_PYTHONS",
        )

    def _ask(self, program: str) -> Interpreter:
        with self._mutex:
            if program not in self._known:
                self._known[program] = _probe(program)
            return self._known[program]


def wanted_version(folder: Path) -> str:
    """Return the version in the file `.python-version` of a model's folder, such as "3.12"; "" if it has none.

    Raises SwapError ENVIRONMENT_INVALID: its first line is not a version, or it cannot be read.
    """
    try:
        with open_plain(folder / FILE) as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SwapError(
            SwapCode.ENVIRONMENT_INVALID, f"{FILE} cannot be read ({error.strerror}): pack it as a plain file"
        ) from error
    version = (content.decode(errors="replace").splitlines() or [""])[0].strip()
    _minor(version, f"the first line of {FILE}")
    return version


def _minor(version: str, what: str) -> str:
    if not (found := _VERSION.fullmatch(version)):
        raise SwapError(
            SwapCode.ENVIRONMENT_INVALID,
            f"{what} is {version[:_SHOWN]!r}, which is no version of Python: write it as 3.12 or 3.12.4",
        )
    return f"{found[1]}.{found[2]}"


def _probe(program: str) -> Interpreter:
    """Ask a program. Raises OSError, ValueError, KeyError or SubprocessError: it is no Python that can be used."""
    told = _run(program)
    if told["implementation"] != "cpython":
        raise ValueError(f"it is {told['implementation']}, not CPython")
    path = Path(told["program"]).resolve(strict=True)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    folders = dict.fromkeys(os.path.realpath(one) for one in told["folders"] if one and Path(one).is_absolute())
    identity = json.dumps([told["version"], told["build"], sha256])
    return Interpreter(
        path=path,
        version=str(told["version"]),
        reads=(str(path), *(one for one in folders if one != "/" and Path(one).is_dir())),
        digest=hashlib.sha256(identity.encode()).hexdigest(),
    )


def _run(program: str) -> dict[str, Any]:
    done = subprocess.run(
        [program, "-I", "-S", "-B", "-c", _PROBE],
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},  # a pyenv's shim runs a shell
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PROBE_SECONDS,
        check=True,
    )
    told = json.loads(done.stdout)
    if not isinstance(told, dict):
        raise ValueError("it does not answer as a Python does")  # noqa: TRY004 - another program's output
    return told


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        last = (error.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        return f"exit code {error.returncode}: {last.strip()[:_SHOWN]}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {_PROBE_SECONDS:g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it does not answer as a Python does" if isinstance(error, KeyError | json.JSONDecodeError) else str(error)
