"""Compares the answers of an ONNX file with those of scikit-learn: labels exactly, numbers within a tolerance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

from hotswap.errors import SwapCode, SwapError
from hotswap.packages.sklearn.converting import Candidate
from hotswap.packages.sklearn.rows import SampleRows

_SHOWN: Final = 60  # characters of a value
_LEAST: Final = 1e-300
_MOST: Final = 1e300


@dataclass(frozen=True)
class Proof:
    """The rows that were compared, how many differ, the largest differences of numbers, and a row that differs."""

    rows: int
    differ: int
    absolute: float
    relative: float
    example: str

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return dict(vars(self))


def answers(model: Any, rows: SampleRows) -> list[npt.NDArray[Any]]:
    """Return scikit-learn's own answers: of the outputs that an ONNX file has, in their order.

    Raises SwapError SAMPLE_REFUSED if it does not score the rows.
    """
    try:
        return [_dense(getattr(model, method)(rows.given)) for method in _methods(model)]
    except MemoryError:
        raise
    except Exception as error:  # the model decides what it raises
        raise SwapError(
            SwapCode.SAMPLE_REFUSED,
            f"scikit-learn does not score the sample: {type(error).__name__}: {_first_line(error)} Compare the "
            "sample's columns with the rows that the model was trained on",
        ) from error


def prove(candidate: Candidate, rows: SampleRows, expected: Sequence[npt.NDArray[Any]], tolerance: float) -> Proof:
    """Compare an ONNX file's answers with the expected ones.

    A number may differ by `tolerance` times its own size plus 1, or plus its output's largest number if that is less.
    """
    absolute = relative = 0.0
    differs = np.zeros(len(rows), bool)
    shown = ""
    for wanted, given in zip(expected, candidate.score(rows), strict=False):
        one, other = _alike(wanted, given, len(rows))
        if one.dtype.kind == "f" and other.dtype.kind == "f":
            apart = np.nan_to_num(np.abs(one - other), nan=0.0)
            apart[np.isnan(one) != np.isnan(other)] = np.inf
            size = np.abs(np.nan_to_num(one))
            far = apart / (size + min(1.0, float(size.max(initial=0.0))) + _LEAST)
            wrong = (far > tolerance).any(axis=1)
            absolute, relative = max(absolute, float(apart.max(initial=0))), max(relative, float(far.max(initial=0)))
        else:
            wrong = (one != other).any(axis=1)
        if wrong.any() and not shown:
            place = int(wrong.argmax())
            shown = (
                f"row {place + 1} ({rows.shown(place)}): scikit-learn {_text(one[place])}, converted "
                f"{_text(other[place])}"
            )
        differs |= wrong
    # JSON has no infinity.
    return Proof(len(rows), int(differs.sum()), min(absolute, _MOST), min(relative, _MOST), shown)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(". ") + "."


def _methods(model: Any) -> list[str]:
    if not hasattr(model, "predict"):
        return ["transform"]
    scores = {
        "predict_proba": is_classifier(model) or not is_clusterer(model),
        "decision_function": is_outlier_detector(model),
        "transform": is_clusterer(model),
    }
    return ["predict", *[method for method, fits in scores.items() if fits and hasattr(model, method)][:1]]


def _dense(values: Any) -> npt.NDArray[Any]:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _alike(wanted: npt.NDArray[Any], given: npt.NDArray[Any], rows: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return both as rows x values: of numbers as float64, of labels as texts."""
    one, other = (values.reshape(rows, -1) for values in (wanted, given))
    if one.shape != other.shape:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"scikit-learn returns {one.shape[1]} values for a row, and the converted model {other.shape[1]}: no kind "
            "serves such a model",
        )
    if one.dtype.kind == "f":
        return one.astype(np.float64), other.astype(np.float64)
    if one.dtype.kind in "biu":
        return one.astype(np.int64).astype(str), other.astype(np.int64).astype(str)
    return one.astype(str), other.astype(str)


def _text(values: npt.NDArray[Any]) -> str:
    return ", ".join(map(str, values.tolist()))[:_SHOWN]
