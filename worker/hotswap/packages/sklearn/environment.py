"""The environment that converts models of scikit-learn: made once, in the cache, from a lock with hashes.

There is a lock for each version of scikit-learn whose models are converted, since one may read another's wrongly.
"""

import asyncio
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hotswap.errors import StartError, UsageError

LOCKS: Final = Path(__file__).with_name("locks")
_MAKING: Final = ".making-"
_SHOWN: Final = 2_000
_VERSION: Final = re.compile(r"\d+\.\d+")


def versions() -> list[str]:
    """Return the versions of scikit-learn that there is an environment for, the newest one last."""
    return sorted((path.stem for path in LOCKS.glob("*.lock")), key=lambda name: [*map(int, name.split("."))])


async def python_for(version: str, cache: Path, tell: Callable[[str], None]) -> Path:
    """Return the Python of the environment for models of a version ("": unknown), made now if it is not there.

    `tell` gets lines on the progress. Raises UsageError if no environment has that version, StartError if it cannot
    be made.
    """
    found = _VERSION.match(version)
    minor = found[0] if found else versions()[-1]
    if minor not in versions():
        raise UsageError(
            f"scikit-learn {version} wrote the model; there are environments for {', '.join(versions())}: make one "
            f"with `pip install scikit-learn=={version} 'skl2onnx>=1.20' onnxruntime 'pandas<3' skops`, and pass its "
            "Python with --python"
        )
    lock = LOCKS / f"{minor}.lock"
    digest = hashlib.sha256(lock.read_bytes() + f"{sys.version} {sys.base_prefix}".encode()).hexdigest()
    folder = cache / "scikit-learn" / f"{minor}-{digest[:16]}"
    if not folder.exists():
        tell(
            f"making the environment that converts models of scikit-learn {minor}, 370 MB, in {folder}: this is done "
            "once, and takes a minute"
        )
        begun = time.monotonic()
        await _make(folder, lock)
        tell(f"the environment is ready after {time.monotonic() - begun:.0f} s")
    return folder / "bin" / "python"


async def _make(folder: Path, lock: Path) -> None:
    """Make an environment beside its place, and move it there once it is complete."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder.parent)
        making = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{os.getpid()}-", dir=folder.parent))
    except OSError as error:
        raise StartError(
            f"{folder.parent} cannot be written: {error.strerror}: set HOTSWAP_CACHE to another one"
        ) from error
    try:
        await _run(sys.executable, "-I", "-m", "venv", str(making))
        await _run(
            *(str(making / "bin" / "python"), "-I", "-m", "pip", "install", "--require-hashes", "--no-deps"),
            *("--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "-r", str(lock)),
        )
        _move(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _move(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():  # else another process made the same one meanwhile
            raise


def _remove_stale(parent: Path) -> None:
    """Remove what processes that were killed left half made."""
    for path in parent.glob(f"{_MAKING}*"):
        owner = path.name.removeprefix(_MAKING).partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists() and sys.platform == "linux":
            shutil.rmtree(path, ignore_errors=True)


async def _run(*command: str) -> None:
    # How pip reaches its index is for the user's own settings to say; HOTSWAP_* has Kafka's password.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOTSWAP_", "PYTHON"))}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=kept,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise StartError(
            "the environment that converts models of scikit-learn cannot be made: check the network, or pass the "
            f"Python of one that has skl2onnx with --python; {' '.join(command[:4])} printed: "
            f"{printed.decode(errors='replace').strip()[-_SHOWN:]}"
        )
