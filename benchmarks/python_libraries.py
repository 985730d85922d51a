"""The libraries that score models in Python, called by hand: one thread, a matrix of rows to a matrix of scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Score = Callable[[Any], Any]


def scorer_of(kind: str, model: Path) -> Score:
    """Return what scores rows x columns, float32, to rows x scores."""
    return SCORERS[kind](model)


def _onnx(model: Path) -> Score:
    import onnxruntime  # noqa: PLC0415 - each library only when needed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[-1].name
    return lambda matrix: session.run([output], {name: matrix})[0]


def _xgboost(model: Path) -> Score:
    import xgboost  # noqa: PLC0415

    booster = xgboost.Booster({"nthread": 1}, model_file=model)
    return booster.inplace_predict  # type: ignore[no-any-return]


def _lightgbm(model: Path) -> Score:
    import lightgbm  # noqa: PLC0415

    booster = lightgbm.Booster(model_file=model)
    return lambda matrix: booster.predict(matrix, num_threads=1)


def _function(model: Path) -> Score:
    predict, names = _read(model)

    def score(matrix: Any) -> Any:
        columns = np.ascontiguousarray(matrix.T, np.float64)
        return np.column_stack(list(predict(None, dict(zip(names, columns, strict=True))).values()))

    return score


def _read(model: Path) -> tuple[Any, list[str]]:
    """Return the function of a model of kind python, and the names of its columns."""
    known: dict[str, Any] = {"__name__": "model"}
    exec((model / "model.py").read_text(encoding="utf-8"), known)  # noqa: S102 - the benchmark's own
    return known["predict"], list(known["WEIGHTS"])


SCORERS: dict[str, Callable[[Path], Score]] = {
    "onnx": _onnx,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "python": _function,
}


def alone(kind: str, model: Path, rows: list[dict[str, Any]]) -> Callable[[], Any]:
    """Return the library's own call on all rows, with a matrix that is ready; of a function, with its columns."""
    if kind == "python":
        predict, names = _read(model)
        columns = {name: np.array([row[name] for row in rows], np.float64) for name in names}
        return lambda: predict(None, columns)
    score, matrix = scorer_of(kind, model), matrix_of(rows)
    return lambda: score(matrix)


def dtype_of(kind: str) -> type[np.floating[Any]]:
    """Return what the numbers of a matrix are: a function has those of the requests, which are double."""
    return np.float64 if kind == "python" else np.float32


def matrix_of(rows: list[dict[str, Any]]) -> Any:
    """Return rows of numbers, or of one list of numbers, as float32."""
    return np.array([list(row.values()) for row in rows], np.float32).reshape(len(rows), -1)
