"""Three models of scikit-learn and an `if`: a column says which of them answers."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np

SEGMENTS = ("new", "known", "business")


def load(folder: Path) -> Any:
    """Return the model of each segment."""
    return {segment: joblib.load(folder / f"{segment}.joblib") for segment in SEGMENTS}


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return each row's price and the model that set it; a segment without a model has the mean of all."""
    rows = np.column_stack([np.nan_to_num(np.clip(columns[name], -10, 10)) for name in ("a", "b", "c")])
    segments = np.array([segment or "new" for segment in columns["segment"]], dtype=object)
    prices = np.empty(len(rows))
    for segment in set(segments):
        mine = segments == segment
        chosen = [model[segment]] if segment in model else list(model.values())
        prices[mine] = np.mean([one.predict(rows[mine]) for one in chosen], axis=0)
    return {"price": prices, "by": [segment if segment in model else "all" for segment in segments]}
