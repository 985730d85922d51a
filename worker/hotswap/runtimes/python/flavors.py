"""Loads and calls the models in MLflow's folders, in the guest (guest.py): by their libraries, mostly without MLflow.

It needs nothing but Python's library (3.10 or newer) and what a model's environment has. The model host read MLmodel
(mlmodel.py), and says: the `loader` and its `file`, and the signature's `columns` (name, type, shape of a tensor).

    sklearn, lightgbm, xgboost, onnx    by that library
    code                                by MLflow, or by a stub of it if the environment has none
    pickled                             by MLflow, whose classes are in the pickle
    module                              `_load_pyfunc` of a module in the model's own code
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pathlib
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

_DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
_ONNX = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(int32)": "int32"}
_ONNX |= {"tensor(bool)": "bool", "tensor(string)": "object", "tensor(float16)": "float16"}
_PACKAGES = ("sklearn", "lightgbm", "xgboost", "onnxruntime", "pandas", "mlflow")


class MlflowModel:
    """A model in an MLflow folder, as a function `predict`."""

    def __init__(self, folder: pathlib.Path, order: Mapping[str, Any]) -> None:
        """Load it; whatever its library raises propagates."""
        if order["code"]:
            sys.path.insert(0, str(folder / order["code"]))
        self._columns = order["columns"]
        self._interface = order["interface"]
        self._predict: Callable[[Any], Any] = _LOADERS[order["loader"]](folder, order)

    def call(self, _name: str, columns: Mapping[str, Any]) -> Any:
        """Return what the model predicts for columns: by answer, or a lone one."""
        result = self._predict(self._input(columns))
        if hasattr(result, "iloc") and hasattr(result, "columns"):  # a DataFrame
            return result if any(isinstance(name, str) for name in result.columns) else result.to_numpy()
        if hasattr(result, "iloc"):  # a Series, whose index is no name
            return result.to_numpy()
        if isinstance(result, list) and result and all(isinstance(row, Mapping) for row in result):
            return {name: [row.get(name) for row in result] for name in result[0]}
        return result

    def describe(self) -> dict[str, Any]:
        """Return the columns and answers of `predict` that the signature declares."""
        return {"predict": self._interface}

    @property
    def versions(self) -> str:
        """The versions of the libraries that it uses."""
        used = [(name, sys.modules[name]) for name in _PACKAGES if name in sys.modules]
        return "".join(f", {name} {module.__version__}" for name, module in used if hasattr(module, "__version__"))

    def _input(self, columns: Mapping[str, Any]) -> Any:
        """Return what the model takes for columns: as the signature has it, or a DataFrame of them as they are."""
        if not self._columns:
            return _frame(dict(columns))
        values = list(columns.values())
        if len(values) != len(self._columns):
            raise ValueError(f"the signature has {len(self._columns)} columns, and the proto {len(values)}")
        items = [(name, kind, shape, value) for (name, kind, shape), value in zip(self._columns, values)]  # noqa: B905 - of Python 3.10
        if items[0][2] is None:
            # Without names, as scikit-learn takes them from an array.
            frame = {
                name or place: _cast(name or str(place), kind, value)
                for place, (name, kind, _, value) in enumerate(items)
            }
            return _frame(frame)
        tensors = {name: _tensor(name or "input", kind, shape[1:], value) for name, kind, shape, value in items}
        return tensors.get("", tensors)


# ---- from columns to what a model takes


def _frame(columns: dict[Any, Any]) -> Any:
    """Return columns as a DataFrame; without pandas as a matrix."""
    if importlib.util.find_spec("pandas"):
        return importlib.import_module("pandas").DataFrame(columns)
    numpy = importlib.import_module("numpy")
    return numpy.column_stack([numpy.asarray(values) for values in columns.values()])


def _cast(name: str, kind: str, values: Any) -> Any:
    """Return a column of one of MLflow's types. Raises ValueError with the first value that is none."""
    numpy = importlib.import_module("numpy")
    if kind == "datetime":
        return importlib.import_module("pandas").to_datetime(_objects(values), format="ISO8601")
    if kind not in _DTYPES:
        return _objects(values)
    values = numpy.asarray(values)
    if kind in ("double", "float"):
        return values.astype(_DTYPES[kind])
    with numpy.errstate(invalid="ignore"):
        cast = values.astype(_DTYPES[kind])
    wrong = numpy.flatnonzero(cast != values)
    if len(wrong):
        value = values[wrong[0]]
        what = "no value" if value != value else value  # noqa: PLR0124 - NaN is a missing one
        raise ValueError(f"`{name}`, row {wrong[0]}: {what} is given, and the signature's type {kind} cannot hold it")
    return cast


def _objects(values: Any) -> Any:
    """Return an array of these objects: pandas would make numbers of a column in which all are None."""
    array = importlib.import_module("numpy").empty(len(values), object)
    array[:] = values
    return array


def _tensor(name: str, dtype: str, shape: list[int], values: Any) -> Any:
    """Return an array with the numbers of each row in this shape. Raises ValueError if a row has more or fewer."""
    numpy = importlib.import_module("numpy")
    size = 1
    for length in shape:
        size *= length
    for row, value in enumerate(values if shape else ()):
        count = 0 if value is None else len(value)
        if count != size:
            raise ValueError(f"`{name}`, row {row}: {count} values are given, and the signature's shape has {size}")
    return numpy.array(values, dtype).reshape(len(values), *shape)


# ---- the loaders


def _sklearn(folder: pathlib.Path, order: Mapping[str, Any]) -> Callable[[Any], Any]:
    predict: Callable[[Any], Any] = getattr(_unpacked(folder, order), order["function"])
    return predict


def _unpacked(folder: pathlib.Path, order: Mapping[str, Any]) -> Any:
    """Return the object in a file of skops or a pickle. The host has seen to it that the model's kind allows either."""
    path = folder / order["file"]
    if order["is_skops"]:
        return importlib.import_module("skops.io").load(path, trusted=order["trusted"])
    return pickle.loads(path.read_bytes())  # noqa: S301 - of kind python-pickle


def _lightgbm(folder: pathlib.Path, order: Mapping[str, Any]) -> Callable[[Any], Any]:
    lightgbm = importlib.import_module("lightgbm")
    if order["class"] in ("", "lightgbm.basic.Booster"):
        return lightgbm.Booster(model_file=folder / order["file"]).predict  # type: ignore[no-any-return]
    return _unpacked(folder, order).predict  # type: ignore[no-any-return]


def _xgboost(folder: pathlib.Path, order: Mapping[str, Any]) -> Callable[[Any], Any]:
    xgboost = importlib.import_module("xgboost")
    module, _, name = (order["class"] or "xgboost.core.Booster").rpartition(".")
    if module.partition(".")[0] != "xgboost":
        raise ValueError(f"the model's class, {module}.{name}, is not one of xgboost")
    model = getattr(importlib.import_module(module), name)()
    model.load_model(folder / order["file"])
    if isinstance(model, xgboost.Booster):
        return lambda rows: model.predict(xgboost.DMatrix(rows))
    return model.predict  # type: ignore[no-any-return]


def _onnx(folder: pathlib.Path, order: Mapping[str, Any]) -> Callable[[Any], Any]:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / order["file"], options, providers=["CPUExecutionProvider"])
    inputs, names = session.get_inputs(), [output.name for output in session.get_outputs()]

    def predict(rows: Any) -> Mapping[str, Any]:
        numpy = importlib.import_module("numpy")
        feed = {}
        for tensor in inputs:
            is_lone = len(inputs) == 1 and not (isinstance(rows, dict) and tensor.name in rows)
            values = (next(iter(rows.values())) if isinstance(rows, dict) else rows) if is_lone else rows[tensor.name]
            array = numpy.asarray(values, _ONNX.get(tensor.type))
            feed[tensor.name] = array[:, None] if array.ndim == 1 and len(tensor.shape) == 2 else array  # noqa: PLR2004 - a column
        return dict(zip(names, session.run(names, feed)))  # noqa: B905 - of Python 3.10

    return predict


def _pickled(folder: pathlib.Path, _order: Mapping[str, Any]) -> Callable[[Any], Any]:
    if importlib.util.find_spec("mlflow") is None:
        raise ImportError(
            "a pickled PythonModel needs MLflow: name mlflow-skinny, numpy and pandas in its requirements"
        )
    return importlib.import_module("mlflow.pyfunc").load_model(str(folder)).predict  # type: ignore[no-any-return]


def _code(folder: pathlib.Path, order: Mapping[str, Any]) -> Callable[[Any], Any]:
    if importlib.util.find_spec("mlflow"):
        return _pickled(folder, order)
    chosen = _stub_mlflow()
    spec = importlib.util.spec_from_file_location("code_model", folder / order["file"])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["code_model"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not chosen:
        raise ValueError(f"{order['file']} does not call mlflow.models.set_model")
    model = chosen[-1]
    artifacts = {name: str(folder / path) for name, path in order["artifacts"].items()}
    context = types.SimpleNamespace(artifacts=artifacts, model_config=order["config"])
    if hasattr(model, "load_context"):
        model.load_context(context)
    function = model.predict if hasattr(model, "predict") else model
    parameters = inspect.signature(function).parameters
    given: dict[str, Any] = {"context": context} if "context" in parameters else {}
    if "params" in parameters:
        given["params"] = dict(order["params"])
    taken = next(name for name in parameters if name not in ("context", "params"))
    return lambda rows: function(**given, **{taken: rows})


def _module(folder: pathlib.Path, order: Mapping[str, Any]) -> Callable[[Any], Any]:
    more = {} if order["config"] is None else {"model_config": order["config"]}
    model = importlib.import_module(order["module"])._load_pyfunc(str(folder / order["file"]), **more)  # noqa: SLF001 - MLflow's name
    return model.predict  # type: ignore[no-any-return]


_LOADERS: dict[str, Callable[[pathlib.Path, Mapping[str, Any]], Callable[[Any], Any]]] = {
    "sklearn": _sklearn,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "onnx": _onnx,
    "pickled": _pickled,
    "code": _code,
    "module": _module,
}


def _stub_mlflow() -> list[Any]:
    """Put what a model from code needs of MLflow into sys.modules; return the list to which set_model appends."""
    chosen: list[Any] = []
    names = ("mlflow", "mlflow.pyfunc", "mlflow.pyfunc.model", "mlflow.models")
    root, pyfunc, model, models = (types.ModuleType(name) for name in names)
    root.__path__, pyfunc.__path__ = [], []
    model.PythonModel = pyfunc.PythonModel = _PythonModel  # type: ignore[attr-defined]
    model.PythonModelContext = pyfunc.PythonModelContext = types.SimpleNamespace  # type: ignore[attr-defined]
    models.set_model = chosen.append  # type: ignore[attr-defined]
    root.pyfunc, root.models, pyfunc.model = pyfunc, models, model  # type: ignore[attr-defined]
    sys.modules.update(zip(names, (root, pyfunc, model, models)))  # noqa: B905 - of Python 3.10
    return chosen


class _PythonModel:
    """What a model from code is derived from."""

    def load_context(self, context: Any) -> None:
        """Do nothing, as MLflow's does."""
