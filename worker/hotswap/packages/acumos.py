"""Reads the packages of Acumos's own clients, in which nothing says which of the files is the model.

A modelpackage.zip has the model (`<name>.zip` for H2O, otherwise `<name>.jar`), the jar of Acumos's own runner, its
application.properties and, for a Java model, modelConfig.properties. metadata.json and default.proto are beside it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hotswap.artifacts.archive import list_names
from hotswap.artifacts.detect import find_kind
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration
from hotswap.packages.configuration import read_configuration

RUNTIMES: Final = {"h2o": "h2o", "java": "javageneric", "spark": "javaspark", "spark-jar": "javaspark"}
"""Our kinds of model -> Acumos's names for their runtimes; its own javaspark is a jar."""

OPTIONS: Final = {
    "class": "modelClassName",
    "method": "modelMethod",
    "input": "modelInputType",
    "output": "modelOutputType",
}
"""Our options for a jar -> their names in modelConfig.properties."""

_KINDS: Final = {runtime: kind for kind, runtime in RUNTIMES.items()}
_SHOWN: Final = 8
_RUNNERS: Final = ("modelservice", "modelrunner", "model-runner", "model_runner")


@dataclass(frozen=True, slots=True)
class Found:
    """The roles of a package's files."""

    name: str
    kind: str
    model: Path
    proto: Path | None
    configuration: Configuration


def read_acumos(path: Path, files: Sequence[Path]) -> Found:
    """Identify the files of the package `path`.

    Raises:
        UsageError: none of them, or more than one, can be the model; the message lists the files.

    """
    settings = _named(files, "modelConfig.properties")
    configuration = read_configuration(settings) if settings else Configuration()
    metadata = _metadata(files)
    runtime = metadata.get("runtime")
    kind = _KINDS.get(str(runtime.get("name")).lower()) if isinstance(runtime, dict) else None
    name = str(metadata.get("name") or "")
    models = _candidates(files, kind, is_java=bool(settings))
    for rule in (
        lambda model: model.stem == name,
        lambda model: _has_class(model, configuration.runtime.get("modelClassName")),
        lambda model: not any(runner in model.name.lower() for runner in _RUNNERS),
        lambda _: True,
    ):
        if len(fitting := [model for model in models if rule(model)]) == 1:
            (model,) = fitting
            break
    else:
        names = sorted(file.name for file in files)
        there = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        raise UsageError(
            f"package {path} does not tell which of its files is the model ({there or 'it has none'}): pass the model "
            "itself with --model"
        )
    proto = _named(files, "default.proto") or next((file for file in files if file.suffix == ".proto"), None)
    return Found(name or model.stem, kind or find_kind(model), model, proto, configuration)


def _named(files: Sequence[Path], name: str) -> Path | None:
    return next((file for file in files if file.name == name), None)


def _metadata(files: Sequence[Path]) -> dict[str, Any]:
    file = _named(files, "metadata.json")
    try:
        document = json.loads(file.read_bytes()) if file else {}
    except (ValueError, RecursionError):
        return {}  # the files are enough
    return document if isinstance(document, dict) else {}


def _candidates(files: Sequence[Path], kind: str | None, *, is_java: bool) -> list[Path]:
    jars = [file for file in files if file.suffix == ".jar"]
    mojos = [file for file in files if file.suffix == ".zip" and _is_mojo(file)]
    if kind is None:
        return jars if is_java or not mojos else mojos
    return mojos if kind == "h2o" else jars


def _is_mojo(file: Path) -> bool:
    try:
        return find_kind(file) == "h2o"
    except UsageError:
        return False


def _has_class(model: Path, name: str | None) -> bool:
    if not name:
        return False
    try:
        return name.strip().replace(".", "/") + ".class" in list_names(model)
    except SwapError:
        return False
