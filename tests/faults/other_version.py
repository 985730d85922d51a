"""Another version of Hotswap beside this checkout's: its environment, its workers, its command line."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from harness.command import variables
from harness.fleet import ROOT

OURS = Path(sys.executable)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotswap" / "installed"


async def replace_worker(arena, worker, python):
    """Stop a worker, and start one of that installation in its place, as an orchestrator does."""
    process = arena.deployment.workers[worker]
    arena.signal(worker, signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 20)
    assert code == 0, f"{worker} ended with {code}: {arena.deployment.log(worker)[-500:]}"
    name = arena.join(python=python)
    await arena.is_serving(name)
    arena.say(f"{name}, of {'this checkout' if python == OURS else 'the other version'}, took the place of {worker}")


async def command_line(arena, python, command, *words, code=0):
    """Run a command of an installation, which must exit with this code; return what it said, on both streams."""
    name = arena.deployment.name
    environment = dict(os.environ) if python == OURS else _alone()
    done = await asyncio.to_thread(
        subprocess.run, [python, "-m", "hotswap", command, name, *words], env=environment | variables(arena.deployment),
        cwd=arena.folder, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == code, f"{command}, by {python}, exits with {done.returncode}: {said[-1_000:]}"
    return done.stdout.decode(), said


def installed(old, say):
    """Return the Python of an environment with the wheel of a commit, or of a checkout, and with what its lock says."""
    with tempfile.TemporaryDirectory(prefix="hotswap-old-") as temporary:
        source = Path(old).absolute() if Path(old).is_dir() else _source(old, Path(temporary) / "source")
        _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", temporary, cwd=source)
        (wheel,) = Path(temporary).glob("*.whl")
        lock = source / "requirements.lock"
        folder = _CACHE / sha256(wheel.read_bytes() + lock.read_bytes()).hexdigest()[:16]
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            say(f"installing {wheel.name} of {old} into {folder}, which takes a minute and is done once")
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", folder)
            pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
            _run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock)
            _run(*pip, "--no-index", wheel)
            (folder / "complete").touch()
    where = Path(_run(python, "-c", "import hotswap; print(hotswap.__file__)", cwd=folder).strip())
    assert where.is_relative_to(folder), f"{python} does not import the other version, but {where}"
    return python


def _source(commit, folder):
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    _run("git", "archive", "--output", archive, commit, cwd=ROOT)
    shutil.unpack_archive(archive, folder)
    return folder


def _alone():
    """The environment without what would lead another Python to this checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _run(*command, cwd=None):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=_alone(), capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[:5]}: {done.stderr[-2_000:]}"
    return done.stdout
