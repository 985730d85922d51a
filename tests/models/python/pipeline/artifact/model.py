"""A pipeline of scikit-learn with a function of its own in it, as joblib wrote it."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd


def load(folder: Path) -> Any:
    """Return the pipeline; it finds `features.py` in the same folder."""
    return joblib.load(folder / "pipeline.joblib")


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return each row's class and its probability."""
    rows = pd.DataFrame(columns)
    rows["income"] = np.clip(rows["income"], 0, 1e6)
    shares = model.predict_proba(rows[["income", "visits", "city", "since"]])
    return {"label": model.classes_[shares.argmax(axis=1)], "p": shares.max(axis=1)}
