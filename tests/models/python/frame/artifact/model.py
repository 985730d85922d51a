"""A function over a table of pandas: what people write who try things out in a notebook."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def load(folder: Path) -> pd.DataFrame:
    """Return the regions' means."""
    return pd.read_csv(folder / "regions.csv", keep_default_na=False).set_index("region")


def predict(model: pd.DataFrame, columns: dict[str, Any]) -> dict[str, Any]:
    """Return each row's band, its index against its region's mean, and the month of its date."""
    table = pd.DataFrame(columns)
    table["region"] = table["region"].fillna("other").str.strip().str.lower()
    table = table.join(model, on="region")
    table["index"] = table["income"].clip(0, 1e7) / table["mean"].fillna(model.loc["other", "mean"])
    bands = pd.cut(table["index"], [-np.inf, 0.5, 1.5, np.inf], labels=["low", "middle", "high"])
    months = pd.to_datetime(table["day"], format="%Y-%m-%d", errors="coerce").dt.month
    return {
        "band": bands.astype(object).fillna("unknown").to_numpy(),
        "index": table["index"].fillna(-1.0).to_numpy(),
        "month": months.fillna(0).astype("int64").to_numpy(),
        "is_large": table["household"].to_numpy() > 4,
    }
