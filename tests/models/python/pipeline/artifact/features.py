"""What the pipeline calls: a pickle names these functions, and does not hold them."""

from datetime import date

import numpy as np
import pandas as pd


def days(dates: pd.DataFrame) -> np.ndarray:
    """Return the days from 2020 on, and the day of the week, of dates as text; NaN where a text is no date."""
    return np.array([_days(text) for text in dates.iloc[:, 0]], dtype=float)


def _days(text: str) -> tuple[float, float]:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return np.nan, np.nan
    return (day - date(2020, 1, 1)).days, day.weekday()
