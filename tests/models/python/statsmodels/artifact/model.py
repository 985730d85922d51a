"""A Poisson regression of statsmodels by its formula, with the interval of its mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm


def load(folder: Path) -> Any:
    """Return the fitted model."""
    return sm.load(folder / "rentals.pickle")


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return how many rentals are expected on each day, and between what bounds; without weather none are."""
    rows = pd.DataFrame(
        {
            "temperature": np.clip(columns["temperature"], -30, 45),
            "wind": np.nan_to_num(np.clip(columns["wind"], 0, 150), nan=12.0),
            "weekend": columns["weekend"].astype(int),
            "sky": [sky if sky in ("clear", "cloud", "rain") else "cloud" for sky in columns["sky"]],
        }
    )
    known = rows["temperature"].notna().to_numpy()
    answers = np.zeros((3, len(rows)))
    if known.any():
        means = model.get_prediction(rows[known]).summary_frame(alpha=0.1)
        answers[:, known] = means[["mean", "mean_ci_lower", "mean_ci_upper"]].to_numpy().T
    return dict(zip(("mean", "low", "high"), answers, strict=True))
