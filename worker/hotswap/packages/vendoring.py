"""Puts the packages that a Python model's lock names beside the model, as wheels: its workers then need no index."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hotswap.environments.interpreters import Interpreters, wanted_version
from hotswap.environments.lock import read_lock
from hotswap.environments.recipe import WHEELS
from hotswap.environments.words import clean
from hotswap.errors import UsageError
from hotswap.settings import Settings


def vendor(settings: Settings, model: Path, scratch: Path) -> Path:
    """Return a copy of a model's folder, below `scratch`, with the wheels of its lock for this platform.

    They come from HOTSWAP_PYTHON_INDEX, for the Python that the model names, by pip, verified by the lock's digests.

    Raises:
        UsageError: the model is no folder, pip is not installed, or it cannot download the wheels; the message has its
            words.
        SwapError: ENVIRONMENT_INVALID: the lock is invalid, or there is no such Python here.

    """
    if importlib.util.find_spec("pip") is None:
        raise UsageError("pip, which downloads the wheels, is not installed here: install hotswap[python]")
    if not model.is_dir():
        raise UsageError(f"--vendor puts wheels into the model's folder, but {model} is none: unpack it")
    lock = read_lock(model)
    interpreter = Interpreters(settings.pythons).find(wanted_version(model))
    copy = scratch / model.resolve().name
    shutil.copytree(model, copy)
    requirements = scratch / "vendored.txt"
    requirements.write_text(lock.text, encoding="utf-8")
    target = copy / WHEELS
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    if not lock.text:
        raise UsageError(f"--vendor: {model} has no requirements.txt: it needs no packages, so leave the option out")
    _download(settings, requirements, target, interpreter.minor)
    return copy


def _download(settings: Settings, requirements: Path, target: Path, python: str) -> None:
    command = (
        *(sys.executable, "-I", "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--python-version", python, "--dest", str(target)),
        *("--requirement", str(requirements)),
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOTSWAP_", "PYTHON"))}
    index = settings.python_index or ""
    if index:
        kept["PIP_INDEX_URL"] = index  # not an argument: everybody on this machine may read those
    done = subprocess.run(command, env=kept, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        said = clean(done.stderr.decode(errors="replace").replace("ERROR: ", ""), index=index)
        raise UsageError(
            f"the wheels of the model's lock cannot be downloaded (pip: {said}): check the lock and the index"
        )
