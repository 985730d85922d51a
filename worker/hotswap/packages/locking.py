"""Locks what the requirements.txt of a Python model asks for, beside the model: each package with a version and hashes.

MLflow writes a requirements.txt without hashes, whose first line is MLflow itself. A model is served without MLflow if
its library alone loads it, and otherwise with mlflow-skinny, the same code without the server.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hotswap.artifacts.mlflow import NAME, loader_of, python_of
from hotswap.environments.install import find_uv
from hotswap.environments.interpreters import FILE, Interpreters, wanted_version
from hotswap.environments.lock import NAMES, logical_lines, read_lock, read_text
from hotswap.environments.words import clean
from hotswap.errors import UsageError
from hotswap.runtimes.python.mlmodel import LOADERS
from hotswap.settings import Settings

_LOCK, _REQUIREMENTS = NAMES
_SKINNY: Final = "mlflow-skinny"
_BESIDE_SKINNY: Final = ("numpy", "pandas")
"""What `import mlflow.pyfunc` fails without, and mlflow-skinny does not ask for."""
_COMPILE: Final = (
    *("pip", "compile", "-", "--generate-hashes", "--only-binary", ":all:", "--no-header", "--no-annotate"),
    *("--no-python-downloads", "--no-progress", "--color", "never"),
)


def lock(settings: Settings, model: Path, scratch: Path) -> Path:
    """Return a copy of a model's folder, below `scratch`, with a requirements.lock for this platform, made by uv.

    The packages come from HOTSWAP_PYTHON_INDEX, or else from where this user's uv finds them, and are for the Python
    that the model names; for MLflow's folder that is the one that made the model, which the copy's .python-version has.

    Raises:
        UsageError: the model is no folder, has no requirements.txt, or one with more than names, versions and markers,
            or a malformed MLmodel; or uv finds no versions that fit each other: the message has its words.
        SwapError: ENVIRONMENT_INVALID: there is no such Python here, or a file cannot be read; KIND_MISSING: uv is not
            installed.

    """
    if not model.is_dir():
        raise UsageError(f"--lock writes a lock into a copy of the model's folder, but {model} is none: unpack it")
    text = read_text(model, _REQUIREMENTS)
    if text is None:
        raise UsageError(f"--lock locks the {_REQUIREMENTS} in the model's folder, and {model} has none")
    wanted = list(_parsed(text))
    copy = scratch / "locked" / model.resolve().name
    shutil.copytree(model, copy)
    (copy / _LOCK).unlink(missing_ok=True)
    if (model / NAME).is_file():
        try:
            wanted, version = _without_mlflow(wanted, model), python_of(model)
        except ValueError as error:
            raise UsageError(f"{model} has an {NAME} that cannot be read: {error}") from error
        if version and not wanted_version(model):
            (copy / FILE).write_text(f"{version}\n", encoding="utf-8")
    interpreter = Interpreters(settings.pythons).find(wanted_version(copy))
    _compile(settings, wanted, copy / _LOCK, interpreter.path)
    read_lock(copy)
    return copy


def _parsed(text: str) -> Iterator[Requirement]:
    for number, line in logical_lines(text):
        try:
            requirement = Requirement(line.partition(" --hash")[0])
        except InvalidRequirement:
            requirement = None
        if requirement is None or requirement.url:
            raise UsageError(
                f"line {number} of {_REQUIREMENTS} ({line[:100]}) is no package of an index: --lock takes names, "
                "versions and markers; write the lock with `uv pip compile --generate-hashes`"
            )
        yield requirement


def _without_mlflow(wanted: list[Requirement], model: Path) -> list[Requirement]:
    """Return the requirements of MLflow's folder without MLflow, and the package for GPUs if there is that for CPUs."""
    names = {canonicalize_name(one.name) for one in wanted}
    kept = [one for one in wanted if canonicalize_name(one.name) != "mlflow"]
    if "xgboost-cpu" in names:  # MLflow names both, since they are imported by the same name
        kept = [one for one in kept if canonicalize_name(one.name) != "xgboost"]
    if LOADERS.get(loader_of(model)) not in (None, "pickled"):  # the library alone loads it (flavors.py)
        return kept
    skinny = [Requirement(f"{_SKINNY}{one.specifier}") for one in wanted if canonicalize_name(one.name) == "mlflow"]
    return [*kept, *skinny, *(Requirement(name) for name in _BESIDE_SKINNY if name not in names)]


def _compile(settings: Settings, wanted: list[Requirement], target: Path, python: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOTSWAP_", "PYTHON"))}
    index = settings.python_index or ""
    if index:
        environment["UV_DEFAULT_INDEX"] = index  # not an argument: everybody on this machine may read those
    done = subprocess.run(
        [find_uv(), *_COMPILE, "--python", str(python), "--output-file", str(target)],
        input="".join(f"{one}\n" for one in wanted).encode(),
        env=environment,
        cwd=target.parent.parent,  # not in the model's folder, where uv would read a configuration of the model's
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = clean(done.stderr.decode(errors="replace"), index=index)
        raise UsageError(f"{_REQUIREMENTS} cannot be locked (uv: {said}): correct what it names, or check the index")
