"""Two operations of one model: the species of an iris, and why."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
MEANS = np.array([5.84, 3.06, 3.76, 1.2])


def load(folder: Path) -> Any:
    """Return the classifier."""
    return joblib.load(folder / "iris.joblib")


def classify(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return the species of each flower and the probability of each species."""
    shares = model.predict_proba(_rows(columns))
    return {"species": model.classes_[shares.argmax(axis=1)], "p": shares}


def explain(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return how far each column has moved each flower to its species, the farthest first."""
    rows = _rows(columns)
    winners = model.decision_function(rows).argmax(axis=1)
    moves = (rows - MEANS) * model.coef_[winners]
    order = np.argsort(-np.abs(moves), axis=1, kind="stable")
    return {
        "columns": [[COLUMNS[place] for place in places] for places in order],
        "moves": np.take_along_axis(moves, order, axis=1),
        "species": list(model.classes_[winners]),
    }


def _rows(columns: dict[str, Any]) -> np.ndarray:
    rows = np.clip(np.column_stack([columns[name] for name in COLUMNS]), 0, 100)
    return np.where(np.isnan(rows), MEANS, rows)
