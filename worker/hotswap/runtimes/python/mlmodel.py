"""Reads MLmodel, MLflow's description of a model's folder, into what the guest gets of it (flavors.py).

Read here, in the model host, since the guest has no YAML. The file is a stranger's: what it names has to be in the
folder, and only MLflow's loaders for which flavors.py has one, or a module in the folder's own `code`, are run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError
from hotswap.local.yaml_text import MOST_BYTES, parse
from hotswap.runtimes.python.signature import MlflowSignature, read_signature

LOADERS: Final = {
    "mlflow.sklearn": "sklearn",
    "mlflow.lightgbm": "lightgbm",
    "mlflow.xgboost": "xgboost",
    "mlflow.onnx": "onnx",
    "mlflow.pyfunc.model": "pickled",
    "mlflow.pyfunc.loaders.code_model": "code",
}
"""MLflow's modules that load a model -> the loader that a guest has instead (flavors.py)."""
_SUPPORTED: Final = (
    "those of sklearn, lightgbm, xgboost and onnx are, and python_function's own (a PythonModel, pickled or from code, "
    "and a loader_module in the folder's code): wrap the model in a PythonModel"
)
_PREDICTIONS: Final = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba")


@dataclass(frozen=True, slots=True)
class Mlmodel:
    """A model in MLflow's folder: the guest's order, as JSON has it, and the signature."""

    order: Mapping[str, Any]
    signature: MlflowSignature


def read_mlmodel(folder: Path) -> Mlmodel | None:
    """Return what MLmodel says of a model's folder; None if there is none. Raises SwapError MODEL_INVALID."""
    try:
        with (folder / "MLmodel").open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SwapError(
            SwapCode.MODEL_INVALID, f"MLmodel, which describes the model, is unreadable: {error}"
        ) from error
    try:
        document = _mapping(parse(raw), "it")
        signature = read_signature(document.get("signature"), is_of_hints=document.get("is_signature_from_type_hint"))
        return Mlmodel({**_order(folder, document), **signature.order}, signature)
    except ValueError as error:
        raise SwapError(SwapCode.MODEL_INVALID, f"MLmodel, which describes the model, does not fit: {error}") from error


def _order(folder: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    flavors = _mapping(document.get("flavors"), "`flavors`")
    if "python_function" not in flavors:
        raise ValueError(f"it has no flavor python_function, but {', '.join(map(str, flavors)) or 'none'}")
    function = _mapping(flavors["python_function"], "`python_function`")
    module = str(function.get("loader_module"))
    code = _inside(folder, function["code"], "code") if function.get("code") else None
    is_own = code and module.partition(".")[0] != "mlflow"
    if not (is_own and _is_dotted(module)) and module not in LOADERS:
        raise ValueError(f"models of MLflow's `{module}` are not served; {_SUPPORTED}")
    loader = LOADERS.get(module, "module")
    flavor = _mapping(flavors.get(loader, {}), f"flavor `{loader}`")
    return {
        "loader": loader,
        "module": module,
        "code": code,
        "config": _plain(function.get("config"), "config"),
        **_file(folder, loader, function, flavor),
        **_details(folder, function, flavor),
    }


def _file(folder: Path, loader: str, function: Mapping[str, Any], flavor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file that is loaded, relative to the folder, and how."""
    if loader == "code":
        # It is where the model was made: only its name counts.
        made_at = function.get("model_code_path")
        name = PureWindowsPath(made_at).name if isinstance(made_at, str) else made_at
        return {"file": _inside(folder, name, "model_code_path")}
    if loader == "pickled":
        return {"file": _inside(folder, function.get("python_model"), "python_model")}
    if loader == "module":
        return {"file": _inside(folder, function["data"], "data") if function.get("data") else "."}
    name = function.get("model_path") or flavor.get("pickled_model") or flavor.get("data") or function.get("data")
    return {"file": _inside(folder, name, "data")}


def _details(folder: Path, function: Mapping[str, Any], flavor: Mapping[str, Any]) -> dict[str, Any]:
    prediction = function.get("predict_fn") or "predict"
    if prediction not in _PREDICTIONS:
        raise ValueError(f"predict_fn `{prediction}` is not served: {', '.join(_PREDICTIONS)} are")
    artifacts = _mapping(function.get("artifacts") or {}, "`artifacts`")
    trusted = flavor.get("skops_trusted_types") or []
    if not isinstance(trusted, list) or not all(isinstance(name, str) for name in trusted):
        raise ValueError("`skops_trusted_types` is not a list of names")
    return {
        "function": prediction,
        "artifacts": {
            str(name): _inside(folder, _mapping(each, f"artifact `{name}`").get("path"), f"artifact `{name}`")
            for name, each in artifacts.items()
        },
        "is_skops": flavor.get("serialization_format") == "skops",
        "trusted": trusted,
        "class": str(flavor.get("model_class") or ""),
    }


def _inside(folder: Path, name: object, what: str) -> str:
    """Return a path in the folder, which has to exist there. Raises ValueError."""
    is_plain = isinstance(name, str) and name and not set(name) & {"\0", "\\"}
    if not is_plain or PurePosixPath(str(name)).is_absolute() or ".." in PurePosixPath(str(name)).parts:
        raise ValueError(f"`{what}` is {name!r:.200}, not the path of a file in the model's folder")
    path = folder / str(name)
    try:
        is_there = path.exists() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a name that is too long; a loop of links
        is_there = False
    if not is_there:
        raise ValueError(f"`{what}` is {name!r:.200}, which is not in the model's folder")
    return str(name)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a mapping")  # noqa: TRY004 - it is a file that is wrong, not a call
    return value


def _plain(value: Any, what: str) -> Any:
    """Return a value that comes back from JSON as it went. Raises ValueError."""
    try:
        is_same = json.loads(json.dumps(value)) == value
    except (TypeError, ValueError, RecursionError):
        is_same = False
    if not is_same:
        raise ValueError(f"`{what}` holds what JSON does not, as a date, NaN or a key that is not a text")
    return value
