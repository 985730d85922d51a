"""Set up a virtual environment beside this file as a lock says, with nothing but Python's own library.

    python3 bootstrap.py [FOLDER] [LOCK]      (by itself: .venv requirements.lock)

One that is as the lock says is left alone. What goes wrong is one line on standard output, where make takes it from;
progress goes to standard error. Python 3.7 can read this file, so that it can say that it is too old.
"""

from __future__ import annotations

import sys

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
CURE = f"install it (Debian, Ubuntu: apt install python{VERSION}-venv)"

try:
    import hashlib
    import importlib.util
    import json
    import os
    import shutil
    import subprocess
    import time
    from pathlib import Path
except ImportError as error:  # python3-minimal of Debian and its kin
    sys.stdout.write(f"hotswap: Python {VERSION} has no module {error.name}, it is only a part of Python: {CURE}\n")
    sys.exit(1)

ROOT = Path(__file__).resolve().parent
OLDEST = (3, 11)
OUT_OF_REACH = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "error sending request",
)


class SetupError(Exception):
    """Stop: the text is the one line for a person."""


def main(*words: str) -> int:
    """Set up; give the exit code."""
    try:
        set_up(*words)
    except SetupError as error:
        line = str(error)
    except OSError as error:
        line = f"the set-up cannot go on: {error}"
    except KeyboardInterrupt:
        line = "the set-up was interrupted: run make again"
    else:
        return 0
    sys.stdout.write(f"hotswap: {line}\n")
    return 1


def set_up(folder: str = ".venv", lock: str = "requirements.lock") -> None:
    """Bring `folder` to what `lock` and this project say, and remember that in it."""
    uv = shutil.which("uv")
    check_python(has_uv=bool(uv))
    environment = Environment(ROOT / folder, uv)
    wanted, found = state(ROOT / lock), environment.state()
    if found == wanted:
        return
    tell(f"hotswap: setting up {folder}, which takes about a minute and is done once")
    started = time.monotonic()
    if {**found, "project": ""} != {**wanted, "project": ""}:
        environment.build(ROOT / lock)
    environment.install_project()
    environment.compile()
    environment.remember(wanted)
    tell(f"hotswap: {folder} is ready after {time.monotonic() - started:.0f} s")


def check_python(*, has_uv: bool) -> None:
    """Raise SetupError where this Python cannot make an environment; uv needs no venv and no pip for it."""
    if sys.version_info[:2] < OLDEST:
        raise SetupError(f"this is Python {VERSION}, but 3.11 or newer is needed: install one")
    if not has_uv and not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise SetupError(f"Python {VERSION} has no venv module: {CURE}")


def state(lock: Path) -> dict[str, str]:
    """Everything that an environment is made from; it holds absolute paths, so a moved folder is another one."""
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in (("lock", lock), ("project", ROOT / "pyproject.toml"))
    }
    return {"root": str(ROOT), "python": sys.version, **digests}


class Environment:
    """A virtual environment, made by uv where it is on PATH, else by venv and pip."""

    def __init__(self, folder: Path, uv: str | None = None) -> None:
        self._folder = folder
        self._python = str(folder / "bin" / "python")
        self._log = folder / "setup.log"
        self._wheels = folder / "wheels.cfg"
        self._uv = uv

    def state(self) -> dict[str, str]:
        """Give what the last finished set-up remembered."""
        try:
            return dict(json.loads((self._folder / "hotswap.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def remember(self, state: dict[str, str]) -> None:
        """Mark the set-up as finished."""
        (self._folder / "hotswap.json").write_text(json.dumps(state), encoding="utf-8")

    def build(self, lock: Path) -> None:
        """Make it anew, since what an older or an interrupted set-up left is no ground to build on."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        # How setuptools makes PySpark's wheel, unless the user says otherwise: jars are compressed already.
        self._wheels.write_text("[bdist_wheel]\ncompression = stored\n", encoding="utf-8")
        if self._uv:
            self._run(self._uv, "venv", "--allow-existing", "--python", sys.executable, str(self._folder))
        else:
            self._run(sys.executable, "-m", "venv", str(self._folder))
            # The pip that came with this Python may be years old, and take twice as long for all that follows.
            self._install("--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements-pip.lock"))
        # PySpark has no wheel: its archive is Java's jars, with Python's files beside them, and nothing to compile.
        self._install("--require-hashes", "--only-binary", ":all:", "--no-binary", "pyspark", "-r", str(lock))

    def install_project(self) -> None:
        """Make the project importable where it lies; hatchling is in the lock, so nothing is downloaded for it."""
        self._install("--no-build-isolation", "--editable", str(ROOT))

    def compile(self) -> None:
        """Write the byte code of all packages and of the project, on all cores, which pip and uv do not.

        Otherwise the first command of each kind would, which takes it a second and a half, and where Python may not
        write it (PYTHONDONTWRITEBYTECODE), every command. It is held against its source's time and size: what is
        edited is compiled anew. What cannot be compiled, such as a template, stays as it is.
        """
        how = ("-q", "-q", "-j", "0", "--invalidation-mode", "timestamp", "-x", r"site-packages.*[/\\]tests[/\\]")
        self._start(self._python, "-m", "compileall", *how, str(self._folder / "lib"), str(ROOT / "worker"))

    def _install(self, *words: str) -> None:
        # Where packages come from is for the user's and the machine's own settings to say.
        if self._uv:
            self._run(self._uv, "pip", "install", "--python", self._python, "--no-deps", *words)
        else:
            quick = ("--retries", "2", "--disable-pip-version-check", "--no-compile")
            self._run(self._python, "-m", "pip", "install", *quick, "--no-deps", *words)

    def _run(self, *command: str) -> None:
        """Run a program with its output in the log; raise SetupError with its own reason where it fails."""
        code, said = self._start(*command)
        if not code:
            return
        where = f"the whole output is in {self._log.relative_to(ROOT)}"
        if any(sign in said for sign in OUT_OF_REACH):
            raise SetupError(f"packages cannot be downloaded: check the network and run make again ({where})")
        reasons = [line.strip() for line in said.splitlines() if line.lower().startswith("error")]
        raise SetupError(f"installing failed, {reasons[0] if reasons else f'exit code {code}'} ({where})")

    def _start(self, *command: str) -> tuple[int, str]:
        """Run a program with its output in the log; give its exit code, and that output."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={"DIST_EXTRA_CONFIG": str(self._wheels), **os.environ},
            check=False,
        )
        said = done.stdout.decode(errors="replace")
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{said}")
        return done.returncode, said


def tell(line: str) -> None:
    """Show progress."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
