"""Empty environments of each Python of the support list, with one distribution installed in each."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from release.distributions import PROJECT, ROOT

_PROBE = "import ensurepip, sys, venv; print('.'.join(map(str, sys.version_info[:3])))"
_CLASSIFIER = "Programming Language :: Python :: 3."
_OURS = ("HOTSWAP_", "PYTHON")


def support_list() -> list[str]:
    """Return the minor versions of Python that pyproject.toml names."""
    found = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if line.startswith(_CLASSIFIER)]
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def find_python(version: str) -> tuple[Path, str] | None:
    """Return a Python of a minor version that can make environments, and its full version.

    It is looked for on PATH, among pyenv's versions and among uv's.
    """
    for candidate in _candidates(version):
        done = subprocess.run([candidate, "-I", "-c", _PROBE], capture_output=True, text=True, check=False)
        if not done.returncode and done.stdout.startswith(f"{version}."):
            return candidate, done.stdout.strip()
    return None


def _candidates(version: str) -> Iterator[Path]:
    for folder in os.environ["PATH"].split(os.pathsep):
        if (found := Path(folder, f"python{version}")).exists():
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    yield from sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
    if uv := shutil.which("uv"):
        asked = [uv, "python", "find", "--no-python-downloads", "--managed-python", version]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if not done.returncode:
            yield Path(done.stdout.strip())


def try_out(python: Path, distribution: Path, version: str, extras: Sequence[str], pins: Path | None) -> str:
    """Install a distribution in an empty environment, run the smoke test there, and return a line that says so.

    `pins` is a file of constraints; without one, the newest dependencies that the metadata allows are installed.

    Raises:
        RuntimeError: the installation or the smoke test failed; the message is the output.

    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        wanted = f"{distribution}[{','.join(extras)}]" if extras else str(distribution)
        constraints = ("-c", str(pins)) if pins else ()
        installed = Path(folder, "env", "bin", "python")
        _run(folder, str(python), "-m", "venv", str(installed.parents[1]))
        _run(folder, str(installed), "-m", "pip", "install", "--quiet", *constraints, wanted)
        count = len(_run(folder, str(installed), "-m", "pip", "list", "--format", "freeze").splitlines())
        _run(folder, str(installed), "-m", "pip", "check")
        smoke = Path(__file__).with_name("smoke.py")
        said = _run(folder, str(installed), "-I", str(smoke), version, str(ROOT / "examples"), *extras)
    return f"{count} packages, {time.monotonic() - started:.0f} s: {said.strip()}"


def _run(folder: str, *command: str) -> str:
    # Nothing of the checkout is to be found: neither its code nor its settings.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
