"""What the MLmodel at the top of an MLflow folder says of the files beside it."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

NAME: Final = "MLmodel"

_BOOSTERS: Final = {"lightgbm": "lightgbm.basic.Booster", "xgboost": "xgboost.core.Booster"}
_SUFFIXES: Final = {"lightgbm": (".lgb", ".txt"), "onnx": (".onnx",), "xgboost": (".ubj", ".json")}


def read_flavors(model: Path) -> dict[str, Mapping[str, Any]]:
    """Return the flavors of an MLflow folder, or of its zip: name -> what MLmodel says of each.

    Raises ValueError: MLmodel is malformed; OSError: it cannot be read.
    """
    from hotswap.local.yaml_text import MOST_BYTES, parse  # noqa: PLC0415 - PyYAML, for these alone

    document = parse(_raw(model, MOST_BYTES + 1))
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        raise ValueError("it has no flavors")  # noqa: TRY004 - it is a file that is wrong, not a call
    return {str(name): flavor if isinstance(flavor, dict) else {} for name, flavor in flavors.items()}


def python_of(model: Path) -> str:
    """Return the version of Python that made the model in an MLflow folder, such as "3.11.7"; "" if it is not said.

    Raises as `read_flavors` does.
    """
    return str(read_flavors(model).get("python_function", {}).get("python_version") or "")


def loader_of(model: Path) -> str:
    """Return the module of MLflow, or of the folder's own code, that loads the model in an MLflow folder.

    Raises as `read_flavors` does.
    """
    return str(read_flavors(model).get("python_function", {}).get("loader_module"))


def declared_pickle(model: Path) -> str:
    """Return the name of a file that MLmodel says is a pickle; empty if it says so of none, or there is no MLmodel.

    A file of skops counts as one if types beyond skops' own are trusted: the model's own word is all that vouches for
    them (GHSA-w582-9x45-8mpx). Raises OSError.
    """
    try:
        flavors = read_flavors(model)
    except (FileNotFoundError, ValueError):
        return ""
    function = flavors.get("python_function", {})
    if name := function.get("python_model"):
        return str(name)
    for library, key in (("sklearn", "pickled_model"), ("lightgbm", "data")):
        flavor = flavors.get(library)
        if flavor is None or (library in _BOOSTERS and _is_booster(library, flavor)):
            continue
        if flavor.get("serialization_format") != "skops" or flavor.get("skops_trusted_types"):
            return str(function.get("model_path") or flavor.get(key) or function.get("data"))
    return ""


def own_kind(folder: Path) -> tuple[str, Path] | None:
    """Return the kind of Hotswap's own that loads the model in an MLflow folder, and its file or folder there.

    Of ONNX the folder, in which the model's external data may be. None if there is no such kind, or the folder says
    nothing that can be read. Raises OSError.
    """
    try:
        flavors = read_flavors(folder)
    except (FileNotFoundError, ValueError):
        return None
    for kind, suffixes in _SUFFIXES.items():
        flavor = flavors.get(kind)
        if flavor is not None and (kind not in _BOOSTERS or _is_booster(kind, flavor)):
            path = _inside(folder, flavor.get("data"))
            if path and path.is_file() and path.suffix in suffixes:
                return kind, path.parent if kind == "onnx" else path
    path = _inside(folder, flavors.get("spark", {}).get("model_data"))
    return ("spark", path) if path and (path / "metadata").is_dir() else None


def _is_booster(library: str, flavor: Mapping[str, Any]) -> bool:
    return bool(flavor.get("model_class", _BOOSTERS[library]) == _BOOSTERS[library])


def _inside(folder: Path, name: object) -> Path | None:
    path = (folder / name).resolve() if isinstance(name, str) and name and "\0" not in name else None
    return folder / str(name) if path and path.is_relative_to(folder.resolve()) else None


def _raw(model: Path, most: int) -> bytes:
    if model.is_dir():
        with (model / NAME).open("rb") as file:
            return file.read(most)
    try:
        with zipfile.ZipFile(model) as archive, archive.open(NAME) as entry:
            return entry.read(most)
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it cannot be read from the zip ({error})") from error
