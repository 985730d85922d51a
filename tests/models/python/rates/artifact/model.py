"""An amount in francs: the rate of a currency in a year is looked up in a SQLite file of the folder."""

import sqlite3
from pathlib import Path
from typing import Any

QUERY = "SELECT rate FROM rates WHERE currency = ? AND year <= ? ORDER BY year DESC LIMIT 1"


def load(folder: Path) -> Any:
    """Return a connection to the table; the folder cannot be written, which `immutable` takes for granted."""
    path = (folder / "rates.sqlite").resolve()
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return each amount in francs, and whether the table has a rate for it."""
    keys = zip(columns["currency"], columns["year"], strict=True)
    rates = [model.execute(QUERY, (currency or "CHF", int(year))).fetchone() for currency, year in keys]
    amounts = zip(columns["amount"], rates, strict=True)
    return {
        "francs": [amount * rate[0] if rate else 0.0 for amount, rate in amounts],
        "known": [rate is not None for rate in rates],
    }
