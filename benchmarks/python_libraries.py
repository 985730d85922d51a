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
    path = {"__name__": "model"}
    exec((model / "model.py").read_text(encoding="utf-8"), path)  # noqa: S102 - the benchmark's own
    predict: Any = path["predict"]
    names = list(path["WEIGHTS"])

    def score(matrix: Any) -> Any:
        columns = np.ascontiguousarray(matrix.T, np.float64)
        return np.column_stack(list(predict(None, dict(zip(names, columns, strict=True))).values()))

    return score


SCORERS: dict[str, Callable[[Path], Score]] = {
    "onnx": _onnx,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "python": _function,
}


def matrix_of(rows: list[dict[str, Any]]) -> Any:
    """Return rows of numbers, or of one list of numbers, as float32."""
    return np.array([list(row.values()) for row in rows], np.float32).reshape(len(rows), -1)
