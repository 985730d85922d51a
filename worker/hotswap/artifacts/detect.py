"""Detects the kind of a local model from its files, and packs it as the one file that a store can hold."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hotswap.artifacts.archive import list_names, write_zip
from hotswap.artifacts.foreign import describe, is_booster, is_lightgbm, is_onnx
from hotswap.errors import SwapError, UsageError

_MLMODEL: Final = "MLmodel"  # mlflow.NAME, which is imported for these alone
_SPARK: Final = re.compile(r"([^/]+/)?metadata/part-[^/]+")


def _is_mojo(names: Sequence[str]) -> bool:
    return "model.ini" in names


def _is_spark(names: Sequence[str]) -> bool:
    return any(_SPARK.fullmatch(name) for name in names)


def _is_onnx(names: Sequence[str]) -> bool:
    return any(name.endswith(".onnx") for name in names)


def _is_python(names: Sequence[str]) -> bool:
    return "model.py" in names or _MLMODEL in names


def _is_java(names: Sequence[str]) -> bool:
    return "META-INF/MANIFEST.MF" in names or (bool(names) and all(name.endswith(".jar") for name in names))


_SIGNS: Final[dict[str, tuple[str, Callable[[Sequence[str]], bool]]]] = {
    "h2o": ("a MOJO's model.ini at its top", _is_mojo),
    "spark": ("metadata/part-* of a saved Spark pipeline", _is_spark),
    "python": ("a model.py, or MLflow's MLmodel, at its top", _is_python),
    "onnx": ("a file that ends with .onnx", _is_onnx),
    "java": ("META-INF/MANIFEST.MF of a jar, or only jars", _is_java),
}
_BY_CONTENT: Final[dict[str, Callable[[Path], bool]]] = {
    "lightgbm": is_lightgbm,
    "onnx": is_onnx,
    "xgboost": is_booster,
}
"""The kinds of model that are recognized by the beginning of a file."""


class UnknownKind(UsageError):
    """Stop: a file's kind cannot be detected; `why` describes the file and the remedy, without its name."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


def check_model(path: Path) -> None:
    """Raise UsageError if a model's file or folder does not exist."""
    if not path.exists():
        raise UsageError(f"model {path} does not exist")


def find_kind(path: Path) -> str:
    """Detect the kind of a local model, a file or a folder, from its content.

    Raises:
        UsageError: it does not exist.
        UnknownKind: its kind is unknown; the message says what it is (foreign.py), or lists what was looked for.

    """
    check_model(path)
    if path.suffix == ".jar":
        return "java"
    if kind := next((kind for kind, fits in _BY_CONTENT.items() if fits(path)), ""):
        return kind
    try:
        names = _names(path)
        why = "it has none of " + "; ".join(f"{sign} ({kind})" for kind, (sign, _) in _SIGNS.items())
    except SwapError:
        names, why = [], "it is neither a zip nor a folder"
    if "modelpackage.zip" in names:
        why = "is a package, not a model"
        raise UnknownKind(f"{path} {why}: pass it with --package", why)
    if _MLMODEL in names:
        _check_flavors(path)
    found = next((kind for kind, (_, fits) in _SIGNS.items() if fits(names)), None)
    if found is None and (what := describe(path)):
        raise UnknownKind(f"{path} {what}", what)
    if found is None:
        why = f"is of no known kind: {why}"
        raise UnknownKind(f"model {path} {why}; name its kind with --kind", why)
    if found == "python":
        from hotswap.artifacts.pickles import first_pickle  # noqa: PLC0415 - for these alone

        return "python-pickle" if first_pickle(path) else found
    return found


def find_model(path: Path, kind: str | None = None) -> tuple[Path, str]:
    """Return a local model and its kind: as it is named, or detected as `find_kind` does.

    Of an MLflow folder whose model another kind serves by itself, without Python, that model and kind, unless a kind
    is named. Raises as `find_kind` does.
    """
    if kind is None and path.is_dir() and (path / _MLMODEL).is_file():
        from hotswap.artifacts.mlflow import own_kind  # noqa: PLC0415 - for these alone

        if found := own_kind(path):
            return found[1], found[0]
    return path, kind or find_kind(path)


def _check_flavors(path: Path) -> None:
    """Raise UnknownKind unless an MLflow folder has a function in Python, and is not H2O's."""
    from hotswap.artifacts.mlflow import read_flavors  # noqa: PLC0415 - for these alone

    try:
        flavors = read_flavors(path)
    except ValueError as error:
        why = f"has an MLmodel that cannot be read: {error}"
        raise UnknownKind(f"{path} {why}", why) from error
    if "python_function" not in flavors or "h2o" in flavors:
        what = describe(path)
        raise UnknownKind(f"{path} {what}", what)


def explain(path: Path, kind: str = "") -> str:
    """Describe a file or folder that is no model of any kind (foreign.py), or a model that is loaded as another `kind`.

    Empty if it may be a model of that kind, is not recognized, or cannot be read.
    """
    try:
        detected = find_kind(path)
    except UnknownKind:
        return describe(path)
    except (OSError, UsageError):
        return ""
    return describe(path) if detected in _BY_CONTENT and detected != kind else ""


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """Yield the model as one file: itself, or a temporary zip of a folder, with the same bytes for the same files."""
    check_model(path)
    if not path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hotswap-model-") as folder:
        packed = Path(folder, f"{path.resolve().name}.zip")
        write_zip(packed, files_of(path))
        yield packed


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a folder, at any depth: name within it -> path, sorted by name."""
    return dict(sorted((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()))


def _names(path: Path) -> Sequence[str]:
    return list(files_of(path)) if path.is_dir() else list_names(path)
